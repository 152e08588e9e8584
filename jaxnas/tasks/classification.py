"""Image classification: the data on the device, and what the compiled program does with a batch.

Letters: M examples, S steps of an epoch, B batch, H W C height, width and channels of an image, K classes.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, UInt8

from jaxnas.ranges import Range
from jaxnas.rng import key_for
from jaxnas.settings import settings
from jaxnas.tasks.batches import Batch


@partial(jax.tree_util.register_dataclass, data_fields=["images", "labels"], meta_fields=[])
@dataclass(frozen=True)
class Examples:
    """images: uint8 ``[M, H, W, C]``; labels: int32 ``[M]``. Numpy as read, JAX arrays once on the device."""

    images: Any  # JAX also builds this class around shapes alone, so the fields of a pytree have no checked types
    labels: Any

    def __len__(self) -> int:
        return self.labels.shape[0]

    def __getitem__(self, index) -> "Examples":
        return Examples(self.images[index], self.labels[index])


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["train", "held_out", "mean", "std"],
    meta_fields=["classes", "class_names"],
)
@dataclass(frozen=True)
class Data:
    """What one training reads: examples to learn from, others to be scored on, and how to normalise both.

    Attributes:
        train: the examples that children learn from.
        held_out: validation data in a search, test data in final training.
        mean: of each channel over ``train``, in grey levels 0..255, float32 ``[C]``.
        std: its standard deviation, float32 ``[C]``; 1 where a channel is constant.
        classes: how many labels there are.
        class_names: one for each, where they have names.
    """

    train: Examples
    held_out: Examples
    mean: Any
    std: Any
    classes: int
    class_names: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of an image."""
        return self.train.images.shape[1:]

    def facts(self) -> dict:
        """What tells this data from other, and what a trained network needs of it, as JSON values."""
        return {
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "train": len(self.train),
            "held_out": len(self.held_out),
            "mean": np.asarray(self.mean).tolist(),
            "std": np.asarray(self.std).tolist(),
            "range": [int(self.train.images.min()), int(self.train.images.max())],
            "dtype": str(self.train.images.dtype),
            "layout": "NHWC",
            "class_names": list(self.class_names) or None,
        }

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
        return Batch(rows.images, rows.labels, jnp.ones(order.shape[1], bool))

    def scoring(self, number: Array, size: int, scored: Array) -> Batch:
        """The held-out batch of that number; the first ``scored`` examples count."""
        at = number * size + jnp.arange(size)
        rows = self.held_out[jnp.minimum(at, len(self.held_out) - 1)]
        return Batch(rows.images, rows.labels, at < scored)


@settings
class Augment:
    """Random changes of a training batch, inside the compiled program; the whole group sees the same ones.

    Attributes:
        pad: pixels of the mean grey (0 once normalised) added on every side before a random crop of the old size;
            0: no crop.
        flip: mirror half of the images left to right.
        cutout: side in pixels of a square of the mean grey around a random pixel, cut off at the image's edge; 0: none.

    References:
        DeVries & Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017
        (https://arxiv.org/abs/1708.04552).
    """

    pad: Annotated[int, Range(0, 256)] = 0
    flip: bool = False
    cutout: Annotated[int, Range(0, 10_000)] = 0

    def __call__(self, x: Float[Array, "B H W C"], key: jax.Array) -> Float[Array, "B H W C"]:
        if self.flip:
            mirrored = jax.random.bernoulli(key_for(key, "flip"), shape=(x.shape[0], 1, 1, 1))
            x = jnp.where(mirrored, x[:, :, ::-1], x)
        if self.pad:
            starts = jax.random.randint(key_for(key, "crop"), (x.shape[0], 2), 0, 2 * self.pad + 1)
            padded = jnp.pad(x, ((0, 0), (self.pad,) * 2, (self.pad,) * 2, (0, 0)))
            shape = x.shape[1:]
            crop = lambda image, start: jax.lax.dynamic_slice(image, (start[0], start[1], 0), shape)
            x = jax.vmap(crop)(padded, starts)
        return self._cut_out(x, key_for(key, "cutout")) if self.cutout else x

    def _cut_out(self, x: Float[Array, "B H W C"], key: jax.Array) -> Float[Array, "B H W C"]:
        sides = x.shape[1:3]
        if self.cutout > min(sides):
            raise ValueError(f"cutout={self.cutout}: the images have {sides[0]}x{sides[1]} pixels: give less")
        first = jax.random.randint(key, (x.shape[0], 2), 0, jnp.array(sides)) - self.cutout // 2
        offsets = [jnp.arange(side) - first[:, [i]] for i, side in enumerate(sides)]
        rows, columns = ((offset >= 0) & (offset < self.cutout) for offset in offsets)
        return jnp.where((rows[:, :, None] & columns[:, None, :])[..., None], 0, x)


def prepare(
    images: UInt8[Array, "B H W C"], data: Data, augment: Augment, key: Array | None
) -> Float[Array, "B H W C"]:
    """Mean 0 and standard deviation 1 in each channel of the training data; augmented where a key is given."""
    x = (images.astype(jnp.float32) - data.mean) / data.std
    return x if key is None else augment(x, key)


def cross_entropy(logits: Float[Array, "B K"], labels: Int[Array, " B"], smoothing: float = 0.0) -> Float[Array, " B"]:
    """Cross-entropy in nats between what the network says and 1 - smoothing on the label, the rest spread evenly over
    all K classes.

    References:
        Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016, section 7
        (https://arxiv.org/abs/1512.00567).
    """
    if smoothing == 0:
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[1]), smoothing))


def accuracy(logits: Float[Array, "B K"], labels: Int[Array, " B"]) -> Float[Array, " B"]:
    """1 where the greatest logit is the label's, else 0."""
    return (logits.argmax(-1) == labels).astype(jnp.float32)


def assemble(train: Examples, held_out: Examples, classes: int, class_names: tuple[str, ...] = ()) -> Data:
    """The two sets with the normalisation of the first."""
    mean, std = _mean_and_std(train.images)
    return Data(train, held_out, np.float32(mean), np.float32(np.where(std > 0, std, 1.0)), classes, class_names)


def _mean_and_std(images: UInt8[np.ndarray, "M H W C"]) -> tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
    """Of each channel, float64 ``[C]``, from a histogram: numpy's std takes 8 bytes a pixel and 20 times as long."""
    counts = np.zeros((images.shape[-1], 256), np.int64)
    for some in np.array_split(images, len(images) // 1000 + 1):  # bincount works on an int64 copy: keep it small
        for channel, count in enumerate(counts):
            count += np.bincount(some[..., channel].ravel(), minlength=256)
    shares = counts / counts.sum(1, keepdims=True)
    mean = shares @ np.arange(256)
    return mean, np.sqrt((shares * (np.arange(256) - mean[:, None]) ** 2).sum(1))
