"""Tasks: what a child is trained on. A task owns data, loss and score.

Letters: B batch, U steps of a chunk of text, H W C height, width and channels of an image, K classes.
"""

from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array

from jaxnas.outcome import Measure
from jaxnas.tasks.augment import Augment
from jaxnas.tasks.batches import Batch
from jaxnas.tasks.classification import Data, Examples
from jaxnas.tasks.digits import Digits
from jaxnas.tasks.images import Images
from jaxnas.tasks.passages import PassageData, TextClassification
from jaxnas.tasks.ratings import RatingData, Ratings
from jaxnas.tasks.streams import Passage, TextData
from jaxnas.tasks.tabular import TableData, Tabular
from jaxnas.tasks.text import Text

TASKS = {
    "Digits": Digits,
    "Images": Images,
    "Ratings": Ratings,
    "Tabular": Tabular,
    "Text": Text,
    "TextClassification": TextClassification,
}
"""Every task of the library by name."""


@runtime_checkable
class HeldOut(Protocol):
    """What children are scored on: a pytree of rows."""

    def __len__(self) -> int: ...

    def __getitem__(self, index): ...


@runtime_checkable
class Batched(Protocol):
    """What a training reads, as a task gives it, and how it comes in batches: a pytree with ``train`` and ``held_out``
    that have lengths (``held_out`` a `HeldOut`), ``input_shape`` and ``classes``; see `Data` and `TextData`.
    """

    def facts(self) -> dict:
        """What tells this data from other, as JSON values, ``input_shape`` and ``classes`` among them."""

    def steps(self, size: int) -> int:
        """Batches of an epoch. Raises ValueError where there is not even one."""

    def seen(self, size: int) -> int:
        """Examples that a child learns from in an epoch."""

    def visits(self, size: int, scored):
        """Batches that hold the first ``scored`` held-out examples; ``scored`` may be traced."""

    def order(self, key, size: int):
        """Arrays that settle an epoch's order."""

    def training(self, order, number) -> Batch:
        """The training batch of a number, from 0."""

    def scoring(self, number, size: int, scored) -> Batch:
        """The held-out batch of a number, from 0."""


@runtime_checkable
class Task(Protocol):
    """A frozen dataclass of settings with these functions; see `Digits`.

    What only some have or can do stands in protocols of their own, of which a task need not inherit: `NamesMeasure`,
    `Augments`, `ChecksFinal`.

    (Data is not declared here: the command line follows only protocols whose members are all functions.)
    """

    def search_data(self, seed: int) -> Batched:
        """Training and validation data, split by ``seed``. Never reads test data."""

    def final_data(self, seed: int) -> Batched:
        """Training and validation data together, and held out: the test data. Only final training calls this."""

    def inputs(self, examples, data: Any, key=None):
        """A batch's examples, such as uint8 images ``[B, H, W, C]``, as the network takes them; augmented where a key
        is given (it is consumed).
        """

    def losses(self, outputs, labels) -> Array:
        """``[B, K]``, ``[B]`` (of text ``[B, U, K]``, ``[B, U]``) -> loss of each label."""

    def scores(self, outputs, labels) -> Array:
        """Likewise -> score of each label; higher is better. The mean is the child's score, but where the task
        `ScoresWhole`.
        """


@runtime_checkable
class NamesMeasure(Protocol):
    """A task that says how reports show its scores; without it they are shares of 1."""

    measure: Measure


@runtime_checkable
class ScoresWhole(Protocol):
    """A task whose score need not be a mean over labels."""

    whole: bool
    """Whether it is not."""

    def check_score(self, held_out: Batch, data: Batched) -> None:
        """Raises ValueError where the score is not defined for these labels ``[M]``; asked before training."""

    def whole_score(self, outputs, held_out: Batch, data: Batched) -> float:
        """Of outputs, finite ``[M, K]``, for all held-out examples, numpy arrays. Higher is better."""


@runtime_checkable
class Augments(Protocol):
    """A task with a setting for changes of its training batches, which a final training may replace."""

    augment: Augment


@runtime_checkable
class Smooths(Protocol):
    """A task whose loss spreads a share of each label over all classes; a dataclass."""

    label_smoothing: float


@runtime_checkable
class SaysCrossEntropy(Protocol):
    """A task whose loss need not be the cross-entropy of classes, which alone can be smoothed."""

    cross_entropy: bool
    """Whether it is."""


@runtime_checkable
class ChecksFinal(Protocol):
    """A task that can tell, before anything is trained, whether `final_data` will have what it needs."""

    def check_final(self) -> None:
        """Raises ValueError where there is no test data. None is read."""


@runtime_checkable
class LeavesOut(Protocol):
    """Data of which every epoch leaves out the same examples."""

    def left_out(self, size: int) -> int:
        """How many, in batches of that size."""


@runtime_checkable
class Tells(Protocol):
    """Data that was not taken as it lies there, or what has read it: ``notes`` is what a user should know of that, a
    line each.
    """

    notes: tuple[str, ...]


def without_smoothing(task: Task) -> Task:
    """A task whose loss is that of the labels as they are."""
    return replace(task, label_smoothing=0.0) if isinstance(task, Smooths) else task


def smooths(task: Task) -> bool:
    """Whether a child may decide to smooth its labels: unless the task says that its loss is another."""
    return task.cross_entropy if isinstance(task, SaysCrossEntropy) else True


def learnt(data: Batched, size: int) -> int:
    """Examples that a training learns from, in batches of that size."""
    return len(data.train) - (data.left_out(size) if isinstance(data, LeavesOut) else 0)


def scores_whole(task: Task) -> bool:
    """Whether all outputs are wanted for a score."""
    return isinstance(task, ScoresWhole) and task.whole


def notes_of(data: object) -> tuple[str, ...]:
    """What there is to say of how data was read: nothing, unless it, or what has read it, `Tells`."""
    return data.notes if isinstance(data, Tells) else ()


def measure_of(task: Task | None) -> Measure:
    """How the scores of a task are read: as shares of 1, unless it `NamesMeasure`; likewise where there is none."""
    return task.measure if isinstance(task, NamesMeasure) else Measure.SCORE


def augmentation_of(task: Task | None) -> Augment:
    """How a task changes its training batches: not at all, unless it `Augments`."""
    return task.augment if isinstance(task, Augments) else Augment()


__all__ = [
    "TASKS",
    "Augments",
    "Batch",
    "Batched",
    "ChecksFinal",
    "Data",
    "Digits",
    "Examples",
    "HeldOut",
    "Images",
    "LeavesOut",
    "NamesMeasure",
    "Passage",
    "PassageData",
    "RatingData",
    "Ratings",
    "SaysCrossEntropy",
    "ScoresWhole",
    "Smooths",
    "TableData",
    "Tabular",
    "Task",
    "Tells",
    "Text",
    "TextClassification",
    "TextData",
    "augmentation_of",
    "learnt",
    "measure_of",
    "notes_of",
    "scores_whole",
    "smooths",
    "without_smoothing",
]
