"""A trained network as one serialised StableHLO program.

References:
    `jax.export`, https://docs.jax.dev/en/latest/export/export.html: what the file promises, and for how long.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
import jax.export
import jax.numpy as jnp
from flax import nnx

PLATFORMS = ("cpu", "cuda", "tpu")


def forward(network: nnx.Module, genes, mean, std) -> Callable[[jax.Array], jax.Array]:
    """The trained network as a pure function ``images -> logits``, with its weights as constants.

    Args:
        network: in its own tight envelope; ``network(x, genes)`` gives logits ``[B, K]``. It stays as it is.
        genes: its place there.
        mean: of each channel, in grey levels 0..255, ``[C]``.
        std: likewise.
    """
    graph, state = nnx.split(network)
    state = jax.tree.map(jnp.asarray, jax.device_get(state))  # plain constants, whatever devices it was trained on
    return lambda images: nnx.merge(graph, state, copy=True)((images - mean) / std, genes)


def artifact(logits: Callable[[jax.Array], jax.Array], input_shape: tuple[int, int, int]) -> bytes:
    """A function of images as a program for any batch size and for all `PLATFORMS`.

    Args:
        logits: float32 ``[B, H, W, C]`` -> ``[B, K]``.
        input_shape: (height, width, channels) of an image.

    Returns:
        What `jax.export.deserialize` reads; its ``call`` is the function.
    """
    images = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("b"), *input_shape), jnp.float32)
    with _without_paths():
        return bytes(jax.export.export(jax.jit(logits), platforms=PLATFORMS)(images).serialize())


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
