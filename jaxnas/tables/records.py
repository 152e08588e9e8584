"""A table bound to a space: what is known of each architecture, found by its tokens.

Letters: R rows, N samples, T decisions, I addresses: all combinations of tokens.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxnas.decisions import Decisions, Tokens
from jaxnas.outcome import Measure
from jaxnas.spaces import Parses
from jaxnas.tables.files import read_columns, side_facts

MOST_ADDRESSES = 2**26
COSTS = ("parameters", "multiply_adds")
"""Columns that are read where a table has them."""


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
        measure: what the scores are.
        costs: further columns where the table has them: "parameters", "multiply_adds", int64 ``[R]``.
    """

    decisions: Decisions
    tokens: Int[np.ndarray, "R T"]
    score: Float[np.ndarray, " R"]
    valid: Float[np.ndarray, " R"]
    test: Float[np.ndarray, " R"]
    seconds: Float[np.ndarray, " R"]
    architectures: tuple[str, ...]
    measure: Measure = Measure.SCORE
    costs: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def floor(self) -> float:
        """What a failed child is worth to a strategy: 0 among shares of 1; among other scores as far below the worst as
        the best lies above it.
        """
        known = self.score[~np.isnan(self.score)]
        if self.measure.share or not len(known):
            return 0.0
        return float(2 * known.min() - known.max() - (known.min() == known.max()))

    @property
    def reward(self) -> Float[np.ndarray, " R"]:
        """The scores, and `floor` where a child failed."""
        return np.nan_to_num(self.score, nan=self.floor)

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
        number = number * radix + tokens[:, t] + bool(choice.when)
    return number


def _radix(decisions: Decisions) -> list[int]:
    """How many values the tokens of each decision may have, -1 among them where it may be absent."""
    return [choice.size + bool(choice.when) for choice in decisions.choices]


def records(space, file: str, columns: dict[str, str], unit: float, share: float, measure: str = "") -> Records:
    """The table of a file.

    Args:
        space: says what an architecture's text means: tokens with blanks between in a column named "tokens", else what
            it `Parses`.
        file: as for `read_columns`.
        columns: name in the file by use: "architecture", "score", "valid", "test", "seconds".
        unit: what the file's scores are divided by: 100 where they are percent.
        share: what its seconds are multiplied by.
        measure: what the scores are, a `Measure`; "": what the file beside the table says, or else log-probabilities
            where none is above 0.

    Raises:
        ValueError: what `read_columns` refuses, an architecture outside the space or twice, a word where a number
            should be.
    """
    found = read_columns(file, tuple(dict.fromkeys(columns.values())), COSTS)
    texts = found[columns["architecture"]]
    if not len(texts):
        raise ValueError(f"{file} has no rows")
    tokens = np.stack(
        [_tokens(space, text, columns["architecture"], f"{file}, row {i}") for i, text in enumerate(texts)]
    )
    _refuse_repeats(tokens, texts, file)
    number = lambda use: _numbers(found[columns[use]], f"{file}, column {columns[use]}")
    scores = {use: number(use) / unit for use in ("score", "valid", "test")}
    measure = Measure(measure or side_facts(file).get("measure") or _guessed(scores))
    for use, column in scores.items():
        _check_scores(column, measure, texts, f"{file}, column {columns[use]}", unit)
    architectures = tuple(" ".join(map(str, np.atleast_1d(text).tolist())) for text in texts)
    seconds = number("seconds") * share
    if not ((seconds > 0) & (seconds < np.inf)).all():
        at = int((~((seconds > 0) & (seconds < np.inf))).argmax())
        raise ValueError(
            f"{file}, column {columns['seconds']}, row {at} ({architectures[at]}): {seconds[at] / share:g}: every "
            "architecture needs a finite cost above 0 seconds"
        )
    costs = {name: _whole(found[name], f"{file}, column {name}") for name in COSTS if name in found}
    return Records(
        space.decisions, tokens, **scores, seconds=seconds, architectures=architectures, measure=measure, costs=costs
    )


def _guessed(scores: dict[str, np.ndarray]) -> Measure:
    known = np.concatenate(list(scores.values()))
    known = known[~np.isnan(known)]
    negative = len(known) and known.max() <= 0 and known.min() < 0
    return Measure.PERPLEXITY if negative else Measure.SCORE


def _check_scores(scores: np.ndarray, measure: Measure, texts, where: str, unit: float) -> None:
    """Raises ValueError for a score that is none of this measure, with its row and the likely remedy."""
    beyond = (scores < 0) | (scores > 1) if measure.share else (scores > 0) & measure.falls
    bad = np.isinf(scores) | beyond
    if not bad.any():
        return
    at = int(bad.argmax())
    value, known = scores[at] * unit, scores[np.isfinite(scores)]
    if measure.logarithmic:
        wanted = "a log-probability, finite and at most 0, is needed (or measure='score' for accuracies)"
    elif measure.error:
        wanted = f"minus the {measure}, finite and at most 0, is needed, since higher is better"
    elif not measure.share:
        wanted = "a finite number is needed, or an empty cell for a child that failed"
    elif np.isfinite(value) and 1 < known.max() <= 100 and known.min() >= 0 and unit == 1:
        wanted = "a score from 0 to 1 is needed: are these percent? Then unit=100.0"
    else:
        wanted = f"a score from 0 to 1 is needed (unit={unit:g}), or an empty cell for a child that failed"
    raise ValueError(f"{where}, row {at} ({texts[at]}): {value:g}: {wanted}")


def _whole(column: np.ndarray, where: str) -> Int[np.ndarray, " R"]:
    numbers = _numbers(column, where)
    if not (np.isfinite(numbers) & (numbers >= 0)).all():
        raise ValueError(f"{where}: numbers from 0 are needed")
    return numbers.astype(np.int64)


def _tokens(space, text, column: str, where: str) -> Int[np.ndarray, " T"]:
    try:
        if column == "tokens":
            return space.decisions.check(text.split() if isinstance(text, str) else text)
        if not isinstance(space, Parses):
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
