"""Tokens mean what they meant: spaces of choices and anchors are searched as before there were ordinals, to the bit."""

import numpy as np
import pytest
from test_strategies import FAST, GROWN, TINY, functions

from jaxnas.rng import key_for
from jaxnas.strategies import PPO, Reinforce

SPACES = {"choices": TINY, "anchors": GROWN}
STRATEGIES = FAST | {
    "Reinforce table": Reinforce(learning_rate=0.1, policy="table"),
    "PPO place bias": PPO(learning_rate=0.02, place_bias=True),
}
ROUNDS, CHILDREN = 7, 4
RECORDED = {
    "Random": ("11000 12120 10101 011..", "1100 02.. 02.. 1010"),
    "Reinforce": ("010.. 12101 020.. 12020", "1000 1101 1010 1200"),
    "Bayes": ("020.. 12110 11021 12000", "1202 1110 1211 1001"),
    "PPO": ("010.. 12101 020.. 12020", "1202 1202 1202 1202"),
    "Evolution": ("11000 010.. 11100 000..", "1010 1211 00.. 1212"),
    "LocalSearch": ("12120 12000 12021 12010", "1000 1002 01.. 01.."),
    "QLearning": ("12111 10110 001.. 001..", "1211 1201 1100 1201"),
    "QTuner": ("10001 12111 11111 12010", "1212 1210 1101 1212"),
    "Optuna": ("11100 11100 11100 11100", "02.. 02.. 02.. 1212"),
    "Reinforce table": ("12110 10021 12120 12001", "1211 1002 02.. 1200"),
    "PPO place bias": ("020.. 12101 020.. 12020", "1202 1202 1202 1202"),
}
"""Of the last of the rounds, by strategy and space; recorded at the commit before that with ordinals."""


def last_round(strategy, decisions) -> str:
    """Its tokens, absent ones as dots; rewards are numbers of the tokens that no strategy can mistake."""
    propose, update = functions(strategy)
    state = strategy.init(decisions, key_for(5, "strategy"))
    for r in range(ROUNDS):
        tokens = np.asarray(propose(state, key_for(5, "propose", r), n=CHILDREN))
        rewards = np.float32((tokens @ (np.arange(len(decisions)) + 1) % 7) / 7)
        state, _ = update(state, tokens, rewards)
    return " ".join("".join("." if token < 0 else str(token) for token in row) for row in tokens.tolist())


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_spaces_without_ordinals_are_searched_as_ever(name, space):
    assert last_round(STRATEGIES[name], SPACES[space]) == RECORDED[name][list(SPACES).index(space)]
