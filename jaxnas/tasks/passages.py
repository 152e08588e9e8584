"""Classes of texts: whose, of what kind, in which mood.

Letters: M texts, U symbols of a text, B batch, K classes.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
from jaxtyping import Array, Int, Int32

from jaxnas.inputs import Inputs
from jaxnas.ranges import Limit, Part, Range, Share
from jaxnas.rng import key_for
from jaxnas.settings import settings
from jaxnas.tasks.batches import Batch
from jaxnas.tasks.corpus import SHAKESPEARE, Unit, shakespeare
from jaxnas.tasks.rows import Rows
from jaxnas.tasks.sheet import RawTable, Sheet, named, of_csv
from jaxnas.tasks.shuffled import Shuffled
from jaxnas.tasks.splits import TEST_SEED, limited, split
from jaxnas.tasks.supervision import Classified, ClassScore, Loss
from jaxnas.tasks.table_files import class_names, classes

FILLING, UNKNOWN = "<fill>", "<unk>"
"""The first two symbols of a vocabulary."""
UNKNOWN_SYMBOL = 1
"""The number of the second, also of a symbol that the vocabulary has and no text that is learnt from."""
SECOND_PLAY = "Now is the winter of our discontent"
MOST_CLASSES = 1000
NAMES = {
    "text": ("text", "review", "sentence", "message", "body", "content"),
    "label": ("label", "class", "target", "sentiment"),
}
"""What the columns are usually called, in small letters."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["train", "held_out"],
    meta_fields=["vocabulary", "unit", "class_names"],
)
@dataclass(frozen=True)
class PassageData(Shuffled):
    """What one training reads.

    Attributes:
        train: what children learn from: symbols by number ``[M, U]``, 0 behind the end of a text.
        held_out: validation texts in a search, test texts in final training.
        vocabulary: all symbols of the training texts, after filling and unknown ones.
        unit: "characters" or "words".
        class_names: what the classes are called.
    """

    train: Rows
    held_out: Rows
    vocabulary: tuple[str, ...]
    unit: str
    class_names: tuple[str, ...]

    @property
    def classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def input_shape(self) -> Inputs:
        """(U,): symbols of so many."""
        return Inputs(self.train.examples.shape[1:], "passage", (len(self.vocabulary),))

    def facts(self) -> dict:
        """What tells this data from other, and what a trained network needs of it, as JSON values."""
        return self.input_shape.facts() | {
            "classes": self.classes,
            "train": len(self.train),
            "held_out": len(self.held_out),
            "vocabulary": list(self.vocabulary),
            "unit": self.unit,
            "class_names": list(self.class_names),
        }

    def batch(self, rows: Rows, weights: Array) -> Batch:
        """Symbols and classes."""
        return Batch(rows.examples, rows.labels, weights)


