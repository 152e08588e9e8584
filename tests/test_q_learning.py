"""Q-learning decision by decision, against a dictionary."""

import math
from collections import defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_strategies import functions

from jaxnas.decisions import ABSENT, Choice, Decisions, Ordinal
from jaxnas.rng import key_for
from jaxnas.strategies import QLearning
from jaxnas.strategies.q_learning import METAQNN, epsilon_at

NESTED = Decisions(
    (
        Choice("depth", "depth", 2),
        Choice("side", "side", 3),
        Choice("inner", "inner", 4, when=((0, (1,)),)),
        Choice("last", "last", 2),
        Choice("end", "end", 2, when=((0, (1,)),)),
    )
)
SIZES = (2, 3, 4, 2, 2)
ALWAYS = lambda epsilon: ((epsilon, 1),)


def learn(strategy, rounds=6, n=4, seed=0):
    propose, update = functions(strategy)
    state, rng, history = strategy.init(NESTED, key_for(seed, "strategy")), np.random.default_rng(seed), []
    for r in range(rounds):
        tokens = np.asarray(propose(state, key_for(seed, "propose", r), n=n))
        rewards = np.float32(rng.random(n))
        state, _ = update(state, tokens, rewards)
        history += list(zip(tokens.tolist(), rewards.tolist(), strict=True))
    return state, history


class Dictionary:
    """Q by (decision, the last tokens, token), 0.5 before the first update."""

    def __init__(self, rate, memory, sizes=SIZES):
        self.q, self.rate, self.memory, self.sizes = defaultdict(lambda: 0.5), rate, memory, sizes

    def walk(self, tokens):
        """(decision, history, token) of those that are present."""
        taken, found = [], []
        for t, token in enumerate(tokens):
            if token >= 0:
                found.append((t, tuple(taken[-self.memory :]) if self.memory else (), token))
                taken.append(token)
        return found

    def sweep(self, tokens, reward):
        target = reward
        for t, past, token in reversed(self.walk(tokens)):
            self.q[t, past, token] += self.rate * (target - self.q[t, past, token])
            target = max(self.q[t, past, a] for a in range(self.sizes[t]))


@pytest.mark.parametrize(("memory", "replay"), [(1, 5), (2, 0), (0, 3)])
def test_the_updates_are_those_of_a_dictionary(memory, replay):
    """24 trials with a buffer of 10, so that some are forgotten."""
    strategy = QLearning(learning_rate=0.3, epsilon=ALWAYS(0.4), memory=memory, replay=replay, capacity=10)
    state, history = learn(strategy)
    plain, buffer = Dictionary(0.3, memory), [None] * 10
    for i, trial in enumerate(history):
        buffer[i % 10] = trial
        if replay:
            chance = np.asarray(jax.random.uniform(jax.random.fold_in(state.key, i), (replay,)))
            drawn = [int(c * min(i + 1, 10)) for c in chance]
        for place in drawn if replay else [i % 10]:
            plain.sweep(*buffer[place])
    assert len(plain.q) >= sum(SIZES)
    for (t, past, token), value in plain.q.items():
        number = sum((v + 1) * 5**place for place, v in enumerate(reversed(past)))
        np.testing.assert_allclose(state.values[t * 5**memory + number, token], value, atol=1e-6)
    known = {(t * 5**memory + sum((v + 1) * 5**p for p, v in enumerate(reversed(past)))) for t, past, _ in plain.q}
    others = np.delete(np.asarray(state.values), sorted(known), axis=0)
    assert (others == 0.5).all()


NUMBERS = Decisions(
    (Choice("depth", "depth", 2), Ordinal("rate", "rate", 40), Ordinal("inner", "inner", 5, when=((0, (1,)),)))
)


