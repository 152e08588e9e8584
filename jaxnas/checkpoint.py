"""The newest state of one training on disk: arrays by orbax, and facts about them as JSON.

A checkpoint is there as a whole or not at all: it is written beside the former one, which goes when it is complete.

References:
    https://orbax.readthedocs.io
"""

import logging
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

NAME = re.compile(r"epoch-(\d+)")
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
        import orbax.checkpoint as ocp

        arrays = {name: np.asarray(leaf) for name, leaf in named(tree).items()}
        listed = {name: [str(a.dtype), list(a.shape), _checksum(a)] for name, a in arrays.items()}
        filled = {name: a for name, a in arrays.items() if a.size}  # orbax writes no empty arrays
        what = ocp.args.Composite(
            arrays=ocp.args.StandardSave(filled), facts=ocp.args.JsonSave({"facts": facts, "arrays": listed})
        )
        path = self._path(epochs)
        try:
            with _checkpointer(ocp) as checkpointer:
                checkpointer.save(path, args=what)
        except Exception as error:  # tensorstore has kinds of its own for a full disk
            self._clear(f"{path.name}.")
            raise OSError(f"the checkpoint {path} cannot be written ({_line(error)})") from error
        self._clear(but=path.name)

    def facts(self) -> dict | None:
        """What was recorded with the newest; None: there is none. Raises ValueError where it is damaged."""
        stored = self._stored()
        return None if stored is None else stored["facts"]

    def arrays(self) -> dict[str, np.ndarray]:
        """The newest's arrays by name. Raises ValueError where they are damaged."""
        import orbax.checkpoint as ocp

        listed = self._stored()["arrays"]
        empty = {name: np.empty(shape, dtype) for name, (dtype, shape, _) in listed.items()}
        wanted = {name: a for name, a in empty.items() if a.size}
        found = empty | self._read(ocp, arrays=ocp.args.StandardRestore(wanted))["arrays"]
        for name, (dtype, shape, checksum) in listed.items():
            array = found[name]
            if (str(array.dtype), list(array.shape), _checksum(array)) != (dtype, shape, checksum):
                raise self._damaged(f"{name} is not what was written")
        return found

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

    def _stored(self) -> dict | None:
        import orbax.checkpoint as ocp

        if self.epochs() is None:
            return None
        stored = self._read(ocp, facts=ocp.args.JsonRestore())["facts"]
        if not isinstance(stored, dict) or not {"facts", "arrays"} <= stored.keys():
            raise self._damaged("no facts")
        return stored

    def _read(self, ocp, **wanted):
        try:
            with _checkpointer(ocp) as checkpointer:
                return checkpointer.restore(self._path(self.epochs()), args=ocp.args.Composite(**wanted))
        except Exception as error:  # orbax, tensorstore and json each have kinds of their own
            raise self._damaged(_line(error)) from error

    def _damaged(self, why: str) -> ValueError:
        return ValueError(f"the checkpoint {self._path(self.epochs())} is damaged ({why}): {MOVE}")

    def _clear(self, begin: str = "", but: str = "") -> None:
        """Remove checkpoints, and what a kill has left of them."""
        for path in list(self.folder.iterdir()) if self.folder.is_dir() else []:
            if OURS.fullmatch(path.name) and path.name.startswith(begin) and path.name != but:
                shutil.rmtree(path)


MOVE = "move that folder away, and training begins anew"


def named(tree) -> dict[str, Any]:
    """The leaves of a tree by their path, as "optimiser-1-trace"."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="-"): leaf for path, leaf in leaves}


@contextmanager
def _checkpointer(ocp) -> Iterator:
    """Orbax, which is loaded where it is needed (it takes seconds), and kept from logging: its errors are raised."""
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            yield checkpointer
    finally:
        log.setLevel(level)


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data.cast("B")) if array.size else 0


def _line(error: Exception) -> str:
    """The first line of a message: those of tensorstore go on for pages."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
