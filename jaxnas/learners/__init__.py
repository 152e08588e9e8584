"""Learners: how ONE child learns from a batch. Groups, devices, failures and checkpoints are not their business."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Bool, Float

from jaxnas.learners.supervised import Learnt, Supervised
from jaxnas.tasks.batches import Batch


@runtime_checkable
class Learner(Protocol):
    """Pure functions of one child in one envelope; they are mapped over many children and compiled."""

    def begin(self, genes: Any, key: Array) -> Any:
        """What it knows before the first batch, a pytree of arrays; ``key`` is consumed."""

    def carry(self, size: int) -> Any:
        """What it remembers of earlier batches before the first one of so many examples."""

    def share(self, batch: Batch) -> Batch:
        """A batch that all children of a search read, with what they make of it, once. `train` and `score` take
        it in place of the batch.
        """

    def train(self, state: Any, carry: Any, genes: Any, batch: Batch, key: Array) -> tuple[Any, Any, Bool[Array, ""]]:
        """What it knows and remembers after a batch, and whether loss, parameters and statistics are finite."""

    whole: bool
    """Whether outputs are what it scores by, since the task's score is no mean over labels."""

    def score(self, state: Any, carry: Any, genes: Any, batch: Batch, key: Array) -> tuple[Any, Float[Array, "*B"]]:
        """What it remembers, and the sum of the scores of the labels that count, NaN where it has failed; or, where it
        scores the `whole`, outputs as they are ``[B, K]``.
        """

    def kept(self, state: Any) -> Any:
        """What of it is worth keeping when nothing more is to be learnt."""


@runtime_checkable
class Traced(Protocol):
    """A learner that can be told by a traced flag which of the two to do: one program, where compiling takes long."""

    traced: bool
    """Whether it can, with these children."""

    def either(
        self, state: Any, carry: Any, genes: Any, batch: Batch, key: Array, training: Bool[Array, ""]
    ) -> tuple[Any, Any, Float[Array, "*B"], Bool[Array, ""]]:
        """State, what is remembered, what `Learner.score` gives (0 in training), and whether all that was learnt is
        finite.
        """


__all__ = ["Learner", "Learnt", "Supervised", "Traced"]
