"""Image classification: the data on the device, and what the compiled program does with a batch.

Letters: M examples, S steps of an epoch, B batch, H W C height, width and channels of an image, K classes.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32, Float64, Int, UInt8

from jaxnas.tasks import losses, shapes
from jaxnas.tasks.augment import Augment, whitened
from jaxnas.tasks.batches import Batch
from jaxnas.tasks.shuffled import Shuffled


@partial(jax.tree_util.register_dataclass, data_fields=["images", "labels"], meta_fields=[])
@dataclass(frozen=True)
class Examples:
    """images: uint8 or float32 ``[M, H, W, C]``; labels: int32 ``[M]``. Numpy as read, then JAX arrays."""

    images: Any  # JAX also builds this class around shapes alone, so the fields of a pytree have no checked types
    labels: Any

    def __len__(self) -> int:
        return self.labels.shape[0]

    def __getitem__(self, index) -> "Examples":
        return Examples(self.images[index], self.labels[index])


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["train", "held_out", "mean", "std"],
    meta_fields=["classes", "class_names", "notes"],
)
@dataclass(frozen=True)
class Data(Shuffled):
    """What one training reads: examples to learn from, others to be scored on, and how to normalise both.

    Attributes:
        train: the examples that children learn from.
        held_out: validation data in a search, test data in final training.
        mean: of each channel over ``train``, in the units of the images, float32 ``[C]``.
        std: its standard deviation, float32 ``[C]``; 1 where a channel is constant.
        classes: how many labels there are.
        class_names: one for each, where they have names.
        notes: what there is to say of how the data was taken, a line each; see `jaxnas.tasks.Tells`.
    """

    train: Examples
    held_out: Examples
    mean: Any
    std: Any
    classes: int
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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
            "range": [self.train.images.min().item(), self.train.images.max().item()],
            "dtype": str(self.train.images.dtype),
            "layout": "NHWC",
            "class_names": list(self.class_names) or None,
        }

    def batch(self, rows: Examples, weights: Array) -> Batch:
        """Images and labels."""
        return Batch(rows.images, rows.labels, weights)


def prepare(
    images: UInt8[Array, "B H W C"] | Float32[Array, "B H W C"], data: Data, augment: Augment, key: Array | None
) -> Float[Array, "B H W C"]:
    """Mean 0 and standard deviation 1 in each channel of the training data, or in each image where ``augment`` whitens;
    augmented where a key is given.
    """
    x = images.astype(jnp.float32)
    x = whitened(x) if augment.whiten else (x - data.mean) / data.std
    return x if key is None else augment(x, key)


def cross_entropy(logits: Float[Array, "B K"], labels: Int[Array, " B"], smoothing: float = 0.0) -> Float[Array, " B"]:
    """Cross-entropy in nats between what the network says and 1 - smoothing on the label, the rest spread evenly over
    all K classes.

    References:
        Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016, section 7
        (https://arxiv.org/abs/1512.00567).
    """
    if smoothing == 0:
        return losses.cross_entropy(logits, labels)
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[1]), smoothing))


def accuracy(logits: Float[Array, "B K"], labels: Int[Array, " B"]) -> Float[Array, " B"]:
    """1 where the greatest logit is the label's, else 0."""
    return (logits.argmax(-1) == labels).astype(jnp.float32)


def assemble(train: Examples, held_out: Examples, classes: int, class_names: tuple[str, ...] = ()) -> Data:
    """The two sets with the normalisation of the first."""
    mean, std = (_moments if train.images.dtype == np.uint8 else _moments_of_floats)(train.images)
    return Data(train, held_out, np.float32(mean), np.float32(np.where(std > 0, std, 1.0)), classes, class_names)


def _moments(images: UInt8[np.ndarray, "M H W C"]) -> tuple[Float64[np.ndarray, " C"], Float64[np.ndarray, " C"]]:
    """Mean and standard deviation of each channel, from a histogram: numpy's std takes 8 bytes a pixel and 20 times as
    long.
    """
    counts = np.zeros((images.shape[-1], 256), np.int64)
    for some in np.array_split(images, len(images) // 1000 + 1):  # bincount works on an int64 copy: keep it small
        for channel, count in enumerate(counts):
            count += np.bincount(some[..., channel].ravel(), minlength=256)
    shares = counts / counts.sum(1, keepdims=True)
    mean = shares @ np.arange(256)
    return mean, np.sqrt((shares * (np.arange(256) - mean[:, None]) ** 2).sum(1))


def _moments_of_floats(
    images: Float32[np.ndarray, "M H W C"],
) -> tuple[Float64[np.ndarray, " C"], Float64[np.ndarray, " C"]]:
    """The same of floats; where a channel differs from its mean by no more than rounding, its deviation is 0."""
    pixels = math.prod(images.shape[:3])
    mean = sum(part.sum((0, 1, 2), dtype=np.float64) for part in shapes.chunks(images)) / pixels
    squares = sum(((part - mean) ** 2).sum((0, 1, 2)) for part in shapes.chunks(images)) / pixels
    std = np.sqrt(squares)
    return mean, np.where(std > np.finfo(np.float32).eps * np.abs(mean), std, 0.0)
