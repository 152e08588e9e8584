"""The laws of strategies, over all of them: valid tokens, purity, replay, true log-probabilities, learning."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxnas.decisions import ABSENT, Anchor, Choice, Decisions
from jaxnas.rng import key_for
from jaxnas.strategies import (
    PPO,
    STRATEGIES,
    Bayes,
    Evolution,
    LocalSearch,
    Optuna,
    QLearning,
    QTuner,
    Random,
    Reinforce,
    has_branches,
    is_jittable,
)
from jaxnas.strategies.controller import Controller

TINY = Decisions(
    (
        Choice("depth", "depth", 2),
        Choice("height 1", "height", 3),
        Choice("filters 1", "filters", 2),
        Choice("height 2", "height", 3, when=((0, (1,)),)),
        Choice("filters 2", "filters", 2, when=((0, (1,)),)),
    )
)
EVERYTHING = np.unique(
    np.asarray(TINY.without_absent(np.array(list(itertools.product(*(range(s) for s in TINY.sizes)))))), axis=0
)
GROWN = Decisions(
    (
        Choice("depth", "depth", 2),
        Anchor("layer 1"),
        Choice("height 1", "height", 3),
        Anchor("layer 2", when=((0, (1,)),)),
        Choice("height 2", "height", 3, when=((0, (1,)),)),
    )
)
LESS_AND_LESS = ((1.0, 64), (0.5, 64), (0.1, 64))
FAST = {
    "Random": Random(),
    "Reinforce": Reinforce(learning_rate=0.02),
    "Bayes": Bayes(initial=4),
    "PPO": PPO(learning_rate=0.01),
    "Evolution": Evolution(population=20, sample=5),
    "LocalSearch": LocalSearch(),
    "QLearning": QLearning(learning_rate=0.1, epsilon=LESS_AND_LESS, replay=8, capacity=64),
    "QTuner": QTuner(epsilon=LESS_AND_LESS, walkers=4, capacity=64),
    "Optuna": Optuna(),
}
GAIN = {
    "Reinforce": 0.25,
    "PPO": 0.25,
    "Bayes": 0.25,
    "Evolution": 0.2,
    "LocalSearch": 0.1,
    "QLearning": 0.3,
    "QTuner": 0.4,
}
"""By how much each beats random on the toy table, at least; local search ends nowhere: it goes on to other peaks."""
JITTABLE = {name: s for name, s in FAST.items() if is_jittable(s)}


def table(tokens) -> jax.Array:
    """A toy benchmark: the share of present decisions that are 1, so that depth 1 and all ones are best."""
    return (tokens == 1).sum(1) / TINY.sizes.shape[0]


@functools.cache
def functions(strategy):
    """`propose` and `update`, compiled where that can be done."""
    if not is_jittable(strategy):
        return strategy.propose, strategy.update
    return jax.jit(strategy.propose, static_argnames="n"), jax.jit(strategy.update)


def run(strategy, rounds, n=8, seed=0, reward=table):
    """States after each round, the tokens and the rewards."""
    propose, update = functions(strategy)
    state, history = strategy.init(TINY, key_for(seed, "strategy")), []
    for r in range(rounds):
        tokens = propose(state, key_for(seed, "propose", r), n=n)
        rewards = reward(tokens)
        state, _ = update(state, tokens, rewards)
        history.append((tokens, rewards))
    return state, history


def same(a, b) -> bool:
    numbers = lambda leaf: jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    pairs = zip(*(map(numbers, jax.tree.leaves(tree)) for tree in (a, b)), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def test_every_strategy_is_tested():
    assert FAST.keys() == STRATEGIES.keys()


@pytest.mark.parametrize("strategy", FAST.values(), ids=FAST)
class TestEveryStrategy:
    def test_tokens_lie_in_the_space(self, strategy):
        known = {tuple(row) for row in EVERYTHING.tolist()}
        _, history = run(strategy, rounds=12)
        for tokens, _ in history:
            assert tokens.dtype == jnp.int32
            assert {tuple(row) for row in tokens.tolist()} <= known

    def test_propose_changes_nothing_and_follows_its_key(self, strategy):
        state, _ = run(strategy, rounds=2)
        before = jax.tree.map(jnp.copy, state)
        propose, _ = functions(strategy)
        first, again, other = (propose(state, key_for(i, "propose"), n=8) for i in (5, 5, 6))
        assert same(state, before)
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    def test_replay_rebuilds_the_state_bit_for_bit(self, strategy):
        state, history = run(strategy, rounds=5)
        replayed, (_, update) = strategy.init(TINY, key_for(0, "strategy")), functions(strategy)
        for tokens, rewards in history:
            stored = np.asarray(tokens).tolist(), [float(r) for r in rewards]  # as the ledger keeps them
            replayed, _ = update(replayed, np.array(stored[0], np.int32), np.array(stored[1], np.float32))
        assert same(state, replayed)

    def test_a_space_may_grow(self, strategy):
        """Its last columns come later, as `jaxnas.search` cuts them; links and what needs them are as they must be."""
        raw = np.array(list(itertools.product(*(range(s) for s in GROWN.sizes))))
        known = {tuple(row) for row in np.asarray(GROWN.without_absent(raw)).tolist()}
        (propose, update), state, links = functions(strategy), strategy.init(GROWN, key_for(0, "strategy")), set()
        for r in range(8):
            tokens = np.asarray(propose(state, key_for(0, "propose", r), n=8))
            assert {tuple(row) for row in tokens.tolist()} <= known
            tokens = np.where(np.arange(len(GROWN)) < (2 if r < 3 else 4), tokens, ABSENT)
            state, _ = update(state, tokens, np.float32(tokens[:, 1] == 2))
            links |= set(tokens[:, 2].tolist())
        assert links == {ABSENT, 0, 1}

    def test_settings_survive_hashing(self, strategy):
        assert hash(strategy) == hash(type(strategy)(**vars(strategy)))


@functools.cache
def rewards_of(strategy) -> np.ndarray:
    """Mean reward of each of 30 rounds of 8, for each of 32 seeds: whole searches, one program. Where work depends on
    the state seeds follow each other, as in whole searches of tables.
    """

    def one(key):
        state = strategy.init(TINY, key_for(key, "strategy"))

        def step(state, r):
            tokens = strategy.propose(state, key_for(key, "propose", r), 8)
            return strategy.update(state, tokens, table(tokens))[0], table(tokens).mean()

        return jax.lax.scan(step, state, jnp.arange(30))[1]

    over_seeds = (lambda keys: jax.lax.map(one, keys)) if has_branches(strategy) else jax.vmap(one)
    return np.asarray(jax.jit(over_seeds)(jax.random.split(jax.random.key(1), 32)))


@pytest.mark.parametrize("name", sorted(JITTABLE.keys() - {"Random"}))
def test_a_whole_search_is_one_program_over_seeds_and_beats_random(name):
    found, control = rewards_of(FAST[name]), rewards_of(FAST["Random"])
    assert found.shape == (32, 30)
    assert len(np.unique(found[:, 0])) > 8  # seeds differ
    assert found[:, -10:].mean() > control[:, -10:].mean() + GAIN[name]


# Law 6: log-probabilities are true.


@pytest.fixture(scope="module")
def trained():
    strategy = FAST["Reinforce"]
    return strategy, run(strategy, rounds=4)[0]


def test_probabilities_sum_to_one(trained):
    strategy, state = trained
    p = np.exp(strategy.log_prob(state, EVERYTHING))
    assert len(p) == 6 + 36
    np.testing.assert_allclose(p.sum(), 1, atol=1e-5)
    assert p.max() > 2 * p.min()  # training has made it uneven, so the sum says something


def test_frequencies_agree_with_probabilities(trained):
    strategy, state = trained
    n = 20_000
    drawn = np.asarray(strategy.propose(state, key_for(1, "propose"), n))
    p = np.exp(strategy.log_prob(state, EVERYTHING))
    counts = (drawn[:, None] == EVERYTHING).all(-1).sum(0)
    assert counts.sum() == n
    deviation = (counts - n * p) / np.sqrt(n * p)
    assert np.abs(deviation).max() < 4.5  # standard deviations, 42 outcomes


def test_a_sample_is_scored_with_the_value_it_was_drawn_with():
    controller = Controller(TINY, units=8, layers=2, scale=0.5, rngs=nnx.Rngs(0))
    drawn = jax.vmap(controller.sample)(jax.random.split(jax.random.key(0), 50))
    scored = jax.vmap(controller.score)(drawn.tokens)
    for a, b in zip(drawn, scored, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert (drawn.tokens[:, 3] == -1).any()


def test_absent_decisions_add_nothing():
    """A shallow architecture has the log-probability that the shorter list of decisions gives it."""
    controller = Controller(TINY, units=8, layers=2, scale=0.5, rngs=nnx.Rngs(0))
    short = Controller(Decisions(TINY.choices[:3]), units=8, layers=2, scale=0.5, rngs=nnx.Rngs(0))
    nnx.update(short, nnx.state(controller))
    full, cut = controller.score(np.array([0, 2, 1, -1, -1])), short.score(np.array([0, 2, 1]))
    np.testing.assert_allclose(full.log_prob, cut.log_prob, rtol=1e-6)
    np.testing.assert_allclose(full.entropy, cut.entropy, rtol=1e-6)


def test_the_controller_is_that_of_the_paper():
    controller = Controller(TINY, units=35, layers=2, scale=0.08, rngs=nnx.Rngs(0))
    leaves = jax.tree.leaves(nnx.state(controller, nnx.Param))
    values = np.concatenate([np.ravel(leaf) for leaf in leaves])
    assert np.abs(values).max() <= 0.08
    np.testing.assert_allclose(values.std(), 0.16 / np.sqrt(12), rtol=0.02)  # uniform
    assert len(controller.cells) == 2
    assert controller.embeddings.shape == (3, 3, 35)  # one a kind, not one a decision: 3 kinds among 5 decisions
    assert controller.softmax.shape == (3, 35, 3)
    assert Reinforce().learning_rate == 6e-4


def test_the_most_likely_architecture_is_found_by_argmax():
    strategy = FAST["Reinforce"]
    state, _ = run(strategy, rounds=25)
    best = EVERYTHING[np.argmax(strategy.log_prob(state, EVERYTHING))]
    np.testing.assert_array_equal(strategy.most_likely(state), best)
    assert best[0] == 1  # what the toy rewards


# REINFORCE.


def test_the_gradient_is_that_of_the_expected_reward():
    """Summed over all architectures instead of sampled: the enumerated policy gradient is the exact gradient."""
    strategy = Reinforce(units=6)
    state = strategy.init(TINY, key_for(0, "strategy"))
    rewards = table(EVERYTHING)

    def expected(parameters):
        return (jnp.exp(strategy._policy.score(TINY, parameters, EVERYTHING).log_prob) * rewards).sum()

    def surrogate(parameters):
        log_prob = strategy._policy.score(TINY, parameters, EVERYTHING).log_prob
        p = jnp.exp(jax.lax.stop_gradient(log_prob))
        return (p * log_prob * (rewards - 0.3)).sum()  # any baseline gives the same

    for a, b in zip(
        *map(jax.tree.leaves, (jax.grad(expected)(state.parameters), jax.grad(surrogate)(state.parameters))),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_baseline_by_hand():
    strategy = Reinforce(baseline_decay=0.75, units=4)
    state = strategy.init(TINY, key_for(0, "strategy"))
    tokens, seen = EVERYTHING[:2], []
    for rewards in ([0.2, 0.4], [0.5, 0.7], [1.0, 1.0]):
        state, metrics = jax.jit(strategy.update)(state, tokens, np.float32(rewards))
        seen.append(float(metrics["baseline"]))
    np.testing.assert_allclose(seen, [0.3, 0.3, 0.75 * 0.3 + 0.25 * 0.6], rtol=1e-6)
    np.testing.assert_allclose(state.baseline, 0.75 * 0.375 + 0.25, rtol=1e-6)


def test_an_update_by_hand():
    """One step of plain Adam along the mean of grad log p (R - b)."""
    strategy = Reinforce(learning_rate=0.01, units=4)
    state = strategy.init(TINY, key_for(0, "strategy"))
    tokens, rewards = EVERYTHING[[3, 20, 41]], np.float32([0.1, 0.9, 0.4])
    new, _ = jax.jit(strategy.update)(state, tokens, rewards)
    loss = lambda p: -(strategy._policy.score(TINY, p, tokens).log_prob * (rewards - rewards.mean())).mean()
    steps, _ = optax.adam(0.01).update(jax.grad(loss)(state.parameters), optax.adam(0.01).init(state.parameters))
    for a, b in zip(*map(jax.tree.leaves, (new.parameters, optax.apply_updates(state.parameters, steps))), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_entropy_bonus_keeps_the_policy_broad():
    entropy = {}
    for weight in (0.0, 0.3):
        strategy = Reinforce(learning_rate=0.02, entropy_weight=weight)
        state, _ = run(strategy, rounds=40)
        entropy[weight] = float(jax.jit(strategy.update)(state, EVERYTHING, table(EVERYTHING))[1]["entropy"])
    assert entropy[0.3] > entropy[0.0] + 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"baseline_decay": 1.0}, "baseline_decay=1.0"),
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"units": 0}, "units=0"),
        ({"entropy_weight": -1.0}, "entropy_weight=-1.0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Reinforce(**settings)
