"""Dropout of a traced rate, layers that are left out, and the way to the exact network."""

from functools import cache

import elastic_nets as nets
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from plain import jit

from jaxnas import elastic
from jaxnas.elastic import Size

RATES = [0.0, 0.25, 0.5, 0.9]
X = jax.random.normal(jax.random.key(3), (40, 50))


@jax.jit
def dropped(rate, key, x):
    return elastic.Dropout(rate, rngs=nnx.Rngs(dropout=key))(x)


@pytest.mark.parametrize("rate", RATES)
def test_a_traced_rate_does_what_the_stock_layer_does(rate):
    """Same key, same numbers: 1 less a half or a quarter is the same in both types of numbers."""
    key = jax.random.key(1)
    stock = nnx.Dropout(rate, rngs=nnx.Rngs(dropout=key))(X)
    np.testing.assert_allclose(dropped(rate, key, X), stock, rtol=1e-6)
    np.testing.assert_array_equal(elastic.Dropout(rate, rngs=nnx.Rngs(dropout=key))(X), stock)


@pytest.mark.parametrize("rate", RATES)
def test_so_many_stay_and_the_mean_is_kept(rate):
    keys = jax.random.split(jax.random.key(2), 300)
    found = jax.vmap(lambda key: dropped(rate, key, jnp.ones((40, 50))))(keys)
    draws = found.size
    kept = (found != 0).mean()
    deviation = (rate * (1 - rate) / draws) ** 0.5
    assert abs(kept - (1 - rate)) <= 5 * deviation
    np.testing.assert_allclose(found[found != 0], 1 / (1 - rate), rtol=1e-6)
    assert abs(found.mean() - 1) <= 5 * deviation / (1 - rate) + 1e-6


def test_a_rate_under_vmap_is_its_own():
    keys = jax.random.split(jax.random.key(2), len(RATES))
    found = jax.vmap(dropped, (0, 0, None))(jnp.array(RATES), keys, X)
    for row, rate, key in zip(found, RATES, keys, strict=True):
        np.testing.assert_array_equal(row, dropped(rate, key, X))


def test_one_draw_can_serve_an_axis():
    layer = elastic.Dropout(jnp.float32(0.5), broadcast_dims=(-1,), rngs=nnx.Rngs(0))
    found = layer(jnp.ones((200, 3)))
    assert set(found.sum(1).tolist()) == {0.0, 6.0}


