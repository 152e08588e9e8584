"""Architectures that are proposed again: trained again, copied, or proposed anew.

Letters: N children of a round, M of them in a round that ends a search, B that it has already, T decisions.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

import jax
import numpy as np
from jaxtyping import Int

from jaxnas.decisions import ABSENT, Decisions
from jaxnas.outcome import Trial
from jaxnas.rng import key_for

Repeats = Literal["train", "reuse", "forbid"]
EXHAUSTED = "no architecture is left that was not tried, and --repeats forbid allows none twice"
ATTEMPTS = 8
"""Times that a strategy is asked for a round; what is then lacking is drawn uniformly."""
ENUMERATED = 2**20
"""Architectures of which those that are left are listed; of larger spaces they are drawn until they are new."""
DRAWS = 64
"""Of as many as `DRAWN` at a time."""
DRAWN = 1024


class Tried:
    """The first trial of each architecture of a search, by its tokens."""

    def __init__(self):
        self._first: dict[tuple[int, ...], int] = {}

    def add(self, tokens: Int[np.ndarray, "M T"], first: int) -> None:
        """A round of trials, numbered from ``first``."""
        for trial, row in enumerate(map(tuple, tokens.tolist()), first):
            self._first.setdefault(row, trial)

    def copied(self, tokens: Int[np.ndarray, "M T"], first: int) -> dict[int, int]:
        """Of a round, the trials whose architecture an earlier trial has, and the first of these; by number."""
        known: dict[tuple[int, ...], int] = {}
        found = {}
        for trial, row in enumerate(map(tuple, tokens.tolist()), first):
            earliest = self._first.get(row, known.setdefault(row, trial))
            if earliest != trial:
                found[trial] = earliest
        return found

    def unseen(
        self,
        propose: Callable[[int], np.ndarray],
        decisions: Decisions,
        present: int,
        seed: int,
        round: int,
        begun: Int[np.ndarray, "B T"] | None = None,
    ) -> Int[np.ndarray, "M T"]:
        """A round of architectures that are all new: those that are proposed, in order, in as many attempts as are made
        of a round; for what is then lacking any others, uniformly. Fewer where there are no more.

        Args:
            propose: attempt (from 0) -> tokens ``[N, T]``.
            decisions: of the space.
            present: how many columns exist in this round.
            seed: of the experiment.
            round: its number.
            begun: what it has already; None: nothing.
        """
        new = dict.fromkeys(map(tuple, [] if begun is None else begun.tolist()))
        wanted = 0
        for attempt in range(ATTEMPTS):
            tokens = propose(attempt)
            wanted = len(tokens)
            self._take(new, tokens, wanted)
            if len(new) == wanted:
                break
        else:
            for tokens in _others(decisions, present, seed, round):
                self._take(new, tokens, wanted)
                if len(new) == wanted:
                    break
        return np.array([*new], np.int32).reshape(-1, len(decisions))

    def _take(self, new: dict, tokens: np.ndarray, wanted: int) -> None:
        for row in map(tuple, tokens.tolist()):
            if len(new) < wanted and row not in self._first:
                new[row] = None


def copy_of(first: Trial, trial_id: int, round: int) -> Trial:
    """A trial with the result of an earlier one."""
    return replace(first, trial_id=trial_id, round=round, seconds=0.0, copied_from=first.trial_id)


def _others(decisions: Decisions, present: int, seed: int, round: int) -> Iterator[np.ndarray]:
    """Architectures in a random order, all there are, or of large spaces many."""
    some = decisions.first(present)
    filled = lambda rows: np.pad(rows, ((0, 0), (0, len(decisions) - len(some))), constant_values=ABSENT)
    every = some.every(ENUMERATED)
    if every is not None:
        yield filled(every[np.asarray(jax.random.permutation(key_for(seed, "unseen", round), len(every)))])
        return
    for draw in range(DRAWS):
        raw = jax.random.randint(key_for(seed, "unseen", round, draw), (DRAWN, len(some)), 0, some.sizes)
        yield filled(some.without_absent(np.asarray(raw)))
