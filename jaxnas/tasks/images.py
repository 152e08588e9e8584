"""Any set of labelled images: an .npz in Keras's layout, folders of pictures or idx files, or TensorFlow Datasets."""

from dataclasses import field, replace
from typing import Annotated, Literal

from jaxnas.ranges import Limit, Part, Range, Share
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
from jaxnas.tasks.supervision import Classified, ClassScore, Loss

Side = Annotated[int, Range(1, 10_000)]
"""Of a picture, in pixels."""


@settings
class Images(Classified):
    """Image classification on the user's own data.

    Attributes:
        source: a path to an .npz file with x_train, y_train, x_test and y_test (Keras's layout) and, where the classes
            have names, class_names; a path to a folder of pictures, ``train/CLASS/*.png`` and ``test/CLASS/*.png`` or
            ``CLASS/*.png`` alone; a path to a folder of idx files (MNIST's layout, gzipped or not); or ``tfds:NAME``,
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
        size: pixels of a side, or (height, width), to which pictures are stretched; None: all have the same size.
        colour: "rgb" or "grey", to which pictures are converted; None: grey where all to learn from are, else rgb. What
            is not opaque lies on white, 16 bits become 8.
    """

    source: str
    validation: Part = 0.1
    augment: Augment = field(default_factory=Augment)
    tfds_dir: str | None = None
    limit: Limit | None = None
    label_smoothing: Share = 0.0
    test: Part | None = None
    size: Side | tuple[Side, Side] | None = None
    colour: Literal["rgb", "grey"] | None = None
    loss: Loss = None
    score: ClassScore = None

    def search_data(self, seed: int) -> Data:
        """Training and validation data, split by ``seed``; the test data is not read.

        Raises:
            ValueError: no such data, or data of an unusable form; the message says what was found and what is needed.
        """
        read, _ = self._read()
        data = split_validation(self._limited(read), self.validation, seed, read.labels.classes, read.names)
        return replace(data, notes=read.notes)

    def final_data(self, seed: int) -> Data:
        """All training data; held out: the test data. Raises ValueError as `search_data` does."""
        del seed
        self.check_final()
        read, test = self._read()
        if test is None:
            test = readers.test(self._source(), read, self.source)
        return replace(assemble(self._limited(read), test, read.labels.classes, read.names), notes=read.notes)

    def check_final(self) -> None:
        """Raises ValueError where there is no test data. None is read."""
        if self.test is None and not self._source().has_test():
            raise ValueError(
                f"{self.source} has no test data, which a final training is scored on: add x_test and y_test (idx "
                "files: t10k-...; pictures: test/CLASS/*.png; TensorFlow Datasets: a split test), or keep a share of "
                "the examples for it: --task.test 0.1"
            )

    def _source(self) -> readers.Source:
        size = (self.size, self.size) if isinstance(self.size, int) else self.size
        return readers.opened(self.source, self.tfds_dir, size, self.colour)

    def _read(self) -> tuple[readers.Training, Examples | None]:
        """What is learnt from, and what is kept of it for the test, where it is."""
        source = self._source()
        read = readers.training(source, self.source)
        if self.test is None:
            return read, None
        if source.has_test():
            raise ValueError(f"test={self.test}: {self.source} has test data of its own: leave test at None")
        train, test = split(read.examples, self.test, key_for(TEST_SEED, "test"), read.labels.classes, "test")
        return replace(read, examples=train), test

    def _limited(self, read: readers.Training) -> Examples:
        return read.examples if self.limit is None else limited(read.examples, self.limit, read.labels.classes)

    def inputs(self, examples, data: Data, key=None):
        """Normalised float32 ``[B, H, W, C]``; augmented where a key is given."""
        return prepare(examples, data, self.augment, key)
