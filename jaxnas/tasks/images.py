"""Any set of labelled images: an .npz in Keras's layout, a folder of idx files, or TensorFlow Datasets by name."""

from dataclasses import field

from jaxnas.ranges import Limit, Part, Share
from jaxnas.rng import key_for
from jaxnas.settings import settings
from jaxnas.tasks import readers
from jaxnas.tasks.classification import (
    Augment,
    Data,
    Examples,
    assemble,
    prepare,
)
from jaxnas.tasks.splits import TEST_SEED, limited, split, split_validation
from jaxnas.tasks.supervision import Classes, ClassScore, Loss, Supervised


@settings
class Images(Supervised):
    """Image classification on the user's own data.

    Attributes:
        source: a path to an .npz file with x_train, y_train, x_test and y_test (Keras's layout) and, where the classes
            have names, class_names; a path to a folder of idx files (MNIST's layout, gzipped or not); or ``tfds:NAME``,
            a TensorFlow Datasets set.
        validation: share of each class of the training data that a search holds out.
        augment: changes of the training batches.
        tfds_dir: where TensorFlow Datasets keeps its sets; None: its own default.
        limit: learn from and validate on so many training examples only, the first of each class in its share; None:
            all.
        label_smoothing: share of a label that the loss spreads evenly over all classes.
        test: of data without a test part, this share of each class is kept for it, the same in every experiment; None:
            the data has a test part, or there will be no final training.
        loss: a JAX function (logits ``[B, K]``, labels ``[B]``) -> loss of each ``[B]``, in place of cross-entropy.
        score: "accuracy" (None), "f1" (macro), "auc", "log-loss", or a function (logits ``[M, K]``, labels ``[M]``) of
            numpy arrays -> a number, higher is better, over all held-out examples.
    """

    source: str
    validation: Part = 0.1
    augment: Augment = field(default_factory=Augment)
    tfds_dir: str | None = None
    limit: Limit | None = None
    label_smoothing: Share = 0.0
    test: Part | None = None
    loss: Loss = None
    score: ClassScore = None

    @property
    def supervision(self) -> Classes:
        """Classes, with these settings."""
        return Classes(self.loss, self.score, self.label_smoothing)

    def search_data(self, seed: int) -> Data:
        """Training and validation data, split by ``seed``; the test data is not read.

        Raises:
            ValueError: no such data, or data of an unusable form; the message says what was found and what is needed.
        """
        train, classes, names, _ = self._read()
        return split_validation(self._limited(train, classes), self.validation, seed, classes, names)

    def final_data(self, seed: int) -> Data:
        """All training data; held out: the test data. Raises ValueError as `search_data` does."""
        del seed
        self.check_final()
        train, classes, names, test = self._read()
        if test is None:
            test = readers.read(self.source, "test", self.tfds_dir)
            readers.check_alike(train, test, classes, self.source)
        return assemble(self._limited(train, classes), test, classes, names)

    def check_final(self) -> None:
        """Raises ValueError where there is no test data. None is read."""
        if self.test is None and not readers.has_test(self.source, self.tfds_dir):
            raise ValueError(
                f"{self.source} has no test data, which a final training is scored on: add x_test and y_test (idx "
                "files: t10k-...; TensorFlow Datasets: a split test), or keep a share of the examples for it: "
                "--task.test 0.1"
            )

    def _read(self) -> tuple[Examples, int, tuple[str, ...], Examples | None]:
        """Examples to learn from, the number of classes, their names, and what is kept for the test, where it is."""
        train = readers.read(self.source, "train", self.tfds_dir)
        classes = readers.classes(train, self.source)
        names = readers.class_names(self.source, classes, self.tfds_dir)
        if self.test is None:
            return train, classes, names, None
        if readers.has_test(self.source, self.tfds_dir):
            raise ValueError(f"test={self.test}: {self.source} has test data of its own: leave test at None")
        train, test = split(train, self.test, key_for(TEST_SEED, "test"), classes, "test")
        return train, classes, names, test

    def _limited(self, train: Examples, classes: int) -> Examples:
        return train if self.limit is None else limited(train, self.limit, classes)

    def inputs(self, examples, data: Data, key=None):
        """Normalised float32 ``[B, H, W, C]``; augmented where a key is given."""
        return prepare(examples, data, self.augment, key)
