"""Tasks: what a child is trained on. A task owns data, loss and score.

Letters: M examples, B batch, H W C height, width and channels of an image, K classes.
"""

from typing import Protocol, runtime_checkable

from jaxnas.tasks.classification import Data, Examples
from jaxnas.tasks.digits import Digits
from jaxnas.tasks.images import Images

TASKS = {"Digits": Digits, "Images": Images}
"""Every task of the library by name."""


@runtime_checkable
class Task(Protocol):
    """A frozen dataclass of settings with these functions; see `Digits`."""

    def search_data(self, seed: int) -> Data:
        """Training and validation data, split by ``seed``. Never reads test data."""

    def final_data(self, seed: int) -> Data:
        """Training and validation data together, and held out: the test data. Only final training calls this."""

    def inputs(self, images, data: Data, key=None):
        """uint8 images ``[B, H, W, C]`` -> float32 inputs; augmented where a key is given (it is consumed)."""

    def loss(self, logits, labels):
        """``[B, K]``, ``[B]`` -> loss of each example ``[B]``."""

    def score(self, logits, labels):
        """``[B, K]``, ``[B]`` -> score of each example ``[B]``, in [0, 1]; its mean is the child's score."""


__all__ = ["TASKS", "Data", "Digits", "Examples", "Images", "Task"]
