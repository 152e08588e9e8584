"""The Gaussian process against textbook formulas in float64, and what it chooses."""

import itertools
from math import exp

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm, rankdata

from jaxnas.decisions import Choice, Decisions
from jaxnas.rng import key_for
from jaxnas.strategies import Bayes
from jaxnas.strategies.bayes import Kernel, _ascent, _inverse_factor, _normal_scores, _posterior

SPACE = Decisions((Choice("a", "a", 3), Choice("b", "b", 4), Choice("c", "c", 2, when=((1, (2, 3)),))))
EVERYTHING = np.unique(
    np.asarray(SPACE.without_absent(np.array(list(itertools.product(range(3), range(4), range(2)))))), axis=0
)
RNG = np.random.default_rng(0)
KERNEL = Kernel(jnp.asarray(RNG.normal(-1, 0.5, (3, 4)), jnp.float32), jnp.float32(np.log(0.05)))
TRIALS, CAPACITY = 11, 16


def plain_covariance(a, b) -> np.ndarray:
    """As the docstring has it, sample by sample."""
    w, found = np.exp(np.asarray(KERNEL.weights, np.float64)), np.zeros((len(a), len(b)))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            found[i, j] = exp(-sum(w[t, max(x[t], 0)] + w[t, max(y[t], 0)] for t in range(3) if x[t] != y[t]))
    return found


@pytest.fixture
def memory():
    """Eleven trials in sixteen places."""
    tokens = np.full((CAPACITY, 3), -2, np.int32)
    tokens[:TRIALS] = EVERYTHING[RNG.permutation(len(EVERYTHING))[:TRIALS]]
    rewards = np.full(CAPACITY, -np.inf, np.float32)
    rewards[:TRIALS] = RNG.normal(size=TRIALS)
    return jnp.asarray(tokens), jnp.asarray(rewards), jnp.arange(CAPACITY) < TRIALS


def test_the_posterior_is_the_textbooks(memory):
    """Rasmussen & Williams, equations 2.23 and 2.24."""
    tokens, rewards, known = memory
    scores = _normal_scores(rewards, known)
    got = _posterior(KERNEL, tokens, scores, known, jnp.asarray(EVERYTHING))
    seen = np.asarray(tokens[:TRIALS])
    among = plain_covariance(seen, seen) + 0.05 * np.eye(TRIALS)
    across = plain_covariance(seen, EVERYTHING)
    np.testing.assert_allclose(got.mean, across.T @ np.linalg.solve(among, scores[:TRIALS]), atol=1e-4)
    variance = 1 - np.diag(across.T @ np.linalg.solve(among, across))
    np.testing.assert_allclose(got.variance, variance, atol=1e-4)
    assert np.ptp(variance) > 0.3


def test_the_kernel_climbs_the_marginal_likelihood(memory):
    """Against finite differences of scipy's multivariate normal density."""
    tokens, rewards, known = memory
    scores, seen = np.asarray(_normal_scores(rewards, known))[:TRIALS], np.asarray(tokens[:TRIALS])

    def log_likelihood(weights, noise):
        w, among = np.exp(weights), np.zeros((TRIALS, TRIALS))
        for i, j in itertools.product(range(TRIALS), repeat=2):
            apart = [t for t in range(3) if seen[i, t] != seen[j, t]]
            among[i, j] = exp(-sum(w[t, max(seen[i, t], 0)] + w[t, max(seen[j, t], 0)] for t in apart))
        return multivariate_normal(cov=among + np.exp(noise) * np.eye(TRIALS)).logpdf(scores) / TRIALS

    weights, noise = np.asarray(KERNEL.weights, np.float64), float(KERNEL.noise)
    got, step = _ascent(KERNEL, tokens, rewards, known), 1e-5
    for t, v in itertools.product(range(3), range(4)):
        up, down = weights.copy(), weights.copy()
        up[t, v] += step
        down[t, v] -= step
        slope = (log_likelihood(up, noise) - log_likelihood(down, noise)) / (2 * step)
        np.testing.assert_allclose(got.weights[t, v], slope, atol=2e-4)
    slope = (log_likelihood(weights, noise + step) - log_likelihood(weights, noise - step)) / (2 * step)
    np.testing.assert_allclose(got.noise, slope, atol=2e-4)
    assert np.abs(got.weights).max() > 0.01


@pytest.mark.parametrize("size", [1, 2, 16, 128, 256, 512])
def test_the_inverse_factor(size):
    root = RNG.normal(size=(size, size)) / np.sqrt(size)
    matrix = root @ root.T + np.eye(size)
    expected = np.linalg.inv(np.linalg.cholesky(matrix))
    np.testing.assert_allclose(_inverse_factor(jnp.asarray(matrix, jnp.float32)), expected, atol=3e-6)


