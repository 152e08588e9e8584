"""What a strategy settles: choices among a few values, levels in order, and anchors, which say what reads what. A
strategy never sees more of a space.

Letters: N samples, T columns of tokens: one for a choice, one for each earlier anchor for an anchor.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

ABSENT = -1
Tokens = Int[Array | np.ndarray, "N T"]
"""Tokens of N samples; a ledger's come as numpy arrays."""
Rewards = Float[Array | np.ndarray, " N"]


When = tuple[tuple[int, tuple[int, ...]], ...]
"""``((column, tokens), ...)``: a decision exists only where each of these earlier columns took one of these tokens. An
absent column satisfies nothing; () is satisfied always."""


def from_on(column: int, first: int, size: int) -> When:
    """The condition that a column of so many values took the value ``first`` or a later one."""
    return ((column, tuple(range(first, size))),)


@dataclass(frozen=True)
class Choice:
    """One decision among ``size`` values, of which none is nearer to another than a third.

    Attributes:
        name: what is decided, unique in its space ("layer 3 filters").
        kind: decisions of one kind mean the same thing at another place and share what a strategy learns of them
            ("filters"); all of a kind have the same size.
        size: how many values there are; tokens run from 0 to size - 1.
        when: where it exists.
    """

    name: str
    kind: str
    size: int
    when: When = ()


@dataclass(frozen=True)
class Ordinal:
    """One decision among ``size`` levels in order, 0 < 1 < ... < size - 1, of which neighbours are alike: a number.

    Attributes:
        name, kind, size, when: as in `Choice`.
    """

    name: str
    kind: str
    size: int
    when: When = ()


@dataclass(frozen=True)
class Anchor:
    """A place that later anchors may point to, and the decision which of the earlier ones this one points to.

    It takes a column for each anchor before it, the first one first: 1 where it points there, else 0. The first anchor
    of a space takes none.

    Attributes:
        name: what points, unique in its space ("layer 3").
        when: as in `Choice`; all columns of an anchor are absent together.
    """

    name: str
    when: When = ()


class Conditions(NamedTuple):
    """Where decisions exist, as arrays: D of them with at most C conditions each.

    columns: int32 ``[D, C]``; allowed: by the token of such a column, plus one, bool ``[D, C, V + 1]``. Where there are
    fewer than C conditions, the others are met by every token.
    """

    columns: np.ndarray
    allowed: np.ndarray

    def met(self, tokens):
        """Of one decision (without the axis D): whether it exists by the tokens ``[T]`` before it."""
        return self.allowed[np.arange(len(self.columns)), tokens[self.columns] + 1].all()


LINK = "link"
"""The kind of an anchor's columns."""


