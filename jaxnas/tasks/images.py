"""Any set of labelled images: an .npz in Keras's layout, a folder of idx files, or TensorFlow Datasets by name."""

from dataclasses import field

from jaxnas.ranges import Limit, Part, Share
from jaxnas.settings import settings
from jaxnas.tasks import readers
from jaxnas.tasks.classification import (
    Augment,
    Data,
    Examples,
    accuracy,
    assemble,
    cross_entropy,
    prepare,
    split_validation,
)


@settings
class Images:
    """Image classification on the user's own data.

    Attributes:
        source: a path to an .npz file with x_train, y_train, x_test and y_test (Keras's layout), a path to a folder of
            idx files (MNIST's layout, gzipped or not), or ``tfds:NAME``, a TensorFlow Datasets set.
        validation: share of the training data that a search holds out.
        augment: changes of the training batches.
        tfds_dir: where TensorFlow Datasets keeps its sets; None: its own default.
        limit: learn from and validate on the first so many training examples only; None: all.
        label_smoothing: share of a label that the loss spreads evenly over all classes.
    """

    source: str
    validation: Part = 0.1
    augment: Augment = field(default_factory=Augment)
    tfds_dir: str | None = None
    limit: Limit | None = None
    label_smoothing: Share = 0.0

    def search_data(self, seed: int) -> Data:
        """Training and validation data, split by ``seed``; the test data is not read.

        Raises:
            ValueError: no such data, or data of an unusable form; the message says what was found and what is needed.
        """
        train, classes = self._train()
        return split_validation(train, self.validation, seed, classes)

    def final_data(self, seed: int) -> Data:
        """All training data; held out: the test data. Raises ValueError as `search_data` does."""
        del seed
        train, classes = self._train()
        test = readers.read(self.source, "test", self.tfds_dir)
        readers.check_alike(train, test, classes, self.source)
        return assemble(train, test, classes)

    def _train(self) -> tuple[Examples, int]:
        """The examples to learn from and the number of classes, which ``limit`` leaves as it is."""
        train = readers.read(self.source, "train", self.tfds_dir)
        classes = readers.classes(train, self.source)
        some = train[: self.limit]
        if (some.labels == some.labels[0]).all():
            raise ValueError(
                f"{self.source}: the first {len(some)} examples (limit={self.limit}) all have label {some.labels[0]}: "
                "give a greater limit, or a file whose examples are shuffled"
            )
        return some, classes

    def inputs(self, examples, data: Data, key=None):
        """Normalised float32 ``[B, H, W, C]``; augmented where a key is given."""
        return prepare(examples, data, self.augment, key)

    def loss(self, logits, labels):
        """Cross-entropy of each example ``[B]``, in nats."""
        return cross_entropy(logits, labels, self.label_smoothing)

    def score(self, logits, labels):
        """1 for each example that is classified rightly, else 0, ``[B]``."""
        return accuracy(logits, labels)
