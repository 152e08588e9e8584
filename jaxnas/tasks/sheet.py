"""A table as people have it: columns of numbers or of texts, and what is to be told from them.

Letters: M rows.
"""

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
"""What stands in cells that are empty, in small letters."""
UNTOLD = frozenset({"", "nan"})
"""Likewise of a target, which may have classes called "none" or "-"."""
USUALLY = 0.8
"""A column of which such a share of the cells are numbers is one of numbers, and the other cells are mistakes."""


@dataclass(frozen=True)
class Sheet:
    """Columns and a target, each ``[M]``: float64 with NaN, or objects that are texts or None.

    Attributes:
        names: of the columns.
        columns: one for each.
        target: what is to be told.
        target_name: its heading.
        lines: where each row stands, in words: "line 3".
        source: what the table is called in messages.
    """

    names: tuple[str, ...]
    columns: tuple[np.ndarray, ...]
    target: np.ndarray
    target_name: str
    lines: np.ndarray
    source: str

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index) -> "Sheet":
        of = lambda column: column[index]
        return Sheet(
            self.names, tuple(map(of, self.columns)), of(self.target), self.target_name, of(self.lines), self.source
        )


def of_csv(path: Path, target: str | None, drop: Collection[str], categorical: Collection[str]) -> Sheet:
    """A file of rows with a heading; cells are parted by comma, semicolon or tab, whichever the heading has most of.

    Args:
        path: of the file, UTF-8, with or without Excel's mark.
        target: the column to tell; None: the last.
        drop: columns to leave out.
        categorical: columns of numbers that are names.

    Raises:
        ValueError: no rows, rows of unequal length, a name that is no column, a text among numbers, or a target that is
            missing somewhere.
    """
    names, rows = _rows(path)
    cells = list(zip(*(row for _, row in rows), strict=True))
    lines = np.array([f"line {line}" for line, _ in rows])
    return of_cells(names, cells, lines, target, drop, categorical, str(path))


def heading(path: Path) -> list[str]:
    """The names of a file's columns. Raises ValueError where it is no table."""
    return _rows(path)[0]


def named(role: str, own: str | None, names: Sequence[str], usual: Collection[str], source: object) -> str:
    """The column that has a role: the one that is named so, or whose name in small letters is usual for it.

    Raises:
        ValueError: there is none, or several.
    """
    found = [name for name in names if (name.lower() in usual if own is None else name == own)]
    if len(found) != 1:
        what = f"{role}={own!r}: no column" if own is not None else f"{len(found) or 'no'} columns may be the {role}"
        raise ValueError(f"{source}: {what}: it has {', '.join(names)}: name one, --task.{role} NAME")
    return found[0]


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The heading of a file, and its rows with the lines in which they end."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path}: cannot be read ({error}): a text in UTF-8 is needed") from error
    sign = max(",;\t", key=text.partition("\n")[0].count)
    found = [(line, row) for line, row in _lines(text, sign, path) if row]
    if len(found) < 3:
        raise ValueError(f"{path} has {max(0, len(found) - 1)} rows below its heading: a table of more is needed")
    names, rows = [name.strip() for name in found[0][1]], found[1:]
    for line, row in rows:
        if len(row) != len(names):
            raise ValueError(f"{path}, line {line}: {len(row)} cells, but the heading has {len(names)} columns")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path}: two columns are called {twice[0]!r}: give each its own name")
    return names, rows


def _lines(text: str, sign: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text), delimiter=sign)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: no row of a CSV file ({error})") from error


def of_cells(
    names: Sequence[str],
    cells: Sequence[Sequence | np.ndarray],
    lines: np.ndarray,
    target: str | None,
    drop: Collection[str],
    categorical: Collection[str],
    source: str,
) -> Sheet:
    """Columns of texts or numbers as a sheet; arguments and errors are those of `of_csv`."""
    target = names[-1] if target is None else target
    for setting, given in (("target", (target,)), ("drop", drop), ("categorical", categorical)):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(f"{setting}={unknown[0]!r}: {source} has the columns {', '.join(names)}")
    kept = [i for i, name in enumerate(names) if name not in (*drop, target)]
    if not kept:
        raise ValueError(f"{source}: no column is left beside the target {target!r}")
    parsed = tuple(_column(names[i], cells[i], lines, names[i] in categorical, source) for i in kept)
    found = _column(target, cells[names.index(target)], lines, target in categorical, source, UNTOLD)
    missing = np.flatnonzero([cell is None or cell != cell for cell in found.tolist()])
    if len(missing):
        raise ValueError(
            f"{source}, {lines[missing[0]]}: the target {target!r} is missing ({len(missing)} of {len(found)} "
            "are): fill it, or leave these rows out"
        )
    return Sheet(tuple(names[i] for i in kept), parsed, found, target, lines, source)


def _column(
    name: str,
    cells: Sequence | np.ndarray,
    lines: np.ndarray,
    category: bool,
    source: str,
    empty: Collection[str] = MISSING,
) -> np.ndarray:
    """One column. Raises ValueError for a text among numbers, or a number that is not finite."""
    array = np.asarray(cells)
    if array.dtype.kind in "biuf" and not category:
        numbers, wrong = array.astype(np.float64), []
    else:
        texts = [str(cell).strip() for cell in array.tolist()]
        known = [None if text.lower() in empty else text for text in texts]
        numbers = np.array([_number(text) for text in known])
        wrong = [i for i, text in enumerate(known) if text is not None and np.isnan(numbers[i])]
        there = len(known) - known.count(None)
        if category or not there or len(wrong) > (1 - USUALLY) * there:
            return np.array(known, object)
    if wrong:
        place, text = lines[wrong[0]], texts[wrong[0]]
        raise ValueError(
            f"{source}, {place}, column {name!r}: {text!r} among numbers ({len(wrong)} of {len(texts)} cells): "
            f"mend or empty the cell, or say that these are names: --task.categorical {name}"
        )
    infinite = np.flatnonzero(np.isinf(numbers) | (np.abs(np.nan_to_num(numbers)) > np.finfo(np.float32).max))
    if len(infinite):
        at = infinite[0]
        raise ValueError(
            f"{source}, {lines[at]}, column {name!r}: {numbers[at]:g} is no finite number: mend or empty the cell"
        )
    return numbers


def _number(text: str | None) -> float:
    """NaN where it is none; of "3,5" too, since a comma may part thousands."""
    if text is None or not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", text, re.IGNORECASE):
        return np.nan
    return float(text)
