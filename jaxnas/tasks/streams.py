"""A text in streams: batches of neighbouring chunks, so that what a network remembers goes on in the next batch.

Letters: M symbols, R rows, B streams, U steps of a chunk.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxnas.tasks.batches import Batch


@partial(jax.tree_util.register_dataclass, data_fields=["symbols"], meta_fields=[])
@dataclass(frozen=True)
class Passage:
    """symbols: int32 ``[M]``, numbers in the vocabulary. Its length is that of the predictions: all symbols but the
    first.
    """

    symbols: Any

    def __len__(self) -> int:
        return self.symbols.shape[0] - 1

    def __getitem__(self, rows: Int[np.ndarray, " R"]) -> "Passage":
        """These predictions, of which each follows the one before; the last may be repeated, to fill a place."""
        return Passage(self.symbols[np.append(rows[:1], rows + 1)])


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["train", "held_out"],
    meta_fields=["unroll", "vocabulary", "unit"],
)
@dataclass(frozen=True)
class TextData:
    """What one training reads. Batches are of B streams: stream b is the b-th part of the text.

    Attributes:
        train: what children learn from.
        held_out: validation text in a search, test text in final training.
        unroll: U, symbols of a chunk.
        vocabulary: all symbols.
        unit: "characters" or "words".
    """

    train: Passage
    held_out: Passage
    unroll: int
    vocabulary: tuple[str, ...]
    unit: str

    @property
    def input_shape(self) -> tuple[int]:
        """(U,)"""
        return (self.unroll,)

    @property
    def classes(self) -> int:
        """Size of the vocabulary."""
        return len(self.vocabulary)

    def facts(self) -> dict:
        """What tells this data from other, and what a trained network needs of it, as JSON values."""
        return {
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "train": len(self.train),
            "held_out": len(self.held_out),
            "vocabulary": list(self.vocabulary),
            "unit": self.unit,
            "unknown": self.unknown,
        }

    @property
    def unknown(self) -> float:
        """Share of the held-out symbols that the vocabulary lacks: all of them are one symbol, <unk>, and so are
        easily predicted.
        """
        return float((np.asarray(self.held_out.symbols)[1:] == 0).mean())

    def steps(self, size: int) -> int:
        """Chunks of a stream, the last one filled up. Raises ValueError where a stream would have nothing."""
        return -(-self._learnt(size) // self.unroll)

    def seen(self, size: int) -> int:
        """Symbols that a child learns from in an epoch."""
        return self._learnt(size) * size

    def left_out(self, size: int) -> int:
        """Symbols at the end of the training text that no child learns from: fewer than ``size``."""
        return len(self.train) - self.seen(size)

    def _learnt(self, size: int) -> int:
        """Predictions of a stream of the training text: all streams are alike."""
        if len(self.train) < size:
            raise ValueError(
                f"batch_size={size} streams need at least {size + 1:,} symbols, but only {len(self.train) + 1:,} are "
                "there to learn from: lower it, or give more text"
            )
        return len(self.train) // size

    def visits(self, size: int, scored: int | Array) -> int | Array:
        """Batches of the held-out text, its last one filled up; none where nothing is to be scored."""
        return -(-self._stream(size) // self.unroll) * (scored > 0)

    def _stream(self, size: int) -> int:
        """Predictions of a stream of the held-out text: the last stream may have fewer."""
        return -(-len(self.held_out) // size)

    def order(self, key: jax.Array, size: int) -> Int[Array, " B"]:
        """Where the streams begin: text is read in its own order, whatever the key."""
        return jnp.arange(size) * self._learnt(size)

    def training(self, order: Int[Array, " B"], number: Array) -> Batch:
        """The chunk of that number of every stream; the last one counts as far as the streams go."""
        within = number * self.unroll + jnp.arange(self.unroll)
        at = order[:, None] + within
        return self._batch(self.train, at, jnp.broadcast_to(within < self._learnt(order.shape[0]), at.shape))

    def scoring(self, number: Array, size: int, scored: Array) -> Batch:
        """The held-out chunk of that number of every stream; every prediction of the text counts once."""
        within = number * self.unroll + jnp.arange(self.unroll)
        at = jnp.arange(size)[:, None] * self._stream(size) + within
        return self._batch(self.held_out, at, (within < self._stream(size)) & (at < scored))

    def _batch(self, passage: Passage, at: Int[Array, "B U"], weights: Array) -> Batch:
        at = jnp.clip(at, 0, len(passage) - 1)
        return Batch(passage.symbols[at], passage.symbols[at + 1], weights)
