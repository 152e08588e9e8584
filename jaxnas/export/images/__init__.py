"""Networks for images as files: the module line by line, the weights with mean and standard deviation of the images."""

import jax
import jax.export
import numpy as np

from jaxnas.export.alone import logits
from jaxnas.export.images.module import module
from jaxnas.export.images.readme import readme
from jaxnas.export.inputs import ImageInputs
from jaxnas.export.written import Written
from jaxnas.numerics import factors
from jaxnas.trained import Trained

PROBES = 16
"""Images of noise on which the files are compared."""


def written(trained: Trained) -> Written:
    """What there is to write of a trained network.

    Raises:
        ValueError: the architecture's type has no writer, or the range of the images was not recorded.
    """
    inputs = ImageInputs.of(trained.data)
    seen, (mean, std) = inputs.seen, inputs.moments()
    children, description = trained.children, trained.children.describe(trained.architecture)
    classes, norm, shape = trained.data["classes"], children.norm, tuple(trained.data["input_shape"])
    weights = {"images.mean": mean, "images.std": std} | children.weights(trained.network, trained.architecture)
    probes = seen.noise((PROBES, *shape))
    return Written(
        description=description | {"images": seen.facts()},
        module=module(description, classes, seen, norm.epsilon, norm.momentum, factors(children.dtype).name),
        weights={name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()},
        page=readme(description, trained.facts, classes, seen),
        inputs=jax.ShapeDtypeStruct((*jax.export.symbolic_shape("b"), *shape), np.float32),
        probes=probes,
        wanted=logits(trained, probes),
    )
