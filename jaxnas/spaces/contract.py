"""What a search space is.

Letters: T decisions.
"""

from bisect import bisect_right
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool

from jaxnas.children import Children

MOST_TRIALS = 2**31
"""No search has more."""


@runtime_checkable
class Space(Protocol):
    """A frozen dataclass of settings with these functions and ``decisions``, a `Decisions`; see `ChainCNN`.

    What only some can do stands in protocols of their own, of which a space need not inherit: `Grows`, `Parses`,
    `Restores`.

    (``decisions`` is not declared here: the command line follows only protocols whose members are all functions.)
    """

    def decode(self, tokens):
        """tokens ``[T]`` -> architecture."""

    def encode(self, architecture):
        """architecture -> tokens ``[T]``; ``decode(encode(a)) == a``."""

    def children(self, input_shape: tuple[int, ...], classes: int, dtype: str = "float32") -> Children:
        """How the architectures of this space compute on examples of this shape; dtype: of factors, see `Train`."""


@runtime_checkable
class Grows(Protocol):
    """A space of which a search uses more columns as it goes on."""

    def present(self, trials: int) -> Bool[np.ndarray, " T"]:
        """Which columns exist in a round before which so many trials were made; they are the first ones."""


@runtime_checkable
class Parses(Protocol):
    """A space that reads architectures as tables write them."""

    def parse(self, text: str):
        """text -> architecture. Raises ValueError where it is none."""


@runtime_checkable
class Restores(Protocol):
    """A space that reads architectures as ledgers write them."""

    def restore(self, described: dict):
        """JSON values -> architecture. Raises KeyError, TypeError or ValueError where they are none."""


def present_columns(space: Space, trials: int) -> Bool[np.ndarray, " T"]:
    """Which columns exist in a round before which so many trials were made: all, unless the space `Grows`."""
    return space.present(trials) if isinstance(space, Grows) else np.ones(len(space.decisions), bool)


def grows_after(space: Space, trials: int) -> int | None:
    """After how many trials it has more columns than after so many; None: it grows no more."""
    columns = lambda after: int(present_columns(space, after).sum())
    after = trials + bisect_right(range(trials, MOST_TRIALS), columns(trials), key=columns)
    return after if after < MOST_TRIALS else None
