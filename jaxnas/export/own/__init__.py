"""A network of a user's own, or a multilayer perceptron, as files: the program, the weights by name, and the values.
There is no module beside: a user's source is the user's.
"""

import jax
import jax.export
import numpy as np

from jaxnas.export.alone import Alone, logits
from jaxnas.export.own.readme import page
from jaxnas.export.own.takes import takes
from jaxnas.export.stored import stored_of
from jaxnas.export.written import Written
from jaxnas.trained import Trained


def written(trained: Trained) -> Written:
    """What there is to write of a trained network.

    Raises:
        ValueError: the range of the images was not recorded.
    """
    inputs = stored_of(trained)
    found, description = takes(trained, inputs), trained.children.describe(trained.architecture)
    weights = found.weights | trained.children.weights(trained.network, trained.architecture)
    size = jax.export.symbolic_shape("b")
    return Written(
        description=description | found.facts,
        module=None,
        network=Alone(trained, inputs),
        weights={name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()},
        page=page(description, trained.facts, found),
        inputs=jax.ShapeDtypeStruct((*size, *found.probes.shape[1:]), found.probes.dtype),
        probes=found.probes,
        wanted=logits(trained, found.probes),
    )
