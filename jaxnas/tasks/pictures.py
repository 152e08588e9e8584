"""Folders of pictures, one for each class, as labelled images.

Letters: M pictures, H W C height, width and channels, K classes.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from jaxnas import archive
from jaxnas.tasks import picture_cache, picture_files

PARTS = {"train": ("train", "training"), "test": ("test", "testing")}
"""What the folders of a data set's parts may be called, in any case."""
UNREAD = (*PARTS["test"], "val", "valid", "validation")
"""Folders of other parts, which are no classes where they have classes of their own."""
SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx"}
"""What systems leave in folders, beside hidden files."""
FORMS = "folders of pictures, train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png alone"
SHOWN = 3
"""Names in a message, at most."""
TOGETHER = 256
"""Pictures that wait for their threads."""


@dataclass(frozen=True)
class Listed:
    """The pictures of one part.

    Attributes:
        folder: in which the classes' folders lie.
        classes: their names, sorted.
        files: of every picture, class by class, sorted by name within.
        labels: the class of each.
        left_out: files that are no pictures by their names or belong to no class, but hidden ones and a system's own.
    """

    folder: Path
    classes: tuple[str, ...]
    files: tuple[Path, ...]
    labels: Int64[np.ndarray, " M"]
    left_out: tuple[Path, ...]


