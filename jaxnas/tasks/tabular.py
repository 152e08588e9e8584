"""Tables: tell one column from the others, a class or a number.

Letters: M rows, C columns, F features, B batch, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro
from jaxtyping import Array, Float

from jaxnas.inputs import Inputs
from jaxnas.ranges import Limit, Part, Share
from jaxnas.rng import key_for
from jaxnas.settings import settings
from jaxnas.tasks import columns as tables
from jaxnas.tasks import scores, table_files
from jaxnas.tasks.batches import Batch
from jaxnas.tasks.columns import Column
from jaxnas.tasks.rows import Rows
from jaxnas.tasks.sheet import Sheet
from jaxnas.tasks.shuffled import Shuffled
from jaxnas.tasks.splits import TEST_SEED, drawn, limited, split, split_freely
from jaxnas.tasks.supervision import Classes, Loss, Numbers, Supervised
from jaxnas.tasks.table_files import Table

TableScore = Annotated[
    Literal["accuracy", "f1", "auc", "log-loss", "r2", "rmse", "mae"] | Callable[..., Any] | None,
    scores.picked(scores.CLASSES | scores.NUMBERS, "accuracy, or r2 of numbers"),
]
MOST_CLASSES = 100
"""More different whole numbers than these are no classes."""
TEST = 0.2
"""Share of the rows that is kept for the test where no other is given."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["train", "held_out"],
    meta_fields=["columns", "target", "classes", "class_names", "target_mean", "target_std"],
)
@dataclass(frozen=True)
class TableData(Shuffled):
    """What one training reads.

    Attributes:
        train: what children learn from; a category is the number of its value, and what is not known is NaN.
        held_out: validation rows in a search, test rows in final training.
        columns: and how they become features, by the training data.
        target: what is told.
        classes: K; of a regression 1.
        class_names: what they are called; () of a regression.
        target_mean: of a regression, over the training data; else 0.
        target_std: likewise; else 1.
    """

    train: Rows
    held_out: Rows
    columns: tuple[Column, ...]
    target: str
    classes: int
    class_names: tuple[str, ...] = ()
    target_mean: float = 0.0
    target_std: float = 1.0

    @property
    def input_shape(self) -> Inputs:
        """(F,)"""
        return Inputs((sum(column.features for column in self.columns),), "table")

    def facts(self) -> dict:
        """What tells this data from other, and what a trained network needs of it, as JSON values."""
        return self.input_shape.facts() | {
            "classes": self.classes,
            "train": len(self.train),
            "held_out": len(self.held_out),
            "columns": tables.as_json(self.columns),
            "target": self.target,
            "class_names": list(self.class_names) or None,
            "target_mean": self.target_mean,
            "target_std": self.target_std,
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """What was taken for what; see `jaxnas.tasks.Tells`."""
        names = [column.name for column in self.columns if column.values]
        missing = int(np.isnan(self.train.examples).sum() + np.isnan(self.held_out.examples).sum())
        told = f"one of {self.classes} classes" if self.class_names else "a number"
        listed = f", categories: {', '.join(names[:5])}{', ...' * (len(names) > 5)}" if names else ""
        gaps = f"; {missing:,} cells are missing or unknown" * (missing > 0)
        return (f"{self.target!r} is told, {told}, from {len(self.columns)} columns{listed}{gaps}.",)

    def batch(self, rows: Rows, weights: Array) -> Batch:
        """Cells and labels; numbers are standardised."""
        labels = rows.labels if self.class_names else (rows.labels - self.target_mean) / self.target_std
        return Batch(rows.examples, labels, weights)


@settings
class Tabular(Supervised):
    """One column of a table from the others.

    Numbers are standardised by the training data, and where some are missing a further feature says so; texts are
    categories, each a feature of its own.

    Attributes:
        source: a CSV file with a heading; an .npz file with x ``[M, C]`` and y ``[M]``, or x_train, y_train, x_test and
            y_test; or one of the sets that come with scikit-learn: "wine", "breast-cancer", "diabetes".
        target: the column to tell; None: the last that is kept. Of arrays and sets that come along it is y.
        regression: whether it is a number, not a class.
        drop: columns to leave out.
        categorical: columns of numbers that are names, such as postal codes.
        validation: share of the training data that a search holds out, of each class likewise.
        test: share of the rows that final training alone reads, the same in every experiment; None: 0.2, or the test
            rows that the source has apart.
        limit: learn from and validate on so many rows only: of classes the first of each, else drawn, the same in every
            experiment; None: all.
        label_smoothing: share of a class that the loss spreads evenly over all.
        loss: a JAX function (outputs, labels) -> loss of each example ``[B]``, in place of cross-entropy or squared
            error. Outputs are logits ``[B, K]``, of a regression ``[B]``, with labels of mean 0 and deviation 1.
        score: of classes "accuracy" (None), "f1" (macro), "auc", "log-loss"; of a regression "r2" (None), "rmse",
            "mae"; or a function (outputs, labels) of numpy arrays -> a number, higher is better, over all held-out
            examples; of a regression both are in the target's own unit.
        arrays: x ``[M, C]``, an array or a data frame, and y ``[M]`` in place of a source, from Python:
            ``Tabular(arrays=(x, y))``.
    """

    source: str = ""
    target: str | None = None
    regression: bool = False
    drop: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    validation: Part = 0.2
    test: Part | None = None
    limit: Limit | None = None
    label_smoothing: Share = 0.0
    loss: Loss = None
    score: TableScore = None
    arrays: Annotated[Any, tyro.conf.Fixed] = None

    def __post_init__(self):
        if self.arrays is not None and not isinstance(self.arrays, table_files.InMemory):
            object.__setattr__(self, "arrays", table_files.InMemory(self.arrays))
        if (self.arrays is None) == (not self.source):
            raise ValueError("Tabular: give a source, such as 'wine' or a CSV file, or arrays=(x, y); one of the two")
        if self.regression and self.label_smoothing:
            raise ValueError(f"label_smoothing={self.label_smoothing}: a regression has no classes: leave it at 0")
        super().__post_init__()

    @property
    def supervision(self) -> Classes | Numbers:
        """Classes or numbers, with these settings."""
        if self.regression:
            return Numbers(self.loss, self.score)
        return Classes(self.loss, self.score, self.label_smoothing)

    def search_data(self, seed: int) -> TableData:
        """Training and validation rows, split by ``seed``; of test rows nothing is learnt.

        Raises:
            ValueError: no such table, or an unusable one; the message says what was found and what is needed.
        """
        sheet, _ = self._parts()
        rows, columns, names = self._encoded(sheet)
        train, held_out = self._split(rows, self.validation, key_for(seed, "split"), names, "validation")
        return self._data(train, held_out, columns, names, sheet.target_name)

    def final_data(self, seed: int) -> TableData:
        """All training rows; held out: the test rows. Raises ValueError as `search_data` does."""
        del seed
        sheet, test = self._parts()
        test = self._table.read_test() if test is None else test
        rows, columns, names = self._encoded(sheet)
        return self._data(rows, self._alike(test, columns, names), columns, names, sheet.target_name)

    def inputs(self, examples, data: TableData, key=None) -> Float[Array, "B F"]:
        """Features ``[B, F]``; a key changes nothing."""
        del key
        return tables.features(data.columns, examples)

    @property
    def _table(self) -> Table:
        return Table(self.source, self.arrays, self.target, self.drop, self.categorical)

    def _parts(self) -> tuple[Sheet, Sheet | None]:
        """Rows to learn from, and the test rows that are kept of them; None: the source has them apart."""
        train = self._table.read()
        if self._table.has_test():
            if self.test is not None:
                raise ValueError(f"test={self.test}: {self.source} has test rows of its own: leave test at None")
            return train, None
        labels, names = self._labels(train)
        rows = Rows(np.arange(len(train)), labels)
        share = TEST if self.test is None else self.test
        rest, kept = self._split(rows, share, key_for(TEST_SEED, "test"), names, "test")
        return train[np.sort(rest.examples)], train[np.sort(kept.examples)]

    def _encoded(self, sheet: Sheet) -> tuple[Rows, tuple[Column, ...], tuple[str, ...]]:
        """Training rows as numbers, their columns, and the names of the classes."""
        columns = table_files.columns(sheet)
        labels, names = self._labels(sheet)
        rows = Rows(table_files.cells(sheet, columns), labels)
        if self.limit is None:
            return rows, columns, names
        return limited(rows, self.limit, len(names)) if names else drawn(rows, self.limit), columns, names

    def _alike(self, test: Sheet, columns: tuple[Column, ...], names: tuple[str, ...]) -> Rows:
        """Test rows as numbers, by the columns and classes of the training rows."""
        labels = table_files.numbers(test) if self.regression else table_files.classes(test, names)
        return Rows(table_files.cells(test, columns), labels)

    def _labels(self, sheet: Sheet) -> tuple[np.ndarray, tuple[str, ...]]:
        """The target as numbers, and the names of the classes; () of a regression."""
        if self.regression:
            labels = table_files.numbers(sheet)
            table_files.check_precise(sheet)
            return labels, ()
        names = table_files.class_names(sheet, MOST_CLASSES)
        return table_files.classes(sheet, names), names

    def _split(self, rows: Rows, share: float, key: jax.Array, names: tuple[str, ...], name: str) -> tuple[Rows, Rows]:
        return split(rows, share, key, len(names), name, names) if names else split_freely(rows, share, key, name)

    def _data(self, train: Rows, held_out: Rows, columns, names, target: str) -> TableData:
        columns, about = tables.learnt(columns, train.examples), {"class_names": names}
        if self.regression:
            known = np.float64(train.labels)
            about = {"target_mean": float(known.mean()), "target_std": float(known.std()) or 1.0}
        return TableData(train, held_out, columns, target, len(names) or 1, **about)
