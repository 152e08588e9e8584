"""A network as one serialised StableHLO program.

References:
    `jax.export`, https://docs.jax.dev/en/latest/export/export.html: what the file promises, and for how long.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.export
import jax.numpy as jnp
from flax import nnx

PLATFORMS = ("cpu", "cuda", "tpu")


def artifact(network: nnx.Module, input_shape: tuple[int, int, int]) -> bytes:
    """A network with its weights as a program for any batch size and for all `PLATFORMS`.

    Args:
        network: float32 images ``[B, H, W, C]`` -> logits ``[B, K]``. It stays as it is.
        input_shape: (height, width, channels) of an image.

    Returns:
        What `jax.export.deserialize` reads; its ``call`` is the function.
    """
    graph, state = nnx.split(network)
    logits = jax.jit(lambda images: nnx.merge(graph, state, copy=True)(images))
    images = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("b"), *input_shape), jnp.float32)
    with _without_paths():
        return bytes(jax.export.export(logits, platforms=PLATFORMS)(images).serialize())


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