@dataclass(frozen=True)
class Decisions:
    """The decisions of a space, in the order in which they are made.

    Raises:
        ValueError: a choice without values, two sizes for one kind, a repeated name, a condition that looks forward or
            that nothing meets, or two on one column.
    """

    made: tuple[Choice | Ordinal | Anchor, ...]

    def __post_init__(self):
        kinds, column, anchors = {}, 0, 0
        for d in self.made:
            self._check_condition(d, column)
            column, anchors = (column + anchors, anchors + 1) if isinstance(d, Anchor) else (column + 1, anchors)
        for c in self.choices:
            if c.size < 1:
                raise ValueError(f"decision {c.name!r} has {c.size} values: it needs at least one")
            first = kinds.setdefault(c.kind, c)
            if first.size != c.size:
                raise ValueError(
                    f"decisions of kind {c.kind!r} have {first.size} and {c.size} values: one kind, one size"
                )
            if type(first) is not type(c):
                raise ValueError(f"decisions of kind {c.kind!r} are choices and ordinals: one kind is one of the two")
        if len({d.name for d in self.made}) < len(self.made):
            raise ValueError("two decisions have the same name: give each its own")

    def _check_condition(self, d: Choice | Ordinal | Anchor, column: int) -> None:
        if len({other for other, _ in d.when}) < len(d.when):
            raise ValueError(f"decision {d.name!r} has two conditions on one column: give the tokens that meet both")
        for other, tokens in d.when:
            if not 0 <= other < column:
                raise ValueError(
                    f"decision {d.name!r} in column {column} depends on column {other}: only an earlier one will do"
                )
            size = self.choices[other].size
            if not tokens or not all(0 <= token < size for token in tokens):
                raise ValueError(
                    f"decision {d.name!r} exists where column {other} took one of {tokens}: give 0..{size - 1}"
                )

    def __len__(self) -> int:
        """T: the number of columns."""
        return len(self.choices)

    @cached_property
    def choices(self) -> tuple[Choice | Ordinal, ...]:
        """Every column as a decision of its own: those of an anchor are choices of two values."""
        found, anchors = [], []
        for decision in self.made:
            if isinstance(decision, Anchor):
                found += [Choice(f"{decision.name} from {name}", LINK, 2, decision.when) for name in anchors]
                anchors.append(decision.name)
            else:
                found.append(decision)
        return tuple(found)

    @cached_property
    def anchors(self) -> int:
        """How many anchors there are."""
        return sum(isinstance(decision, Anchor) for decision in self.made)

    @cached_property
    def sizes(self) -> np.ndarray:
        """int32 ``[T]``: the number of values of each decision."""
        return np.array([c.size for c in self.choices], np.int32)

    @cached_property
    def ordinal(self) -> np.ndarray:
        """bool ``[T]``: which columns are levels in order."""
        return np.array([isinstance(c, Ordinal) for c in self.choices], bool)

    @cached_property
    def count(self) -> int:
        """How many architectures there are: different rows of tokens, absent ones as -1."""
        return count(self.choices)

    def conditions(self, decisions: Sequence[Choice | Ordinal | Anchor] | None = None) -> Conditions:
        """Those of its columns, or of these decisions."""
        whens = [d.when for d in (self.choices if decisions is None else decisions)]
        shape = len(whens), max(map(len, whens), default=0), int(self.sizes.max(initial=1)) + 1
        columns, allowed = np.zeros(shape[:2], np.int32), np.ones(shape, bool)
        for d, when in enumerate(whens):
            for c, (column, tokens) in enumerate(when):
                columns[d, c] = column
                allowed[d, c] = np.isin(np.arange(shape[2]) - 1, tokens)
        return Conditions(columns, allowed)

    def without_absent(self, tokens: Tokens) -> Tokens:
        """The same tokens with -1 wherever a decision does not exist, given the earlier ones. Numpy's stay numpy's:
        one sample of a hundred decisions takes JAX, which is not compiled here, twenty times as long.
        """
        xp, columns = np if isinstance(tokens, np.ndarray) else jnp, []
        for t, c in enumerate(self.choices):
            column = tokens[:, t]
            for other, allowed in c.when:
                column = xp.where(_any_of(columns[other], allowed), column, ABSENT)
            columns.append(column)
        return xp.stack(columns, axis=1)

    def first(self, columns: int) -> "Decisions":
        """The decisions of the first so many columns, as long as a space has no others yet."""
        ends = (Decisions(self.made[:end]) for end in range(len(self.made), -1, -1))
        return next(some for some in ends if len(some) <= columns)

    def every(self, most: int) -> Int[np.ndarray, "N T"] | None:
        """All samples there are, once each, -1 where a decision does not exist, ascending; None: more than ``most``."""
        rows = np.zeros((1, 0), np.int32)
        for c in self.choices:
            exists = np.ones(len(rows), bool)
            for other, allowed in c.when:
                exists &= _any_of(rows[:, other], allowed)
            counts = np.where(exists, c.size, 1)
            if counts.sum() > most:
                return None
            firsts = np.repeat(np.cumsum(counts) - counts, counts)
            values = np.where(np.repeat(exists, counts), np.arange(counts.sum()) - firsts, ABSENT)
            rows = np.column_stack([np.repeat(rows, counts, axis=0), values]).astype(np.int32)
        return rows

    def check(self, tokens) -> np.ndarray:
        """``tokens`` as int32 ``[T]``, one sample.

        Raises:
            ValueError: another length, or a token that is no value of its decision.
        """
        tokens = np.asarray(tokens, np.int32)
        if tokens.shape != (len(self),):
            raise ValueError(f"{tokens.shape} tokens given: this space has {len(self)} decisions")
        for token, c in zip(tokens.tolist(), self.choices, strict=True):
            if not ABSENT <= token < c.size:
                raise ValueError(
                    f"token {token} of decision {c.name!r}: it must lie in 0..{c.size - 1}, or be -1 for absent"
                )
        return tokens


def _any_of(column, tokens: tuple[int, ...]):
    """Where a column took one of these, in ascending order without gaps one comparison for each end of it."""
    if tokens == tuple(range(tokens[0], tokens[0] + len(tokens))):
        return (column >= tokens[0]) & (column <= tokens[-1])
    return (column[:, None] == np.array(tokens, np.int32)).any(1)


def count(choices: Sequence[Choice | Ordinal]) -> int:
    """How many rows of tokens there are. Of the columns that later ones depend on, tokens that meet the same conditions
    are counted together.
    """
    asking = [
        [(d, tokens) for d, c in enumerate(choices) for on, tokens in c.when if on == t] for t in range(len(choices))
    ]
    ways = Counter(
        {(): 1}
    )  # by what the columns that still matter took: pairs of a column and which conditions it meets
    for t, c in enumerate(choices):
        classes = Counter(frozenset(d for d, tokens in asking[t] if token in tokens) for token in range(c.size))
        found = Counter()
        for past, number in ways.items():
            exists = all(any(column == on and t in met for column, met in past) for on, _ in c.when)
            kept = tuple((column, met) for column, met in past if max(d for d, _ in asking[column]) > t)
            for met, many in (classes if exists else {frozenset(): 1}).items():
                found[(*kept, (t, met)) if asking[t] else kept] += number * many
        ways = found
    return ways.total()
