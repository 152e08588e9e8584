"""Cross-entropy: the same numbers in every form, and no scatter where it would harm."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.tasks import losses

SHAPES = [(64, 10), (3, 5, 2000)]


def arrays(shape):
    rng = np.random.default_rng(0)
    return jnp.asarray(3 * rng.normal(size=shape), jnp.float32), jnp.asarray(rng.integers(0, shape[-1], shape[:-1]))


def with_gradient(loss, labels):
    return jax.jit(jax.value_and_grad(lambda logits: loss(logits, labels).mean()))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_on_cpu_the_numbers_are_those_of_optax(shape):
    logits, labels = arrays(shape)
    found = with_gradient(losses.cross_entropy, labels)(logits)
    wanted = with_gradient(optax.softmax_cross_entropy_with_integer_labels, labels)(logits)
    assert found[0] == wanted[0]
    np.testing.assert_array_equal(found[1], wanted[1])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_elsewhere_they_are_the_same_to_rounding(shape):
    logits, labels = arrays(shape)
    ours, right = (jax.jit(f)(logits, labels) for f in (losses._by_selection, losses.cross_entropy))
    np.testing.assert_array_equal(ours, right)
    (_, found), (_, wanted) = (with_gradient(f, labels)(logits) for f in (losses._by_selection, losses.cross_entropy))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("platform", "scatters"), [("cpu", True), ("cuda", False), ("tpu", False)])
def test_it_scatters_on_cpu_alone(platform, scatters):
    """Seen in the program for several children, whatever this machine has."""
    logits, labels = arrays((2, 6, 5))
    run = jax.jit(jax.vmap(jax.grad(lambda logits, labels: losses.cross_entropy(logits, labels).mean())))
    text = run.trace(logits, labels).lower(lowering_platforms=(platform,)).as_text()
    assert ("stablehlo.scatter" in text) == scatters


def test_a_logit_of_minus_infinity_harms_no_other():
    """A class that a network excludes."""
    logits, labels = jnp.array([[0.0, -jnp.inf, 0.0]]), jnp.array([2])
    np.testing.assert_allclose(losses._by_selection(logits, labels), np.log(2), rtol=1e-6)
    gradient = jax.grad(lambda logits: losses._by_selection(logits, labels).sum())(logits)
    np.testing.assert_allclose(gradient, [[0.5, 0, -0.5]], atol=1e-6)
