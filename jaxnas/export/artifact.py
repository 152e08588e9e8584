"""A network as one serialised StableHLO program.

References:
    `jax.export`, https://docs.jax.dev/en/latest/export/export.html: what the file promises, and for how long.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.export
from flax import nnx

PLATFORMS = ("cpu", "cuda", "tpu")


def artifact(network: nnx.Module, inputs: jax.ShapeDtypeStruct) -> bytes:
    """A network with its weights as a program for all `PLATFORMS`.

    Args:
        network: inputs -> logits. It stays as it is.
        inputs: their type and shape; sizes of `jax.export.symbolic_shape` stay free.

    Returns:
        What `jax.export.deserialize` reads; its ``call`` is the function.
    """
    graph, state = nnx.split(network)
    logits = jax.jit(lambda inputs: nnx.merge(graph, state, copy=True)(inputs))
    with _without_paths():
        return bytes(jax.export.export(logits, platforms=PLATFORMS)(inputs).serialize())


@contextmanager
def _without_paths() -> Iterator[None]:
    """Programs lowered here name no source files of this machine."""
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, before)
