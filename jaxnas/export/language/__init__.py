"""Language models as files: the cell, found or ordinary, as a Flax cell, the network around it, its vocabulary."""

import jax
import jax.export
import numpy as np

from jaxnas.export.alone import logits
from jaxnas.export.language.module import cell_module
from jaxnas.export.language.readme import readme
from jaxnas.export.written import Written
from jaxnas.numerics import factors
from jaxnas.trained import Trained

PROBES, STEPS = 16, 8
"""Texts of noise on which the files are compared, and their length: some cells let rounding grow with every step."""


def written(trained: Trained) -> Written:
    """What there is to write of a trained network.

    Raises:
        ValueError: a combination or an activation that has no formula.
    """
    children, data = trained.children, trained.data
    description = children.describe(trained.architecture)
    weights = children.weights(trained.network, trained.architecture)
    probes = np.random.default_rng(0).integers(0, description["symbols"], (PROBES, STEPS)).astype(np.int32)
    return Written(
        description=description | {"vocabulary": data["vocabulary"], "unit": data["unit"]},
        module=cell_module(description, factors(children.dtype).name),
        weights={name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()},
        page=readme(description, trained.facts, data["unit"]),
        inputs=jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, t"), np.int32),
        probes=probes,
        wanted=logits(trained, probes),
    )
