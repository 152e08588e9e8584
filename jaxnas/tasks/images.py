"""Any set of labelled images: an .npz in Keras's layout, a folder of idx files, or TensorFlow Datasets by name."""

from dataclasses import dataclass, field

from jaxnas.tasks import readers
from jaxnas.tasks.classification import Augment, Data, accuracy, assemble, cross_entropy, prepare, split_validation


@dataclass(frozen=True)
class Images:
    """Image classification on the user's own data.

    Attributes:
        source: a path to an .npz file with x_train, y_train, x_test and y_test (Keras's layout), a path to a folder of
            idx files (MNIST's layout, gzipped or not), or ``tfds:NAME``, a TensorFlow Datasets set.
        validation: share of the training data that a search holds out.
        augment: changes of the training batches.
        tfds_dir: where TensorFlow Datasets keeps its sets; None: its own default.
        limit: use only the first so many training examples; None: all.
    """

    source: str
    validation: float = 0.1
    augment: Augment = field(default_factory=Augment)
    tfds_dir: str | None = None
    limit: int | None = None

    def search_data(self, seed: int) -> Data:
        """Training and validation data, split by ``seed``; the test data is not read.

        Raises:
            ValueError: no such data, or data of an unusable form; the message says what was found and what is needed.
        """
        train = self._train()
        return split_validation(train, self.validation, seed, readers.classes(train, self.source))

    def final_data(self, seed: int) -> Data:
        """All training data; held out: the test data. Raises ValueError as `search_data` does."""
        del seed
        train = self._train()
        test = readers.read(self.source, "test", self.tfds_dir)
        readers.check_alike(train, test, self.source)
        return assemble(train, test, readers.classes(train, self.source))

    def _train(self):
        train = readers.read(self.source, "train", self.tfds_dir)
        return train if self.limit is None else train[: self.limit]

    def inputs(self, images, data: Data, key=None):
        """Normalised float32 ``[B, H, W, C]``; augmented where a key is given."""
        return prepare(images, data, self.augment, key)

    def loss(self, logits, labels):
        """Cross-entropy of each example ``[B]``, in nats."""
        return cross_entropy(logits, labels)

    def score(self, logits, labels):
        """1 for each example that is classified rightly, else 0, ``[B]``."""
        return accuracy(logits, labels)
