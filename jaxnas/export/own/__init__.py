"""A user's own network as files: the program, the weights by the names that the network has for them, and the values.
Its source is the user's, so there is no module beside.
"""

import jax
import jax.export
import numpy as np

from jaxnas.export.alone import Alone, logits
from jaxnas.export.inputs import ImageInputs, Inputs, TextInputs, inputs_of
from jaxnas.export.own.readme import image_page, text_page
from jaxnas.export.written import Written
from jaxnas.trained import Trained

PROBES = 16
"""Images or texts of noise on which the program is held against the trained network."""


def written(trained: Trained) -> Written:
    """What there is to write of a trained network.

    Raises:
        ValueError: the range of the images was not recorded.
    """
    children, shape = trained.children, tuple(trained.data["input_shape"])
    description, batch = children.describe(trained.architecture), jax.export.symbolic_shape("b")
    draw = np.random.default_rng(0)
    inputs = inputs_of(trained)
    if isinstance(inputs, TextInputs):
        more = {"vocabulary": trained.data["vocabulary"], "unit": trained.data["unit"]}
        probes = draw.integers(0, trained.data["classes"], (PROBES, *shape)).astype(np.int32)
        page = text_page(description, trained.facts, trained.data["classes"], shape)
    else:
        seen = inputs.seen
        more = {"images": seen.facts(), "input": list(shape)}
        probes = seen.noise((PROBES, *shape))
        page = image_page(description, trained.facts, trained.data["classes"], shape, seen)
    return Written(
        description=description | more,
        module=None,
        network=Alone(trained, inputs),
        weights={n: np.ascontiguousarray(w, np.float32) for n, w in _weights(trained, inputs).items()},
        page=page,
        inputs=jax.ShapeDtypeStruct((*batch, *shape), probes.dtype),
        probes=probes,
        wanted=logits(trained, probes),
    )


def _weights(trained: Trained, inputs: Inputs) -> dict[str, np.ndarray]:
    own = trained.children.weights(trained.network, trained.architecture)
    if not isinstance(inputs, ImageInputs):
        return own
    mean, std = inputs.moments()
    return {"images.mean": mean, "images.std": std} | own
