"""Examples in batches of an order that is drawn anew in each epoch.

Letters: M examples, S steps of an epoch, B batch.
"""

from abc import abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxnas.tasks.batches import Batch


class Shuffled:
    """Base of data whose ``train`` and ``held_out`` are rows of examples with labels; see `jaxnas.tasks.Batched`."""

    train: Any
    held_out: Any

    @abstractmethod
    def batch(self, rows: Any, weights: Array) -> Batch:
        """Some rows as a batch, of which those count whose weight is True."""

    def steps(self, size: int) -> int:
        """Batches of an epoch; what does not fill one is left out. Raises ValueError where there is not even one."""
        if len(self.train) < size:
            raise ValueError(f"batch_size={size}, but there are only {len(self.train)} training examples: lower it")
        return len(self.train) // size

    def seen(self, size: int) -> int:
        """Examples that a child learns from in an epoch."""
        return self.steps(size) * size

    def visits(self, size: int, scored: int | Array) -> int | Array:
        """Batches that hold the first ``scored`` of the held-out examples."""
        return -(-scored // size)

    def order(self, key: jax.Array, size: int) -> Int[Array, "S B"]:
        """The rows of an epoch's S batches, drawn by ``key``."""
        steps = self.steps(size)
        return jax.random.permutation(key, len(self.train))[: steps * size].reshape(steps, size)

    def training(self, order: Int[Array, "S B"], number: Array) -> Batch:
        """The training batch of that number."""
        rows = self.train[order[jnp.minimum(number, order.shape[0] - 1)]]
        return self.batch(rows, jnp.ones(order.shape[1], bool))

    def scoring(self, number: int | Array, size: int, scored: int | Array) -> Batch:
        """The held-out batch of that number; the first ``scored`` examples count."""
        at = number * size + jnp.arange(size)
        return self.batch(self.held_out[jnp.minimum(at, len(self.held_out) - 1)], at < scored)
