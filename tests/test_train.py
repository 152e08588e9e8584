"""Laws 2, 5 and 7 for the training of groups, on real digits."""

import math
from contextlib import ExitStack
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from plain import PlainChain, live_numbers, load, numbers
from steps import assert_equal, trained_network

from jaxnas.children.chain.architecture import envelope
from jaxnas.children.engines import Branching, Padded
from jaxnas.evaluators import SGD, Train, compiling, programs
from jaxnas.evaluators.train import Trainer
from jaxnas.rng import key_for
from jaxnas.spaces import ChainCNN
from jaxnas.tasks import Digits
from jaxnas.tasks.classification import Augment

SEED, N = 3, 4
SPACE = ChainCNN(
    layers=2,
    depths=(1, 2),
    kernel_heights=(1, 3),
    kernel_widths=(1, 3),
    filters=(4, 8),
    stride_heights=(1, 2),
    pool_after=(1,),
)
TASK = Digits(augment=Augment(pad=1, flip=True))
DATA = TASK.search_data(SEED)
CHILDREN = SPACE.children(DATA.input_shape, DATA.classes)
BRANCHING = replace(CHILDREN.full, engine=Branching(CHILDREN.kernels, (4, 8)))
PADDED = replace(CHILDREN.full, engine=Padded())
TRAIN = Train(epochs=6, batch_size=32)
STEPS = 1078 // 32
rng = np.random.default_rng(0)
TOKENS = SPACE.decisions.without_absent(rng.integers(0, SPACE.decisions.sizes, (2 * N, len(SPACE.decisions))))
CHAINS = [SPACE.decode(row) for row in np.asarray(TOKENS)]


def run(trainer, inside=BRANCHING, chains=CHAINS[:N], trials=range(N), **more):
    return trainer.run(inside, [CHILDREN.place(chain, inside) for chain in chains], list(trials), **more)


def read(trainer, inside, chain, result, i):
    """The live numbers of child i."""
    network = trained_network(trainer, inside, CHILDREN.place(chain, inside), result.one(i))
    return live_numbers(network, chain, 1)


@pytest.fixture(scope="module")
def trainer(two_devices):
    return Trainer(CHILDREN, TASK, DATA, TRAIN, SEED)


@pytest.fixture(scope="module")
def together(trainer):
    """The first chains as one group over two devices, in the one program of most of these tests."""
    return run(trainer)


@pytest.fixture(scope="module")
def begun(trainer):
    """The same after two epochs."""
    return run(trainer, epochs=range(2))


def assert_close(found, expected):
    """A child's numbers by two programs after two epochs; later a cell that all but ties with another in its pooling
    window may fall to the other, and the two trainings part.
    """
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5 * np.abs(value).max(), err_msg=name)


def test_children_learn_digits(together):
    curve = together.curve
    assert together.alive.all()
    assert curve[:, -1].max() > 0.6  # ten classes, and half of the training images are mirrored: chance is 0.1
    assert len(set(curve[:, -1])) == N
    np.testing.assert_allclose(curve * 360, (curve * 360).round(), atol=1e-9)  # the share of 360 images


# Law 2: a child's result depends on (seed, trial id, tokens) only.


def test_alone_as_in_company(trainer, begun, monkeypatch):
    """On one device, by another engine, its batches made seven at a time, the last row of them not full."""
    monkeypatch.setattr(programs, "BATCHES_BYTES", 7 * 32 * 8 * 8 * 4)
    alone = Trainer(CHILDREN, TASK, DATA, TRAIN, SEED, devices=1)
    for i, chain in enumerate(CHAINS[:N]):
        found = run(alone, PADDED, [chain], [i], epochs=range(2))
        np.testing.assert_allclose(found.curve[0], begun.curve[i], atol=0.003)  # one image may tip over
        assert_close(read(alone, PADDED, chain, found, 0), read(trainer, BRANCHING, chain, begun, i))


def test_children_under_vmap_as_in_turn(trainer, begun, monkeypatch):
    """As on other devices than CPU; what is not live is computed there, but for nothing."""
    monkeypatch.setattr(compiling, "in_turn", lambda inside, platform: False)
    mapped, alive = Trainer(CHILDREN, TASK, DATA, TRAIN, SEED), [True, True, False, True]
    found = run(mapped, PADDED, epochs=range(2), live=alive)
    assert found.alive.tolist() == alive
    assert found.states.learnt.optimiser[1][1].count.tolist() == [2 * STEPS * a for a in alive]
    for i in (0, 1, 3):
        np.testing.assert_allclose(found.curve[i], begun.curve[i], atol=0.003)
        assert_close(read(mapped, PADDED, CHAINS[i], found, i), read(trainer, BRANCHING, CHAINS[i], begun, i))


