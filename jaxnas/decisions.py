"""What a strategy settles: choices among a few values, and anchors, which say what reads what. All that a strategy
ever sees of a space.

Letters: N samples, T columns of tokens: one for a choice, one for each earlier anchor for an anchor.
"""

from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

ABSENT = -1
Tokens = Int[Array | np.ndarray, "N T"]
"""Tokens of N samples; a ledger's come as numpy arrays."""
Rewards = Float[Array | np.ndarray, " N"]


@dataclass(frozen=True)
class Choice:
    """One decision among ``size`` values.

    Attributes:
        name: what is decided, unique in its space ("layer 3 filters").
        kind: decisions of one kind mean the same thing at another place and share what a strategy learns of them
            ("filters"); all of a kind have the same size.
        size: how many values there are; tokens run from 0 to size - 1.
        needs: ``(column, token)``: the decision exists only where the earlier decision in that column took this token
            or a greater one; None: it always exists.
    """

    name: str
    kind: str
    size: int
    needs: tuple[int, int] | None = None


@dataclass(frozen=True)
class Anchor:
    """A place that later anchors may point to, and the decision which of the earlier ones this one points to.

    It takes a column for each anchor before it, the first one first: 1 where it points there, else 0. The first anchor
    of a space takes none.

    Attributes:
        name: what points, unique in its space ("layer 3").
        needs: as in `Choice`; all columns of an anchor are absent together.
    """

    name: str
    needs: tuple[int, int] | None = None


LINK = "link"
"""The kind of an anchor's columns."""


@dataclass(frozen=True)
class Decisions:
    """The decisions of a space, in the order in which they are made.

    Raises:
        ValueError: a choice without values, two sizes for one kind, a repeated name, a need that looks forward.
    """

    made: tuple[Choice | Anchor, ...]

    def __post_init__(self):
        size_of, column, anchors = {}, 0, 0
        for d in self.made:
            if d.needs is not None and not 0 <= d.needs[0] < column:
                raise ValueError(
                    f"decision {d.name!r} in column {column} needs column {d.needs[0]}: only an earlier one will do"
                )
            column, anchors = (column + anchors, anchors + 1) if isinstance(d, Anchor) else (column + 1, anchors)
        for c in self.choices:
            if c.size < 1:
                raise ValueError(f"decision {c.name!r} has {c.size} values: it needs at least one")
            if size_of.setdefault(c.kind, c.size) != c.size:
                raise ValueError(
                    f"decisions of kind {c.kind!r} have {size_of[c.kind]} and {c.size} values: one kind, one size"
                )
        if len({d.name for d in self.made}) < len(self.made):
            raise ValueError("two decisions have the same name: give each its own")

    def __len__(self) -> int:
        """T: the number of columns."""
        return len(self.choices)

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """Every column as a choice of its own: those of an anchor are choices of two values."""
        found, anchors = [], []
        for decision in self.made:
            if isinstance(decision, Anchor):
                found += [Choice(f"{decision.name} from {name}", LINK, 2, decision.needs) for name in anchors]
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

    def without_absent(self, tokens: Tokens) -> Tokens:
        """The same tokens with -1 wherever a decision does not exist, given the earlier ones. Numpy's stay numpy's:
        one sample of a hundred decisions takes JAX, which is not compiled here, twenty times as long.
        """
        xp, columns = np if isinstance(tokens, np.ndarray) else jnp, []
        for t, c in enumerate(self.choices):
            column = tokens[:, t]
            if c.needs is not None:
                column = xp.where(columns[c.needs[0]] >= c.needs[1], column, ABSENT)
            columns.append(column)
        return xp.stack(columns, axis=1)

    def every(self, most: int) -> Int[np.ndarray, "N T"] | None:
        """All samples there are, once each, -1 where a decision does not exist, ascending; None: more than ``most``."""
        rows = np.zeros((1, 0), np.int32)
        for c in self.choices:
            exists = np.ones(len(rows), bool) if c.needs is None else rows[:, c.needs[0]] >= c.needs[1]
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
