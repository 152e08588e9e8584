"""The laws of strategies where decisions are numbers: valid tokens, replay, true log-probabilities, learning."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_strategies import FAST, LESS_AND_LESS, functions, same

from jaxnas.compiled_search import CompiledSearch
from jaxnas.contracts import checked_tokens
from jaxnas.decisions import Anchor, Choice, Decisions, Ordinal
from jaxnas.rng import key_for
from jaxnas.strategies import (
    PPO,
    STRATEGIES,
    Bayes,
    Evolution,
    Optuna,
    QLearning,
    QTuner,
    Random,
    Reinforce,
    has_branches,
    is_jittable,
)
from jaxnas.strategies.controller import _steps
from jaxnas.strategies.policy import Policy
from jaxnas.tables import Records, address

SMALL = Decisions((Choice("a", "a", 2), Ordinal("b", "b", 5, when=((0, (1,)),)), Ordinal("c", "c", 2)))
NESTED = Decisions(
    (
        Choice("optimiser", "optimiser", 3),
        Ordinal("momentum", "momentum", 5, when=((0, (0,)),)),
        Ordinal("beta2", "beta2", 2, when=((0, (2,)),)),
        Anchor("layer 1"),
        Ordinal("rate 1", "rate", 64),
        Anchor("layer 2", when=((0, (0, 2)),)),
        Choice("type", "type", 2, when=((1, (1, 3, 4)), (4, (1,)))),
        Ordinal("steps", "steps", 1),
    )
)
LONG = Decisions((Choice("a", "a", 3), Ordinal("b", "b", 1024, when=((0, (0, 2)),)), Choice("c", "a", 3)))
TWINS = Decisions((Ordinal("rate 1", "rate", 64), Ordinal("rate 2", "rate", 64, when=((0, tuple(range(20, 64))),))))
SPACES = {"small": SMALL, "nested": NESTED, "long": LONG, "numbers alone": TWINS}
COUNTS = {
    "small": 2 + 5 * 2,
    "nested": 64 * (2 * 2 + 3 * (1 + 2) + 1 + 2 * 2),
    "long": 3 + 2 * 1024 * 3,
    "numbers alone": 20 + 44 * 64,
}


@pytest.mark.parametrize("space", SPACES)
def test_all_architectures_are_counted_and_listed(space):
    every = SPACES[space].every(10_000)
    assert len(every) == len(np.unique(every, axis=0)) == SPACES[space].count == COUNTS[space]
    np.testing.assert_array_equal(SPACES[space].without_absent(every), every)
    assert SPACES[space].every(COUNTS[space] - 1) is None


MIXED = Decisions((*NESTED.made, Ordinal("size", "size", 1024, when=((5, (0, 1)),)), Ordinal("rate 3", "rate", 64)))
"""All at once: 1, 2, 5, 64 and 1,024 levels, choices, anchors, one condition in another."""


@pytest.mark.parametrize("strategy", FAST.values(), ids=FAST)
class TestEveryStrategy:
    def test_tokens_are_valid_and_follow_their_key(self, strategy):
        (propose, _), state = functions(strategy), run(strategy, MIXED, 5)[0]
        first, again, other = (np.asarray(propose(state, key_for(i, "propose"), n=8)) for i in (5, 5, 6))
        np.testing.assert_array_equal(checked_tokens(strategy, MIXED, first, 8), again)
        assert (first != other).any()

    def test_replay_rebuilds_the_state_bit_for_bit(self, strategy):
        (state, history), (_, update) = run(strategy, MIXED, 5), functions(strategy)
        replayed = strategy.init(MIXED, key_for(0, "strategy"))
        for tokens, rewards in history:
            checked_tokens(strategy, MIXED, tokens, 8)
            replayed, _ = update(replayed, tokens, rewards)
        assert same(state, replayed)


@functools.cache
def run(strategy, decisions, rounds, n=8):
    """The state after so many rounds, with tokens and rewards of each."""
    (propose, update), history = functions(strategy), []
    state = strategy.init(decisions, key_for(0, "strategy"))
    for r in range(rounds):
        tokens = np.asarray(propose(state, key_for(0, "propose", r), n=n))
        rewards = np.float32((tokens / decisions.sizes).sum(1))
        state, _ = update(state, tokens, rewards)
        history.append((tokens, rewards))
    return state, history


@pytest.mark.parametrize("space", SPACES)
def test_a_table_finds_its_rows(space):
    decisions = SPACES[space]
    tokens, one = decisions.every(10_000), np.ones(decisions.count)
    known = Records(decisions, tokens, one, one, one, one, ("",) * len(tokens))
    np.testing.assert_array_equal(known.addresses[np.asarray(address(decisions, tokens))], np.arange(len(tokens)))


def test_a_whole_search_of_a_table_is_one_program():
    tokens = TWINS.every(10_000)
    score, one = tokens[:, 0] / 63, np.ones(len(tokens))
    known = Records(TWINS, tokens, score, score, score, one, ("",) * len(tokens))
    found = CompiledSearch(FAST["Evolution"], children=4).run(known, 120.0, [0, 1])
    assert (found.trials == 120).all()
    assert score[found.rows[:, -20:]].mean() > score[found.rows[:, :20]].mean() + 0.2


# Law 6: log-probabilities are true.

POLICIES = {
    "lstm": Policy(units=7, layers=1, scale=0.4),
    "lstm, a bias each": Policy(units=5, layers=2, scale=0.4, place_bias=True),
    "table": Policy("table"),
}


@functools.cache
def fresh(policy: Policy, decisions: Decisions):
    return jax.tree.map(np.asarray, policy.fresh(decisions, jax.random.key(0)))


def disturbed(policy: Policy, decisions: Decisions, by: float):
    """Parameters that are far from where they begin."""
    draw = np.random.default_rng(1)
    far = lambda leaf: jnp.asarray(leaf + np.float32(by * draw.normal(size=leaf.shape)))
    return jax.tree.map(far, fresh(policy, decisions))


@functools.cache
def scorer(policy: Policy, decisions: Decisions):
    """What the policy says of tokens, compiled once for all that ask."""
    return jax.jit(lambda parameters, tokens: policy.score(decisions, parameters, tokens))


def probabilities(policy: Policy, decisions: Decisions, parameters) -> np.ndarray:
    """Of all architectures, in the order of `Decisions.every`."""
    return np.exp(np.float64(scorer(policy, decisions)(parameters, decisions.every(10_000)).log_prob))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_probabilities_sum_to_one(policy, space):
    decisions = SPACES[space]
    for by in (0.0, 0.5):
        p = probabilities(policy, decisions, disturbed(policy, decisions, by))
        np.testing.assert_allclose(p.sum(), 1, atol=2e-5)
    assert p.max() > 3 * p.min()  # so the sum says something


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_gradients_are_finite_at_extreme_parameters(policy):
    tokens = Random().propose(Random().init(MIXED, key_for(0, "s")), key_for(0, "propose"), 40)

    def loss(p):
        walks = policy.score(MIXED, p, tokens)
        return walks.log_prob.mean() + walks.entropy.mean()

    value_and_gradient = jax.jit(jax.value_and_grad(loss))
    for by in (1e4, 1e12):
        value, gradient = value_and_gradient(disturbed(policy, MIXED, by))
        assert np.isfinite(value)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_samples_agree_with_probabilities(policy):
    n, every, parameters = 20_000, SMALL.every(100), disturbed(policy, SMALL, 0.4)
    drawn = jax.jit(lambda p, key: policy.sample(SMALL, p, key, n))(parameters, key_for(1, "propose"))
    p = probabilities(policy, SMALL, parameters)
    counts = (np.asarray(drawn.tokens)[:, None] == every).all(-1).sum(0)
    assert counts.sum() == n
    assert np.abs((counts - n * p) / np.sqrt(n * p)).max() < 4.5  # standard deviations, 12 outcomes
    at = (np.asarray(drawn.tokens)[:50, None] == every).all(-1).argmax(1)
    np.testing.assert_allclose(drawn.log_prob[:50], np.log(p)[at], rtol=1e-5)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_samples_of_many_levels_agree_with_probabilities(policy):
    """64 levels and 1,024, by eighths of the range: total variation of 4,000 draws."""
    n = 4000
    for decisions, column in ((TWINS, 0), (LONG, 1)):
        parameters, every = disturbed(policy, decisions, 0.6), decisions.every(10_000)
        sample = jax.jit(lambda p, key, decisions=decisions: policy.sample(decisions, p, key, n).tokens)
        drawn = np.asarray(sample(parameters, key_for(2, "propose")))[:, column]
        p = probabilities(policy, decisions, parameters)
        part = lambda tokens, size=decisions.sizes[column]: np.where(tokens < 0, 8, tokens * 8 // size)
        expected = np.bincount(part(every[:, column]), p, minlength=9)
        got = np.bincount(part(drawn), minlength=9) / n
        assert 0.5 * np.abs(got - expected).sum() < 0.04
        assert np.abs(expected - expected.mean()).sum() > 0.2  # uneven, so that this says something


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_entropy_is_that_of_the_distributions_met(policy):
    """Expected log-probability is the negative entropy, by enumeration of all."""
    parameters, every = disturbed(policy, TWINS, 0.4), TWINS.every(10_000)
    walks = scorer(policy, TWINS)(parameters, every)
    p = np.exp(np.float64(walks.log_prob))
    np.testing.assert_allclose((p * walks.entropy).sum(), -(p * walks.log_prob).sum(), rtol=1e-4)


def test_ordinals_of_a_kind_share_and_none_widens_what_choices_have():
    """Another ordinal of a kind that is there adds no number to the LSTM; 1,024 levels add as many as 2."""
    numbers = lambda *made: sum(
        leaf.size for leaf in jax.tree.leaves(Policy().fresh(Decisions(made), jax.random.key(0)))
    )
    choice, rate = Choice("a", "a", 3), Ordinal("rate 1", "rate", 64)
    assert numbers(choice, rate) == numbers(choice, rate, Ordinal("rate 2", "rate", 64))
    assert numbers(choice, rate) == numbers(choice, Ordinal("b", "b", 2)) == numbers(choice, Ordinal("b", "b", 1024))
    assert numbers(choice, rate) - numbers(choice) == 35 * 2 + 2 + 2 * 35


def test_what_goes_into_the_lstm_lies_on_a_line():
    """Of ordinals: what comes after level 20 of 64 is between what comes after 0 and after 63."""
    policy = Policy(units=6)
    controller = policy.with_parameters(TWINS, disturbed(policy, TWINS, 0.4))
    step = jax.tree.map(lambda leaf: leaf[0], _steps(TWINS))
    low, some, high = (controller._embedded(jnp.int32(level), step) for level in (0, 20, 63))
    np.testing.assert_allclose(some, low + (high - low) * 20 / 63, rtol=1e-5)


def test_the_favourite_is_the_most_likely():
    for policy in POLICIES.values():
        parameters, every = disturbed(policy, SMALL, 1.5), SMALL.every(100)
        favourite = policy.with_parameters(SMALL, parameters).most_likely()
        p = probabilities(policy, SMALL, parameters)
        for t in range(3):  # decision by decision
            on = (every[:, :t] == np.asarray(favourite.tokens)[:t]).all(1)
            assert np.bincount(every[on, t] + 1, p[on]).argmax() - 1 == favourite.tokens[t]


# Learning.

SMOOTH = Decisions(
    (
        Choice("optimiser", "optimiser", 2),
        Ordinal("rate", "rate", 64),
        Ordinal("decay", "decay", 64),
        Ordinal("momentum", "momentum", 64, when=((0, (0,)),)),
        Ordinal("beta2", "beta2", 64, when=((0, (1,)),)),
    )
)
BEST = np.float32([0, 0.8, 0.3, 0.6, 0.9])


def hill(tokens) -> jax.Array:
    """1 minus squared distances from the best levels, as shares of the range; the second optimiser costs 0.05."""
    far = jnp.where(jnp.arange(5) == 0, 0.0, (tokens / 63 - BEST) ** 2)
    return 1 - (far * (tokens >= 0)).sum(-1) - 0.05 * (tokens[..., 0] == 1)


LEARNERS = FAST | {
    "Reinforce": Reinforce(learning_rate=0.02),
    "Reinforce table": Reinforce(learning_rate=0.1, policy="table"),
    "PPO": PPO(learning_rate=0.01),
    "Evolution": Evolution(population=20, sample=5),
    "Bayes": Bayes(initial=8, capacity=32, pool=128),
    "QLearning": QLearning(learning_rate=0.1, epsilon=LESS_AND_LESS, replay=32, capacity=256),
    "QTuner": QTuner(epsilon=LESS_AND_LESS, walkers=4, capacity=64),
}
GAIN = {
    "Reinforce": 0.2,
    "Reinforce table": 0.35,
    "PPO": 0.35,
    "Evolution": 0.3,
    "LocalSearch": 0.3,
    "QLearning": 0.3,
    "QTuner": 0.2,
    "Bayes": 0.08,
    "Optuna": 0.2,
}
"""By how much the mean reward of the last 10 of 30 rounds of 8 is above random's, at least."""