def test_neither_order_nor_neighbours_count(trainer, together):
    order = [2, 0, 3, 1]
    found = run(trainer, chains=[CHAINS[i] for i in order], trials=order)
    for place, i in enumerate(order):
        assert_equal(found, place, together, i)
    found = run(trainer, chains=[CHAINS[0], *CHAINS[N : 2 * N - 1]], trials=[0, 11, 12, 13])
    assert_equal(found, 0, together, 0)


def test_the_trial_id_counts(trainer, together):
    found = run(trainer, trials=range(N, 2 * N))
    assert (found.curve != together.curve).any(1).all()


def test_places_that_are_not_live_are_not_trained_and_change_nothing(trainer, together):
    found = run(trainer, live=[True, False, True, True])
    assert found.alive.tolist() == [True, False, True, True]
    assert np.isnan(found.curve[1]).all()
    np.testing.assert_array_equal(found.one(1).states.learnt.optimiser[1][1].count, 0)
    for i in (0, 2, 3):
        assert_equal(found, i, together, i)


def test_training_goes_on_where_it_was_left(trainer, begun, together):
    """In another order; and epochs that need not be scored are trained the same."""
    order = [3, 1, 0, 2]
    chains, since = [CHAINS[i] for i in order], [begun.one(i) for i in order]
    rest = run(trainer, chains=chains, trials=order, epochs=range(2, 6), since=since, scored={4, 5})
    expected = together.curve.copy()
    expected[:, 2:4] = np.nan
    np.testing.assert_array_equal(rest.curve, expected[order])
    for place, i in enumerate(order):
        assert_equal(rest._replace(curve=together.curve[order]), place, together, i)


def test_a_trained_group_is_its_children_trained_by_plain_flax(trainer, begun):
    """Momentum, decay, cosine schedule, order, augmentation and scores, against a loop without jaxnas."""
    for i in (1, 3):  # two layers with strides, and one layer
        expected, score = _plain_epochs(trainer, CHAINS[i], key_for(trainer.root, "child", i))
        assert_close(read(trainer, BRANCHING, CHAINS[i], begun, i), expected)
        assert begun.curve[i, 1] == pytest.approx(score, abs=0.003)


def _plain_epochs(trainer, chain, key):
    """Numbers and score after two epochs."""
    tight, data = envelope([chain]), trainer.data
    start = CHILDREN.build(tight, CHILDREN.place(chain, tight), key)
    net = load(PlainChain(chain, 1, 10), live_numbers(start, chain, 1))
    rate = lambda count: 0.1 * 0.5 * (1 + jnp.cos(jnp.pi * count / (6 * STEPS)))
    optimiser = nnx.Optimizer(
        net, optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(rate, 0.9, nesterov=True)), wrt=nnx.Param
    )

    @nnx.jit
    def step(net, optimiser, x, y):
        loss = lambda net: optax.softmax_cross_entropy_with_integer_labels(net(x, training=True), y).mean()
        optimiser.update(net, nnx.grad(loss)(net))

    for epoch in range(2):
        order = jax.random.permutation(key_for(trainer.root, "order", epoch), len(DATA.train))
        for number in range(STEPS):
            rows = order[32 * number : 32 * number + 32]
            x = TASK.inputs(data.train.images[rows], data, key_for(trainer.root, "augment", epoch, number))
            step(net, optimiser, x, data.train.labels[rows])
    found = nnx.jit(lambda net, x: net(x).argmax(1))(net, TASK.inputs(data.held_out.images, data))
    return numbers(net), float((found == data.held_out.labels).mean())


# Law 5: a failing child harms nobody.


@pytest.mark.parametrize("poison", [np.inf, np.nan, 1e30, 1e18])
def test_a_child_that_begins_with_bad_numbers_is_frozen_and_its_neighbours_do_not_notice(trainer, together, poison):
    genes = [CHILDREN.place(chain, BRANCHING) for chain in CHAINS[:N]]
    first = genes[1].layers[0]
    genes[1] = genes[1]._replace(layers=(first._replace(spread=np.float32(poison)), *genes[1].layers[1:]))
    found = trainer.run(BRANCHING, genes, list(range(N)))
    assert found.alive.tolist() == [True, False, True, True]
    assert np.isnan(found.curve[1]).all()
    np.testing.assert_array_equal(found.one(1).states.learnt.optimiser[1][1].count, 0)
    for i in (0, 2, 3):
        assert_equal(found, i, together, i)


