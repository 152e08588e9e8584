"""A child's training in a few plain steps, and what "the same child" means: laws 1 and 2."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

CLASSES, STEPS = 5, 4


class Trained(NamedTuple):
    """The live part of a child's numbers after some steps, and of its last gradients; the loss of each step; what it
    says when it does not train; whether all that is not live is zero.
    """

    numbers: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    losses: np.ndarray
    logits: np.ndarray
    clean: bool


def batch(children, number):
    rng = np.random.default_rng(number)
    x = rng.normal(size=(16, *children.input_shape)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(rng.integers(0, CLASSES, 16))


def backward(graph, parameters, statistics, genes, x, y, training):
    """The loss's gradients, the statistics after it, the loss and the logits."""

    def loss(parameters):
        net = nnx.merge(graph, parameters, statistics, copy=True)
        found = net(x, *genes, training)
        logits = found[0] if isinstance(found, tuple) else found  # a plain network remembers nothing
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
        return losses.mean(), (logits, nnx.state(net, nnx.BatchStat))

    (value, (logits, moved)), gradients = jax.value_and_grad(loss, has_aux=True)(parameters)
    return gradients, moved, value, logits


def train(children, run, parameters, statistics):
    """Some steps of SGD with momentum and decay, then a batch without training.

    The steps are taken here and not in ``run(parameters, statistics, x, y, training)``, which would take longer to
    compile. Returns parameters, gradients, statistics, losses and logits.
    """
    momentum, losses = jax.tree.map(np.zeros_like, parameters), []
    for number in range(STEPS):
        gradients, statistics, loss, _ = run(parameters, statistics, *batch(children, number), True)
        decayed = jax.tree.map(lambda g, p: np.asarray(g) + np.float32(0.01) * p, gradients, parameters)
        momentum = jax.tree.map(lambda m, g: np.float32(0.9) * m + g, momentum, decayed)
        parameters = jax.tree.map(lambda p, m: np.asarray(p) - np.float32(0.05) * m, parameters, momentum)
        losses.append(loss)
    logits = run(parameters, statistics, *batch(children, STEPS), False)[-1]
    return parameters, gradients, statistics, np.stack(losses, -1), logits


def assert_same(found: Trained, right: Trained):
    """Relative to the largest number of each array; a bias's gradient, a sum that all but cancels, to 2e-7."""
    assert found.clean
    assert found.numbers.keys() == found.gradients.keys() == right.numbers.keys()
    for name in right.numbers:
        for a, b in ((found.numbers[name], right.numbers[name]), (found.gradients[name], right.gradients[name])):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(0.02, np.abs(b).max()), err_msg=name)
    np.testing.assert_allclose(found.losses, right.losses, rtol=1e-5)
    np.testing.assert_allclose(found.logits, right.logits, rtol=1e-5, atol=1e-5)


def assert_equal(found, i, expected, j):
    """Child i of one result and child j of another, by one program: bit for bit."""
    leaves = (jax.tree.leaves(r._replace(seconds=0.0)) for r in (found.one(i), expected.one(j)))
    for a, b in zip(*leaves, strict=True):
        np.testing.assert_array_equal(a, b)


def running(children, networks, inside):
    """The function that trains a group with a trainer: these networks in this envelope, unless it is given others."""

    def run(trainer, networks=networks, trials=range(4), inside=inside, **more):
        return trainer.run(inside, [children.place(one, inside) for one in networks], list(trials), **more)

    return run


def trained_network(trainer, inside, genes, result):
    """The network of one child, with what it has learnt in it."""
    learner = trainer.learner(inside, genes)
    return learner.variables.together(jax.tree.map(jnp.asarray, result.states.learnt.network), jax.random.key(0))
