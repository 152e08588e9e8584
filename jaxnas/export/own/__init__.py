"""A user's own network as files: the program, the weights by the names that the network has for them, and the values.
Its source is the user's, so there is no module beside.

Letters: B images or texts, K classes or symbols.
"""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxnas.export.images import moments
from jaxnas.export.images.seen import Seen, seen_of
from jaxnas.export.own.readme import image_page, text_page
from jaxnas.export.written import Written
from jaxnas.numerics import ALL_ROUNDED
from jaxnas.tasks.augment import whitened
from jaxnas.trained import Trained

PROBES = 16
"""Images or texts of noise on which the program is held against the trained network."""


class Alone(nnx.Module):
    """A trained network that takes inputs as they are stored, and nothing else.

    Args:
        trained: what final training left.
        seen: the images it has learnt from; None: it takes symbols.
    """

    def __init__(self, trained: Trained, seen: Seen | None):
        self.network, self.genes = trained.network, nnx.data(trained.genes)
        self.whiten = seen is not None and seen.whiten
        self.moments = nnx.data(None if seen is None else moments(trained.data))

    def __call__(self, x):
        # the number of inputs stays free, also where a network asks for len(x)
        return jax.vmap(lambda x: self.of_batch(x[None])[0])(x)

    def of_batch(self, x):
        """The logits of a batch, as the trained network gives them."""
        if self.moments is not None:
            mean, std = self.moments
            x = whitened(x) if self.whiten else (x - mean) / std
        return self.network(x, self.genes, False, self.network.carry(len(x)), jax.random.key(0))[0]


def written(trained: Trained) -> Written:
    """What there is to write of a trained network.

    Raises:
        ValueError: the range of the images was not recorded.
    """
    children, shape = trained.children, tuple(trained.data["input_shape"])
    description, batch = children.describe(trained.architecture), jax.export.symbolic_shape("b")
    if len(shape) == 1:
        seen, more = None, {"vocabulary": trained.data["vocabulary"], "unit": trained.data["unit"]}
        draw = np.random.default_rng(0)
        probes = draw.integers(0, trained.data["classes"], (PROBES, *shape)).astype(np.int32)
        page = text_page(description, trained.facts, trained.data["classes"], shape)
    else:
        seen = seen_of(trained.data)
        more = {"images": seen.facts(), "input": list(shape)}
        probes = seen.noise((PROBES, *shape))
        page = image_page(description, trained.facts, trained.data["classes"], shape, seen)
    network = Alone(trained, seen)
    return Written(
        description=description | more,
        module=None,
        network=network,
        weights={n: np.ascontiguousarray(w, np.float32) for n, w in _weights(trained, seen).items()},
        page=page,
        inputs=jax.ShapeDtypeStruct((*batch, *shape), probes.dtype),
        probes=probes,
        wanted=_logits(network, probes),
    )


def _weights(trained: Trained, seen: Seen | None) -> dict[str, np.ndarray]:
    own = trained.children.weights(trained.network, trained.architecture)
    if seen is None:
        return own
    mean, std = moments(trained.data)
    return {"images.mean": mean, "images.std": std} | own


def _logits(network: Alone, inputs: np.ndarray) -> np.ndarray:
    """``[B, K]``, of text ``[B, U, K]``."""
    graph, state = nnx.split(network)
    of = lambda state, x: nnx.merge(graph, state, copy=True).of_batch(x)
    return np.asarray(jax.jit(of, compiler_options=ALL_ROUNDED)(state, jnp.asarray(inputs)))
