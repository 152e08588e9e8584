"""Handwritten digits, 8x8 pixels: the task that needs no download.

References:
    Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, 1998 (https://doi.org/10.24432/C50P49): the 1,797
    images that scikit-learn ships as `sklearn.datasets.load_digits`.
"""

from dataclasses import field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxnas.ranges import Part, Share
from jaxnas.settings import settings
from jaxnas.tasks.classification import (
    Augment,
    Data,
    Examples,
    assemble,
    prepare,
)
from jaxnas.tasks.splits import TEST_SEED, split_validation
from jaxnas.tasks.supervision import Classified, ClassScore, Loss

TEST_SHARE = 0.2
NAMES = tuple("0123456789")


@settings
class Digits(Classified):
    """The 1,797 digits: 1,438 to learn from, of which a share validates, and 359 for the test.

    Attributes:
        validation: share of the training data that a search holds out.
        augment: changes of the training batches; none by default.
        label_smoothing: share of a label that the loss spreads evenly over all classes.
        loss: a JAX function (logits ``[B, K]``, labels ``[B]``) -> loss of each ``[B]``, in place of cross-entropy.
        score: "accuracy" (None), "f1" (macro), "auc", "log-loss", or a function (logits ``[M, K]``, labels ``[M]``) of
            numpy arrays -> a number, higher is better, over all held-out examples.
    """

    validation: Part = 0.25
    augment: Augment = field(default_factory=Augment)
    label_smoothing: Share = 0.0
    loss: Loss = None
    score: ClassScore = None

    def search_data(self, seed: int) -> Data:
        """Training and validation data, split by ``seed``."""
        return split_validation(_digits()[0], self.validation, seed, classes=10, class_names=NAMES)

    def final_data(self, seed: int) -> Data:
        """All training data; held out: the test data, the same for every seed."""
        del seed
        return assemble(*_digits(), classes=10, class_names=NAMES)

    def inputs(self, examples, data: Data, key=None):
        """Normalised float32 ``[B, H, W, C]``; augmented where a key is given."""
        return prepare(examples, data, self.augment, key)


def _digits() -> tuple[Examples, Examples]:
    """Training and test examples; grey levels 0..16."""
    rows = _rows()
    everything = Examples(rows[:, :-1].reshape(-1, 8, 8, 1).astype(np.uint8), rows[:, -1].astype(np.int32))
    order = np.random.default_rng(TEST_SEED).permutation(len(everything))
    tests = round(TEST_SHARE * len(everything))
    return everything[order[tests:]], everything[order[:tests]]


def _rows() -> Float[np.ndarray, "1797 65"]:
    """64 pixels and a label each, from the file that scikit-learn ships: to import it takes a second."""
    file = Path(find_spec("sklearn").origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # which knows where it is by now

    return np.column_stack(load_digits(return_X_y=True))
