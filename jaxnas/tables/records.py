"""A table bound to a space: what is known of each architecture, found by its tokens.

Letters: R rows, N samples, T decisions, I addresses: all combinations of tokens.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxnas.decisions import Decisions, Tokens
from jaxnas.tables.files import read_columns

MOST_ADDRESSES = 2**26


@dataclass(frozen=True, eq=False)
class Records:
    """One row an architecture; NaN where a value is not known.

    Attributes:
        decisions: of the space.
        tokens: ``[R, T]``.
        score: what a search sees, higher is better, ``[R]``.
        valid: final validation score, ``[R]``.
        test: final test score, ``[R]``.
        seconds: what finding out the score costs, ``[R]``.
        architectures: each as the table writes it, ``[R]``.
    """

    decisions: Decisions
    tokens: Int[np.ndarray, "R T"]
    score: Float[np.ndarray, " R"]
    valid: Float[np.ndarray, " R"]
    test: Float[np.ndarray, " R"]
    seconds: Float[np.ndarray, " R"]
    architectures: tuple[str, ...]

    @cached_property
    def row_of(self) -> dict[tuple[int, ...], int]:
        """The row of an architecture by its tokens."""
        return {tuple(tokens): row for row, tokens in enumerate(self.tokens.tolist())}

    @cached_property
    def addresses(self) -> Int[np.ndarray, " I"]:
        """The row at each `address`, -1 where there is none: how a row is found on the device.

        Raises:
            ValueError: a space with more than 2**26 combinations.
        """
        count = math.prod(_radix(self.decisions))
        if count > MOST_ADDRESSES:
            raise ValueError(f"{count:,} combinations of tokens: whole searches run on up to {MOST_ADDRESSES:,}")
        rows = np.full(count, -1, np.int32)
        rows[np.asarray(address(self.decisions, self.tokens))] = np.arange(len(self.tokens))
        return rows


def address(decisions: Decisions, tokens: Tokens) -> Int[Array, " N"]:
    """The number of a combination of tokens, the last decision changing fastest; -1, absent, is a value too."""
    number = jnp.zeros(len(tokens), jnp.int32)
    for t, (choice, radix) in enumerate(zip(decisions.choices, _radix(decisions), strict=True)):
        number = number * radix + tokens[:, t] + (choice.needs is not None)
    return number


def _radix(decisions: Decisions) -> list[int]:
    """How many values the tokens of each decision may have, -1 among them where it may be absent."""
    return [choice.size + (choice.needs is not None) for choice in decisions.choices]


def records(space, file: str, columns: dict[str, str], unit: float, share: float) -> Records:
    """The table of a file.

    Args:
        space: says what an architecture's text means: tokens with blanks between in a column named "tokens", else what
            its ``parse`` understands.
        file: as for `read_columns`.
        columns: name in the file by use: "architecture", "score", "valid", "test", "seconds".
        unit: what the file's scores are divided by: 100 where they are percent.
        share: what its seconds are multiplied by.

    Raises:
        ValueError: what `read_columns` refuses, an architecture outside the space or twice, a word where a number
            should be.
    """
    found = read_columns(file, tuple(dict.fromkeys(columns.values())))
    texts = found[columns["architecture"]]
    if not len(texts):
        raise ValueError(f"{file} has no rows")
    tokens = np.stack(
        [_tokens(space, text, columns["architecture"], f"{file}, row {i}") for i, text in enumerate(texts)]
    )
    _refuse_repeats(tokens, texts, file)
    number = lambda use: _numbers(found[columns[use]], f"{file}, column {columns[use]}")
    scores = {use: number(use) / unit for use in ("score", "valid", "test")}
    architectures = tuple(" ".join(map(str, np.atleast_1d(text).tolist())) for text in texts)
    seconds = number("seconds") * share
    if not (seconds > 0).all():
        raise ValueError(f"{file}, column {columns['seconds']}: every architecture needs a cost above 0 seconds")
    return Records(space.decisions, tokens, **scores, seconds=seconds, architectures=architectures)


def _tokens(space, text, column: str, where: str) -> Int[np.ndarray, " T"]:
    try:
        if column == "tokens":
            return space.decisions.check(text.split() if isinstance(text, str) else text)
        if not hasattr(space, "parse"):
            raise ValueError(f"{type(space).__name__} reads architectures from a column named tokens, not {column}")
        return space.encode(space.parse(str(text)))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _refuse_repeats(tokens: np.ndarray, texts: np.ndarray, file: str) -> None:
    _, first, counts = np.unique(tokens, axis=0, return_index=True, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"{file} has {texts[first[counts > 1][0]]!r} twice: one row an architecture is needed")


def _numbers(column: np.ndarray, where: str) -> Float[np.ndarray, " R"]:
    """As float64; an empty cell is NaN."""
    if column.dtype.kind in "iuf":
        return column.astype(np.float64)
    try:
        return np.array([float(cell) if cell else np.nan for cell in column.tolist()])
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}; numbers or empty cells are needed") from error
