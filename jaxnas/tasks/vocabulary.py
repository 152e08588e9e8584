"""Symbols as numbers. Letters: V symbols of the vocabulary, M symbols of a text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int32

from jaxnas.tasks.corpus import EOS, Unit

UNK = "<unk>"


@dataclass(frozen=True)
class Vocabulary:
    """The symbols that a child knows; a symbol's place is its number.

    Attributes:
        symbols: ``[V]``, all different; the first is "<unk>", which stands for all that are not among them.
        unit: "characters" or "words".
    """

    symbols: tuple[str, ...]
    unit: Unit

    def __post_init__(self):
        if self.symbols[:1] != (UNK,) or len(set(self.symbols)) < len(self.symbols):
            raise ValueError(f"symbols {_shown(self.symbols)}: give {UNK!r}, then other symbols, each once")
        if self.unit == "characters" and any(len(symbol) != 1 for symbol in self.symbols[1:]):
            raise ValueError(f"symbols {_shown(self.symbols)} are no single characters: give unit='words'")

    @classmethod
    def of(cls, symbols: Sequence[str], unit: Unit, size: int | None = None) -> "Vocabulary":
        """The most frequent symbols of a text, by falling frequency and, where that is equal, by code point.

        Args:
            symbols: ``[M]``, as `corpus.read` gives them. "<unk>" as a word of the text is the vocabulary's "<unk>".
            unit: as it was read.
            size: V, with "<unk>"; None, or more than there are: all.

        Raises:
            ValueError: a size below 2, or a text without two different symbols, in which nothing can be predicted.
        """
        if size is not None and size < 2:
            raise ValueError(
                f"a vocabulary of size {size}: give at least 2, {UNK!r} among them, or None for all symbols"
            )
        counts = Counter(symbols)
        if len(counts) < 2:
            raise ValueError(
                f"a text of the symbols {_shown(tuple(counts))} alone: nothing can be predicted: give a text with at "
                "least two different ones"
            )
        del counts[UNK]
        ordered = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
        return cls((UNK, *ordered[: None if size is None else size - 1]), unit)

    def __len__(self) -> int:
        """V."""
        return len(self.symbols)

    def encode(self, symbols: Sequence[str]) -> Int32[np.ndarray, " M"]:
        """The numbers of symbols; 0, "<unk>", for one that is not in the vocabulary."""
        numbers = {symbol: i for i, symbol in enumerate(self.symbols)}
        if self.unit == "words":
            return np.fromiter((numbers.get(symbol, 0) for symbol in symbols), np.int32, len(symbols))
        points = np.frombuffer("".join(symbols).encode("utf-32-le"), np.uint32)
        table = np.zeros(0x110000, np.int32)  # a number for each code point
        for symbol, number in list(numbers.items())[1:]:
            table[ord(symbol)] = number
        return table[points]

    def decode(self, numbers: Int[np.ndarray, " M"]) -> str:
        """The text: words with blanks between them and lines that end at "<eos>", or characters as they are.

        Raises:
            ValueError: a number that no symbol has.
        """
        beyond = numbers[(numbers < 0) | (numbers >= len(self))]
        if len(beyond):
            raise ValueError(f"number {beyond[0]}: there are symbols 0 to {len(self) - 1}: encode with this vocabulary")
        symbols = [self.symbols[i] for i in numbers.tolist()]
        if self.unit == "characters":
            return "".join(symbols)
        return " ".join("\n" if s == EOS else s for s in symbols).replace(" \n", "\n").replace("\n ", "\n")


def _shown(symbols: tuple[str, ...]) -> str:
    return repr(list(symbols[:5]))
