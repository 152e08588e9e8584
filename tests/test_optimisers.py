"""Optimisers as settings, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.evaluators import SGD, Adam


def moves(optimiser, gradients, steps=4, epochs=1):
    """What is added to a parameter row of ones at each step."""
    transformation, parameters, found = optimiser.transformation(steps, epochs), jnp.ones(2), []
    state = transformation.init(parameters)
    for gradient in gradients:
        update, state = transformation.update(jnp.asarray(gradient, jnp.float32), state, parameters)
        found.append(np.asarray(update))
    return np.array(found)


def test_a_gradient_is_scaled_down_to_the_greatest_norm_and_never_up():
    plain = {"momentum": 0.0, "weight_decay": 0.0, "schedule": "constant"}
    found = moves(SGD(1.0, clip=1.0, **plain), [(3.0, 4.0), (0.3, 0.4)])
    np.testing.assert_allclose(found, [(-0.6, -0.8), (-0.3, -0.4)], rtol=1e-6)


def test_weight_decay_is_not_clipped():
    """0.1 times the parameters is added to what clipping has left."""
    found = moves(SGD(1.0, momentum=0.0, weight_decay=0.1, schedule="constant", clip=1.0), [(30.0, 40.0)])
    np.testing.assert_allclose(found, [(-0.7, -0.9)], rtol=1e-6)


def test_adam_by_hand():
    """The first step has the rate's size whatever the gradient; after equal ones all have. 0.5 * 0.1 is decay."""
    found = moves(Adam(0.5, schedule="constant", weight_decay=0.1), [(2.0, -0.01)] * 3)
    np.testing.assert_allclose(found, [(-0.55, 0.45)] * 3, rtol=1e-4)


def test_adams_rate_falls_to_nothing():
    found = moves(Adam(0.5), [(1.0, 1.0)] * 4, steps=2, epochs=2)[:, 0]
    np.testing.assert_allclose(found, [-0.25 * (1 + np.cos(np.pi * k / 4)) for k in range(4)], rtol=1e-4)


def rates(steps, epochs, kind=SGD, **settings):
    """The share of the rate that each step of a training takes, from what it adds at gradients of 1."""
    plain = {"momentum": 0.0} if kind is SGD else {}
    return (
        -moves(kind(0.1, weight_decay=0.0, **plain, **settings), [(1.0, 1.0)] * steps * epochs, steps, epochs)[:, 0]
        / 0.1
    )


@pytest.mark.parametrize("epochs", [1, 2, 10])
@pytest.mark.parametrize("kind", [SGD, Adam])
def test_cosine_begins_at_the_rate_and_would_be_0_one_step_after_the_last(kind, epochs):
    total = 3 * epochs
    expected = [(1 + np.cos(np.pi * k / total)) / 2 for k in range(total)]
    np.testing.assert_allclose(rates(3, epochs, kind, schedule="cosine"), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("steps", "drops", "expected"),
    [
        (1, (0.5, 0.75), [1]),
        (2, (0.5, 0.75), [1, 0.1]),
        (3, (0.5, 0.75), [1, 1, 0.1]),
        (4, (0.5, 0.75), [1, 1, 0.1, 0.01]),
        (10, (0.7,), [1] * 7 + [0.1] * 3),
        (10, (0.01, 0.72), [1] + [0.1] * 7 + [0.01] * 2),
        (5, (), [1] * 5),
    ],
)
def test_steps_fall_to_a_tenth_where_a_share_is_done_and_never_at_the_first_step(steps, drops, expected):
    np.testing.assert_allclose(rates(steps, 1, schedule="step", drops=drops), expected, rtol=1e-5)
    np.testing.assert_allclose(rates(1, steps, schedule="step", drops=drops), expected, rtol=1e-5)


@pytest.mark.parametrize(("steps", "epochs", "hold"), [(1, 1, 1), (1, 2, 1), (2, 1, 3), (3, 4, 2), (2, 10, 6)])
def test_decay_holds_the_rate_for_whole_epochs_and_then_falls_at_each(steps, epochs, hold):
    expected = [0.5 ** max(0, epoch - hold + 1) for epoch in range(epochs) for _ in range(steps)]
    np.testing.assert_allclose(rates(steps, epochs, schedule="decay", decay=0.5, hold=hold), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Adam, {"learning_rate": 0.0}, "learning_rate=0.0"),
        (Adam, {"learning_rate": float("inf")}, "learning_rate=inf"),
        (Adam, {"beta2": 1.0}, "beta2=1.0"),
        (Adam, {"clip": 0.0}, "clip=0.0"),
        (SGD, {"clip": -1.0}, "clip=-1.0"),
        (SGD, {"decay": 0.0}, "decay=0.0"),
        (SGD, {"hold": 0}, "hold=0"),
    ],
)
def test_bad_settings_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)
