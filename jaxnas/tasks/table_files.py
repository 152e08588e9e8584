"""Reading tables: files, sets that come with scikit-learn, and arrays; and their cells as numbers.

Letters: M rows, C columns.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int32

from jaxnas import archive
from jaxnas.fingerprint import digest
from jaxnas.tasks.columns import Column
from jaxnas.tasks.sheet import Sheet, of_cells, of_csv

EMBEDDED = {"wine": "load_wine", "breast-cancer": "load_breast_cancer", "diabetes": "load_diabetes"}
"""By name: the function of `sklearn.datasets`."""
MOST_VALUES = 256
"""Of a category: more are names of single rows."""


class InMemory:
    """Arrays x ``[M, C]`` and y ``[M]`` among the settings, which are recorded by their digest.

    Raises:
        ValueError: no pair of arrays of the same length.
    """

    def __init__(self, arrays: Any):
        try:
            x, y = (np.asarray(array) for array in arrays)
        except (TypeError, ValueError) as error:
            raise ValueError("arrays: give a pair (x, y), x of shape [rows, columns] and y of shape [rows]") from error
        self.names = tuple(str(name) for name in getattr(arrays[0], "columns", ()))  # of a data frame
        self.x, self.y = x[:, None] if x.ndim == 1 else x, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if self.x.ndim != 2 or self.y.shape != self.x.shape[:1] or not len(self.y):
            raise ValueError(f"arrays: x of shape {x.shape} and y of shape {y.shape}: [rows, columns] and [rows]")
        texts = [a.astype(str) if a.dtype.kind == "O" else a for a in (self.x, self.y)]
        self._written = f"<arrays {self.x.shape} {digest(texts, self.names)}>"

    def __repr__(self) -> str:
        return self._written

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InMemory) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(self._written)


def read(
    source: str, arrays: InMemory | None, target: str | None, drop: Collection[str], categorical: Collection[str]
) -> tuple[Sheet, Sheet | None]:
    """Training rows, and test rows where the source has them apart.

    Raises:
        ValueError: nothing there, or not of a form that `Tabular` describes.
    """
    if arrays is not None:
        return _sheet(arrays.x, arrays.y, arrays.names, target, drop, categorical, "arrays"), None
    if source in EMBEDDED:
        import sklearn.datasets

        found = getattr(sklearn.datasets, EMBEDDED[source])(**({"scaled": False} if source == "diabetes" else {}))
        y = found.target if source == "diabetes" else np.asarray(found.target_names)[found.target]
        return _sheet(found.data, y, tuple(found.feature_names), target, drop, categorical, source), None
    path = Path(os.path.expanduser(source))
    if path.is_file() and path.suffix == ".npz":
        return _npz(path, target, drop, categorical)
    if path.is_file():
        return of_csv(path, target, drop, categorical), None
    raise ValueError(
        f"no table at {source!r}: give a CSV file with a heading, an .npz file with x and y, or one of "
        f"{', '.join(EMBEDDED)}"
    )


def _npz(path: Path, target, drop, categorical) -> tuple[Sheet, Sheet | None]:
    try:
        found = archive.names(path)
        pairs = [p for p in (("x", "y"), ("x_train", "y_train"), ("x_test", "y_test")) if set(p) <= set(found)]
        arrays = [archive.arrays(path, list(pair)) for pair in pairs[:2]]
    except archive.DAMAGED as error:
        raise ValueError(f"{path}: not a readable .npz file of plain arrays ({error})") from error
    if not pairs or pairs[0] == ("x_test", "y_test"):
        raise ValueError(f"{path}: found arrays {found}, but x and y are needed, or x_train, y_train, x_test, y_test")
    of = lambda pair, where: _sheet(pair.x, pair.y, (), target, drop, categorical, f"{path} ({where})")
    sheets = [of(InMemory(array), pair[0]) for array, pair in zip(arrays, pairs[:2], strict=True)]
    return sheets[0], sheets[1] if len(sheets) > 1 and pairs[0][0] == "x_train" else None


def _sheet(x, y, names, target, drop, categorical, source: str) -> Sheet:
    """Of arrays; columns without names are called x0, x1, ..."""
    names = [*(names or [f"x{i}" for i in range(x.shape[1])]), target or "target"]
    lines = np.array([f"row {i}" for i in range(len(y))])
    return of_cells(names, [*x.T, y], lines, target or "target", drop, categorical, source)


def columns(sheet: Sheet) -> tuple[Column, ...]:
    """Of the rows that may be learnt from: which are categories, and of what values.

    Raises:
        ValueError: a category of too many values.
    """
    found = []
    for name, cells in zip(sheet.names, sheet.columns, strict=True):
        values = () if cells.dtype != object else tuple(sorted({cell for cell in cells.tolist() if cell is not None}))
        if len(values) > MOST_VALUES:
            raise ValueError(
                f"{sheet.source}: column {name!r} has {len(values)} different texts in {len(sheet)} rows, too many to "
                f"be categories: leave it out, --task.drop {name}"
            )
        if cells.dtype == object and not values:
            raise ValueError(f"{sheet.source}: column {name!r} is empty: leave it out, --task.drop {name}")
        found.append(Column(name, values))
    return tuple(found)


def cells(sheet: Sheet, columns: tuple[Column, ...]) -> Float[np.ndarray, "M C"]:
    """A sheet's cells as `Rows` has them. Raises ValueError where the sheet has other columns."""
    if sheet.names != tuple(column.name for column in columns):
        raise ValueError(f"{sheet.source}: columns {sheet.names}, but {tuple(c.name for c in columns)} are needed")
    found = [_numbered(cell, column, sheet) for cell, column in zip(sheet.columns, columns, strict=True)]
    return np.stack(found, 1).astype(np.float32)


