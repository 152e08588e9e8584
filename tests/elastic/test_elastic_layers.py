"""Each layer: with ints it is the stock one, with a Size the exact one; what is drawn; what is refused."""

import itertools
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from plain import jit

from jaxnas import elastic
from jaxnas.elastic import Size

MOST = 5
X = jax.random.normal(jax.random.key(3), (6, 4, 3, MOST))
SYMBOLS = jnp.array([[0, 3, 4], [1, 1, 2], [-1, 0, 3]])
rngs, SLOW = lambda: nnx.Rngs(7), {"use_fast_variance": False}
"""Name: our layer of n features, the stock layer, and what it is given of n features."""
LAYERS = {
    "Linear, in": (lambda n: elastic.Linear(n, 4, rngs=rngs()), lambda n: nnx.Linear(n, 4, rngs=rngs()), X),
    "Linear, out": (lambda n: elastic.Linear(3, n, rngs=rngs()), lambda n: nnx.Linear(3, n, rngs=rngs()), X[..., :3]),
    "Linear, both": (lambda n: elastic.Linear(n, n * 2, use_bias=False, rngs=rngs()),
                     lambda n: nnx.Linear(n, n * 2, use_bias=False, rngs=rngs()), X),
    "Conv, in": (lambda n: elastic.Conv(n, 4, (3, 2), 2, rngs=rngs()),
                 lambda n: nnx.Conv(n, 4, (3, 2), 2, rngs=rngs()), X),
    "Conv, out": (lambda n: elastic.Conv(3, n, (2, 2), (1, 2), "VALID", rngs=rngs()),
                  lambda n: nnx.Conv(3, n, (2, 2), (1, 2), padding="VALID", rngs=rngs()), X[..., :3]),
    "Conv, both": (lambda n: elastic.Conv(n, n, (3, 3), use_bias=False, kernel_dilation=2, rngs=rngs()),
                   lambda n: nnx.Conv(n, n, (3, 3), use_bias=False, kernel_dilation=2, rngs=rngs()), X),
    "BatchNorm": (lambda n: elastic.BatchNorm(n, rngs=rngs()), lambda n: nnx.BatchNorm(n, rngs=rngs()), X),
    "BatchNorm, slow": (lambda n: elastic.BatchNorm(n, momentum=0.5, use_bias=False, **SLOW, rngs=rngs()),
                        lambda n: nnx.BatchNorm(n, momentum=0.5, use_bias=False, **SLOW, rngs=rngs()), X),
    "LayerNorm": (lambda n: elastic.LayerNorm(n, rngs=rngs()), lambda n: nnx.LayerNorm(n, rngs=rngs()), X),
    "LayerNorm, slow": (lambda n: elastic.LayerNorm(n, use_scale=False, **SLOW, rngs=rngs()),
                        lambda n: nnx.LayerNorm(n, use_scale=False, **SLOW, rngs=rngs()), X),
    "Embed, features": (lambda n: elastic.Embed(5, n, rngs=rngs()), lambda n: nnx.Embed(5, n, rngs=rngs()), SYMBOLS),
    "Embed, symbols": (lambda n: elastic.Embed(n, 4, rngs=rngs()), lambda n: nnx.Embed(n, 4, rngs=rngs()), SYMBOLS),
}  # fmt: skip


def leading(x, n):
    """What the exact layer of n features is given."""
    return x[..., :n] if x.shape[-1] == MOST else x


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_of_whole_numbers_it_is_the_stock_layer(name, training):
    """Same variables under the same names, the same draws, the same results to the last digit."""
    ours, stock, x = LAYERS[name]
    ours, stock = ours(MOST), stock(MOST)
    for layer in (ours, stock):
        layer.train() if training else layer.eval()
    np.testing.assert_array_equal(ours(x), stock(x))
    states = [nnx.to_flat_state(nnx.state(layer)) for layer in (ours, stock)]
    assert [(path, type(v)) for path, v in states[0]] == [(path, type(v)) for path, v in states[1]]
    for (_, a), (_, b) in zip(*states, strict=True):
        np.testing.assert_array_equal(a[...], b[...])


def total(graph, parameters, rest, x):
    """A number that depends on all that a layer gives, by other weights each; what it gives and remembers."""
    layer = nnx.merge(graph, parameters, rest, copy=True)
    y = layer(x)
    weights = jnp.cos(jnp.arange(y.shape[-1]))
    return (jnp.nan_to_num(y) ** 2 @ weights).sum(), (y, nnx.state(layer, nnx.BatchStat))


