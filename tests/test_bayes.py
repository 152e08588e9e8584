"""The Gaussian process against textbook formulas in float64, and what it chooses."""

import itertools
from dataclasses import replace
from math import exp

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm, rankdata
from sklearn.gaussian_process.kernels import Matern

from jaxnas.decisions import Choice, Decisions, Ordinal
from jaxnas.rng import key_for
from jaxnas.strategies import Bayes
from jaxnas.strategies.bayes import BayesState
from jaxnas.strategies.cholesky import inverse_factor
from jaxnas.strategies.gaussian_process import Kernel, ascent, covariance, fresh, normal_scores, posterior_of

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


def state_of(memory) -> BayesState:
    tokens, rewards, _ = memory
    return BayesState(tokens, rewards, jnp.int32(TRIALS), KERNEL, None, SPACE)


def test_the_posterior_is_the_textbooks(memory):
    """Rasmussen & Williams, equations 2.23 and 2.24."""
    tokens, rewards, known = memory
    scores = normal_scores(rewards, known)
    got = posterior_of(KERNEL, tokens, scores, known, jnp.asarray(EVERYTHING), together=False)
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
    scores, seen = np.asarray(normal_scores(rewards, known))[:TRIALS], np.asarray(tokens[:TRIALS])

    def log_likelihood(weights, noise):
        w, among = np.exp(weights), np.zeros((TRIALS, TRIALS))
        for i, j in itertools.product(range(TRIALS), repeat=2):
            apart = [t for t in range(3) if seen[i, t] != seen[j, t]]
            among[i, j] = exp(-sum(w[t, max(seen[i, t], 0)] + w[t, max(seen[j, t], 0)] for t in apart))
        return multivariate_normal(cov=among + np.exp(noise) * np.eye(TRIALS)).logpdf(scores) / TRIALS

    weights, noise = np.asarray(KERNEL.weights, np.float64), float(KERNEL.noise)
    got, step = ascent(KERNEL, tokens, normal_scores(rewards, known), known), 1e-5
    for t, v in itertools.product(range(3), range(4)):
        up, down = weights.copy(), weights.copy()
        up[t, v] += step
        down[t, v] -= step
        slope = (log_likelihood(up, noise) - log_likelihood(down, noise)) / (2 * step)
        np.testing.assert_allclose(got.weights[t, v], slope, atol=2e-4)
    slope = (log_likelihood(weights, noise + step) - log_likelihood(weights, noise - step)) / (2 * step)
    np.testing.assert_allclose(got.noise, slope, atol=2e-4)
    assert np.abs(got.weights).max() > 0.01


NUMBERS = Decisions((Choice("a", "a", 3), Ordinal("b", "b", 64), Ordinal("c", "c", 9, when=((0, (1, 2)),))))
OF_NUMBERS = replace(
    fresh(NUMBERS),
    weights=jnp.asarray(RNG.normal(-1, 0.5, (3, 3)), jnp.float32),
    lengths=jnp.log(jnp.array([1, 0.3, 0.7])),
)


def covariance_of_numbers(tokens, weights, lengths) -> np.ndarray:
    """sklearn's Matern of each ordinal, an absent one in the middle, times what differing choices and absence cost."""
    w, found = np.exp(weights), np.ones((len(tokens),) * 2)
    shares = np.where(tokens < 0, 0.5, tokens / [1, 63, 8])
    for t in (1, 2):
        found *= Matern(np.exp(lengths[t]), nu=2.5)(shares[:, [t]])
    for i, j in itertools.product(range(len(tokens)), repeat=2):
        x, y = tokens[i], tokens[j]
        apart = (w[0, x[0]] + w[0, y[0]]) * (x[0] != y[0]) + 2 * w[2, 0] * ((x[2] < 0) != (y[2] < 0))
        found[i, j] *= exp(-apart)
    return found


def test_levels_are_as_far_apart_as_their_shares_of_the_range():
    tokens = NUMBERS.every(10_000)[::23]
    got = np.asarray(covariance(OF_NUMBERS, jnp.asarray(tokens), jnp.asarray(tokens)))
    weights, lengths = (np.asarray(leaf, np.float64) for leaf in (OF_NUMBERS.weights, OF_NUMBERS.lengths))
    np.testing.assert_allclose(got, covariance_of_numbers(tokens, weights, lengths), atol=1e-5)
    assert len(np.unique(tokens[:, 2])) == 10
    assert np.linalg.eigvalsh(np.float64(got)).min() > -1e-4


