"""Labelled images as arrays in files: .npz, idx, TensorFlow Datasets. Each reads one part ("train" or "test") at a time
and touches no other; see `jaxnas.tasks.readers.Source`.
"""

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxnas import archive
from jaxnas.tasks import pictures, tfds

IDX_STEMS = {"train": "train", "test": "t10k"}
IDX_BYTES = b"\0\0\x08"
CLASS_NAMES = "class_names"
NPZ = "numpy.savez_compressed(path, x_train=..., y_train=..., x_test=..., y_test=...) writes one, text as y.astype(str)"


class Npz:
    """An .npz file in Keras's layout."""

    notes = ()

    def __init__(self, path: Path):
        self.path = path

    def part(self, name: str, shape: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """As `Source` has it."""
        if shape is not None:
            self._check_types()
        images, labels = _npz(self.path, [f"x_{name}", f"y_{name}"])
        return images, labels

    def has_test(self) -> bool:
        """Likewise."""
        return any(name.endswith("_test") for name in _names(self.path))

    def class_names(self) -> tuple[str, ...]:
        """Likewise."""
        if CLASS_NAMES not in _names(self.path):
            return ()
        [array] = _npz(self.path, [CLASS_NAMES])
        if array.ndim != 1 or array.dtype.kind not in "US":
            raise ValueError(
                f"{self.path}: {CLASS_NAMES} of type {array.dtype} and shape {array.shape}: a list of text"
            )
        return tuple(str(name) for name in array.astype(str).tolist())

    def _check_types(self) -> None:
        """Raises ValueError where one of the two parts has whole numbers and the other fractions: two scales."""
        try:
            types = [archive.dtype(self.path, name) for name in ("x_train", "x_test")]
        except (*archive.DAMAGED, KeyError):
            return  # which will be said when it is read
        if len({kind.kind == "f" for kind in types}) > 1:
            raise ValueError(
                f"{self.path}: training images are of type {types[0]}, test images of {types[1]}: they must be alike, "
                "of one scale: x_test = x_test.astype(x_train.dtype), if it is only the type"
            )


class IdxFolder:
    """A folder of idx files, as MNIST has them."""

    notes = ()

    def __init__(self, path: Path):
        self.path = path

    def part(self, name: str, shape: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """As `Source` has it."""
        del shape
        images, labels = (
            _idx(_find(self.path, f"{IDX_STEMS[name]}-{rest}")) for rest in ("images-idx3-ubyte", "labels-idx1-ubyte")
        )
        return images, labels

    def has_test(self) -> bool:
        """Likewise."""
        return any(found.name.startswith(IDX_STEMS["test"]) for found in self.path.iterdir())

    def class_names(self) -> tuple[str, ...]:
        """Likewise."""
        return ()


class Prepared:
    """A set of TensorFlow Datasets."""

    notes = ()

    def __init__(self, name: str, folder: str | None):
        self.name, self.folder = name, folder

    def part(self, name: str, shape: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """As `Source` has it."""
        del shape
        return tfds.read(self.name, name, self.folder)

    def has_test(self) -> bool:
        """Likewise."""
        return "test" in tfds.splits(self.name, self.folder)

    def class_names(self) -> tuple[str, ...]:
        """Likewise."""
        return tfds.label_names(self.name, self.folder)


def _names(path: Path) -> list[str]:
    try:
        return archive.names(path)
    except archive.DAMAGED as error:
        raise ValueError(f"{path}: not a readable .npz file of plain arrays ({error}): {NPZ}") from error


def _npz(path: Path, wanted: list[str]) -> list[np.ndarray]:
    """Some arrays; the other members of the archive are not read."""
    found = _names(path)
    if not set(wanted) <= set(found):
        raise ValueError(f"{path}: found arrays {found}, but {wanted} are needed: {NPZ}")
    try:
        return archive.arrays(path, wanted)
    except archive.DAMAGED as error:
        raise ValueError(f"{path}: not a readable .npz file of plain arrays ({error}): {NPZ}") from error


def _find(folder: Path, name: str) -> Path:
    """The file, with or without .gz, and in either of the spellings that are in use ("-idx3" and ".idx3")."""
    spellings = [n + end for n in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    for spelling in spellings:
        if (folder / spelling).is_file():
            return folder / spelling
    found = sorted(p.name for p in folder.iterdir())[:8]
    raise ValueError(
        f"{folder}: found {found}, but no {name} (or {name}.gz): a folder of idx files as MNIST has them is needed, or "
        f"{pictures.FORMS}"
    )


def _idx(path: Path) -> np.ndarray:
    """An idx file: two zero bytes, type 8 (uint8), number of dimensions, big-endian sizes, data."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(4)
            raw += file.read(4 * raw[3]) if len(raw) == 4 else b""
            shape = [int.from_bytes(raw[i : i + 4], "big") for i in range(4, len(raw), 4)]
            if raw[:3] == IDX_BYTES:
                archive.check_memory(math.prod(shape), f"{path}, by its header {shape},")
                raw += file.read(math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path}: cannot be read ({error}): the file is cut short or damaged: fetch it again"
        ) from error
    if len(raw) < 4 or raw[:3] != IDX_BYTES:
        raise ValueError(
            f"{path}: begins with bytes {raw[:4].hex(' ') or '(none)'}: an idx file of unsigned bytes is needed, which "
            "begins with 00 00 08"
        )
    start = 4 + 4 * raw[3]
    if len(raw) != start + math.prod(shape):
        raise ValueError(
            f"{path}: {len(raw)} bytes or more, but its header announces the shape {shape}, which takes "
            f"{start + math.prod(shape)}: the file is cut short or damaged: fetch it again"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