@settings
class TextClassification(Classified):
    """The class of a text.

    Attributes:
        source: a CSV file with a heading, a text and its class in each row; or "shakespeare": which of two plays,
            Coriolanus or Richard III, a speech is from.
        text: the column of texts; None: the one that is called so, as "text" or "review".
        label: of classes; None: the one that is called so, as "label", or else the last other.
        unit: what a symbol is: "characters" or "words" (in small letters, without signs).
        length: symbols of a text that are read, U; shorter ones are filled up.
        vocabulary: so many of the most frequent symbols of the training texts, filling and unknown ones among them;
            None: all of them.
        validation: share of each class of the training data that a search holds out.
        test: share of each class that final training alone reads, the same in every experiment.
        limit: learn from and validate on so many texts only; None: all.
        label_smoothing: share of a label that the loss spreads evenly over all classes.
        loss: a JAX function (logits ``[B, K]``, labels ``[B]``) -> loss of each ``[B]``, in place of cross-entropy.
        score: "accuracy" (None), "f1" (macro), "auc", "log-loss", or a function (logits ``[M, K]``, labels ``[M]``) of
            numpy arrays -> a number, higher is better, over all held-out texts.
    """

    source: str = SHAKESPEARE
    text: str | None = None
    label: str | None = None
    unit: Unit = "words"
    length: Annotated[int, Range(1, 100_000)] = 64
    vocabulary: Annotated[int, Range(3, 10**7)] | None = 5000
    validation: Part = 0.2
    test: Part = 0.2
    limit: Limit | None = None
    label_smoothing: Share = 0.0
    loss: Loss = None
    score: ClassScore = None

    def search_data(self, seed: int) -> PassageData:
        """Training and validation texts, split by ``seed``; of test texts nothing is learnt.

        Raises:
            ValueError: no such file, or an unusable one; the message says what was found and what is needed.
        """
        sheet, _, names = self._parts()
        train, held_out = self._split(sheet, names, self.validation, key_for(seed, "split"), "validation")
        return self._data(sheet, train, held_out, names)

    def final_data(self, seed: int) -> PassageData:
        """All training texts; held out: the test texts. Raises ValueError as `search_data` does."""
        del seed
        train, test, names = self._parts()
        return self._data(train, train, test, names)

    def inputs(self, examples: Int[Array, "B U"], data: PassageData, key=None) -> Int[Array, "B U"]:
        """Symbols by number, as they are."""
        del data, key
        return examples

    def _parts(self) -> tuple[Sheet, Sheet, tuple[str, ...]]:
        """Texts to learn from, test texts, and the names of the classes."""
        sheet = self._read()
        names = class_names(sheet, MOST_CLASSES)
        train, test = self._split(sheet, names, self.test, key_for(TEST_SEED, "test"), "test")
        if self.limit is not None:
            train = train[limited(Rows(np.arange(len(train)), classes(train, names)), self.limit, len(names)).examples]
        return train, test, names

    def _split(self, sheet: Sheet, names, share: float, key: jax.Array, name: str) -> tuple[Sheet, Sheet]:
        rows = Rows(np.arange(len(sheet)), classes(sheet, names))
        return tuple(sheet[np.sort(part.examples)] for part in split(rows, share, key, len(names), name, names))

    def _read(self) -> Sheet:
        """One column of texts, and their classes."""
        if self.source == SHAKESPEARE:
            return _speeches()
        path = Path(os.path.expanduser(self.source))
        if not path.is_file():
            raise ValueError(
                f"no texts at {self.source!r}: give a CSV file with a heading such as text,label, or {SHAKESPEARE!r}"
            )
        table = of_csv(path)
        text = named("text", self.text, table.names, NAMES["text"], path)
        others = [name for name in table.names if name != text]
        known = [name for name in others if name.lower() in NAMES["label"]] or others[-1:]
        label = named("label", self.label, others, {n.lower() for n in known}, path)
        return table.sheet(label, [name for name in others if name != label], (text,))

    def _data(self, known: Sheet, train: Sheet, held_out: Sheet, names: tuple[str, ...]) -> PassageData:
        """The vocabulary is that of ``known``, all texts that may be learnt from."""
        counts = Counter(symbol for text in _symbols(known, self.unit, self.length) for symbol in text)
        ordered = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
        vocabulary = (FILLING, UNKNOWN, *ordered[: None if self.vocabulary is None else self.vocabulary - 2])
        of = lambda sheet: numbered(_symbols(sheet, self.unit, self.length), vocabulary, self.length)
        learnt, asked = of(train), of(held_out)
        asked = np.where(np.isin(asked, learnt), asked, UNKNOWN_SYMBOL * (asked > 0))
        parts = Rows(learnt, classes(train, names)), Rows(asked.astype(np.int32), classes(held_out, names))
        return PassageData(*parts, vocabulary, self.unit, names)


def symbols(text: str, unit: Unit, length: int) -> list[str]:
    """The first symbols of a text."""
    return list(text[:length]) if unit == "characters" else re.findall(r"\w+(?:'\w+)*", text.lower())[:length]


def _symbols(sheet: Sheet, unit: Unit, length: int) -> list[list[str]]:
    """The first symbols of each text."""
    return [symbols(text or "", unit, length) for text in sheet.columns[0].tolist()]


def numbered(texts: Sequence[Sequence[str]], vocabulary: tuple[str, ...], length: int) -> Int32[np.ndarray, "M U"]:
    """Symbols by their place in the vocabulary."""
    number, found = {symbol: i for i, symbol in enumerate(vocabulary)}, np.zeros((len(texts), length), np.int32)
    for row, text in zip(found, texts, strict=True):
        row[: len(text)] = [number.get(symbol, 1) for symbol in text]
    return found


def _speeches() -> Sheet:
    """See `TextClassification.source`; without the names of who speaks."""
    whole = shakespeare()
    parts = whole.split("\n\n")
    second = next(i for i, part in enumerate(parts) if SECOND_PLAY in part)
    speeches = [part.partition(":\n")[2] for part in parts]
    plays = ["Coriolanus" if i < second else "Richard III" for i in range(len(parts))]
    there = [i for i, speech in enumerate(speeches) if speech.strip()]
    cells = [[speeches[i] for i in there], [plays[i] for i in there]]
    return RawTable(("text", "play"), cells, np.array(there), SHAKESPEARE, "speech").sheet("play", (), ("text",))
