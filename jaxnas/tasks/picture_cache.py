"""Pictures that were read once, as arrays in the user's cache directory."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxnas import archive, caches

FOLDER = "pictures"
FORM = 1
"""It rises whenever the same files and settings give other arrays."""
ANEW = "pictures are read anew in each process"


def kept(what: dict, state: list, read: Callable[[], np.ndarray]) -> tuple[np.ndarray, str]:
    """An array from the cache, or as ``read`` gives it and then kept for the next process.

    Args:
        what: names the array, as JSON values; there is one file for each.
        state: of what it is made from, as JSON values; where it has changed, the array is made anew.
        read: makes the array.

    Returns:
        The array, and what there is to say: nothing, or that it could not be kept, or that a damaged file was dropped.
    """
    place = caches.place(FOLDER)
    if place is None:
        return read(), f"{ANEW}: there is no home directory, and XDG_CACHE_HOME names no place"
    path, state_name = place / f"{_digest([FORM, what])}.npz", _digest(state)
    said = ""
    try:
        there, array = archive.arrays(path, ("state", "array"))
        if str(there) == state_name:
            return array, said
    except FileNotFoundError:
        pass
    except (*archive.DAMAGED, KeyError) as error:
        said = f"{path} cannot be used ({' '.join(str(error).split())}): the pictures were read anew"
    array = read()
    return array, _keep(path, state_name, array) or said


def _keep(path: Path, state: str, array: np.ndarray) -> str:
    """Write a file whole or not at all; what there is to say where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.stem}.", delete=False) as file:
            try:
                np.savez(file, state=np.array(state), array=array)
            except BaseException:
                os.unlink(file.name)
                raise
        os.replace(file.name, path)
    except OSError as error:
        return f"{ANEW}: {path.parent} cannot be written ({error.strerror}), and XDG_CACHE_HOME names no other place"
    return ""


def _digest(value: object) -> str:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=16).hexdigest()
