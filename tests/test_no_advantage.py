"""Law 12: a round without any advantage changes nothing, moments of the optimiser included; an entropy bonus alone
still acts."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_strategies import EVERYTHING, FAST, TINY

from jaxnas.rng import key_for
from jaxnas.strategies import PPO, Reinforce, finite
from jaxnas.strategies.gradient import advantages

POLICIES = {
    "earlier": lambda **more: Reinforce(0.03, **more),
    "present": lambda **more: Reinforce(0.03, baseline="present", **more),
    "present alone": lambda **more: Reinforce(0.03, baseline="present", baseline_decay=0.0, **more),
    "ppo": lambda **more: PPO(0.03, **more),
    "normalised": lambda **more: PPO(0.03, normalise=True, **more),
}
AWKWARD = (0.7, 0.1, 1 / 3, -6.2345, 1e-12, 3e7, 0.0)
"""Rewards whose float32 mean over eight may miss them."""


def same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def policy_of(state):
    return state.parameters, state.optimiser


@pytest.mark.parametrize("policy", ["lstm", "table"])
@pytest.mark.parametrize("name", POLICIES)
def test_equal_rewards_of_a_first_round_change_nothing(name, policy):
    strategy = POLICIES[name](policy=policy, layers=1, entropy_weight=0.0)
    state = strategy.init(TINY, key_for(0, "strategy"))
    update = jax.jit(strategy.update)
    for n, reward in itertools.product((1, 8), AWKWARD):
        tokens = EVERYTHING[:: len(EVERYTHING) // 8][:n]
        after, metrics = update(state, tokens, jnp.full(n, reward, jnp.float32))
        assert same(policy_of(after), policy_of(state)), (n, reward)
        assert int(after.rounds) == 1
        assert float(metrics["mean reward"]) == pytest.approx(reward, rel=1e-6)
    differ = jnp.float32(np.linspace(0.69, 0.7, 8))
    assert not same(policy_of(update(state, tokens, differ)[0]), policy_of(state))  # the law does not hold for all


@pytest.mark.parametrize("name", ["present alone", "normalised"])
def test_equal_rewards_of_a_later_round_change_nothing_where_the_round_is_its_own_measure(name):
    strategy = POLICIES[name](policy="table", entropy_weight=0.0)
    state = strategy.init(TINY, key_for(0, "strategy"))
    tokens = strategy.propose(state, key_for(1, "propose"), 8)
    state, _ = strategy.update(state, tokens, np.float32(np.linspace(0.1, 0.9, 8)))
    after, _ = strategy.update(state, tokens, np.full(8, 0.7, np.float32))
    assert same(policy_of(after), policy_of(state))


@pytest.mark.parametrize("name", POLICIES)
def test_rewards_that_were_always_equal_never_change_anything(name):
    """The moving average of equal numbers is that number: it does not drift off by rounding."""
    strategy = POLICIES[name](policy="table", entropy_weight=0.0)
    first = state = strategy.init(TINY, key_for(0, "strategy"))
    update, tokens = jax.jit(strategy.update), strategy.propose(state, key_for(1, "propose"), 8)
    for _ in range(100):
        state, _ = update(state, tokens, np.full(8, 0.7, np.float32))
    assert same(policy_of(state), policy_of(first))


@pytest.mark.parametrize("name", ["earlier", "present", "ppo"])
def test_equal_rewards_that_differ_from_the_average_say_something(name):
    strategy = POLICIES[name](policy="table", entropy_weight=0.0)
    state = strategy.init(TINY, key_for(0, "strategy"))
    tokens = strategy.propose(state, key_for(1, "propose"), 8)
    state, _ = strategy.update(state, tokens, np.full(8, 0.2, np.float32))
    after, _ = strategy.update(state, tokens, np.full(8, 0.7, np.float32))
    assert strategy.log_prob(after, tokens).mean() > strategy.log_prob(state, tokens).mean()


@pytest.mark.parametrize("policy", ["lstm", "table"])
def test_an_entropy_bonus_alone_acts(policy):
    """The step is Adam's along the entropy, as if there were no rewards."""
    strategy = Reinforce(0.03, policy=policy, layers=1, entropy_weight=0.1)
    state = strategy.init(TINY, key_for(0, "strategy"))
    tokens = EVERYTHING[::5]
    after, _ = jax.jit(strategy.update)(state, tokens, np.full(len(tokens), 0.7, np.float32))
    score = lambda parameters: strategy._policy.score(TINY, parameters, tokens).entropy.mean()
    gradient = jax.tree.map(lambda g: -0.1 * g, jax.jit(jax.grad(score))(state.parameters))
    steps, _ = optax.adam(0.03).update(gradient, optax.adam(0.03).init(state.parameters))
    wanted = optax.apply_updates(state.parameters, steps)
    for a, b in zip(jax.tree.leaves(after.parameters), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert not same(after.parameters, state.parameters)


def test_only_rounding_is_nothing():
    """Whatever the scale: differences of a millionth count, of the last place do not."""
    for scale in (1e-30, 1e-3, 1.0, 6.2, 1e15):
        near = jnp.float32([scale, scale * (1 + 1e-6)])
        assert (advantages(near, near.mean()) != 0).any(), scale
        last = jnp.float32([scale, np.nextafter(np.float32(scale), np.float32(np.inf))])
        assert (advantages(last, last[0]) == 0).all(), scale
    far = jnp.float32([1e-3, 1e-3])
    np.testing.assert_array_equal(advantages(far, jnp.float32(2e-3)), far - jnp.float32(2e-3))


@pytest.mark.parametrize("equal", [0.0, 0.5])
def test_a_round_of_equal_rewards_does_not_freeze_a_normalised_ppo(equal):
    """Nor does one in which the rewards are nearly equal and far from the average."""
    strategy = PPO(0.03, entropy_weight=0.0, normalise=True, policy="table")

    @jax.jit
    def search(odd):
        def step(state, r):
            tokens = strategy.propose(state, key_for(3, "propose", r), 8)
            rewards = (tokens == 1).mean(1) + 1e-3 * jnp.arange(8)
            rewards = jnp.where(r == odd, equal + 1e-7 * jnp.arange(8), rewards)
            return strategy.update(state, tokens, rewards)[0], rewards.mean()

        return jax.lax.scan(step, strategy.init(TINY, key_for(0, "strategy")), jnp.arange(80))[1][60:].mean()

    assert float(search(5)) > float(search(-1)) - 0.05


def test_what_is_finite():
    strategy = Reinforce()
    state = strategy.init(TINY, key_for(0, "strategy"))
    assert finite(state)
    for value in (np.nan, np.inf, -np.inf):
        assert not finite(replace(state, baseline=jnp.float32(value)))
    assert finite(FAST["Evolution"].init(TINY, key_for(0, "strategy")))  # empty places are worth -inf
    assert not finite({"values": np.array([0.0, np.nan])})
    assert finite({"names": np.array([1, 2]), "none": None})
