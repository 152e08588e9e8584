"""What tells one data set from another: a digest of its numbers, which records keep."""

import hashlib
import json
from collections.abc import Mapping

import jax
import numpy as np


def digest(arrays, about: object = None) -> str:
    """32 hexadecimal digits of a pytree of numpy arrays (types, shapes, numbers), and of JSON values about them."""
    found = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16)
    for leaf in jax.tree.leaves(arrays):
        leaf = np.ascontiguousarray(leaf)
        found.update(f"{leaf.dtype.str}{leaf.shape}".encode())
        found.update(leaf.reshape(-1).view(np.uint8))
    return found.hexdigest()


TRAINED = {"training data", "held-out data", "form"}
"""The parts of `of_data`."""


def of_data(data) -> dict[str, str]:
    """Of what a training reads (`jaxnas.tasks.Batched`): what is learnt from, held out, and said of both."""
    parts = {"training data": data.train, "held-out data": data.held_out}
    digests = {name: f"{len(part):,} examples {digest(part)}" for name, part in parts.items()}
    return digests | {"form": digest((), data.facts())}


def check(recorded: Mapping[str, str], found: Mapping[str, str], where: object) -> None:
    """Raises ValueError where a part that both name is not what was recorded."""
    changed = [name for name in found if name in recorded and recorded[name] != found[name]]
    if changed:
        lines = [f"{name}: {recorded[name]} there, {found[name]} now" for name in changed]
        raise ValueError(
            f"{where} was begun on other data:\n  " + "\n  ".join(lines) + "\ngive the data that it was begun on, or "
            "another directory"
        )
