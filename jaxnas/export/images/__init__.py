"""Networks for images as files: the module line by line, the weights with mean and standard deviation of the images.

Letters: B images, H height, W width, C channels, K classes.
"""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from jaxnas.export.images.module import module
from jaxnas.export.images.readme import readme
from jaxnas.export.images.seen import seen_of
from jaxnas.export.written import Written
from jaxnas.numerics import ALL_ROUNDED, factors
from jaxnas.tasks.augment import whitened
from jaxnas.trained import Trained

PROBES = 16
"""Images of noise on which the files are compared."""


def written(trained: Trained) -> Written:
    """What there is to write of a trained network.

    Raises:
        ValueError: the architecture's type has no writer, or the range of the images was not recorded.
    """
    seen = seen_of(trained.data)
    children, description = trained.children, trained.children.describe(trained.architecture)
    classes, norm, shape = trained.data["classes"], children.norm, tuple(trained.data["input_shape"])
    mean, std = moments(trained.data)
    weights = {"images.mean": mean, "images.std": std} | children.weights(trained.network, trained.architecture)
    probes = seen.noise((PROBES, *shape))
    return Written(
        description=description | {"images": seen.facts()},
        module=module(description, classes, seen, norm.epsilon, norm.momentum, factors(children.dtype).name),
        weights={name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()},
        page=readme(description, trained.facts, classes, seen),
        inputs=jax.ShapeDtypeStruct((*jax.export.symbolic_shape("b"), *shape), np.float32),
        probes=probes,
        wanted=_logits(trained, np.asarray(whitened(jnp.asarray(probes))) if seen.whiten else (probes - mean) / std),
    )


def moments(data: dict) -> tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
    """Mean and standard deviation of each channel, in the units of the images, from what is recorded of the data."""
    return np.array(data["mean"], np.float32), np.array(data["std"], np.float32)


def _logits(trained: Trained, images: Float[np.ndarray, "B H W C"]) -> Float[np.ndarray, "B K"]:
    """Of normalised images, by the trained network itself."""
    graph, state = nnx.split(trained.network)
    of = lambda state, x: nnx.merge(graph, state, copy=True)(x, trained.genes, False, (), jax.random.key(0))[0]
    return np.asarray(jax.jit(of, compiler_options=ALL_ROUNDED)(state, np.float32(images)))
