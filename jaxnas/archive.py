"""Arrays of an .npz file, looked at before they are read: what a header claims must be there, and fit into memory."""

import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

DAMAGED = zipfile.BadZipFile, zlib.error, tokenize.TokenError, SyntaxError, EOFError, OSError, ValueError, RuntimeError
"""What zipfile and numpy raise for an archive in which bytes are missing or changed, or that holds pickled objects."""


def names(path: Path) -> list[str]:
    """The arrays of an archive. Raises one of `DAMAGED` where it is none."""
    if not zipfile.is_zipfile(path):  # np.load would take it for a pickle and say so
        raise zipfile.BadZipFile("no zip archive, or cut short")
    with zipfile.ZipFile(path) as archive:
        return sorted(name.removesuffix(".npy") for name in archive.namelist())


def arrays(path: Path, wanted: Sequence[str]) -> list[np.ndarray]:
    """Some arrays; the other members are not read. Raises one of `DAMAGED`."""
    with zipfile.ZipFile(path) as archive:
        for name in wanted:
            _check_size(archive, f"{name}.npy")
    with np.load(path, allow_pickle=False) as loaded:
        return [loaded[name] for name in wanted]


def dtype(path: Path, name: str) -> np.dtype:
    """Of an array, by its header alone. Raises one of `DAMAGED`."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        return _header(file)[1]


def check_memory(size: int, what: str) -> None:
    """Raises ValueError where so many bytes are more than this computer has."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise ValueError(f"{what} takes {size / 2**30:,.1f} GiB, this computer has {memory / 2**30:,.1f} GiB")


def _check_size(archive: zipfile.ZipFile, member: str) -> None:
    """Raises ValueError where a member does not hold what its header claims."""
    size = archive.getinfo(member).file_size
    with archive.open(member) as file:
        shape, dtype = _header(file)
        claimed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if claimed != there and not dtype.hasobject:  # of objects numpy says that they are refused
        raise ValueError(f"{member} announces shape {shape}, {claimed:,} bytes, but holds {there:,}")
    check_memory(claimed, f"{member} of shape {shape}")


def _header(file: zipfile.ZipExtFile) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type that an array announces."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