@cache
def padded_program(name):
    """Number of features, parameters ``[most]`` and inputs -> as `total`, with gradients of both."""
    ours, _, x = LAYERS[name]

    def run(n, parameters, given):
        graph, own, rest = nnx.split(ours(Size(n, MOST, "width")), nnx.Param, ...)
        pull = jax.value_and_grad(
            lambda p, x: total(graph, p, rest, x), (0, 1) if x is not SYMBOLS else 0, has_aux=True
        )
        return pull(parameters, given)

    return jit(run)


@pytest.mark.parametrize("n", [1, 3, MOST])
@pytest.mark.parametrize("name", LAYERS)
def test_of_a_size_it_is_the_exact_layer(name, n):
    """Law 1, for results, statistics and gradients, with other parameters than are drawn, in the padding too."""
    _, stock, x = LAYERS[name]
    whole, (graph, parameters, rest) = nnx.state(stock(MOST), nnx.Param), nnx.split(stock(n), nnx.Param, ...)
    whole = jax.tree.map(lambda v: jnp.sin(1 + jnp.arange(v.size, dtype=jnp.float32)).reshape(v.shape), whole)
    parameters = jax.tree.map(lambda v, own: v[tuple(map(slice, own.shape))], whole, parameters)
    exact = jit(jax.value_and_grad(lambda p: total(graph, p, rest, leading(x, n)), has_aux=True))
    (value, (y, statistics)), gradient = exact(parameters)
    (found, (wide, stats)), slopes = padded_program(name)(n, whole, x)
    slopes, _ = slopes if isinstance(slopes, tuple) else (slopes, None)
    np.testing.assert_allclose(found, value, rtol=1e-4)
    same(wide, y)
    jax.tree.map(same, slopes, gradient)
    for a, b in zip(jax.tree.leaves(stats), jax.tree.leaves(statistics), strict=True):
        np.testing.assert_allclose(a[: len(b)], b, rtol=1e-5, atol=1e-6)


def same(wide, exact):
    """The leading part is the same, the rest is 0."""
    inside = tuple(map(slice, exact.shape))
    np.testing.assert_allclose(wide[inside], exact, rtol=2e-4, atol=2e-4)
    beyond = np.asarray(wide).copy()
    beyond[inside] = 0
    assert (beyond == 0).all()


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, 1e30])
@pytest.mark.parametrize("name", [name for name, (_, _, x) in LAYERS.items() if x is X])
def test_what_lies_beyond_is_not_read(name, value):
    ours, _, x = LAYERS[name]
    run, parameters = padded_program(name), nnx.state(ours(MOST), nnx.Param)
    expected, found = (run(3, parameters, given) for given in (x, x.at[..., 3:].set(value)))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert (found[1][1][..., 3:] == 0).all()


def test_embeddings_are_multiplied_with_a_query():
    layer = elastic.Embed(Size(3, MOST), Size(2, 4), rngs=rngs())
    query = jnp.ones((2, 4))
    np.testing.assert_allclose(layer.attend(query)[:, :3], query[:, :2] @ layer.embedding[:3, :2].T, rtol=1e-6)
    assert (layer.attend(query)[:, 3:] == 0).all()


def test_symbols_from_their_number_on_are_nan():
    found = elastic.Embed(Size(3, MOST), 4, rngs=rngs())(jnp.array([2, 3, 4, 9, -3, -4]))
    assert np.isnan(found).any(1).tolist() == [False, True, True, True, False, True]


@pytest.mark.parametrize(("n", "scale"), [(4, 1.0), (40, 1.0), (64, 2.0)])
@pytest.mark.parametrize("kind", ["Linear", "Conv", "Embed"])
def test_weights_are_drawn_for_the_true_fan_in(kind, n, scale):
    """The deviation, and all quantiles, as of the stock layer of n features; beyond it zeros."""
    key, size = nnx.Rngs(0), Size(n, 64, "width")
    init = nnx.initializers.variance_scaling(scale, "fan_in", "truncated_normal")
    if kind == "Linear":
        drawn, stock = (
            elastic.Linear(size, 500, kernel_scale=scale, rngs=key),
            nnx.Linear(n, 500, kernel_init=init, rngs=key),
        )
    elif kind == "Conv":
        drawn = elastic.Conv(size, 100, (3, 2), kernel_scale=scale, rngs=key)
        stock = nnx.Conv(n, 100, (3, 2), kernel_init=init, rngs=key)
    else:
        drawn, stock = elastic.Embed(500, size, rngs=key), nnx.Embed(500, n, rngs=key)
    read = lambda layer: np.asarray((layer.embedding.T if kind == "Embed" else layer.kernel)[...])
    live, beyond = np.split(read(drawn), [n], axis=-2)
    assert (beyond == 0).all()
    expected = read(stock)
    assert live.std() == pytest.approx(expected.std(), rel=0.05)
    assert live.mean() == pytest.approx(0, abs=0.1 * float(expected.std()))
    places = np.linspace(0.02, 0.98, 25)
    np.testing.assert_allclose(np.quantile(live, places), np.quantile(expected, places), atol=0.15 * expected.std())