def _numbered(cells: np.ndarray, column: Column, sheet: Sheet) -> np.ndarray:
    """Categories by the number of their value, NaN where it is unknown."""
    if not column.values:
        if cells.dtype == object:
            raise ValueError(f"{sheet.source}: column {column.name!r} has texts, and numbers in the training data")
        return cells
    number = {value: float(i) for i, value in enumerate(column.values)}
    return np.array([number.get(_text(cell), np.nan) for cell in cells.tolist()])


def numbers(sheet: Sheet) -> Float[np.ndarray, " M"]:
    """The target of a regression, float32. Raises ValueError where it is a text."""
    if sheet.target.dtype == object:
        raise ValueError(
            f"{sheet.source}: the target {sheet.target_name!r} is a text such as {sheet.target[0]!r}: a regression "
            "needs numbers; leave out regression for classes"
        )
    return sheet.target.astype(np.float32)


def class_names(sheet: Sheet, most: int) -> tuple[str, ...]:
    """What the classes are called, in order: texts by the alphabet, numbers by size.

    Raises:
        ValueError: a single class, or numbers that are none.
    """
    known, name = sheet.target, sheet.target_name
    if known.dtype == object:
        found = sorted(set(known.tolist()))
    else:
        values = np.unique(known)
        if (values != np.round(values)).any() or len(values) > most:
            raise ValueError(
                f"{sheet.source}: the target {name!r} has {len(values)} different numbers, such as {values[0]:g} and "
                f"{values[1]:g}: say regression=True (--task.regression) to tell numbers, or give classes"
            )
        found = [_text(value) for value in values.tolist()]
    if len(found) < 2:
        raise ValueError(
            f"{sheet.source}: the target {name!r} is {found[0]!r} in all {len(known)} rows: two or more classes are "
            "needed"
        )
    return tuple(found)


def classes(sheet: Sheet, names: tuple[str, ...]) -> Int32[np.ndarray, " M"]:
    """The number of each row's class. Raises ValueError for one that is not among the names."""
    number = {name: i for i, name in enumerate(names)}
    texts = [_text(cell) for cell in sheet.target.tolist()]
    unknown = [i for i, text in enumerate(texts) if text not in number]
    if unknown:
        raise ValueError(
            f"{sheet.source}, {sheet.lines[unknown[0]]}: the training rows have no class {texts[unknown[0]]!r}: they "
            f"have {', '.join(names)}"
        )
    return np.array([number[text] for text in texts], np.int32)


def _text(cell: str | float | None) -> str | None:
    """A cell as the name of a category or class; whole numbers have no point."""
    if not isinstance(cell, float):
        return cell
    return str(int(cell)) if cell.is_integer() else repr(cell)
