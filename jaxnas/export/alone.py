"""A trained network that takes inputs as they are stored, and nothing else: what is exported, and what predicts.

Letters: B inputs of a batch, M all of them.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxnas.export.inputs import Stored
from jaxnas.export.stored import stored_of
from jaxnas.numerics import ALL_ROUNDED
from jaxnas.trained import Trained

BATCH = 256
"""Inputs that a network is given at a time."""


class Alone(nnx.Module):
    """A trained network whose inputs are as a user has them.

    Args:
        trained: what final training left.
        inputs: what they are.
    """

    def __init__(self, trained: Trained, inputs: Stored):
        self.network, self.genes, self.inputs = trained.network, nnx.data(trained.genes), inputs

    def __call__(self, x):
        # the number of inputs stays free, also where a network asks for len(x)
        return jax.vmap(lambda x: self.of_batch(x[None])[0])(x)

    def of_batch(self, x):
        """The outputs of a batch: logits, or numbers in the unit of the target."""
        x = self.inputs.ready(x)
        key = jax.random.key(0)  # nothing is dropped: it draws nothing
        return self.inputs.outputs(self.network(x, self.genes, False, self.network.carry(len(x)), key)[0])


def logits(trained: Trained, x: np.ndarray) -> np.ndarray:
    """Of one batch, ``[B, ...]``, by the trained network itself."""
    graph, state = nnx.split(Alone(trained, stored_of(trained)))
    of = lambda state, x: nnx.merge(graph, state, copy=True).of_batch(x)
    return np.asarray(jax.jit(of, compiler_options=ALL_ROUNDED)(state, jnp.asarray(x)))


class Predictor:
    """Answers of one trained network; its program is compiled once for each size of a batch.

    Args:
        trained: what final training left.

    Raises:
        ValueError: what it has learnt from was not recorded whole.
    """

    def __init__(self, trained: Trained):
        self.inputs = stored_of(trained)
        graph, self._state = nnx.split(Alone(trained, self.inputs))

        def answers(state, x):
            return self.inputs.answer(nnx.merge(graph, state, copy=True).of_batch(x))

        self._answers = jax.jit(answers)

    def __call__(self, x: Any) -> np.ndarray:
        """``[M, ...]`` -> float32 ``[M, ...]``, see `Stored.checked` and `Stored.answer`.

        Raises:
            ValueError: inputs of another kind than the network has learnt from.
        """
        x = self.inputs.checked(x)
        size = min(len(x), BATCH) or 1
        short = -len(x) % size if len(x) else 1
        filled = np.concatenate([x, np.zeros((short, *x.shape[1:]), x.dtype)])  # one program for all batches
        found = [np.asarray(self._answers(self._state, filled[i : i + size])) for i in range(0, len(filled), size)]
        return np.concatenate(found)[: len(x)]
