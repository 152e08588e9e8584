"""Settings of the training among the decisions: a child that decides one is the child that was given it."""

from functools import cache

import jax
import numpy as np
import pytest
from steps import assert_equal
from toy_family import OneHidden

from jaxnas.children import unpadded
from jaxnas.children.tuned import TunedArchitecture
from jaxnas.contracts import checked_tokens
from jaxnas.evaluators import SGD, Adam, Population, SuccessiveHalving, Train
from jaxnas.evaluators.train import Trainer
from jaxnas.report import draw, pretty
from jaxnas.spaces import ChainCNN, Growth, SkipCNN, Tuned, present_columns
from jaxnas.strategies import Random
from jaxnas.tasks import Digits
from jaxnas.values import Categorical, Float, Int

SEED, TASK = 3, Digits()
DATA = TASK.search_data(SEED)
COMMON = Train(epochs=2, batch_size=64)
ADAM = Train(epochs=2, batch_size=64, optimiser=Adam())


@cache
def given(train, task=TASK):
    """The curve and the parameters of the toy child of 8 units, trained as it is said."""
    return trained(train, task)


def trained(train, task=TASK, **settings):
    """Likewise, of the child that decides these settings; none: does not."""
    space = Tuned(OneHidden(), **{name: Categorical(value) for name, value in settings.items()}) if settings else None
    children = (space or OneHidden()).children(DATA.input_shape, DATA.classes)
    child = TunedArchitecture(8, settings) if settings else 8
    trainer = Trainer(children, task, DATA, train, SEED, devices=1)
    inside = unpadded(children, child)
    result = trainer.of(inside).run(inside, [children.place(child, inside)], [5])
    return result.curve, np.asarray(result.states.learnt.network.parameters)


def with_sgd(**settings):
    return Train(epochs=2, batch_size=64, optimiser=SGD(**settings))


@pytest.mark.parametrize(
    ("common", "settings", "same"),
    [
        (
            COMMON,
            {"learning_rate": 0.03, "weight_decay": 0.02, "momentum": 0.5, "clip": 0.1},
            with_sgd(learning_rate=0.03, weight_decay=0.02, momentum=0.5, clip=0.1),
        ),
        (ADAM, {"beta1": 0.5, "beta2": 0.9}, Train(epochs=2, batch_size=64, optimiser=Adam(beta1=0.5, beta2=0.9))),
        (COMMON, {"batch_size": 32, "epochs": 3}, Train(epochs=3, batch_size=32)),
        (COMMON, {"optimiser": "adam", "learning_rate": 0.01}, Train(2, 64, Adam(learning_rate=0.01))),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_setting_that_is_decided_is_the_setting_that_is_given(common, settings, same):
    """Law 1 of `Tuned`."""
    (curve, found), (wanted_curve, wanted) = trained(common, **settings), given(same)
    np.testing.assert_allclose(curve, wanted_curve, atol=0.01)
    # Adam divides by what is rounding alone where a pixel is always white: not every parameter agrees
    assert np.quantile(np.abs(found - wanted), 0.85) < 1e-6 < np.abs(found - given(common)[1]).max()


def test_label_smoothing_takes_the_place_of_the_tasks():
    for task in (TASK, Digits(label_smoothing=0.3)):
        found = trained(COMMON, task, label_smoothing=0.1)
        for one, wanted in zip(found, given(COMMON, Digits(label_smoothing=0.1)), strict=True):
            np.testing.assert_allclose(one, wanted, rtol=2e-4, atol=1e-6)
    assert not np.allclose(found[1], given(COMMON)[1], rtol=1e-3)


def test_a_child_does_not_know_its_company(two_devices):
    """Law 2: four learning rates in one program."""
    space = Tuned(OneHidden(), learning_rate=Float(1e-3, 1e-1, log=True))
    children = space.children(DATA.input_shape, DATA.classes)
    some = [TunedArchitecture(w, {"learning_rate": r}) for w, r in ((4, 0.1), (16, 0.01), (8, 0.05), (8, 0.001))]
    inside = children.envelope(some, children.engines[0], ())
    trainer = Trainer(children, TASK, DATA, COMMON, SEED)
    run = lambda order: trainer.run(inside, [children.place(some[i], inside) for i in order], order)
    found, order = run([0, 1, 2, 3]), [2, 0, 3, 1]
    again = run(order)
    for place, i in enumerate(order):
        assert_equal(again, place, found, i)
    assert len({tuple(row) for row in found.curve.tolist()}) == 4


def test_static_settings_make_programs_and_traced_ones_do_not():
    space = Tuned(
        OneHidden(),
        batch_size=Categorical(32, 64),
        optimiser=Categorical("sgd", "adam"),
        learning_rate=Float(1e-3, 1e-1, log=True),
        momentum=Float(0.0, 0.9, when=("optimiser", "sgd")),
    )
    bound = Population(COMMON).bind(space, TASK, SEED, 1)
    tokens = np.array(Random().propose(Random().init(space.decisions, jax.random.key(0)), jax.random.key(1), 24))
    plan = bound.plan(checked_tokens(Random(), space.decisions, tokens, 24))
    assert len(plan.groups) == 4
    assert sorted(row for group in plan.groups for row in group.rows) == list(range(24))
    strict = Population(COMMON, programs=3).bind(space, TASK, SEED, 1)
    with pytest.raises(ValueError, match="24 children need 4 programs, more than programs=3"):
        strict.plan(tokens)


def test_a_growing_space_grows_behind_its_settings():
    inner = SkipCNN(layers=4, growth=Growth(2, 1, 8))
    space = Tuned(inner, weight_decay=Float(0, 1e-2), batch_size=Categorical(32, 64))
    assert present_columns(space, 0).tolist() == [True, True, *present_columns(inner, 0).tolist()]


def test_tokens_mean_settings_and_architecture():
    space = Tuned(ChainCNN(layers=2), clip=Float(1, 2, levels=3), epochs=Int(1, 3))
    every = Tuned(OneHidden(), clip=Float(1, 2, levels=3), epochs=Int(1, 3)).decisions.every(100)
    assert len(every) == 3 * 3 * 3
    tokens = np.array([1, 2, *[0] * len(ChainCNN(layers=2).decisions)], np.int32)
    found = space.decode(tokens)
    assert found.training == {"clip": 1.5, "epochs": 3}
    assert found.architecture == ChainCNN(layers=2).decode(tokens[2:])
    np.testing.assert_array_equal(space.encode(found), tokens)


def test_early_stopping_does_not_compare_children_of_other_epochs():
    space = Tuned(OneHidden(), epochs=Categorical(1, 3))
    evaluator = Population(Train(epochs=2, batch_size=64), halving=SuccessiveHalving((1,), 0.5))
    with pytest.raises(ValueError, match="early stopping compares children after the same epochs"):
        evaluator.bind(space, TASK, SEED, 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"optimiser": Categorical("sgd", "adam"), "momentum": Float(0, 0.9)},
            'momentum is decided beside the optimiser Adam, .*: give it when=\\("optimiser", ...\\)',
        ),
        ({"beta2": Float(0, 0.9)}, "beta2 is decided beside the optimiser SGD"),
        ({"batch_size": Categorical(32, 5000)}, "batch_size=5000, but there are only"),
    ],
    ids=["momentum", "beta2", "batch"],
)
def test_settings_that_do_not_go_together_are_refused_before_the_search(settings, words):
    with pytest.raises(ValueError, match=words):
        Population(COMMON).bind(Tuned(OneHidden(), **settings), TASK, SEED, 1)


