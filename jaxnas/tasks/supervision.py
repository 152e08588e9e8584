"""What tasks with one label an example have in common: losses and scores, by name or a user's own.

Letters: B batch, M held-out examples, K classes.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jaxtyping import Array, Float, Int

from jaxnas.outcome import Measure
from jaxnas.plain import shown
from jaxnas.tasks import scores
from jaxnas.tasks.batches import Batch
from jaxnas.tasks.classification import accuracy, cross_entropy
from jaxnas.tasks.scores import Score

Loss = Annotated[Callable[..., Any] | None, tyro.conf.Fixed]
ClassScore = Annotated[
    Literal["accuracy", "f1", "auc", "log-loss"] | Callable[..., Any] | None, scores.picked(scores.CLASSES, "accuracy")
]
NumberScore = Annotated[Literal["r2", "rmse", "mae"] | Callable[..., Any] | None, scores.picked(scores.NUMBERS, "r2")]


class Supervision:
    """Base of tasks with fields ``loss`` and ``score``: a JAX function (outputs, labels) -> loss of each label, and a
    name or a function (outputs, labels) -> number, higher is better, over all held-out examples, of numpy arrays.
    """

    loss: Loss
    score: Any
    named: ClassVar[Mapping[str, Score]]
    default: ClassVar[str]

    @property
    def measure(self) -> Measure:
        """How a score is read."""
        return Measure.NUMBER if callable(self.score) else self.named[self.score or self.default].measure

    def check_score(self, held_out: Batch, data: Any) -> None:
        """Raises ValueError where the score is not defined for these labels."""
        if not callable(self.score):
            _, labels = self.in_units(np.zeros((len(held_out.labels), data.classes)), held_out.labels, data)
            self.named[self.score or self.default].check(labels, data.classes)

    def whole_score(self, outputs: Float[np.ndarray, "M K"], held_out: Batch, data: Any) -> float:
        """The score of finite outputs for the held-out examples."""
        score = self.score if callable(self.score) else self.named[self.score or self.default].of
        return scored(score, *self.in_units(outputs, held_out.labels, data))

    def in_units(self, outputs, labels, data) -> tuple[np.ndarray, np.ndarray]:
        """Outputs and labels as a score takes them."""
        del data
        return outputs, labels


class Classification(Supervision):
    """One of K classes; outputs are logits ``[B, K]``, labels int32 ``[B]``. Also a field ``label_smoothing``."""

    label_smoothing: float
    named = scores.CLASSES
    default = "accuracy"

    @property
    def whole(self) -> bool:
        """Whether the score is no mean over examples, so that all outputs are wanted."""
        return callable(self.score) or self.score not in (None, "accuracy", "log-loss")

    def losses(self, outputs: Float[Array, "B K"], labels: Int[Array, " B"]) -> Array:
        """Of each example ``[B]``: cross-entropy in nats, or the user's."""
        if self.loss is not None:
            return self.loss(outputs, labels)
        return cross_entropy(outputs, labels, self.label_smoothing)

    def scores(self, outputs: Float[Array, "B K"], labels: Int[Array, " B"]) -> Float[Array, " B"]:
        """Of each example, where the score is a mean: 1 for a right class, else 0; or its log-probability."""
        return -cross_entropy(outputs, labels) if self.score == "log-loss" else accuracy(outputs, labels)


class Regression(Supervision):
    """A number; outputs are ``[B, 1]``, labels ``[B]``, both standardised: mean 0, deviation 1 over the training data.
    A user's loss gets ``[B]`` and ``[B]`` of these, a user's score ``[M]`` and ``[M]`` in the target's own unit.
    """

    named = scores.NUMBERS
    default = "r2"
    whole = True

    def losses(self, outputs: Float[Array, "B 1"], labels: Float[Array, " B"]) -> Array:
        """Squared error of each example ``[B]``, or the user's."""
        return (self.loss or optax.squared_error)(outputs[:, 0], labels)

    def scores(self, outputs: Float[Array, "B 1"], labels: Float[Array, " B"]) -> Float[Array, " B"]:
        """Minus the squared error of each example; the child's score is `whole_score`."""
        return -jnp.square(outputs[:, 0] - labels)

    def in_units(self, outputs, labels, data):
        """See `Supervision`; ``data`` has ``target_mean`` and ``target_std``."""
        back = lambda values: np.float64(values) * float(data.target_std) + float(data.target_mean)
        return back(outputs[:, 0]), back(labels)


def scored(score: Callable, *given: Any) -> float:
    """A score as a finite number. Raises ValueError where a function of the user's gives something else."""
    found = np.asarray(score(*given))
    if found.shape != () or found.dtype.kind not in "biuf" or not np.isfinite(found):
        raise ValueError(
            f"score {shown(score)} gave {shown(found.tolist())} for {len(given[-1])} held-out "
            "examples: one finite number is needed, higher for better"
        )
    return float(found)
