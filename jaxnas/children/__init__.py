"""Children: the networks of one kind on one task. What a trainer, a planner and a report ask of them stands here.

    architecture -> envelope (of several, the key of a program) -> genes (the place of one in it) -> network

What only some families can do is a protocol of its own: `Separates`, `Shares`, `Widens`, `Exports`,
`jaxnas.children.normalised`.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import jax
import numpy as np
from flax import nnx

from jaxnas.children.engines import Engine


@dataclass(frozen=True)
class Work:
    """What a network in an envelope takes, for one example (of text: one symbol), forward.

    Attributes:
        multiply_adds: of the network itself; of an envelope alone: of a network that fills it.
        executed: that run in the envelope.
        parameters: trainable numbers, those of the network itself.
        held_bytes: of the maps that a training step holds.
        branches: how long its program compiles, counted in convolutions.
        speed: multiply-adds a second, as a share of those of a chain of convolutions.
    """

    multiply_adds: int
    executed: int
    parameters: int
    held_bytes: int
    branches: int = 1
    speed: float = 1.0


class Network(nnx.Module):
    """The network of ONE child in its envelope, with what a network need not say.

    Any NNX variable that it makes in its beginning is carried from step to step. Streams of random numbers
    (`nnx.Rngs`) are seeded anew at each step from (seed, trial, epoch, step), so stock layers such as `nnx.Dropout` do
    in any company what they do alone in the same envelope: what they draw has its shapes. Parameters change through the
    optimiser alone.
    """

    traced_training: ClassVar[bool] = False
    """Whether ``training`` may be a traced bool: then, on CPU, training and scoring are one program, which compiles
    faster. Elsewhere, and for all others, it is a Python bool."""

    def __call__(self, x: Any, genes: Any, training: bool, carry: Any, key: jax.Array) -> tuple[Any, Any]:
        """Outputs, and what is to be remembered in the next batch.

        Args:
            x: a batch, as the task's ``inputs`` gives it.
            genes: the child's place in the envelope.
            training: whether this is a training step, or a batch is scored.
            carry: what was remembered of the batch before.
            key: of what is random in this step; it is consumed.
        """
        raise NotImplementedError

    def carry(self, batch: int) -> Any:
        """What is remembered before the first batch, of so many examples: a pytree of arrays; nothing."""
        return ()


@runtime_checkable
class Children(Protocol):
    """A frozen dataclass: the networks of one space on one task. Six members, no more."""

    @property
    def engines(self) -> Sequence[Engine]:
        """How they can run in one program. The first is taken where nothing has been measured."""

    def envelope(self, architectures: Sequence, engine: Engine, known: Collection | None = None) -> Any:
        """The padded shape in which some of them run, hashable: the key of a compiled program. It has ``engine``.

        Args:
            architectures: one or more.
            engine: how.
            known: the envelopes that a search has used before: this one should serve its later rounds, too. None:
                these architectures alone, as tight as can be; that of a single one is the ordinary network.

        Returns:
            The envelope; None: these cannot share a program. Then each is asked for alone, with ``known``, and those
            whose envelopes are equal share one.

        Raises:
            ValueError: an engine that cannot run them.
        """

    def place(self, architecture: Any, envelope: Any) -> Any:
        """The genes of one of them: a pytree of arrays, of the same shapes for all in an envelope.

        Raises:
            ValueError: the envelope does not hold it.
        """

    def build(self, envelope: Any, genes: Any, key: jax.Array) -> Network:
        """The padded network of one child with its initial weights; ``key`` is consumed."""

    def work(self, envelope: Any, architecture: Any = None) -> Work:
        """What a network takes in an envelope; None: what the envelope can take."""

    def describe(self, architecture: Any) -> dict:
        """An architecture as JSON values; "type" says of which kind it is."""


@runtime_checkable
class Shares(Protocol):
    """`Children` that make something of a batch together, before each goes its own way."""

    def share(self, envelope: Any, x: Any) -> Any:
        """What the networks of an envelope take in place of a batch x, as the task's ``inputs`` gives it; they take x
        itself as well, which is what they get where each child has batches of its own.
        """


@runtime_checkable
class Separates(Protocol):
    """`Children` of which not all can share a program, and that know who can."""

    def program_key(self, architecture: Any) -> Hashable:
        """What is equal for those that can."""


@runtime_checkable
class Widens(Protocol):
    """`Children` that final training can make wider."""

    def widened(self, factor: float) -> Children:
        """The children with so many times the filters or hidden units, and other initial weights."""

    def widen(self, architecture: Any, factor: float) -> Any:
        """One architecture likewise; it is one of ``widened(factor)``."""


@runtime_checkable
class Exports(Protocol):
    """`Children` whose networks can be written as files."""

    dtype: str
    """Of maps and factors, as `Train.dtype` has it."""
    norm: Any
    """Settings of batch normalisation, a `jaxnas.children.layers.BatchNorm`; None: there is none."""

    def weights(self, network: Network, architecture: Any) -> dict[str, np.ndarray]:
        """Parameters and statistics of the unpadded network by name, float32; its arrays are concrete."""


@runtime_checkable
class OwnHyperparameters(Protocol):
    """Genes of a child that decides settings of its optimiser itself."""

    hyperparameters: Mapping[str, Any]
    """By the setting's name (``learning_rate``): a number ``[]``; NaN: that of the settings."""


@runtime_checkable
class OwnTraining(Protocol):
    """An envelope whose children are trained by other settings than the common ones."""

    training: tuple[tuple[str, Any], ...]
    """By name: "batch_size", "epochs", or "optimiser", which is "sgd" or "adam"."""


def own_training(inside) -> tuple[tuple[str, Any], ...]:
    """What is an envelope's own of the settings of the training; see `OwnTraining`."""
    return inside.training if isinstance(inside, OwnTraining) else ()


def unpadded(children: Children, architecture: Any, platform: str = "cpu") -> Any:
    """The envelope of an architecture by itself: the ordinary network."""
    return children.envelope([architecture], replace(children.engines[0], platform=platform))


def alone(children: Children, architecture: Any) -> Work:
    """What an architecture takes by itself."""
    return children.work(unpadded(children, architecture), architecture)


def widened(children: Children, architecture: Any, factor: float) -> tuple[Children, Any]:
    """The children of a space and one of them with so many times the filters.

    Raises:
        ValueError: these cannot be widened.
    """
    if factor == 1:
        return children, architecture
    if not isinstance(children, Widens):
        raise ValueError(f"final.width={factor}: {type(children).__name__} has no `widened`: leave width at 1")
    return children.widened(factor), children.widen(architecture, factor)


__all__ = [
    "Children",
    "Engine",
    "Exports",
    "Network",
    "OwnHyperparameters",
    "OwnTraining",
    "Separates",
    "Shares",
    "Widens",
    "Work",
    "alone",
    "own_training",
    "unpadded",
    "widened",
]