def test_an_action_of_an_ordinal_is_a_bin():
    """40 levels in 16 bins: Q as a dictionary has it by bins; levels below 16 stand for themselves."""
    strategy = QLearning(learning_rate=0.3, epsilon=ALWAYS(0.5), replay=0)
    propose, update = functions(strategy)
    state, plain = strategy.init(NUMBERS, key_for(0, "strategy")), Dictionary(0.3, 1, (2, 16, 5))
    assert state.values.shape == (3 * 17, 16)
    for r in range(12):
        tokens = np.asarray(propose(state, key_for(0, "propose", r), n=4))
        rewards = np.float32(tokens[:, 1] / 40)
        state, _ = update(state, tokens, rewards)
        for (depth, rate, inner), reward in zip(tokens.tolist(), rewards.tolist(), strict=True):
            plain.sweep((depth, rate * 16 // 40, inner), reward)
    assert len(plain.q) > 20
    for (t, past, action), value in plain.q.items():
        np.testing.assert_allclose(state.values[t * 17 + (past[0] + 1 if past else 0), action], value, atol=1e-6)
    best = strategy.most_likely(state)[1] * 16 // 40
    assert best == max(range(16), key=lambda a: plain.q[1, (int(strategy.most_likely(state)[0]),), a])


def test_levels_of_a_bin_are_drawn_alike():
    """Of 16 bins, with 2 or 3 levels each."""
    strategy, n = QLearning(epsilon=ALWAYS(1.0)), 20_000
    drawn = functions(strategy)[0](strategy.init(NUMBERS, key_for(0, "s")), key_for(0, "propose"), n=n)
    together = np.bincount(np.arange(40) * 16 // 40)
    for level in range(40):
        p = 1 / 16 / together[level * 16 // 40]
        assert abs(int((drawn[:, 1] == level).sum()) - n * p) < 4.5 * math.sqrt(n * p * (1 - p))


def test_the_schedule_is_the_papers():
    assert sum(trials for _, trials in METAQNN) == 2700
    found = jax.vmap(lambda trial: epsilon_at(METAQNN, trial))(
        jnp.array([0, 1499, 1500, 1599, 1600, 1799, 1800, 2549, 2550, 9999])
    )
    np.testing.assert_allclose(found, [1, 1, 0.9, 0.9, 0.8, 0.7, 0.6, 0.2, 0.1, 0.1], rtol=1e-6)


def test_children_of_a_round_have_the_epsilon_of_their_trials():
    """Two random ones, then greedy ones."""
    strategy = QLearning(learning_rate=1.0, epsilon=((1.0, 402), (0.0, 1)), replay=0)
    propose, update = functions(strategy)
    state = strategy.init(NESTED, key_for(0, "strategy"))
    tokens = np.tile([1, 2, 3, 1, 1], (400, 1))
    state, _ = update(state, tokens, np.ones(400, np.float32))
    found = np.concatenate([propose(state, key_for(0, "propose", r), n=4) for r in range(50)]).reshape(50, 4, 5)
    assert (found[:, 2:] == tokens[0]).all()
    assert (found[:, :2] != tokens[0]).any(-1).mean() > 0.8
    np.testing.assert_array_equal(strategy.most_likely(state), tokens[0])


def test_walks_are_epsilon_greedy():
    """The best value of a decision is taken with probability 1 - e + e / V."""
    strategy, n = QLearning(learning_rate=1.0, epsilon=ALWAYS(0.3), replay=0), 20_000
    propose, update = functions(strategy)
    state = strategy.init(NESTED, key_for(0, "strategy"))
    state, _ = update(state, np.array([[1, 2, 3, 1, 1]]), np.ones(1, np.float32))
    drawn = np.asarray(propose(state, key_for(0, "propose"), n=n))
    for t, best in ((0, 1), (1, 2)):  # the second, where the first was taken: its Q depends on it
        along = drawn[(drawn[:, :t] == 1).all(1)]
        p = 0.7 + 0.3 / SIZES[t]
        assert abs((along[:, t] == best).sum() - len(along) * p) < 4.5 * math.sqrt(len(along) * p * (1 - p))


def test_of_equal_values_one_is_taken_at_random():
    strategy, n = QLearning(epsilon=ALWAYS(0.0)), 6000
    drawn = functions(strategy)[0](strategy.init(NESTED, key_for(0, "s")), key_for(0, "propose"), n=n)
    for value in range(3):
        assert abs(int((drawn[:, 1] == value).sum()) - n / 3) < 4.5 * math.sqrt(n * 2 / 9)
    assert (np.asarray(drawn)[np.asarray(drawn[:, 0]) == 0][:, 2] == ABSENT).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"learning_rate": 1.5}, "learning_rate=1.5"),
        ({"memory": -1}, "memory=-1"),
        ({"replay": -1}, "replay=-1"),
        ({"capacity": 0}, "capacity=0"),
        ({"epsilon": ()}, "epsilon="),
        ({"epsilon": ((1.2, 5),)}, "epsilon="),
        ({"epsilon": ((0.5, 0),)}, "epsilon="),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        QLearning(**settings)


def test_a_table_that_is_too_large_is_refused():
    with pytest.raises(ValueError, match="memory=12: the table would hold"):
        QLearning(memory=12).init(NESTED, key_for(0, "strategy"))
