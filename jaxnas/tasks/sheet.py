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
from jaxtyping import Int

from jaxnas.tasks.cells import MISSING, UNTOLD, is_infinite, number_of, plain, text_of

USUALLY = 0.8
"""A column of which such a share of the cells are numbers is one of numbers, and the other cells are mistakes."""
COMMAS = re.compile(r"[+-]?(\d[\d.]*,\d+|\d{1,3}(,\d{3})+(\.\d+)?)")
"""Numbers as "1.234,5" or "1,234.5"."""


@dataclass(frozen=True)
class Sheet:
    """Columns and a target, each ``[M]``: float64 with NaN, or objects that are texts or None.

    Attributes:
        names: of the columns.
        columns: one for each.
        target: what is to be told.
        target_name: its heading.
        lines: where each row stands.
        source: what the table is called in messages.
        word: what is counted there: "line", "row".
    """

    names: tuple[str, ...]
    columns: tuple[np.ndarray, ...]
    target: np.ndarray
    target_name: str
    lines: Int[np.ndarray, " M"]
    source: str
    word: str

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index) -> "Sheet":
        of = lambda column: column[index]
        parts = tuple(map(of, self.columns)), of(self.target), self.target_name, of(self.lines)
        return Sheet(self.names, *parts, self.source, self.word)

    def where(self, row: int | np.integer) -> str:
        """A row in messages: the table, "line 3"."""
        return f"{self.source}, {self.word} {self.lines[row]}"


@dataclass(frozen=True)
class RawTable:
    """Columns of texts or numbers as they are written, before it is known what they are for.

    Attributes:
        names: of the columns.
        cells: of each column, ``[M]``.
        lines: where each row stands.
        source: what the table is called in messages.
        word: what is counted there.
    """

    names: Sequence[str]
    cells: Sequence[Sequence | np.ndarray]
    lines: Int[np.ndarray, " M"]
    source: str
    word: str = "line"

    def sheet(self, target: str | None, drop: Collection[str], categorical: Collection[str]) -> Sheet:
        """What a task reads of it; no other column is looked at.

        Args:
            target: the column to tell; None: the last that is kept.
            drop: columns to leave out.
            categorical: columns of numbers that are names.

        Raises:
            ValueError: a name that is no column, none that is left, a text among numbers, or a target that is missing
                somewhere.
        """
        target, features = self._roles(target, drop, categorical)
        parsed = tuple(self._column(name, name in categorical) for name in features)
        told = self._column(target, target in categorical, UNTOLD)
        found = Sheet(features, parsed, told, target, self.lines, self.source, self.word)
        missing = np.flatnonzero([cell is None or cell != cell for cell in told.tolist()])
        if len(missing):
            raise ValueError(
                f"{found.where(missing[0])}: the target {target!r} is missing ({len(missing)} of {len(told)} are): "
                "fill it, or leave these rows out"
            )
        return found

    def _roles(self, target: str | None, drop: Collection[str], categorical: Collection[str]):
        """The name of the target, and of the other columns that are kept."""
        given = (("target", () if target is None else (target,)), ("drop", drop), ("categorical", categorical))
        for setting, wanted in given:
            unknown = [name for name in wanted if name not in self.names]
            if unknown:
                raise ValueError(f"{setting}={unknown[0]!r}: {self.source} has the columns {', '.join(self.names)}")
        kept = [name for name in self.names if name not in drop]
        if target in drop:
            raise ValueError(f"target={target!r} is among drop={tuple(drop)!r}: it cannot be told and left out")
        if len(kept) < 2:
            raise ValueError(
                f"{self.source}: of the columns {', '.join(self.names)} {len(kept)} are kept: at least two are needed"
            )
        if "" in kept:
            raise ValueError(
                f"{self.source}: column {self.names.index('') + 1} has no name in the heading: give it one, or leave "
                "it out (pandas: df.to_csv(path, index=False))"
            )
        target = kept[-1] if target is None else target
        return target, tuple(name for name in kept if name != target)

    def _column(self, name: str, category: bool, empty: Collection[str] = MISSING) -> np.ndarray:
        """One column. Raises ValueError for a text among numbers, or a number that is not finite."""
        cells = self.cells[self.names.index(name)]
        array = plain(cells if isinstance(cells, np.ndarray) else np.array(cells, object))  # no texts of one width
        if array.dtype.kind in "biuf" and not category:
            return self._finite(name, array.astype(np.float64))
        texts = lambda: np.array([text_of(cell, empty) for cell in array.tolist()], object)
        if category:
            return texts()
        numbers = [number_of(cell, empty) for cell in array.tolist()]
        wrong = [i for i, number in enumerate(numbers) if number is None]
        there = sum(number is None or number == number for number in numbers)
        if not there or len(wrong) > (1 - USUALLY) * there:
            found = texts()
            self._check_commas(name, {i: found[i] for i in wrong}, there)
            return found
        if wrong:
            raise ValueError(
                f"{self._where(wrong[0])}, column {name!r}: {text_of(array[wrong[0]])!r} among numbers ({len(wrong)} "
                f"of {len(numbers)} cells): mend or empty the cell, or say that these are names: "
                f"--task.categorical {name}"
            )
        return self._finite(name, np.array(numbers, np.float64))

    def _check_commas(self, name: str, texts: dict[int, str], there: int) -> None:
        """Raises ValueError where texts, by row, would be numbers but for their commas: they are no categories."""
        commas = [i for i, text in texts.items() if COMMAS.fullmatch(text)]
        if commas and len(texts) - len(commas) <= (1 - USUALLY) * there:
            raise ValueError(
                f"{self._where(commas[0])}, column {name!r}: {texts[commas[0]]!r} has a comma, of decimals or of "
                "thousands: write a decimal point and no thousands (pandas: read_csv(path, sep=';', decimal=',') reads "
                f"them), or say that these are names: --task.categorical {name}"
            )

    def _finite(self, name: str, numbers: np.ndarray) -> np.ndarray:
        infinite = np.flatnonzero(is_infinite(numbers))
        if len(infinite):
            at = infinite[0]
            raise ValueError(
                f"{self._where(at)}, column {name!r}: {numbers[at]:g} is no finite number: mend or empty the cell"
            )
        return numbers

    def _where(self, row: int | np.integer) -> str:
        return f"{self.source}, {self.word} {self.lines[row]}"


def of_csv(path: Path) -> RawTable:
    """A file of rows with a heading; cells are parted by comma, semicolon or tab, whichever the heading has most of.

    Args:
        path: of the file, UTF-8, with or without Excel's mark.

    Raises:
        ValueError: no rows, rows of unequal length, or two columns of one name.
    """
    names, rows = _rows(path)
    lines = np.array([line for line, _ in rows])
    return RawTable(names, list(zip(*(row for _, row in rows), strict=True)), lines, str(path))


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
