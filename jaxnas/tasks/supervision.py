"""Losses and scores of tasks with one label an example: by name, or a user's own functions.

Letters: B batch, M held-out examples, K classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jaxtyping import Array, Float, Int

from jaxnas.code import of_function
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


@dataclass(frozen=True)
class Supervision:
    """How outputs are held against labels.

    Attributes:
        loss: a JAX function (outputs, labels) -> loss of each label; None: the usual one.
        score: a name, or a function (outputs, labels) of numpy arrays -> a number, higher is better, over all held-out
            examples; None: the usual one.
    """

    loss: Callable | None
    score: str | Callable | None
    named: ClassVar[Mapping[str, Score]]
    default: ClassVar[str]

    def __post_init__(self):
        if isinstance(self.score, str) and self.score not in self.named:
            raise ValueError(
                f"score={self.score!r} does not fit labels that are {self.labels}: give one of "
                f"{', '.join(self.named)}, or a function of your own"
            )

    @property
    def whole(self) -> bool:
        """Whether the score is no mean over examples."""
        return True

    @property
    def measure(self) -> Measure:
        """How a score is read."""
        return Measure.NUMBER if callable(self.score) else self._named.measure

    @property
    def _named(self) -> Score:
        return self.named[self.score or self.default]

    def check(self, held_out: Batch, data: Any) -> None:
        """Raises ValueError where the score is not defined for these labels."""
        if not callable(self.score):
            self._named.check(self.in_units(held_out.labels, data), data.classes)

    def of(self, outputs: Float[np.ndarray, "M K"], held_out: Batch, data: Any) -> float:
        """The score of finite outputs for the held-out examples."""
        score = self.score if callable(self.score) else self._named.of
        return scored(score, self.in_units(outputs, data), self.in_units(held_out.labels, data))

    def in_units(self, values: np.ndarray, data: Any) -> np.ndarray:
        """Outputs or labels as a score takes them."""
        del data
        return values


@dataclass(frozen=True)
class Classes(Supervision):
    """One of K classes; outputs are logits ``[B, K]``, labels int32 ``[B]``. ``smoothing``: share of a label that
    cross-entropy spreads evenly.
    """

    smoothing: float = 0.0
    named = scores.CLASSES
    default = "accuracy"
    labels = "classes"

    def __post_init__(self):
        super().__post_init__()
        if self.loss is not None and self.smoothing:
            raise ValueError(
                f"label_smoothing={self.smoothing}: a loss of your own is taken as it is: smooth in it, or leave "
                "this at 0"
            )

    @property
    def whole(self) -> bool:
        return callable(self.score) or self.score not in (None, "accuracy", "log-loss")

    def losses(self, outputs: Float[Array, "B K"], labels: Int[Array, " B"]) -> Array:
        """Of each example ``[B]``: cross-entropy in nats, or the user's."""
        return cross_entropy(outputs, labels, self.smoothing) if self.loss is None else self.loss(outputs, labels)

    def scores(self, outputs: Float[Array, "B K"], labels: Int[Array, " B"]) -> Float[Array, " B"]:
        """Of each example, where the score is a mean: 1 for a right class, else 0; or its log-probability."""
        return -cross_entropy(outputs, labels) if self.score == "log-loss" else accuracy(outputs, labels)


@dataclass(frozen=True)
class Numbers(Supervision):
    """A number; outputs are ``[B, 1]``, labels ``[B]``, both standardised: of mean 0 and deviation 1 in the training
    data. A user's loss gets ``[B]`` and ``[B]`` of these, a user's score ``[M]`` and ``[M]`` in the target's own unit.
    """

    named = scores.NUMBERS
    default = "r2"
    labels = "numbers"

    def losses(self, outputs: Float[Array, "B 1"], labels: Float[Array, " B"]) -> Array:
        """Of each example ``[B]``: the squared error, or the user's."""
        return (self.loss or optax.squared_error)(outputs[:, 0], labels)

    def scores(self, outputs: Float[Array, "B 1"], labels: Float[Array, " B"]) -> Float[Array, " B"]:
        """Minus the squared error of each example; the child's score is that of the whole."""
        return -jnp.square(outputs[:, 0] - labels)

    def in_units(self, values, data):
        """See `Supervision`; ``data`` has ``target_mean`` and ``target_std``."""
        return np.float64(values).reshape(len(values)) * float(data.target_std) + float(data.target_mean)


class Own:
    """A loss or a score of the user's. Written, it has a digest of its code beside its name, so that a search does not
    go on with another function.
    """

    def __init__(self, fn: Callable):
        self.call = fn
        self._written = f"{of_function(fn)}"

    def __call__(self, *given: Any) -> Any:
        return self.call(*given)

    def __repr__(self) -> str:
        return self._written

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash(self._written)


def own_functions(task: Any) -> None:
    """Make the functions among a task's ``loss`` and ``score`` ones that are told apart."""
    for name in ("loss", "score"):
        value = getattr(task, name)
        if callable(value) and not isinstance(value, Own):
            object.__setattr__(task, name, Own(value))


class Supervised:
    """Base of tasks that have a `Supervision`, of which these are the task's losses and scores."""

    def __post_init__(self):
        own_functions(self)
        _ = self.supervision  # whether its settings go together

    @property
    def supervision(self) -> Classes | Numbers:
        """From the task's settings."""
        raise NotImplementedError

    @property
    def measure(self) -> Measure:
        """How a score is read."""
        return self.supervision.measure

    @property
    def whole(self) -> bool:
        """See `jaxnas.tasks.ScoresWhole`."""
        return self.supervision.whole

    @property
    def cross_entropy(self) -> bool:
        """See `jaxnas.tasks.SaysCrossEntropy`."""
        return isinstance(self.supervision, Classes) and self.supervision.loss is None

    def losses(self, outputs: Float[Array, "B K"], labels: Array) -> Array:
        """Of each example ``[B]``."""
        return self.supervision.losses(outputs, labels)

    def scores(self, outputs: Float[Array, "B K"], labels: Array) -> Float[Array, " B"]:
        """Of each example; where the score is no mean of them, `whole_score` is the child's."""
        return self.supervision.scores(outputs, labels)

    def check_score(self, held_out: Batch, data: Any) -> None:
        """Raises ValueError where the score is not defined for these labels."""
        self.supervision.check(held_out, data)

    def whole_score(self, outputs: Float[np.ndarray, "M K"], held_out: Batch, data: Any) -> float:
        """The score of finite outputs for all held-out examples."""
        return self.supervision.of(outputs, held_out, data)


class Classified(Supervised):
    """Base of those that tell classes alone, with fields ``loss``, ``score`` and ``label_smoothing``."""

    loss: Loss
    score: ClassScore
    label_smoothing: float

    @property
    def supervision(self) -> Classes:
        """Classes, with these settings."""
        return Classes(self.loss, self.score, self.label_smoothing)


def scored(score: Callable, *given: Any) -> float:
    """A score as a finite number. Raises ValueError where a function of the user's gives something else."""
    found = np.asarray(score(*given))
    if found.shape != () or found.dtype.kind not in "biuf" or not np.isfinite(found):
        raise ValueError(
            f"score {shown(score)} gave {shown(found.tolist())} for {len(given[-1])} held-out examples: one finite "
            "number is needed, higher for better"
        )
    return float(found)