def test_nothing_is_decided_twice():
    with pytest.raises(ValueError, match="give all settings to one Tuned"):
        Tuned(Tuned(OneHidden(), epochs=Int(1, 2)), clip=Float(1, 2))
    space = Tuned(SkipCNN(layers=2, learning_rates=(0.1, 0.05)), learning_rate=Float(1e-3, 1e-1))
    children = space.children(DATA.input_shape, DATA.classes)
    child = space.decode(space.decisions.without_absent(np.zeros((1, len(space.decisions)), np.int32))[0])
    with pytest.raises(ValueError, match="'learning_rate' is decided by the space and by Tuned"):
        children.place(child, unpadded(children, child))


def test_what_was_decided_is_drawn():
    space = Tuned(ChainCNN(layers=1), clip=Float(1, 2, levels=3), optimiser=Categorical("adam"))
    children = space.children(DATA.input_shape, DATA.classes)
    described = children.describe(space.decode(np.zeros(len(space.decisions), np.int32)))
    assert pretty(described).endswith('clip=1.0 optimiser="adam"')
    assert 'optimiser: "adam"' in draw(described) or '"optimiser": "adam"' in draw(described)


def test_the_planner_knows_their_batches_and_epochs():
    space = Tuned(OneHidden(), batch_size=Categorical(64, 640), epochs=Categorical(1, 10))
    planner = Population(COMMON).bind(space, TASK, SEED, 1).planner
    some = [TunedArchitecture(8, {"batch_size": b, "epochs": e}) for b, e in ((64, 1), (640, 1), (64, 10))]
    small, wide, long = (planner.plan([one]) for one in some)
    assert wide.bytes[0] > small.bytes[0]
    assert (long.seconds - long.compile_seconds) == pytest.approx(10 * (small.seconds - small.compile_seconds))


def test_children_of_other_epochs_train_beside_each_other():
    bound = Population(COMMON).bind(Tuned(OneHidden(), epochs=Categorical(1, 3)), TASK, SEED, 1)
    found = {
        row: outcome.curve for rows, outcome in bound(np.array([[0, 0], [1, 0]]), np.array([0, 1])) for row in rows
    }
    assert [found[row].shape[1] for row in (0, 1)] == [1, 3]