class Pictures:
    """A source of labelled images (`jaxnas.tasks.readers.Source`).

    Args:
        folder: with a folder of classes for each part, or the classes' folders themselves.
        size: height and width of all; None: they have the same as they are.
        colour: "grey", "rgb", or None: grey where all pictures to learn from are, else rgb.
    """

    def __init__(self, folder: Path, size: Sequence[int] | None = None, colour: str | None = None):
        self.folder, self.size, self.colour = folder, None if size is None else list(size), colour
        self.parts = _parts(folder)
        self.notes: list[str] = []
        self._listed: dict[str, Listed] = {}
        others = [inside.name for inside in _folders(folder) if inside not in self.parts.values()]
        if others and folder not in self.parts.values():
            self._note(f"{folder}: {_some(others)} not read: validation data is a share of that in train")

    def part(self, name: str, shape: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 ``[M, H, W, C]`` and labels ``[M]``; no other part is read.

        Args:
            name: "train" or "test".
            shape: (H, W, C) of the training images, which those of the test have too, if colours allow.

        Raises:
            ValueError: a picture cannot be read, or has another size than the others; folders without classes.
        """
        listed = self._list(name)
        colour = "rgb" if self.colour is None and shape is not None and shape[-1] == 3 else self.colour
        what = {"folder": os.path.abspath(listed.folder), "size": self.size, "colour": colour}
        read = lambda: _read(listed, self.size, colour)
        images, said = picture_cache.kept(what, _state(listed), read)
        self._note(said)
        return images, listed.labels

    def has_test(self) -> bool:
        """Whether there is a folder of test pictures. Raises ValueError where its classes are others."""
        if "test" not in self.parts:
            return False
        train, test = self._list("train").classes, self._list("test").classes
        for name, (has, lacks) in {"test": (train, test), "train": (test, train)}.items():
            missing = sorted(set(has) - set(lacks))
            if missing:
                raise ValueError(
                    f"{self.parts[name]}: there is no folder {missing[0]!r}, a class of the other part: both need the "
                    "same classes: add its pictures, or leave the class out"
                )
        return True

    def class_names(self) -> tuple[str, ...]:
        """Those of the folders, sorted."""
        return self._list("train").classes

    def _list(self, name: str) -> Listed:
        if name not in self.parts:
            raise ValueError(f"{self.folder}: there is no folder {name} beside {self.parts['train'].name}")
        if name not in self._listed:
            listed = self._listed[name] = _listed(self.parts[name])
            if listed.left_out:
                number, some = len(listed.left_out), _some([file.name for file in listed.left_out])
                self._note(f"{listed.folder}: {number} files are no pictures of a class and were left out: {some}")
        return self._listed[name]

    def _note(self, line: str) -> None:
        if line and line not in self.notes:
            self.notes.append(line)


def are_there(folder: Path) -> bool:
    """Whether a folder has folders with pictures in them, at any depth; hidden ones do not count."""
    return any(_is_picture(file) for inside in _folders(folder) for file in _files(inside))


def _parts(folder: Path) -> dict[str, Path]:
    """The folders of classes by part; where there is none for training, that folder itself holds the classes.

    A class may be called "train", where its pictures lie in that folder and not deeper. Raises ValueError where those
    of another part would become a class.
    """
    found = {
        part: inside
        for part, names in PARTS.items()
        for inside in _folders(folder)
        if inside.name.lower() in names and _folders(inside)
    }
    if "train" in found:
        return found
    for inside in _folders(folder):
        if inside.name.lower() in UNREAD and are_there(inside):
            raise ValueError(
                f"{inside} has folders of classes, and there is no folder train beside it: move the classes to learn "
                f"from into {folder / 'train'} (or, where it is a class itself, its pictures out of its folders)"
            )
    return {"train": folder}


def _listed(folder: Path) -> Listed:
    classes = _folders(folder)
    files, left_out = [], [file for file in folder.iterdir() if _is_picture(file) or _leads_nowhere(file)]
    for one in classes:
        inside = sorted(_files(one))
        pictures = [file for file in inside if _is_picture(file)]
        left_out += [file for file in inside if not _is_picture(file)]
        if not pictures:
            found = _some([file.name for file in inside]) or "nothing"
            raise ValueError(f"{one} has no pictures (found {found}): add some, or remove the folder")
        files.append(pictures)
    if len(classes) < 2:
        deeper = [inside.name for one in classes for inside in _folders(one)]
        hint = f": did you mean {classes[0]}, with folders {_some(deeper)}?" if len(deeper) > 1 else ""
        raise ValueError(
            f"{folder} has pictures of one class only ({_some([one.name for one in classes])}), and classification "
            f"needs at least 2 folders{hint}"
        )
    labels = np.repeat(np.arange(len(classes)), [len(pictures) for pictures in files])
    names = tuple(one.name for one in classes)
    return Listed(folder, names, tuple(file for pictures in files for file in pictures), labels, tuple(left_out))


def _folders(folder: Path) -> list[Path]:
    """Those within, sorted by name; none that is hidden. Raises ValueError where the folder cannot be read."""
    try:
        found = [*folder.iterdir()]
    except OSError as error:
        _refuse(error)
    return sorted(inside for inside in found if inside.is_dir() and not _is_hidden(inside.name))


def _files(folder: Path) -> Iterator[Path]:
    """Within a folder and those inside it, and links to other folders, which are not followed; none that is hidden."""
    for inside, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        links = [name for name in folders if os.path.islink(Path(inside, name))]
        yield from (Path(inside, name) for name in (*files, *links) if not _is_hidden(name))


def _refuse(error: OSError) -> None:
    """Raises ValueError in its place."""
    raise ValueError(
        f"{error.filename!r} cannot be read ({error.strerror}): mend it (a broken link, a permission), or remove it"
    ) from error


def _leads_nowhere(file: Path) -> bool:
    return file.is_symlink() and not file.exists()


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN])) + ", ..." * (len(names) > SHOWN)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in picture_files.endings()


def _state(listed: Listed) -> list:
    """What changes when a picture does: names, sizes, and when it was written and renamed. Raises ValueError for one
    that is not there.
    """
    try:
        stats = [file.stat() for file in listed.files]
    except OSError as error:
        _refuse(error)
    names = [os.fspath(file.relative_to(listed.folder)) for file in listed.files]
    return [[n, s.st_size, s.st_mtime_ns, s.st_ctime_ns] for n, s in zip(names, stats, strict=True)]


def _read(listed: Listed, size: Sequence[int] | None, colour: str | None) -> UInt8[np.ndarray, "M H W C"]:
    """All pictures, in threads: decoding is done outside of Python."""
    read = lambda file: picture_files.read(file, size, colour)
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # of Pillow, about what it mends by itself
        first = read(listed.files[0])
        archive.check_memory(len(listed.files) * first.size, f"{listed.folder} with {len(listed.files)} pictures")
        found = [first]
        for start in range(1, len(listed.files), TOGETHER):  # what is wrong with one is said before all are read
            some = listed.files[start : start + TOGETHER]
            for file, picture in zip(some, pool.map(read, some), strict=True):
                _check_size(listed.files[0], first, file, picture)
                found.append(picture)
    if all(picture.ndim == 2 for picture in found):
        return np.stack(found)[..., None]
    colours = [picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, -1) for picture in found]
    return np.stack(colours)


def _check_size(first: Path, one: np.ndarray, second: Path, other: np.ndarray) -> None:
    if one.shape[:2] != other.shape[:2]:
        sizes = [" x ".join(map(str, picture.shape[:2])) for picture in (one, other)]
        raise ValueError(
            f"{os.fspath(first)!r} has {sizes[0]} pixels, {os.fspath(second)!r} {sizes[1]}: give a size for all, such "
            "as --task.size 32"
        )