@functools.cache
def rewards_of(strategy) -> np.ndarray:
    """Rewards of 30 rounds of 8, for each of 32 seeds, ``[32, 30, 8]``; in turn where work depends on states."""

    def one(key):
        def step(state, r):
            tokens = strategy.propose(state, key_for(key, "propose", r), 8)
            return strategy.update(state, tokens, hill(tokens))[0], hill(tokens)

        return jax.lax.scan(step, strategy.init(SMOOTH, key_for(key, "strategy")), jnp.arange(30))[1]

    over_seeds = (lambda keys: jax.lax.map(one, keys)) if has_branches(strategy) else jax.vmap(one)
    return np.asarray(jax.jit(over_seeds)(jax.random.split(jax.random.key(1), 32)))


def test_every_learner_is_tested():
    assert GAIN.keys() | {"Random"} == LEARNERS.keys()
    assert {type(strategy).__name__ for strategy in LEARNERS.values()} == STRATEGIES.keys()


@pytest.mark.parametrize("name", sorted(name for name in GAIN if is_jittable(LEARNERS[name])))
def test_each_beats_random_where_the_optimum_is_smooth(name):
    found, control = rewards_of(LEARNERS[name]), rewards_of(Random())
    assert found[:, -10:].mean() > control[:, -10:].mean() + GAIN[name]


def test_bayes_comes_nearer_to_the_optimum():
    """Its proposals explore: how far the best of all is from 1 says more of it than their mean."""
    far = {name: 1 - rewards_of(LEARNERS[name]).max((1, 2)).mean() for name in ("Bayes", "Random")}
    assert far["Bayes"] < far["Random"] / 3


def test_optuna_beats_random_where_the_optimum_is_smooth():
    """Six rounds of 5, for each of 32 seeds; the last one counts."""

    def late(strategy, seed):
        state = strategy.init(SMOOTH, key_for(seed, "strategy"))
        for r in range(6):
            tokens = np.asarray(strategy.propose(state, key_for(seed, "propose", r), 5))
            state, _ = strategy.update(state, tokens, np.asarray(hill(tokens)))
        return hill(tokens).mean()

    means = [np.mean([late(strategy, seed) for seed in range(32)]) for strategy in (Optuna(), Random())]
    assert means[0] > means[1] + GAIN["Optuna"]
