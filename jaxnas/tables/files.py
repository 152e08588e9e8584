"""Tables on disk: CSV, plain or gzipped, and npz; columns by name.

Letters: R rows.
"""

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxnas import archive

SHIPPED = {name: Path(__file__).parent / f"{name}.csv.gz" for name in ("digits", "tuning")}
"""Tables that come with the library, by name."""
NEEDED = "give a CSV (.csv, .csv.gz) with a header line, or an .npz with one array a column"


def find(file: str) -> Path:
    """Where a table lies that is given by its path, or by a name in `SHIPPED`."""
    return SHIPPED.get(file, Path(file))


def side_facts(file: str) -> dict:
    """What the file beside a table says of it, as `jaxnas.tabulate` writes it; empty where there is none."""
    path = find(file)
    side = path.with_name(path.name.removesuffix(".csv.gz") + ".json")
    if side == path or not side.is_file():
        return {}
    try:
        facts = json.loads(side.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{side}, which says what {file} is, is no JSON ({error}): move it away") from error
    return facts if isinstance(facts, dict) else {}


def read_columns(file: str, names: Sequence[str], also: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Some columns of a table.

    Args:
        file: where it lies, or a name in `SHIPPED`.
        names: of the columns.
        also: of further ones, which may be missing.

    Returns:
        Each column ``[R]``: texts as they stand in the file from a CSV, whatever arrays an .npz holds.

    Raises:
        ValueError: no such file, none of these kinds, damaged, or without one of the columns.
    """
    path = find(file)
    if not path.is_file():
        raise ValueError(
            f"there is no table {file}: {NEEDED}, or the name of one that is shipped: {', '.join(SHIPPED)}"
        )
    readers = {".npz": _npz, ".csv": _csv, ".gz": _csv}
    if path.suffix not in readers:
        raise ValueError(f"{file} is no table that can be read: {NEEDED}")
    try:
        return readers[path.suffix](path, names, also)
    except (*archive.DAMAGED, csv.Error) as error:
        raise ValueError(f"{file} cannot be read as a table ({error}): {NEEDED}") from error


def _csv(path: Path, names: Sequence[str], also: Sequence[str]) -> dict[str, np.ndarray]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as lines:  # spreadsheets begin with a byte order mark
        rows = csv.reader(lines)
        header = next(rows, [])
        if len(header) == 1 and ";" in header[0]:
            raise ValueError(f"{path}: cells are separated by semicolons, and commas are needed: save it with commas")
        _check(path, header, names)
        names = [*names, *(name for name in also if name in header)]
        places, found = [header.index(name) for name in names], []
        for row in rows:
            if len(row) not in (0, len(header)):  # a blank line is none
                raise ValueError(f"{path}, line {rows.line_num}: {len(row)} cells, the header has {len(header)}")
            found += [[row[place] for place in places]] if row else []
    return dict(zip(names, np.array(found, dtype=str).reshape(-1, len(names)).T, strict=True))


def _npz(path: Path, names: Sequence[str], also: Sequence[str]) -> dict[str, np.ndarray]:
    known = archive.names(path)
    _check(path, known, names)
    names = [*names, *(name for name in also if name in known)]
    columns = dict(zip(names, archive.arrays(path, names), strict=True))
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{path}: columns of different lengths {lengths}")
    return columns


def _check(path: Path, known: Sequence[str], names: Sequence[str]) -> None:
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}; it has: {', '.join(known)}")
    twice = [name for name in names if list(known).count(name) > 1]
    if twice:
        raise ValueError(f"{path} has more than one column {twice[0]}: give each its own name")
