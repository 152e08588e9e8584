"""Batch normalisation, ReLU and max pooling in one against Flax's three layers; and the maps' masks by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from plain import jit

from jaxnas.children import layers
from jaxnas.children.layers import Statistics, normalise

BATCH, MAP = 3, (7, 5)
SCALE = np.array([1.5, -0.7, 0.3, 0.0], np.float32)  # the last filter is one that the child lacks
BIAS = np.array([0.2, 0.4, -0.1, 0.0], np.float32)
RUNNING = Statistics(np.array([0.5, -1.0, 0.1, 0.0], np.float32), np.array([2.0, 0.3, 1.0, 1.0], np.float32))
LIVE = {"whole map": MAP, "part of it": (4, 3), "one cell": (1, 1)}


def inputs(pool, ties=False):
    """y and the cotangent of the result. Ties: numbers from -2 to 2, so that many a window has two largest cells."""
    rng = np.random.default_rng(pool)
    y = rng.integers(-2, 3, (BATCH, *MAP, 4)) if ties else rng.normal(1, 2, (BATCH, *MAP, 4))
    return y.astype(np.float32), rng.normal(size=(BATCH, *(-(-side // pool) for side in MAP), 4)).astype(np.float32)


@partial(jit, static_argnums=(5, 6))
def fused(y, scale, bias, cotangent, training, size, pool):
    """The result, the statistics, and the gradients with respect to y, scale and bias."""
    live = None if size == MAP else layers.pixels(jnp.array(size), MAP)
    run = lambda y, scale, bias: normalise(y, scale, bias, RUNNING, training, live, pool)
    (z, statistics), pull = jax.vjp(run, y, scale, bias)
    return z, statistics, pull((cotangent, Statistics(*(jnp.ones(4),) * 2)))


@partial(jit, static_argnums=(4, 5, 6))
def plain(y, scale, bias, cotangent, training, size, pool):
    """The same by Flax."""
    live = np.zeros((*MAP, 1), bool)
    live[: size[0], : size[1]] = True

    def run(y, scale, bias):
        norm = nnx.BatchNorm(4, momentum=0, use_fast_variance=False, rngs=nnx.Rngs(0))
        norm.mean[...], norm.var[...] = map(jnp.asarray, RUNNING)
        norm.scale[...], norm.bias[...] = scale, bias
        mask = jnp.broadcast_to(live, y.shape)
        z = jax.nn.relu(norm(y, use_running_average=not training, mask=mask)) * live
        ends = [(0, -side % pool) for side in MAP]
        return nnx.max_pool(z, (pool, pool), (pool, pool), ends), Statistics(norm.mean[...], norm.var[...])

    (z, statistics), pull = jax.vjp(run, y, scale, bias)
    return z, statistics, pull((cotangent, Statistics(*(jnp.zeros(4),) * 2)))


def assert_close(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize("pool", [1, 2, 3])
@pytest.mark.parametrize("size", LIVE.values(), ids=LIVE)
def test_three_layers_in_one(size, pool):
    """Values, the statistics used, and the gradients, while training and with the running statistics."""
    for ties in (False, True):
        y, cotangent = inputs(pool, ties)
        for training in (True, False):
            found = fused(y, SCALE, BIAS, cotangent, training, size, pool)  # `training` is traced here
            assert_close(found, plain(y, SCALE, BIAS, cotangent, training, size, pool))
            assert np.any(found[2][0])


def test_training_may_be_known_before():
    y, cotangent = inputs(2)
    for training in (True, False):
        known = jit(lambda *arrays, training=training: fused.__wrapped__(*arrays, training, (4, 3), 2))
        assert_close(known(y, SCALE, BIAS, cotangent), fused(y, SCALE, BIAS, cotangent, training, (4, 3), 2))


@pytest.mark.parametrize("training", [True, False])
def test_an_absent_layer_gives_zeros_and_finite_numbers(training):
    """It has neither filters nor a map."""
    y, cotangent = inputs(2)
    nothing = np.zeros(4, np.float32)
    z, statistics, gradients = fused(y, nothing, nothing, cotangent, training, (0, 0), 2)
    assert not any(np.any(a) for a in (z, *gradients))
    assert np.isfinite(statistics).all()


@pytest.mark.parametrize("pool", [1, 2])
def test_a_number_that_is_none_is_not_hidden(pool):
    """It is in the window's result, and while training in its whole channel: the child is seen to diverge."""
    y, cotangent = inputs(pool)
    y[0, 1, 0, 1] = np.nan
    z, *_ = fused(y, SCALE, BIAS, cotangent, False, MAP, pool)
    assert np.argwhere(np.isnan(z)).tolist() == [[0, 1 // pool, 0, 1]]
    z, *_ = fused(y, SCALE, BIAS, cotangent, True, MAP, pool)
    np.testing.assert_array_equal(np.isnan(z).any((0, 1, 2)), [False, True, False, False])


def test_maps_by_hand():
    live = layers.pixels(jnp.array([2, 3]), (3, 4))
    np.testing.assert_array_equal(live[:, :, 0], [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]])
    y = jnp.arange(12.0).reshape(1, 3, 4, 1)
    np.testing.assert_array_equal(layers.stride_over(y, jnp.array([2, 3]))[0, :2, :2, 0], [[0, 3], [8, 11]])
    np.testing.assert_array_equal(layers.stride_over(y, jnp.array([1, 1])), y)
    assert layers.global_average(y * live, live).item() == (0 + 1 + 2 + 4 + 5 + 6) / 6
    assert layers.global_average(y, None).item() == 5.5
