"""Examples as rows of numbers, each with a label. Letters: M rows, C columns."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax


@partial(jax.tree_util.register_dataclass, data_fields=["examples", "labels"], meta_fields=[])
@dataclass(frozen=True)
class Rows:
    """examples: ``[M, C]``; labels: ``[M]``, classes int32, numbers float32 in their own unit. Numpy as read, JAX
    arrays once on the device.
    """

    examples: Any  # JAX also builds this class around shapes alone, so the fields of a pytree have no checked types
    labels: Any

    def __len__(self) -> int:
        return self.labels.shape[0]

    def __getitem__(self, index) -> "Rows":
        return Rows(self.examples[index], self.labels[index])
