"""Optimisers as settings, by hand."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.evaluators import SGD, Adam
from jaxnas.evaluators.optimisers import of_child


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


OWN = {"learning_rate": 0.03, "weight_decay": 0.2, "momentum": 0.6}


def moved(optimiser, own):
    """As `moves`, of a child with settings of its own, whose optimiser is made while it is traced."""

    @jax.jit
    def run(own):
        transformation, parameters, found = of_child(optimiser, 4, 2)(own), jnp.ones(2), []
        state = transformation.init(parameters)
        for gradient in ((0.5, -1.0), (0.25, 2.0), (1.0, 1.0), (0.0, 3.0), (0.0, 3.0)):
            update, state = transformation.update(jnp.asarray(gradient), state, parameters)
            parameters = parameters + update
            found.append(parameters)
        return jnp.stack(found)

    return np.asarray(run({name: jnp.float32(value) for name, value in own.items()}))


@pytest.mark.parametrize("schedule", ["cosine", "step", "decay", "constant"])
@pytest.mark.parametrize("names", [("learning_rate",), ("weight_decay",), ("momentum",), tuple(OWN)])
def test_what_a_child_decides_takes_the_place_of_the_settings(schedule, names):
    common, own = SGD(schedule=schedule, clip=1.5, hold=1), {name: OWN[name] for name in names}
    np.testing.assert_allclose(moved(common, own), moved(replace(common, **own), {}), rtol=1e-5)
    assert not np.allclose(moved(common, own), moved(common, {}))
    np.testing.assert_allclose(moved(common, dict.fromkeys(names, np.nan)), moved(common, {}), rtol=1e-6)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_childs_own_settings_of_adam(schedule):
    common, own = Adam(schedule=schedule), {name: OWN[name] for name in ("learning_rate", "weight_decay")}
    np.testing.assert_allclose(moved(common, own), moved(replace(common, **own), {}), rtol=1e-5)


@dataclass(frozen=True)
class Plain:
    """A user's own, which knows nothing of a child's settings."""

    def transformation(self, steps, epochs):
        return optax.sgd(0.1)


@pytest.mark.parametrize(
    ("optimiser", "name", "can"),
    [(Adam(), "momentum", "learning_rate, weight_decay"), (SGD(momentum=0), "momentum", "learning_rate"),
     (Plain(), "learning_rate", "nothing")],
)  # fmt: skip
def test_a_setting_that_an_optimiser_cannot_be_told_is_refused(optimiser, name, can):
    with pytest.raises(ValueError, match=f"decide '{name}' themselves, but .* can be {can}.*take SGD or Adam"):
        of_child(optimiser, 4, 2)({name: 0.1})
    of_child(optimiser, 4, 2)({})
