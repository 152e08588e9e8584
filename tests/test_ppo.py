"""PPO by hand, and the table of logits."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxnas.decisions import Choice, Decisions
from jaxnas.rng import key_for
from jaxnas.strategies import PPO, Reinforce
from jaxnas.strategies.policy import LogitTable, Policy

SPACE = Decisions((Choice("a", "a", 3), Choice("b", "b", 2), Choice("c", "c", 3, when=((1, (1,)),))))
EVERYTHING = np.unique(
    np.asarray(SPACE.without_absent(np.array(list(itertools.product(range(3), range(2), range(3)))))), axis=0
)
TOKENS, REWARDS = EVERYTHING[[0, 4, 7, 11]], np.float32([0.1, 0.9, 0.4, 0.8])


def test_an_update_by_hand():
    """Three steps of plain Adam along the clipped surrogate, written sample by sample."""
    strategy = PPO(learning_rate=0.2, epochs=3, clip=0.1, entropy_weight=0.02, policy="table")
    state = strategy.init(SPACE, key_for(0, "strategy"))
    old = np.asarray(strategy.log_prob(state, TOKENS))
    policy, adam = Policy("table"), optax.adam(0.2)

    def objective(parameters):
        walks, total = policy.score(SPACE, parameters, TOKENS), 0.0
        for k, reward in enumerate(REWARDS):
            ratio, advantage = jnp.exp(walks.log_prob[k] - old[k]), reward - REWARDS.mean()
            total += jnp.minimum(ratio * advantage, jnp.clip(ratio, 0.9, 1.1) * advantage) / 4
            total += 0.02 * walks.entropy[k] / 4
        return total

    parameters, optimiser = state.parameters, adam.init(state.parameters)
    for _ in range(3):
        steps, optimiser = adam.update(jax.tree.map(jnp.negative, jax.grad(objective)(parameters)), optimiser)
        parameters = optax.apply_updates(parameters, steps)
    new, metrics = jax.jit(strategy.update)(state, TOKENS, REWARDS)
    for a, b in zip(*map(jax.tree.leaves, (new.parameters, parameters)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert metrics["clipped"] > 0  # rate 0.2 leaves the bounds, so that clipping was tested


def test_one_step_is_reinforce():
    """At the first step every ratio is 1: the gradient is that of REINFORCE with the same baseline."""
    settings = {"learning_rate": 0.01, "policy": "table", "baseline_decay": 0.9, "entropy_weight": 0.01}
    a, b = PPO(epochs=1, **settings), Reinforce(**settings)
    states = [s.update(s.init(SPACE, key_for(0, "strategy")), TOKENS, REWARDS)[0] for s in (a, b)]
    for x, y in zip(*(jax.tree.leaves(s.parameters) for s in states), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)


def test_normalised_advantages_do_not_know_the_rewards_scale():
    strategy = PPO(policy="table", normalise=True)
    state = strategy.init(SPACE, key_for(0, "strategy"))
    a, b = (strategy.update(state, TOKENS, scale * REWARDS)[0].parameters for scale in (1, 50))
    for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


# The table of logits.


@pytest.fixture(scope="module")
def learnt():
    strategy = Reinforce(learning_rate=0.3, policy="table")
    state = strategy.init(SPACE, key_for(0, "strategy"))
    for _ in range(4):
        state, _ = strategy.update(state, TOKENS, REWARDS)
    return strategy, state


def test_probabilities_are_products_of_softmaxes_over_what_is_present(learnt):
    strategy, state = learnt
    [logits] = jax.tree.leaves(state.parameters)
    p = [np.exp(row[:size]) / np.exp(row[:size]).sum() for row, size in zip(np.asarray(logits), (3, 2, 3), strict=True)]
    expected = [np.prod([p[t][token] for t, token in enumerate(row) if token >= 0]) for row in EVERYTHING]
    got = np.exp(strategy.log_prob(state, EVERYTHING))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    np.testing.assert_allclose(got.sum(), 1, atol=1e-6)
    assert got.max() > 3 * got.min()


def test_frequencies_agree_with_probabilities(learnt):
    strategy, state = learnt
    drawn = np.asarray(strategy.propose(state, key_for(1, "propose"), 20_000))
    p = np.exp(strategy.log_prob(state, EVERYTHING))
    counts = (drawn[:, None] == EVERYTHING).all(-1).sum(0)
    assert counts.sum() == 20_000
    assert (np.abs(counts - 20_000 * p) / np.sqrt(20_000 * p)).max() < 4.5


def test_entropy_counts_what_is_present_and_the_favourite_is_the_argmax(learnt):
    _, state = learnt
    table = LogitTable(SPACE, scale=1.0, rngs=nnx.Rngs(0))
    nnx.update(table, state.parameters)
    log_p = np.asarray(jax.nn.log_softmax(jnp.where(np.arange(3) < np.array([[3], [2], [3]]), table.logits[...], -1e9)))
    entropy = -(np.exp(log_p) * log_p).sum(-1)
    np.testing.assert_allclose(table.score(np.array([0, 0, -1])).entropy, entropy[:2].sum(), rtol=1e-5)
    np.testing.assert_allclose(table.score(np.array([0, 1, 2])).entropy, entropy.sum(), rtol=1e-5)
    best = EVERYTHING[np.argmax([table.score(row).log_prob for row in EVERYTHING])]
    np.testing.assert_array_equal(
        table.most_likely().tokens, log_p.argmax(-1) if best[1] else [*log_p.argmax(-1)[:2], -1]
    )


def test_the_baseline_of_nats_bench_by_hand():
    """Averaged with the present reward, corrected as Adam corrects its moments, then subtracted."""
    strategy = Reinforce(policy="table", baseline="present", baseline_decay=0.9)
    state, average = strategy.init(SPACE, key_for(0, "strategy")), 0.0
    for step, reward in enumerate([50.0, 80.0, 60.0, 90.0], 1):
        state, metrics = strategy.update(state, EVERYTHING[:1], np.float32([reward]))
        average = 0.9 * average + 0.1 * reward
        np.testing.assert_allclose(metrics["baseline"], average / (1 - 0.9**step), rtol=1e-5)
    assert state.parameters["logits"][...].shape == (3, 3)


def test_a_bias_of_each_place_is_learnt():
    settings = {"learning_rate": 0.05, "units": 4, "layers": 1}
    states = {}
    for place_bias in (False, True):
        strategy = Reinforce(**settings, place_bias=place_bias)
        states[place_bias], _ = strategy.update(strategy.init(SPACE, key_for(0, "s")), TOKENS, REWARDS)
    assert "place_bias" not in states[False].parameters
    bias = states[True].parameters["place_bias"][...]
    assert bias.shape == (3, 3)
    assert (jnp.abs(bias) > 0).any(axis=1).all()


@pytest.mark.parametrize("kind", [PPO, Reinforce])
@pytest.mark.parametrize(
    ("settings", "message"),
    [({"layers": 0}, "layers=0"), ({"learning_rate": -1.0}, "learning_rate=-1.0")],
)
def test_impossible_settings_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


@pytest.mark.parametrize(("settings", "message"), [({"epochs": 0}, "epochs=0"), ({"clip": 0.0}, "clip=0.0")])
def test_impossible_steps_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PPO(**settings)