def test_nothing_is_dropped_in_scoring_and_nothing_is_nan_at_one():
    value, slope = jax.value_and_grad(lambda x: dropped(1.0, jax.random.key(0), x).sum())(X)
    assert value == 0
    assert (slope == 0).all()
    layer = elastic.Dropout(jnp.float32(1.0), rngs=nnx.Rngs(0))
    layer.eval()
    np.testing.assert_array_equal(layer(X), X)
    np.testing.assert_array_equal(layer(X, deterministic=True), X)
    assert (layer(X, deterministic=False, rngs=jax.random.key(0)) == 0).all()


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match=f"rate={rate}.*from 0 to below 1"):
        elastic.Dropout(rate, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(("given", "words"), [({"rngs": None}, "no source"), ({"deterministic": None}, "not told")])
def test_what_dropout_needs_is_said(given, words):
    with pytest.raises(ValueError, match=words):
        elastic.Dropout(jnp.float32(0.5), **{"rngs": nnx.Rngs(0), **given})(X)


class Counting(nnx.Module):
    """Adds its parameter, and counts how often it ran."""

    def __init__(self):
        self.step, self.ran = nnx.Param(jnp.float32(2)), nnx.BatchStat(jnp.float32(0))

    def __call__(self, x, twice=1):
        self.ran[...] += 1
        return x + twice * self.step[...]


@pytest.mark.parametrize("present", [True, False])
@pytest.mark.parametrize("traced", [True, False])
def test_a_layer_is_run_or_left_out(present, traced):
    def run(present, x):
        layer = elastic.Skippable(Counting(), present)
        graph, parameters, rest = nnx.split(layer, nnx.Param, ...)

        def total(parameters):
            layer = nnx.merge(graph, parameters, rest, copy=True)
            y = layer(layer(x), twice=2)
            return y.sum(), (y, layer.layer.ran[...])

        return jax.grad(total, has_aux=True)(parameters)

    x = jnp.arange(3.0)
    slopes, (y, ran) = jit(run)(present, x) if traced else run(present, x)
    np.testing.assert_array_equal(y, x + (6 if present else 0))
    assert (float(ran), jax.tree.leaves(slopes)[0]) == ((2, 9) if present else (0, 0))


def test_a_function_can_be_left_out():
    twice = lambda present: elastic.Skippable(lambda x: 2 * x, present)(jnp.ones(2)).tolist()
    assert (twice(True), twice(False), twice(jnp.bool_(True)), twice(jnp.bool_(False))) == ([2, 2], [1, 1]) * 2


def test_what_is_left_out_is_not_computed_child_after_child():
    """In turn, the layer runs for those that have it: seen by a callback from inside it."""
    seen = []

    def layer(x):
        jax.debug.callback(lambda x: seen.append(float(x)), x)
        return x + 1

    one = lambda row: elastic.Skippable(layer, row[0] > 0)(row[1])
    found = jit(lambda rows: jax.lax.map(one, rows))(jnp.array([[1.0, 5.0], [0.0, 6.0], [1.0, 7.0]]))
    jax.effects_barrier()
    assert (found.tolist(), sorted(seen)) == ([6, 6, 8], [5, 7])


@pytest.mark.parametrize("present", [True, jnp.bool_(True), jnp.bool_(False)])
@pytest.mark.parametrize(
    "layer", [lambda: elastic.Linear(3, Size(2, 4), rngs=nnx.Rngs(0)), lambda: lambda x: x.astype(jnp.bfloat16)]
)
def test_a_layer_that_changes_shape_or_type_cannot_be_left_out(layer, present):
    with pytest.raises(ValueError, match=r"Skippable\(.*came of float32\[2, 3\].*keeps shape and type"):
        elastic.Skippable(layer(), present)(jnp.ones((2, 3)))


@cache
def padded():
    return nets.Cnn(**nets.sized(4, 1), dropout=0.1, rngs=nnx.Rngs(1))


def exact(width=4, depth=1):
    return nets.blank("cnn", width, depth)


@pytest.mark.parametrize("of", [lambda net: net, nnx.state])
def test_cut_gives_the_leading_parts_by_name(of):
    found = nets.numbers(elastic.cut(of(padded()), exact()))
    whole = nets.numbers(padded())
    assert {path[:2] for path in whole.keys() - found.keys()} == {("blocks", 1)}
    for path, value in found.items():
        np.testing.assert_array_equal(value, whole[path][tuple(map(slice, value.shape))])
    assert found["first", "kernel"].shape == (3, 3, 2, 4)


def test_cut_takes_layers_that_are_left_out_in_both():
    def net(present, width):
        return elastic.Skippable(elastic.Linear(width, width, rngs=nnx.Rngs(0)), present)

    here = elastic.cut(net(jnp.bool_(False), Size(2, 4)), net(False, 2))
    assert here.layer.kernel.shape == (2, 2)
    with pytest.raises(ValueError, match=r"layer\.kernel.*only one"):
        elastic.cut(net(jnp.bool_(True), Size(2, 4)), net(False, 2))


@pytest.mark.parametrize(
    ("there", "here", "words"),
    [(lambda: padded(), lambda: exact(depth=2), r"blocks\.1\..*only one"),
     (lambda: padded(), lambda: exact(depth=0), r"blocks\.0\..*only one"),
     (lambda: padded(), lambda: exact(width=9), r"padded \[.*cannot be cut to"),
     (lambda: nnx.state(padded(), nnx.Param, nnx.BatchStat)[0], exact, "only one.*all of the padded"),
     (lambda: padded(), lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(0)), "only one")],
)  # fmt: skip
def test_networks_that_do_not_belong_together_are_refused(there, here, words):
    with pytest.raises(ValueError, match=words):
        elastic.cut(there(), here())