def test_a_child_that_diverges_on_the_way_keeps_its_last_finite_numbers(trainer, begun, together):
    """A momentum of 1e30 throws the third epoch's first step far away, whence the second step finds no way."""
    since, huge = [begun.one(i) for i in range(N)], lambda a: np.full_like(a, 1e30) if a.dtype == np.float32 else a
    states = since[1].states
    far = states.learnt._replace(optimiser=jax.tree.map(huge, states.learnt.optimiser))
    since[1] = since[1]._replace(states=states._replace(learnt=far))
    found = run(trainer, epochs=range(2, 6), since=since)
    assert found.alive.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(np.isnan(found.curve[1]), [False] * 2 + [True] * 4)
    last = found.one(1).states.learnt
    assert np.isfinite(last.network.parameters).all()
    assert np.isfinite(last.network.statistics).all()
    assert np.abs(last.network.parameters).max() > 1e28
    assert last.optimiser[1][1].count == 2 * STEPS + 1
    for i in (0, 2, 3):
        assert_equal(found, i, together, i)


# Law 7: a known envelope compiles nothing; and the epochs' loop moves nothing.


def test_a_second_group_compiles_nothing(trainer, together):
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: compiled.append(event))
    try:
        run(trainer, chains=CHAINS[N:], trials=range(20, 20 + N))
    finally:
        jax.monitoring.clear_event_listeners()
    assert len(trainer.programs) == 1
    assert [e for e in compiled if "backend_compile" in e] == []


def test_the_loop_over_epochs_moves_nothing_to_the_device(trainer, together):
    """Except the epoch's number and whether it is scored, which it says itself (`jax.device_put`)."""

    def guarded(trainer):
        with ExitStack() as guards:

            def on_epoch(doing, epoch):
                if epoch == 0:  # all that comes before has been moved
                    guards.enter_context(jax.transfer_guard_host_to_device("disallow"))
                    guards.enter_context(jax.transfer_guard_device_to_device("disallow"))

            return run(trainer, on_epoch=on_epoch)

    assert_equal(guarded(trainer), 0, together, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "data", jax.tree.map(np.asarray, trainer.data))
        with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
            guarded(trainer)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="batch_size=5000, but there are only 1078 training examples"):
        Trainer(CHILDREN, TASK, DATA, Train(batch_size=5000), SEED)


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"batch_size": 0}, {"best_of_last": 0}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValueError, match="=0: give a whole number from 1"):
        Train(**bad)


# Schedules.


def rates(schedule, steps=20, **more):
    """What a gradient of 1 is multiplied with at each step."""
    optimiser = SGD(0.5, momentum=0.0, weight_decay=0.0, schedule=schedule, **more).transformation(steps // 5, 5)
    state, found = optimiser.init(jnp.ones(())), []
    for _ in range(steps):
        update, state = optimiser.update(jnp.ones(()), state, jnp.ones(()))
        found.append(-float(update))
    return found


def test_the_rate_at_every_step():
    at = lambda k: 0.5 * (1 + np.cos(np.pi * k / 20)) / 2
    np.testing.assert_allclose(rates("cosine"), [at(k) for k in range(20)], rtol=1e-5)
    np.testing.assert_allclose(rates("constant"), [0.5] * 20, rtol=1e-6)
    np.testing.assert_allclose(rates("step"), [0.5] * 10 + [0.05] * 5 + [0.005] * 5, rtol=1e-6)
    held = [0.5] * 8 + [0.4] * 4 + [0.32] * 4 + [0.256] * 4  # five epochs of four steps, two of them held
    np.testing.assert_allclose(rates("decay", hold=2, decay=0.8), held, rtol=1e-6)
    np.testing.assert_allclose(rates("step", drops=(0.3,)), [0.5] * 6 + [0.05] * 14, rtol=1e-6)
    np.testing.assert_allclose(rates("step", drops=()), [0.5] * 20, rtol=1e-6)


ASCENDING, SHARES = "ascending shares of the training between 0 and 1", "a list, each a number between 0 and 1"


@pytest.mark.parametrize(
    ("drops", "words"),
    [((0.5, 0.5), ASCENDING), ((0.7, 0.3), ASCENDING), ((0.0,), SHARES), ((1.0,), SHARES), ((math.nan,), SHARES)],
)
def test_drops_that_are_no_ascending_shares_are_refused(drops, words):
    with pytest.raises(ValueError, match=f"drops=.*: give {words}"):
        SGD(drops=drops)
