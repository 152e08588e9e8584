"""Tables on disk: CSV, plain or gzipped, and npz; columns by name.

Letters: R rows.
"""

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxnas import archive

SHIPPED = {"digits": Path(__file__).parent / "digits.csv.gz"}
"""Tables that come with the library, by name."""
NEEDED = "give a CSV (.csv, .csv.gz) with a header line, or an .npz with one array a column"


def read_columns(file: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Some columns of a table.

    Args:
        file: where it lies, or a name in `SHIPPED`.
        names: of the columns.

    Returns:
        Each column ``[R]``: texts as they stand in the file from a CSV, whatever arrays an .npz holds.

    Raises:
        ValueError: no such file, none of these kinds, damaged, or without one of the columns.
    """
    path = SHIPPED.get(file, Path(file))
    if not path.is_file():
        raise ValueError(
            f"there is no table {file}: {NEEDED}, or the name of one that is shipped: {', '.join(SHIPPED)}"
        )
    readers = {".npz": _npz, ".csv": _csv, ".gz": _csv}
    if path.suffix not in readers:
        raise ValueError(f"{file} is no table that can be read: {NEEDED}")
    try:
        return readers[path.suffix](path, names)
    except (*archive.DAMAGED, csv.Error) as error:
        raise ValueError(f"{file} cannot be read as a table ({error}): {NEEDED}") from error


def _csv(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines)
        header = next(rows, [])
        _check(path, header, names)
        places, found = [header.index(name) for name in names], []
        for number, row in enumerate(rows, 2):
            if len(row) != len(header):
                raise ValueError(f"{path}, line {number}: {len(row)} cells, the header has {len(header)}")
            found.append([row[place] for place in places])
    return dict(zip(names, np.array(found, dtype=str).reshape(-1, len(names)).T, strict=True))


def _npz(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    _check(path, archive.names(path), names)
    columns = dict(zip(names, archive.arrays(path, names), strict=True))
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{path}: columns of different lengths {lengths}")
    return columns


def _check(path: Path, known: Sequence[str], names: Sequence[str]) -> None:
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}; it has: {', '.join(known)}")