@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (5, 4)])
def test_the_derivative_of_a_convolution_is_that_of_jax(kernel):
    """Of all strides and paddings, in one program."""
    x = jax.random.normal(jax.random.key(0), (3, 6, 5, 2))
    w, how = jax.random.normal(jax.random.key(1), (*kernel, 2, 4)), {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
    cases = list(itertools.product([(1, 1), (2, 1), (3, 2)], ["SAME", "VALID", ((0, 2), (3, 1))]))

    def both(x, w, strides, padding):
        ours, stock = (
            jax.vjp(lambda x, w: conv(x, w, strides, padding, **how), x, w)  # noqa: B023
            for conv in (elastic.convolve, jax.lax.conv_general_dilated)
        )
        dy = jnp.cos(jnp.arange(stock[0].size, dtype=jnp.float32)).reshape(stock[0].shape)
        return (ours[0], *ours[1](dy)), (stock[0], *stock[1](dy))

    found = jit(lambda x, w: [both(x, w, *case) for case in cases])(x, w)
    for case, (ours, stock) in zip(cases, found, strict=True):
        for a, b in zip(ours, stock, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=str(case))


def test_flattened_maps_lead_with_their_live_channels():
    x = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    live = elastic.flatten(jnp.asarray(x[..., :2]))
    assert (elastic.flatten(jnp.asarray(x))[:, : live.shape[1]] == live).all()
    assert live[1].tolist() == [*x[1, :, :, 0].ravel(), *x[1, :, :, 1].ravel()]


@pytest.mark.parametrize(
    ("make", "words"),
    [(lambda s: elastic.Linear(0, 2, rngs=rngs()), "in_features = 0: give a whole number from 1 on"),
     (lambda s: elastic.Linear(2, s - 5, rngs=rngs()), r"out_features = Size\(\(width - 5\), at most 0\)"),
     (lambda s: elastic.Conv(3, -1, (1, 1), rngs=rngs()), "out_features = -1"),
     (lambda s: elastic.BatchNorm(0, rngs=rngs()), "features = 0"),
     (lambda s: elastic.LayerNorm(0, rngs=rngs()), "features = 0"),
     (lambda s: elastic.Embed(0, 3, rngs=rngs()), "num_embeddings = 0"),
     (lambda s: elastic.Embed(3, 0, rngs=rngs()), "features = 0"),
     (lambda s: elastic.Linear(s, 2, kernel_scale=0.0, rngs=rngs()), "kernel_scale=0.0.*above 0"),
     (lambda s: elastic.Linear(s, 2, kernel_init=nnx.initializers.ones, rngs=rngs()), "kernel_init.*kernel_scale"),
     (lambda s: elastic.Conv(2, s, (1,), kernel_init=nnx.initializers.ones, rngs=rngs()), "kernel_init.*kernel_scale"),
     (lambda s: elastic.Conv(s, 2, (1,), feature_group_count=2, rngs=rngs()), "feature_group_count.*whole numbers"),
     (lambda s: elastic.Embed(3, s, embedding_init=nnx.initializers.ones, rngs=rngs()), "embedding_init.*leave it out"),
     (lambda s: elastic.BatchNorm(s, axis=1, rngs=rngs()), "axis.*last axis"),
     (lambda s: elastic.LayerNorm(s, reduction_axes=(1, 2), rngs=rngs()), "reduction_axes.*last axis"),
     (lambda s: elastic.Linear(s, 2, rngs=rngs())(jnp.ones((3, 4))), "4 features where width, of at most 5"),
     (lambda s: elastic.Linear(s, 2, rngs=rngs())(jnp.ones((3, 1))), "1 features where width, of at most 5")],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        make(Size(3, MOST, "width"))
    assert "\n" not in str(caught.value)
