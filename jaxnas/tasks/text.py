"""Language modelling: predict the next character or word of a text.

Letters: M symbols, B streams, U steps of a chunk, V symbols of the vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxnas.outcome import Measure
from jaxnas.ranges import Limit, Range, Share
from jaxnas.settings import settings
from jaxnas.tasks import losses
from jaxnas.tasks.batches import Batch
from jaxnas.tasks.corpus import SHAKESPEARE, Part, Unit, check_shares, check_test, read
from jaxnas.tasks.scores import picked
from jaxnas.tasks.streams import Passage, TextData
from jaxnas.tasks.supervision import Loss, own_functions, scored
from jaxnas.tasks.vocabulary import Vocabulary

TextScore = Annotated[
    Literal["accuracy"] | Callable[..., Any] | None, picked({"accuracy": None}, "perplexity, or bits of characters")
]


@settings
class Text:
    """The next symbol of a text, from those before it.

    Attributes:
        source: "shakespeare", a text that comes with jaxnas; a path to a text file; a path to a folder with files for
            training, validation and test, such as Penn Treebank's; or ``tfds:NAME``, a set of TensorFlow Datasets.
        unit: what a symbol is: "characters" or "words".
        unroll: symbols of a chunk, through which gradients run; what a network remembers goes on in the next chunk.
        vocabulary: so many of the most frequent symbols of the training text, the others are <unk>; None: all.
        validation: share of one text that a search holds out, behind what is learnt from.
        test: share of one text that final training alone reads, at its end.
        tfds_dir: where TensorFlow Datasets keeps its sets; None: its own default.
        limit: learn from the first so many symbols only; None: all.
        loss: a JAX function (logits ``[B, U, V]``, labels ``[B, U]``) -> loss of each ``[B, U]``, in place of
            cross-entropy.
        score: None: the log-probability of a symbol, read as perplexity or bits; "accuracy": the share of symbols that
            are predicted rightly; or a function (logits ``[M, V]``, labels ``[M]``) of numpy arrays -> a number,
            higher is better, over the whole held-out text.
    """

    source: str = SHAKESPEARE
    unit: Unit = "characters"
    unroll: Annotated[int, Range(1, 100_000)] = 32
    vocabulary: Limit | None = None
    validation: Share = 0.1
    test: Share = 0.1
    tfds_dir: str | None = None
    limit: Limit | None = None
    loss: Loss = None
    score: TextScore = None

    def __post_init__(self):
        check_shares(self.validation, self.test)
        own_functions(self)

    @property
    def measure(self) -> Measure:
        """How a score is reported."""
        if self.score is not None:
            return Measure.NUMBER if self.whole else Measure.SCORE
        return Measure.BITS if self.unit == "characters" else Measure.PERPLEXITY

    def search_data(self, seed: int) -> TextData:
        """Training and validation text, the same for every seed; the test text is not read.

        Raises:
            ValueError: no such text, or an unusable one; the message says what was found and what is needed.
        """
        del seed
        vocabulary, train = self._learnt()
        return self._data(vocabulary, train, vocabulary.encode(self._read("validation")))

    def final_data(self, seed: int) -> TextData:
        """Training and validation text in one, with the search's vocabulary; held out: the test text.

        Raises:
            ValueError: as `search_data` does.
        """
        del seed
        vocabulary, train = self._learnt()
        train = np.concatenate([train, vocabulary.encode(self._read("validation"))])
        return self._data(vocabulary, train, vocabulary.encode(self._read("test")))

    def check_final(self) -> None:
        """Raises ValueError where there is no test text. A file or split of its own is not read."""
        check_test(self.source, self.unit, self.validation, self.test, self.tfds_dir)

    def _learnt(self) -> tuple[Vocabulary, Int[np.ndarray, " M"]]:
        """The vocabulary of the training text, and the text in its numbers."""
        symbols = self._read("train")[: self.limit]
        vocabulary = Vocabulary.of(symbols, self.unit, self.vocabulary)
        return vocabulary, vocabulary.encode(symbols)

    def _read(self, part: Part) -> Sequence[str]:
        return read(self.source, self.unit, part, self.validation, self.test, self.tfds_dir)

    def _data(self, vocabulary: Vocabulary, train, held_out) -> TextData:
        if len(held_out) < 2:
            raise ValueError(f"{self.source}: {len(held_out)} symbol is held out, and 2 are needed: give more text")
        return TextData(Passage(train), Passage(held_out), self.unroll, vocabulary.symbols, self.unit)

    def inputs(self, examples: Int[Array, "B U"], data: TextData, key: Array | None = None) -> Int[Array, "B U"]:
        """The symbols, as they are."""
        return examples

    def losses(self, logits: Float[Array, "B U V"], labels: Int[Array, "B U"]) -> Float[Array, "B U"]:
        """Of each prediction: cross-entropy in nats, or the user's."""
        return (self.loss or losses.cross_entropy)(logits, labels)

    def scores(self, logits: Float[Array, "B U V"], labels: Int[Array, "B U"]) -> Float[Array, "B U"]:
        """Log-probability of each symbol, in nats, whose mean over a text is minus the logarithm of its perplexity; or
        1 where a symbol is predicted rightly, else 0.
        """
        if self.score == "accuracy":
            return jnp.float32(logits.argmax(-1) == labels)
        return -losses.cross_entropy(logits, labels)

    @property
    def whole(self) -> bool:
        """See `jaxnas.tasks.ScoresWhole`."""
        return callable(self.score)

    @property
    def cross_entropy(self) -> bool:
        """See `jaxnas.tasks.SaysCrossEntropy`."""
        return self.loss is None

    def check_score(self, held_out: Batch, data: TextData) -> None:
        """A function of the user's is asked when there are outputs."""

    def whole_score(self, outputs, held_out: Batch, data: TextData) -> float:
        """What the user's function gives."""
        return scored(self.score, outputs, held_out.labels)
