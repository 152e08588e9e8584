"""Levels in order: the discretised logistic against scipy, steps and bins by enumeration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import logistic

from jaxnas.decisions import Choice, Decisions, Ordinal
from jaxnas.strategies.levels import ALONE, FAR, SHARPEST, START, binned, bins, log_masses, stepped, within

SIZES = (1, 2, 5, 64, 1024)
EXTREME = (-1e30, -300.0, -8.0, 0.0, 0.4, 8.0, 300.0, 1e30)


def plain(raw, size: int) -> np.ndarray:
    """Probabilities in float64: the distribution function at the half-way points, from whichever end is nearer."""
    span = max(size - 1, 1)
    least = np.log(max(SHARPEST, 1 / (ALONE * span)))
    scale = span * np.exp(least * expit(logit(np.log(START) / least) - raw[1]))
    between = np.arange(1, size) - 0.5
    rounded = logistic(size * expit(raw[0]) - 0.5, scale)
    below = np.diff(np.concatenate([[0], rounded.cdf(between), [1]]))
    above = -np.diff(np.concatenate([[1], rounded.sf(between), [0]]))
    return np.where(np.arange(size) < rounded.mean(), below, above)


@pytest.mark.parametrize("size", SIZES)
def test_masses_are_differences_of_two_sigmoids(size):
    raws = np.random.default_rng(size).normal(0, 2, (40, 2)).astype(np.float32)
    got = np.asarray(jax.vmap(lambda raw: log_masses(raw, jnp.int32(size), 1024))(raws), np.float64)
    assert (got[:, size:] == FAR).all()
    np.testing.assert_allclose(np.exp(got).sum(1), 1, atol=3e-6)
    for raw, row in zip(np.float64(raws), got[:, :size], strict=True):
        likely = plain(raw, size) > 1e-12
        np.testing.assert_allclose(row[likely], np.log(plain(raw, size)[likely]), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("size", SIZES)
def test_no_level_is_impossible_and_no_gradient_infinite(size):
    raws = jnp.array([(a, b) for a in EXTREME for b in EXTREME])
    masses = lambda raw: log_masses(raw, jnp.int32(size), size)
    got = np.asarray(jax.vmap(masses)(raws))
    assert np.isfinite(got).all()
    assert got.min() > -2000
    np.testing.assert_allclose(np.exp(got.astype(np.float64)).sum(1), 1, atol=1e-5)
    slopes = np.asarray(jax.vmap(jax.jacrev(masses))(raws))
    assert np.isfinite(slopes).all()
    assert size == 1 or np.abs(slopes).max() > 0.1
    entropy = lambda raw: -(jnp.exp(masses(raw)) * masses(raw)).sum()
    assert np.isfinite(np.asarray(jax.vmap(jax.grad(entropy))(raws))).all()


def test_gradients_are_those_of_differences():
    for size in SIZES[1:]:
        for raw in ((0.0, 0.0), (1.3, -0.7), (-2.0, 1.1)):
            got = np.asarray(jax.jacfwd(lambda r, size=size: log_masses(r, jnp.int32(size), size))(jnp.array(raw)))
            for axis in (0, 1):
                step = 1e-5 * np.eye(2)[axis]
                slope = (np.log(plain(raw + step, size)) - np.log(plain(raw - step, size))) / 2e-5
                np.testing.assert_allclose(got[:, axis], slope, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("size", SIZES[1:])
def test_it_begins_wide_and_becomes_sharp(size):
    """At first no level has less than a third of its equal share; in the end one has nearly all, or of many a few."""
    first = np.exp(np.asarray(log_masses(jnp.zeros(2), jnp.int32(size), size), np.float64))
    assert first.min() > 1 / 3 / size
    assert -(first * np.log(first)).sum() > 0.9 * np.log(size)
    for share in (0.0, 1.0):
        raw = jnp.array([30.0 * (2 * share - 1), -30.0])
        last = np.exp(np.asarray(log_masses(raw, jnp.int32(size), size)))
        assert last.argmax() == share * (size - 1)
        assert last[np.abs(np.arange(size) - share * (size - 1)) <= size // 100].sum() > 0.98


@pytest.mark.parametrize("size", [1, 2, 5, 64])
def test_steps_are_of_all_scales_and_never_none(size):
    """A step s, where w levels lie that way, with probability log(1 + 1/s) / log(1 + w), by a fine grid of chances."""
    chances = (jnp.arange(40_000) + 0.5) / 40_000
    for token in {0, size // 3, size // 2, size - 1}:
        got = np.asarray(jax.vmap(lambda c, token=token: stepped(jnp.int32(token), jnp.int32(size), c))(chances))
        expected = np.zeros(size)
        ways = {sign: way for sign, way in ((-1, token), (1, size - 1 - token)) if way}
        for sign, way in ways.items():
            for s in range(1, way + 1):
                expected[token + sign * s] = np.log1p(1 / s) / np.log1p(way) / len(ways)
        if size == 1:
            expected[0] = 1
        assert got.min() >= 0
        np.testing.assert_allclose(np.bincount(got, minlength=size) / len(got), expected, atol=2e-4)


def test_bins_are_equal_and_hold_each_level_once():
    decisions = Decisions(
        (*(Ordinal(f"{size}", f"{size}", size) for size in (5, 16, 17, 100, 1024)), Choice("c", "c", 30))
    )
    assert bins(decisions, 16).tolist() == [5, 16, 16, 16, 16, 30]
    chances = (jnp.arange(4_000) + 0.5) / 4_000
    for t, size in enumerate(decisions.sizes.tolist()):
        rows = np.zeros((size, len(decisions)), np.int32)
        rows[:, t] = np.arange(size)
        numbers = np.asarray(binned(decisions, rows, 16))[:, t]
        count = int(bins(decisions, 16)[t])
        assert np.ptp(np.bincount(numbers, minlength=count)) <= 1
        for number in range(count):
            drawn = np.asarray(within(jnp.int32(size), jnp.int32(number), jnp.int32(count), chances))
            levels, counts = np.unique(drawn, return_counts=True)
            assert levels.tolist() == np.flatnonzero(numbers == number).tolist()
            assert np.ptp(counts) <= 1
    absent = np.full((1, len(decisions)), -1)
    assert (np.asarray(binned(decisions, absent, 16)) == -1).all()