def test_normal_scores_are_those_of_ranks():
    rewards = np.array([0.3, -5.0, 0.3, 9.0, 0.1, 7.0, 7.0, 7.0], np.float32)
    known = np.arange(8) < 6
    got = _normal_scores(jnp.asarray(rewards), jnp.asarray(known))
    np.testing.assert_allclose(got[:6], norm.ppf((rankdata(rewards[:6]) - 0.5) / 6), atol=1e-6)
    assert (got[6:] == 0).all()


@pytest.mark.parametrize("acquisition", ["ei", "ucb"])
def test_the_candidate_that_promises_most_is_proposed(acquisition, memory):
    tokens, rewards, known = memory
    strategy = Bayes(acquisition=acquisition, beta=0.7, capacity=CAPACITY)
    posterior = _posterior(KERNEL, tokens, _normal_scores(rewards, known), known, jnp.asarray(EVERYTHING))
    mean, deviation = np.asarray(posterior.mean), np.sqrt(posterior.variance)
    best = norm.ppf((TRIALS - 0.5) / TRIALS)
    improvement = [
        norm(m, s).expect(lambda y: y - best, lb=best, ub=best + 12) for m, s in zip(mean, deviation, strict=True)
    ]
    gain = np.array(improvement) if acquisition == "ei" else mean + 0.7 * deviation
    gain[(EVERYTHING[:, None] == np.asarray(tokens)).all(-1).any(-1)] = -np.inf  # not again
    [at] = strategy._choose(KERNEL, tokens, rewards, known, jnp.asarray(EVERYTHING), 1)
    assert at == gain.argmax()


def test_several_at_once_are_chosen_as_if_the_first_had_been_seen(memory):
    """Believing the mean changes no mean: the second is the best under the posterior that knows the first."""
    tokens, rewards, known = memory
    strategy, pool = Bayes(acquisition="ucb", beta=3.0, capacity=CAPACITY), jnp.asarray(EVERYTHING)
    together = np.asarray(strategy._choose(KERNEL, tokens, rewards, known, pool, 3))
    scores = np.asarray(_normal_scores(rewards, known)).copy()
    mean = np.asarray(_posterior(KERNEL, tokens, jnp.asarray(scores), known, pool).mean)
    taken, more, with_first = [], np.asarray(tokens).copy(), np.asarray(known).copy()
    for k in range(3):
        variance = _posterior(KERNEL, jnp.asarray(more), jnp.asarray(scores), jnp.asarray(with_first), pool).variance
        gain = mean + 3.0 * np.sqrt(np.asarray(variance))
        gain[(EVERYTHING[:, None] == np.asarray(tokens)).all(-1).any(-1)] = -np.inf
        gain[taken] = -np.inf
        taken.append(int(gain.argmax()))
        more[TRIALS + k], with_first[TRIALS + k] = EVERYTHING[taken[-1]], True
    assert together.tolist() == taken


def test_nothing_is_proposed_twice_and_the_start_is_uniform():
    strategy, state, seen = Bayes(initial=6, capacity=32), None, []
    state = strategy.init(SPACE, key_for(0, "strategy"))
    propose, update = jax.jit(strategy.propose, static_argnums=2), jax.jit(strategy.update)
    for r in range(9):
        tokens = propose(state, key_for(0, "propose", r), 2)
        seen += map(tuple, tokens.tolist())
        state, _ = update(state, tokens, tokens.sum(1) / 5)
    assert len(set(seen[6:])) == len(seen[6:])
    assert not set(seen[6:]) & set(seen[:6])
    starts = np.concatenate([propose(strategy.init(SPACE, key_for(0, "s")), key_for(i, "p"), 200) for i in range(5)])
    counts = np.bincount(starts[:, 0], minlength=3)
    assert np.abs(counts - 1000 / 3).max() < 4 * np.sqrt(1000 * 2 / 9)


def test_the_latest_trials_are_kept():
    strategy = Bayes(capacity=4)
    state = strategy.init(SPACE, key_for(0, "strategy"))
    for row in range(6):
        state, _ = strategy.update(state, EVERYTHING[[row]], np.float32([row]))
    np.testing.assert_array_equal(state.tokens, EVERYTHING[[4, 5, 2, 3]])
    np.testing.assert_array_equal(state.rewards, [4, 5, 2, 3])
    np.testing.assert_array_equal(strategy.most_likely(state), EVERYTHING[5])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"capacity": 100}, "capacity=100: give a power of two"),
        ({"initial": 0}, "initial=0"),
        ({"pool": 1}, "pool=1"),
        ({"fits": -1}, "fits=-1"),
        ({"beta": -1.0}, "beta=-1.0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Bayes(**settings)
