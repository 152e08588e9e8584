"""What a trained network is given as a user has it, and what its answer means: a class for each kind of data, made of
what is recorded of the data (`Trained.data`).

Letters: B inputs of a batch, M all of them; H W C height, width and channels of an image; T symbols of a text; K
classes or symbols.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from jaxnas.export.seen import Seen, seen_of
from jaxnas.tasks.augment import whitened
from jaxnas.tasks.corpus import split
from jaxnas.tasks.vocabulary import Vocabulary


@runtime_checkable
class Stored(Protocol):
    """A hashable frozen dataclass; `jaxnas.export.stored.stored_of` chooses it."""

    def checked(self, x: Any) -> np.ndarray:
        """What a user gives, as an array ``[M, ...]``. Raises ValueError where the network has learnt from others."""

    def ready(self, x: Array) -> Array:
        """A batch of them as the network takes it; traced."""

    def outputs(self, found: Array) -> Array:
        """What the exported program gives, from what the network does; traced."""

    def answer(self, outputs: Array) -> Array:
        """What `jaxnas.found.Found.predict` says of these; traced."""


class Logits:
    """Base of those whose outputs are logits. The answer: the probability of each class, ``[B, K]``."""

    def outputs(self, found: Array) -> Array:
        """As they are."""
        return found

    def answer(self, outputs: Float[Array, "B K"]) -> Float[Array, "B K"]:
        """Their softmax."""
        return jax.nn.softmax(outputs.astype(jnp.float32))


@dataclass(frozen=True)
class ImageInputs(Logits):
    """Images in the units of those that were trained on.

    Attributes:
        seen: those images.
        shape: (height, width, channels).
        mean: of each channel; std: its standard deviation.
    """

    seen: Seen
    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, data: dict) -> "ImageInputs":
        """Raises ValueError where the range of the images was not recorded."""
        return cls(seen_of(data), tuple(data["input_shape"]), tuple(data["mean"]), tuple(data["std"]))

    def moments(self) -> tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
        """Mean and standard deviation of each channel."""
        return np.array(self.mean, np.float32), np.array(self.std, np.float32)

    def checked(self, x: Any) -> np.ndarray:
        """Whole numbers or floats ``[M, H, W, C]``, in the range of the images."""
        images = np.asarray(x)
        wanted = f"this network takes [M, {', '.join(map(str, self.shape))}], values {self.seen.range}"
        if images.ndim != 4 or images.shape[1:] != self.shape:
            alone = "; x[None] makes a batch of one image" if images.shape == self.shape else ""
            flat = "; x[..., None] adds the axis of the one channel" * (images.shape[1:] + (1,) == self.shape)
            raise ValueError(f"x of shape {list(images.shape)}: {wanted}{alone}{flat}")
        if images.dtype.kind not in "uif" and images.dtype != jnp.bfloat16:
            raise ValueError(f"x of type {images.dtype}: {wanted}, as integers or floats")
        if not len(images):
            return images
        least, greatest = float(images.min()), float(images.max())
        dark = images.dtype.kind not in "ui" and 0 < greatest <= 1 < self.seen.greatest
        if dark or not (least >= self.seen.lowest and greatest <= self.seen.most):  # NaN neither
            raise ValueError(f"x with values {least:.4g} to {greatest:.4g}: {wanted}; scale it as those images were")
        return images

    def ready(self, x: Num[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Normalised as in training."""
        mean, std = self.moments()
        return whitened(x) if self.seen.whiten else (x.astype(jnp.float32) - mean) / std


@dataclass(frozen=True)
class TextInputs(Logits):
    """Texts, or numbers of their symbols. The answer: the log-probability of what follows each symbol, in nats,
    ``[B, T, K]``.

    Attributes:
        vocabulary: of the network.
        steps: T, where the network takes no other; None: any.
    """

    vocabulary: Vocabulary
    steps: int | None

    def checked(self, x: Any) -> Int[np.ndarray, "M T"]:
        """A text, several of equal length, or whole numbers ``[M, T]``."""
        texts = [x] if isinstance(x, str) else x
        if isinstance(texts, list | tuple) and texts and all(isinstance(text, str) for text in texts):
            rows = [self.vocabulary.encode(split(text, self.vocabulary.unit)) for text in texts]
            if len({len(row) for row in rows}) > 1:
                raise ValueError(f"x has texts of {', '.join(str(len(row)) for row in rows[:5])} symbols: one length")
            texts = np.stack(rows)
        numbers, wanted = np.asarray(texts), f"whole numbers [M, {self.steps or 'T'}] from 0 to {self._last}, or texts"
        if numbers.ndim != 2 or numbers.dtype.kind not in "ui" or not numbers.shape[1]:
            raise ValueError(f"x of shape {list(numbers.shape)} and type {numbers.dtype}: this network takes {wanted}")
        if self.steps not in (None, numbers.shape[1]):
            raise ValueError(f"x of {numbers.shape[1]} symbols: this network takes {self.steps} at a time, {wanted}")
        if numbers.size and not (numbers.min() >= 0 and numbers.max() <= self._last):
            raise ValueError(f"x with numbers {numbers.min()} to {numbers.max()}: this network takes {wanted}")
        return numbers.astype(np.int32)

    @property
    def _last(self) -> int:
        return len(self.vocabulary) - 1

    def ready(self, x: Int[Array, "B T"]) -> Int[Array, "B T"]:
        """As they are."""
        return x

    def answer(self, outputs: Float[Array, "B T K"]) -> Float[Array, "B T K"]:
        """Their log-softmax."""
        return jax.nn.log_softmax(outputs.astype(jnp.float32))
