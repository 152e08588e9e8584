"""Labels as people have them, and the classes 0, 1, 2, ... that they mean.

Letters: M examples, K classes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, Shaped

MOST_LABEL = 65_535
SHOWN = 5
"""Labels in a message, at most."""
NUMBERS, TEXT, TRUTH, COLUMNS = "numbers", "text", "true or false", "one-hot"
FORMS = "whole numbers, text or one-hot rows"


@dataclass(frozen=True)
class Labels:
    """What the labels of a data set mean: read off the training labels, and held against all others.

    Attributes:
        form: of the array, "numbers", "text", "true or false" or "one-hot".
        floats: whether numbers are stored as such.
        known: the label of each class, of one-hot rows the column.
    """

    form: str
    floats: bool
    known: tuple[int | str, ...]

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.known)

    @property
    def names(self) -> tuple[str, ...]:
        """What the classes are called where the labels say more than their numbers; else none."""
        if self.form == TRUTH:
            return "false", "true"
        return tuple(map(str, self.known)) if self.known[0] != 0 else ()

    @property
    def note(self) -> str:
        """What there is to say of the conversion, a line; empty where the labels are the numbers of the classes."""
        first, last = self.known[0], self.known[-1]
        if self.form == TEXT:
            more = ", ..." if self.classes > SHOWN else ""
            what = f"labels {', '.join(map(repr, self.known[:SHOWN]))}{more}"
        elif self.form == TRUTH:
            what = "labels false and true"
        elif self.form == COLUMNS:
            what = "one-hot labels"
        elif self.floats:
            what = f"labels {first}.0..{last}.0, stored as floats,"
        elif first == 0:
            return ""
        else:
            what = f"labels {first}..{last}"
        return f"{what} were taken as classes 0..{self.classes - 1}"

    def of(self, labels: np.ndarray, examples: int, where: str) -> Int32[np.ndarray, " M"]:
        """The class of each of so many examples. Raises ValueError for labels of another form, or that are unknown."""
        form, values = _plain(labels, examples, where)
        if form != self.form:
            raise ValueError(f"{where}: labels are {form}, training labels {self.form}: they must be alike")
        known = np.array(self.known)
        found = np.searchsorted(known, values).clip(0, self.classes - 1)
        unknown = np.flatnonzero(known[found] != values)
        if len(unknown):
            label = values[unknown[0]].item()
            raise ValueError(
                f"{where}: the label of example {unknown[0]} is {label!r}, which no training example has: they must be "
                f"alike, and the training labels are {_shown(self.known)}"
            )
        return found.astype(np.int32)


def read_off(labels: np.ndarray, examples: int, where: str) -> Labels:
    """What the training labels of so many examples mean.

    Numbers are 0..K-1 or 1..K, floats too; text and one-hot rows are taken in the order of the sorted text and of the
    columns.

    Raises:
        ValueError: labels of another form, fewer than two classes, or one that never occurs.
    """
    form, values = _plain(labels, examples, where)
    known = tuple(np.unique(values).tolist())
    if len(known) < 2:
        raise ValueError(
            f"{where}: all {examples} training labels are {known[0]!r}: classification needs at least 2 classes"
        )
    if form != TEXT:
        classes = labels.shape[1] if form == COLUMNS else known[-1] + (known[0] != 1)
        first = 1 if known[0] == 1 and form == NUMBERS else 0
        missing = sorted(set(range(first, first + classes)) - set(known))
        if missing:
            raise ValueError(
                f"{where}: training labels go up to {first + classes - 1}, but {missing[:SHOWN]} never occur: number "
                "the classes 0, 1, 2, ... without gaps"
            )
    return Labels(form, np.asarray(labels).dtype.kind == "f", known)


def _plain(labels: np.ndarray, examples: int, where: str) -> tuple[str, Shaped[np.ndarray, " M"]]:
    """The form of labels, and one value an example: a whole number or text."""
    labels = np.asarray(labels)
    labels = np.array(labels.tolist()) if labels.dtype == object else labels  # of text, as pandas has it
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim == 2 and len(labels) == examples > 0 and ((labels == 0) | (labels == 1)).all():
        return COLUMNS, _columns(labels == 1, where)
    if labels.shape != (examples,):
        raise ValueError(f"{where}: {examples} images but labels of shape {labels.shape}: one label an image is needed")
    if not examples:
        raise ValueError(f"{where}: no examples: at least one is needed")
    if labels.dtype.kind in "US":
        return TEXT, _text(labels, where)
    if labels.dtype.kind not in "biuf":
        raise ValueError(f"{where}: labels of type {labels.dtype}: {FORMS} are needed")
    if labels.dtype.kind == "f":
        _refuse(labels != np.round(labels), labels, where)  # NaN is no number, and unequal to itself
    if labels.min() < 0 or labels.max() > MOST_LABEL:
        raise ValueError(
            f"{where}: labels run from {labels.min()} to {labels.max()}: integers from 0 to at most {MOST_LABEL} are "
            "needed"
        )
    return TRUTH if labels.dtype == bool else NUMBERS, labels.astype(np.int64)


def _columns(ones: Bool[np.ndarray, "M K"], where: str) -> Shaped[np.ndarray, " M"]:
    wrong = np.flatnonzero(ones.sum(1) != 1)
    if len(wrong):
        raise ValueError(
            f"{where}: labels of shape {ones.shape}, one-hot, but example {wrong[0]} has {ones[wrong[0]].sum()} ones: "
            "exactly one is needed"
        )
    return ones.argmax(1)


def _text(labels: np.ndarray, where: str) -> Shaped[np.ndarray, " M"]:
    try:
        labels = np.char.decode(labels, "utf-8") if labels.dtype.kind == "S" else labels
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: labels of type {labels.dtype} are not UTF-8 ({error.reason}): give text") from error
    _refuse(np.char.strip(labels) == "", labels, where)
    return labels


def _refuse(wrong: Bool[np.ndarray, " M"], labels: np.ndarray, where: str) -> None:
    """Raises ValueError where one of the labels is wrong."""
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(
            f"{where}: the label of example {first} is {labels[first].item()!r}: {FORMS} are needed, none missing"
        )


def _shown(known: tuple[int | str, ...]) -> str:
    if isinstance(known[0], int):
        return f"{known[0]}..{known[-1]}"
    return ", ".join(map(repr, known[:SHOWN])) + (", ..." if len(known) > SHOWN else "")
