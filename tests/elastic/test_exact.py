"""Laws 1 and 2 for whole networks: padded = exact, in training too; and a child does not depend on its company."""

from functools import cache

import elastic_nets as nets
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.flatten_util import ravel_pytree
from plain import jit

from jaxnas import elastic
from jaxnas.learners.variables import Variables

KINDS = list(nets.NETS)
SIZES = [(1, 1), (4, 2), (6, 0)]
"""Widths and depths: each from least to greatest; a depth of 0 leaves out all that can be."""


def build(kind, width, depth, dropout, key):
    return nets.NETS[kind](**nets.sized(width, depth), dropout=dropout, rngs=nnx.Rngs(key))


def padded(kind):
    """A child that fills a part of its arrays: graph, parameters, the rest."""
    graph = nnx.graphdef(nnx.eval_shape(lambda: build(kind, 4, 1, jnp.float32(0), jax.random.key(1))))
    (state, _), _ = padded_program(kind)[1](4, 1, 0.0, jax.random.key(1))
    return graph, *nnx.split_state(state, nnx.Param, ...)


def answers(net, x):
    net.eval()
    return net(x)


@cache
def padded_program(kind):
    """Numbers of a child -> all its state and its answers, before and after training. Each time it is traced counts."""
    x, y = nets.batch(kind)
    traced = []

    def run(width, depth, dropout, key):
        traced.append(1)
        net = build(kind, width, depth, dropout, key)
        first = nnx.state(net), answers(net, x)
        net = nets.train(net, x, y)
        return first, (nnx.state(net), answers(net, x))

    return run, jit(run), traced


@pytest.mark.parametrize(("width", "depth"), SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_padded_is_exact_before_and_after_training(kind, width, depth):
    x, y = nets.batch(kind)
    before, after = padded_program(kind)[1](width, depth, 0.0, jax.random.key(width))
    blank = nets.blank(kind, width, depth)
    graph, state = nnx.split(elastic.cut(before[0], blank))

    def run(state):
        net = nnx.merge(graph, state)
        first, net = answers(net, x), nets.train(net, x, y)
        return first, nets.numbers(net), answers(net, x)

    first, found, last = jit(run)(state)
    np.testing.assert_allclose(first, before[1], rtol=2e-5, atol=2e-5)
    reached = nets.numbers(elastic.cut(after[0], blank))
    for path, value in found.items():
        np.testing.assert_allclose(value, reached[path], rtol=1e-4, atol=2e-5, err_msg=str(path))
    np.testing.assert_allclose(last, after[1], rtol=1e-4, atol=5e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_all_sizes_share_one_program_and_padding_stays_zero(kind):
    _, program, traced = padded_program(kind)
    program(1, 1, 0.0, jax.random.key(0))
    count = len(traced)
    for width, depth in SIZES:
        states = [state for state, _ in program(width, depth, 0.0, jax.random.key(width))]
        first, last = (dict(nnx.to_flat_state(nnx.filter_state(state, nnx.Param))) for state in states)
        for path, live in nets.live(kind, width, depth).items():
            before, after = first[path][...], last[path][...]
            assert width == 1 or not live.any() or (before != after)[live].any(), (
                path
            )  # of one feature LayerNorm knows nothing
            if live.any():
                assert (after[~live] == 0).all(), path
    assert len(traced) == count


@pytest.mark.parametrize("kind", KINDS)
def test_a_child_depends_on_none_beside_it(kind):
    """Law 2: alone as in company, and to the last digit in other company of the same number."""
    run, alone, _ = padded_program(kind)
    together = jit(jax.vmap(run))
    widths, depths = jnp.array([1, 6, 3, 4]), jnp.array([2, 1, 0, 1])
    rates, keys = jnp.array([0.0, 0.5, 0.25, 0.1]), jax.random.split(jax.random.key(5), 4)
    first = together(widths, depths, rates, keys)
    others = together(
        jnp.array([5, 2, 3, 6]),
        jnp.array([1, 2, 0, 2]),
        rates.at[jnp.array([0, 1, 3])].set(0.4),
        keys[jnp.array([1, 0, 2, 0])],
    )
    one = alone(widths[2], depths[2], rates[2], keys[2])
    for a, b, c in zip(numbers(first), numbers(others), numbers(one), strict=True):
        np.testing.assert_array_equal(a[2], b[2])
        np.testing.assert_allclose(a[2], c, rtol=2e-4, atol=2e-5)
    assert not all((a[0] == b[0]).all() for a, b in zip(numbers(first), numbers(others), strict=True))


def numbers(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences(kind):
    """In float64, along three directions of all parameters, for a child that fills a part of its arrays."""
    graph, parameters, rest = padded(kind)
    with jax.enable_x64(True):
        double = lambda tree: jax.tree.map(lambda v: v.astype(jnp.float64) if v.dtype == jnp.float32 else v, tree)
        (row, unravel), (x, y), rest = ravel_pytree(double(parameters)), double(nets.batch(kind)), double(rest)

        def error(row):
            net = nnx.merge(graph, unravel(row), rest, copy=True)
            if kind == "text":
                net.embed.dtype = jnp.float64  # nnx.Embed keeps the type that it was made with
            return nets.loss(net, x, y)

        value, gradient = jit(error), jit(jax.grad(error))(row)
        draws = np.random.default_rng(0).normal(size=(3, row.size))
        for direction in draws / np.linalg.norm(draws, axis=1, keepdims=True):
            slope = (value(row + 1e-5 * direction) - value(row - 1e-5 * direction)) / 2e-5
            np.testing.assert_allclose(gradient @ direction, slope, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_has_no_gradient_whatever_lies_in_it(kind):
    """Numbers of 1 in place of the zeros that are drawn there."""
    x, y = nets.batch(kind)
    graph, parameters, rest = padded(kind)
    gradient = jit(jax.grad(lambda p: nets.loss(nnx.merge(graph, p, rest, copy=True), x, y)))
    live = nets.live(kind, 4, 1)
    filled = [(path, v.replace(jnp.where(live[path], v[...], 1.0))) for path, v in nnx.to_flat_state(parameters)]
    plain, full = (dict(nnx.to_flat_state(gradient(p))) for p in (parameters, nnx.from_flat_state(filled)))
    for path, inside in live.items():
        np.testing.assert_array_equal(full[path][...][~inside], 0, err_msg=str(path))
        np.testing.assert_allclose(full[path][...], plain[path][...], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_learner_can_take_it_apart_and_carry_it(kind):
    """Sizes, rates and what is present are variables that are neither parameters nor statistics."""
    x, _ = nets.batch(kind)
    child = jnp.array([2, 5]), jnp.array([2, 1]), jnp.array([0.0, 0.3]), jax.random.split(jax.random.key(0), 2)
    one = [part[0] for part in child]
    variables = Variables(nnx.eval_shape(lambda *child: build(kind, *child), *one))

    def carried(*child):
        net = variables.together(variables.apart(build(kind, *child)), child[-1])
        net.train()
        net(x)
        return variables.apart(net), answers(net, x)

    kept, outputs = jit(jax.vmap(carried))(*child)
    assert {type(v) for _, v in nnx.to_flat_state(kept.others)} == {elastic.Extent}
    assert kept.parameters.shape[0] == 2
    assert np.isfinite(outputs).all()
