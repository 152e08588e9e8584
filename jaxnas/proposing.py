"""What a search tries in each round: what the strategy proposes, and what the experiment says of it.

Letters: N children of a round, M of them in the last round of an exhausted space, T decisions.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxnas.contracts import checked_tokens
from jaxnas.decisions import ABSENT
from jaxnas.experiment import Experiment
from jaxnas.repeats import Tried
from jaxnas.rng import key_for
from jaxnas.spaces import grows_after, present_columns


class Proposals:
    """The rounds of a search, one after the other.

    Args:
        experiment: its strategy, space and seed.
        propose: the strategy's, compiled or not.
        known: tokens that the first round begins with.
    """

    def __init__(self, experiment: Experiment, propose: Callable[..., Any], known: Sequence[Sequence[int]]):
        self.experiment, self.propose, self.known, self.tried = experiment, propose, known, Tried()
        self._trials = 0  # after which a growing space has as much as it has now

    def of_round(self, state: Any, round: int) -> Int[np.ndarray, "M T"]:
        """Its tokens; fewer than N, where nothing may be repeated and there are no others. A growing space of which
        nothing else is left grows before its time.
        """
        own, decisions = self.experiment, self.experiment.space.decisions
        self._trials = max(self._trials, round * own.children)
        ask = lambda attempt: self._proposed(state, round, *([attempt] if attempt else []))
        if own.repeats != "forbid":
            return ask(0)
        tokens = np.zeros((0, len(decisions)), np.int32)
        while True:
            present = int(present_columns(own.space, self._trials).sum())
            tokens = self.tried.unseen(ask, decisions, present, own.seed, round, tokens)
            more = grows_after(own.space, self._trials) if len(tokens) < own.children else None
            if more is None:
                return tokens
            self._trials = more

    def existing(self, tokens: Any) -> Int[np.ndarray, "*N T"]:
        """Tokens without those decisions that a growing space does not have yet.

        They come last, and no earlier decision depends on them: this is a sample of the policy over those that exist.
        """
        return np.where(present_columns(self.experiment.space, self._trials), tokens, ABSENT).astype(np.int32)

    def copies(self, tokens: Int[np.ndarray, "M T"], round: int) -> dict[int, int]:
        """Of a round, the trials that get the result of an earlier one, and of which; the round counts as tried."""
        own, first = self.experiment, round * self.experiment.children
        if own.repeats == "train":
            return {}
        found = self.tried.copied(tokens, first)
        self.tried.add(tokens, first)
        return found if own.repeats == "reuse" else {}

    def _proposed(self, state: Any, *ids: int) -> Int[np.ndarray, "N T"]:
        """``ids``: the round and, but of the first one, the attempt."""
        own, round = self.experiment, ids[0]
        tokens = self.propose(state, key_for(own.seed, "propose", *ids), n=own.children)
        tokens = checked_tokens(own.strategy, own.space.decisions, tokens, own.children)
        tokens = self.existing(tokens)
        for row, known in enumerate(self.known if round == 0 else ()):
            tokens[row] = known
        return tokens
