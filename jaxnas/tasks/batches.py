"""What one step of training or scoring reads.

Letters: B batch.
"""

from typing import Any, NamedTuple

from jaxtyping import Array


class Batch(NamedTuple):
    """examples: ``[B, ...]``, as stored; labels: ``[B, ...]``; weights: 1 or True for each label that counts, 0 for
    filling, shaped as the labels.
    """

    examples: Any
    labels: Array
    weights: Array
