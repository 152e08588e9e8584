"""The newest state of one training on disk: arrays by orbax, and facts about them as JSON.

A checkpoint is there as a whole or not at all: it is written beside the former one, which goes when it is complete.

References:
    https://orbax.readthedocs.io
"""

import logging
import math
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

NAME = re.compile(r"epoch-(\d+)")
ROW = "row"
"""All arrays lie in one, byte by byte: of several, those that are in flight when one fails would write tracebacks."""
MOVE = "move that folder away, and training begins anew"
OURS = re.compile(r"epoch-\d+(\.orbax-checkpoint-tmp.*)?")


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: where they lie, and nothing else; made by the first one.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder).absolute()

    def epochs(self) -> int | None:
        """After how many epochs the newest was made; None: there is none."""
        found = [NAME.fullmatch(path.name) for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return max((int(name[1]) for name in found if name), default=None)

    def save(self, epochs: int, tree, facts: dict) -> None:
        """Write the checkpoint after so many epochs; the earlier ones go.

        Args:
            epochs: more than at the last time.
            tree: numpy or JAX arrays.
            facts: JSON values.

        Raises:
            OSError: it cannot be written; the former one stays.
        """
        arrays = {name: np.asarray(leaf) for name, leaf in named(tree).items()}
        row = np.concatenate([np.ascontiguousarray(a).reshape(-1).view(np.uint8) for a in arrays.values()])
        listed = {name: [str(a.dtype), list(a.shape)] for name, a in arrays.items()}
        about = {"facts": facts, "arrays": listed, "crc32": zlib.crc32(row)}
        what = ocp.args.Composite(arrays=ocp.args.StandardSave({ROW: row}), about=ocp.args.JsonSave(about))
        path, former = self._path(epochs), self.epochs()
        kept = "" if former is None else self._path(former).name
        try:
            self._clear(but=kept)  # what a kill has left would take room
            with _checkpointer() as checkpointer:
                checkpointer.save(path, args=what)
        except Exception as error:  # tensorstore has kinds of its own for a full disk
            self._clear(but=kept)
            raise OSError(f"the checkpoint {path} cannot be written ({_line(error)})") from error
        self._clear(but=path.name)

    def facts(self) -> dict | None:
        """What was recorded with the newest; None: there is none. Raises ValueError where it is damaged."""
        about = self._about()
        return None if about is None else about["facts"]

    def arrays(self) -> dict[str, np.ndarray]:
        """The newest's arrays by name. Raises ValueError where they are damaged."""
        about = self._about()
        sizes = [np.dtype(dtype).itemsize * math.prod(shape) for dtype, shape in about["arrays"].values()]
        row = self._read(arrays=ocp.args.StandardRestore({ROW: np.empty(sum(sizes), np.uint8)}))["arrays"][ROW]
        if zlib.crc32(row) != about["crc32"]:
            raise self._damaged("the arrays are not what was written")
        parts = np.split(row, np.cumsum(sizes)[:-1])
        return {
            name: np.array(part).view(dtype).reshape(shape)
            for part, (name, (dtype, shape)) in zip(parts, about["arrays"].items(), strict=True)
        }

    def restore(self, like):
        """The newest's arrays in the form of a tree of shapes, as numpy arrays.

        Raises:
            ValueError: damaged, or of other shapes.
        """
        arrays, wanted = self.arrays(), named(like)
        shape = lambda a: (str(np.dtype(a.dtype)), tuple(a.shape))
        if {n: shape(a) for n, a in arrays.items()} != {n: shape(a) for n, a in wanted.items()}:
            raise ValueError(f"{self.folder} holds a training of another architecture: {MOVE}")
        return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in wanted])

    def remove(self) -> None:
        """All of them."""
        self._clear()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _path(self, epochs: int) -> Path:
        return self.folder / f"epoch-{epochs}"

    def _about(self) -> dict | None:
        if self.epochs() is None:
            return None
        about = self._read(about=ocp.args.JsonRestore())["about"]
        if not isinstance(about, dict) or not {"facts", "arrays", "crc32"} <= about.keys():
            raise self._damaged("it says nothing of itself")
        if not isinstance(about["facts"], dict) or not _all_described(about["arrays"]):
            raise self._damaged("what it says of itself has another form")
        return about

    def _read(self, **wanted):
        try:
            with _checkpointer() as checkpointer:
                return checkpointer.restore(self._path(self.epochs()), args=ocp.args.Composite(**wanted))
        except Exception as error:  # orbax, tensorstore and json each have kinds of their own
            raise self._damaged(_line(error)) from error

    def _damaged(self, why: str) -> ValueError:
        return ValueError(f"the checkpoint {self._path(self.epochs())} is damaged ({why}): {MOVE}")

    def _clear(self, but: str = "") -> None:
        """Remove checkpoints, and what a kill has left of them."""
        for path in list(self.folder.iterdir()) if self.folder.is_dir() else []:
            if OURS.fullmatch(path.name) and path.name != but:
                shutil.rmtree(path)


def _all_described(arrays) -> bool:
    """Whether each array has its dtype and its shape: {name: [dtype, [sizes]]}."""
    try:
        sizes = [(np.dtype(dtype), [size >= 0 for size in shape]) for dtype, shape in arrays.values()]
    except (AttributeError, TypeError, ValueError):
        return False
    return all(dtype.itemsize for dtype, _ in sizes) and all(all(good) for _, good in sizes)


def named(tree) -> dict[str, Any]:
    """The leaves of a tree by their path, as "optimiser-1-trace"."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="-"): leaf for path, leaf in leaves}


@contextmanager
def _checkpointer() -> Iterator:
    """Orbax, kept from logging: what goes wrong is raised."""
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            yield checkpointer
    finally:
        log.setLevel(level)


def _line(error: Exception) -> str:
    """The first line of a message: those of tensorstore go on for pages."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