def test_length_scales_climb_the_marginal_likelihood():
    """Against finite differences of scipy's multivariate normal density."""
    tokens = NUMBERS.every(10_000)[RNG.permutation(NUMBERS.count)[:16]]
    rewards, known = jnp.asarray(RNG.normal(size=16), jnp.float32), jnp.ones(16, bool)
    scores = np.asarray(normal_scores(rewards, known))
    weights, lengths = (np.asarray(leaf, np.float64) for leaf in (OF_NUMBERS.weights, OF_NUMBERS.lengths))

    def log_likelihood(lengths):
        among = covariance_of_numbers(tokens, weights, lengths) + np.exp(float(OF_NUMBERS.noise)) * np.eye(16)
        return multivariate_normal(cov=among).logpdf(scores) / 16

    got = ascent(OF_NUMBERS, jnp.asarray(tokens), jnp.asarray(scores), known)
    for t in (1, 2):
        step = 1e-5 * np.eye(3)[t]
        slope = (log_likelihood(lengths + step) - log_likelihood(lengths - step)) / 2e-5
        np.testing.assert_allclose(got.lengths[t], slope, rtol=1e-2, atol=1e-3)
        assert abs(slope) > 1e-3
    assert got.lengths[0] == 0  # that of a choice


def test_mutants_step():
    """From level 30 of 64: a step by one with probability log 2 (1 / log 31 + 1 / log 34) / 2, by nothing never."""
    strategy = Bayes(pool=4000, capacity=16)
    state, _ = strategy.update(strategy.init(NUMBERS, key_for(0, "s")), np.array([[1, 30, 4]]), np.ones(1, np.float32))
    mutants = np.asarray(strategy._candidates(state, key_for(0, "propose"), 1)[1])[:2000]
    steps = mutants[mutants[:, 1] != 30][:, 1] - 30
    p = np.log(2) * (1 / np.log(31) + 1 / np.log(34)) / 2
    assert len(steps) > 500
    assert abs((np.abs(steps) == 1).sum() - len(steps) * p) < 4.5 * np.sqrt(len(steps) * p * (1 - p))


@pytest.mark.parametrize("size", [1, 2, 16, 128, 256, 512])
def test_the_inverse_factor(size):
    root = RNG.normal(size=(size, size)) / np.sqrt(size)
    matrix = root @ root.T + np.eye(size)
    expected = np.linalg.inv(np.linalg.cholesky(matrix))
    np.testing.assert_allclose(inverse_factor(jnp.asarray(matrix, jnp.float32)), expected, atol=3e-6)


def test_normal_scores_are_those_of_ranks():
    rewards = np.array([0.3, -5.0, 0.3, 9.0, 0.1, 7.0, 7.0, 7.0], np.float32)
    known = np.arange(8) < 6
    got = normal_scores(jnp.asarray(rewards), jnp.asarray(known))
    np.testing.assert_allclose(got[:6], norm.ppf((rankdata(rewards[:6]) - 0.5) / 6), atol=1e-6)
    assert (got[6:] == 0).all()


@pytest.mark.parametrize("acquisition", ["ei", "ucb"])
def test_the_candidate_that_promises_most_is_proposed(acquisition, memory):
    tokens, rewards, known = memory
    strategy = Bayes(acquisition=acquisition, beta=0.7, capacity=CAPACITY)
    scores = normal_scores(rewards, known)
    posterior = posterior_of(KERNEL, tokens, scores, known, jnp.asarray(EVERYTHING), together=False)
    mean, deviation = np.asarray(posterior.mean), np.sqrt(posterior.variance)
    best = norm.ppf((TRIALS - 0.5) / TRIALS)
    improvement = [
        norm(m, s).expect(lambda y: y - best, lb=best, ub=best + 12) for m, s in zip(mean, deviation, strict=True)
    ]
    gain = np.array(improvement) if acquisition == "ei" else mean + 0.7 * deviation
    gain[(EVERYTHING[:, None] == np.asarray(tokens)).all(-1).any(-1)] = -np.inf  # not again
    [at] = strategy._choose(state_of(memory), jnp.asarray(EVERYTHING), 1)
    assert at == gain.argmax()


def test_several_at_once_are_chosen_as_if_the_first_had_been_seen(memory):
    """Believing the mean changes no mean: the second is the best under the posterior that knows the first."""
    tokens, rewards, known = memory
    strategy, pool = Bayes(acquisition="ucb", beta=3.0, capacity=CAPACITY), jnp.asarray(EVERYTHING)
    together = np.asarray(strategy._choose(state_of(memory), pool, 3))
    scores = np.asarray(normal_scores(rewards, known)).copy()
    posterior = lambda *seen: posterior_of(KERNEL, *map(jnp.asarray, seen), pool, together=False)
    mean = np.asarray(posterior(tokens, scores, known).mean)
    taken, more, with_first = [], np.asarray(tokens).copy(), np.asarray(known).copy()
    for k in range(3):
        variance = posterior(more, scores, with_first).variance
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
    update = jax.jit(strategy.update)
    state = strategy.init(SPACE, key_for(0, "strategy"))
    for row in range(6):
        state, _ = update(state, EVERYTHING[[row]], np.float32([row]))
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
