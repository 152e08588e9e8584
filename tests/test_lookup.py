"""Rows by number: the same rows and gradients in every form; how large a vocabulary may be for which."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.children.engines.lookup import ONE_HOT, embed

SYMBOLS = jnp.asarray(np.random.default_rng(0).integers(0, 5, (4, 3)), jnp.int32)


def found(platform, size=7):
    rng = np.random.default_rng(1)
    table, weights = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((size, 6), (4, 3, 6)))
    loss = lambda table: (embed(table, SYMBOLS, platform) * weights).sum()
    rows, (value, gradient) = embed(table, SYMBOLS, platform), jax.jit(jax.value_and_grad(loss))(table)
    return rows, value, gradient, jax.jit(jax.grad(loss)).trace(table).lower().as_text()


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
def test_rows_and_gradients_are_those_of_indexing(platform):
    rows, value, gradient, text = found(platform)
    wanted = found("cpu")
    assert (rows == wanted[0]).all()
    assert value == wanted[1]
    np.testing.assert_allclose(gradient, wanted[2], rtol=1e-6, atol=1e-6)
    assert (gradient[5:] == 0).all()  # no such symbols
    assert "scatter" not in text
    assert "precision = [HIGHEST, HIGHEST]" in text  # TF32 would round the gradients


def test_a_large_vocabulary_and_a_cpu_scatter():
    assert "scatter" in found("cpu")[3]
    assert "scatter" in found("gpu", ONE_HOT + 1)[3]
    assert "scatter" not in found("gpu", ONE_HOT)[3]


def test_children_side_by_side_share_the_symbols():
    tables = jnp.asarray(np.random.default_rng(2).normal(size=(2, 7, 6)), jnp.float32)
    loss = lambda platform: lambda table: (embed(table, SYMBOLS, platform) ** 2).sum()
    run = lambda platform: jax.jit(jax.vmap(jax.grad(loss(platform))))(tables)
    np.testing.assert_allclose(run("gpu"), run("cpu"), rtol=1e-6, atol=1e-6)
