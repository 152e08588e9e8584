"""Laws 2, 5 and 7 for the training of groups, on real digits."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from plain import PlainChain, live_numbers, load, numbers

from jaxnas.children.chain import envelope
from jaxnas.evaluators import SGD, Population, Train
from jaxnas.evaluators.train import Trainer
from jaxnas.outcome import Status
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
TRAIN = Train(epochs=2, batch_size=128)
rng = np.random.default_rng(0)
TOKENS = np.asarray(SPACE.decisions.without_absent(rng.integers(0, SPACE.decisions.sizes, (N, len(SPACE.decisions)))))
ALONE, TOGETHER = 1, 4


def evaluator(train=TRAIN, group_size=TOGETHER, task=None):
    return Population(train, group_size).bind(SPACE, task or Digits(), SEED)


def curves(evaluate, tokens, trial_ids, **more):
    """The curves in the order of ``tokens``, and the statuses."""
    found, status = np.full((len(tokens), evaluate.settings.train.epochs), -1.0), np.full(len(tokens), -1)
    for rows, outcome in evaluate(np.asarray(tokens), np.asarray(trial_ids), **more):
        assert (found[rows] == -1).all(), "a row came twice"
        found[rows], status[rows] = outcome.curve, outcome.status
    return found, status


@pytest.fixture(scope="module")
def together():
    evaluate = evaluator()
    return evaluate, curves(evaluate, TOKENS, range(N))[0]


def test_children_learn_digits():
    found, status = curves(evaluator(Train(epochs=8, batch_size=32)), TOKENS, range(N))
    assert (status == Status.OK).all()
    assert found[:, -1].max() > 0.8  # ten classes: chance is 0.1
    assert len(set(found[:, -1])) > 1


# Law 2: a child's result depends on (seed, trial id, tokens) only.


def test_alone_as_in_company(together):
    alone, _ = curves(evaluator(group_size=ALONE), TOKENS, range(N))
    np.testing.assert_allclose(alone, together[1], atol=0.006)  # at most two of the 360 images tip over


def test_neither_order_nor_neighbours_count(together):
    evaluate, expected = together
    order = [2, 0, 3, 1]
    found, _ = curves(evaluate, TOKENS[order], order)
    np.testing.assert_array_equal(found, expected[order])
    others = np.concatenate([TOKENS[:1], SPACE.decisions.without_absent(np.ones((N - 1, TOKENS.shape[1]), int))])
    found, _ = curves(evaluate, others, range(N))
    np.testing.assert_array_equal(found[0], expected[0])


def test_the_number_of_devices_does_not_count(together, two_devices):
    evaluate, _ = together
    group, genes = _group(evaluate, TOKENS)
    runs = []
    for devices in (1, 2):
        trainer = Trainer(evaluate.children, Digits(), evaluate.trainer.data, TRAIN, SEED, devices)
        runs.append(trainer.run(group, genes, list(range(N))))
    np.testing.assert_allclose(*(r.curve for r in runs), atol=0.003)
    for a, b in zip(*(jax.tree.leaves(r.states.parameters) for r in runs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_the_trial_id_counts(together):
    evaluate, expected = together
    found, _ = curves(evaluate, TOKENS, range(N, 2 * N))
    assert (found != expected).any(1).all()


def test_finished_trials_are_left_out(together):
    evaluate, expected = together
    found, _ = curves(evaluate, TOKENS, range(N), finished={1, 3})
    np.testing.assert_array_equal(found[[0, 2]], expected[[0, 2]])
    assert (found[[1, 3]] == -1).all()


def _group(evaluate, tokens):
    chains = [SPACE.decode(row) for row in tokens]
    inside = evaluate.children.roof(chains)
    return inside, [evaluate.children.place(c, inside) for c in chains]


def test_a_trained_group_is_its_children_trained_by_plain_flax():
    """Parameters after an epoch of 11 steps (momentum, decay, cosine schedule), against a loop without jaxnas."""
    train = Train(epochs=1, batch_size=96, optimiser=SGD(learning_rate=0.01))
    evaluate = evaluator(train, task=Digits(augment=Augment(pad=1, flip=True)))
    trainer = evaluate.trainer
    inside, genes = _group(evaluate, TOKENS)
    states = trainer.run(inside, genes, list(range(N))).states
    for i, tokens in enumerate(TOKENS):
        chain = SPACE.decode(tokens)
        expected = _plain_epoch(evaluate, chain, key_for(trainer.root, "child", i))
        mine = jax.tree.map(lambda a, i=i: a[i], (states.parameters, states.statistics))
        graph = nnx.graphdef(evaluate.children.build(inside, genes[i], trainer.root))
        found = live_numbers(nnx.merge(graph, *mine), chain, 1)
        for name, value in expected.items():
            atol = 1e-5 * np.abs(value).max()
            np.testing.assert_allclose(found[name], value, rtol=2e-4, atol=10 * atol, err_msg=f"{name} of child {i}")


def _plain_epoch(evaluate, chain, key):
    trainer, data = evaluate.trainer, evaluate.trainer.data
    tight = envelope([chain])
    start = evaluate.children.build(tight, evaluate.children.place(chain, tight), key)
    net = load(PlainChain(chain, 1, 10), live_numbers(start, chain, 1))
    steps = len(data.train) // trainer.train.batch_size
    rate = lambda count: 0.01 * 0.5 * (1 + jnp.cos(jnp.pi * count / steps))
    optimiser = nnx.Optimizer(
        net, optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(rate, 0.9, nesterov=True)), wrt=nnx.Param
    )

    @nnx.jit
    def step(net, optimiser, x, y):
        loss = lambda net: optax.softmax_cross_entropy_with_integer_labels(net(x, training=True), y).mean()
        optimiser.update(net, nnx.grad(loss)(net))

    order = jax.random.permutation(key_for(trainer.root, "order", 0), len(data.train))
    for number in range(steps):
        rows = order[number * trainer.train.batch_size :][: trainer.train.batch_size]
        x = trainer.task.inputs(data.train.images[rows], data, key_for(trainer.root, "augment", 0, number))
        step(net, optimiser, x, data.train.labels[rows])
    return numbers(net)


# Law 5: a failing child harms nobody.


@pytest.mark.parametrize("poison", [np.inf, np.nan, 1e30])
def test_a_diverging_child_is_frozen_and_its_neighbours_do_not_notice(together, poison):
    evaluate, expected = together
    inside, genes = _group(evaluate, TOKENS)
    first = genes[1].layers[0]
    genes[1] = genes[1]._replace(layers=(first._replace(spread=np.float32(poison)), *genes[1].layers[1:]))
    result = evaluate.trainer.run(inside, genes, list(range(N)))
    assert result.alive.tolist() == [True, False, True, True]
    assert np.isnan(result.curve[1]).all()
    np.testing.assert_array_equal(result.curve[[0, 2, 3]], expected[[0, 2, 3]])


def test_a_child_that_diverges_on_the_way_keeps_its_last_finite_numbers():
    """At this rate the loss explodes within the first steps; what stays behind is finite, and the status tells."""
    evaluate = evaluator(Train(epochs=2, batch_size=128, optimiser=SGD(learning_rate=1e18, schedule="constant")))
    inside, genes = _group(evaluate, TOKENS)
    result = evaluate.trainer.run(inside, genes, list(range(N)))
    assert not result.alive.any()
    assert all(
        np.isfinite(leaf).all() for leaf in jax.tree.leaves((result.states.parameters, result.states.statistics))
    )
    found, status = curves(evaluate, TOKENS, range(N))
    assert np.isnan(found).all()
    assert (status == Status.DIVERGED).all()


def test_out_of_memory_halves_the_group_and_goes_on(together, monkeypatch):
    evaluate, expected = together
    monkeypatch.setattr(evaluate.trainer, "run", _with_room_for(2, evaluate.trainer.run))
    found, status = curves(evaluate, TOKENS, range(N))
    np.testing.assert_allclose(found, expected, atol=0.006)
    assert (status == Status.OK).all()


def test_a_child_without_room_even_alone_fails_alone(together, monkeypatch):
    evaluate, _ = together
    monkeypatch.setattr(evaluate.trainer, "run", _with_room_for(0, evaluate.trainer.run))
    found, status = curves(evaluate, TOKENS, range(N))
    assert np.isnan(found).all()
    assert (status == Status.OUT_OF_MEMORY).all()


def _with_room_for(most, run):
    """A device that has memory for so many children: the error is the one XLA raises, the rest is the real thing."""

    def limited(inside, genes, trial_ids, *more):
        if len(genes) > most:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes.")
        return run(inside, genes, trial_ids, *more)

    return limited


# Law 7: a known envelope compiles nothing.


def test_a_second_round_compiles_nothing(together):
    evaluate, _ = together
    programs, compiled = len(evaluate.trainer.programs), []
    curves(evaluate, TOKENS[::-1], range(8, 12))  # whatever small things a first call compiles are known after this
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: compiled.append(event))
    curves(evaluate, TOKENS, range(20, 24))
    jax.monitoring.clear_event_listeners()
    assert len(evaluate.trainer.programs) == programs
    assert [e for e in compiled if "backend_compile" in e] == []


def test_a_space_needs_no_more_programs_than_it_has_depths():
    evaluate = evaluator(Train(epochs=1, batch_size=512), group_size=2)
    draw = np.random.default_rng(1)
    for r in range(3):
        tokens = draw.integers(0, SPACE.decisions.sizes, (6, len(SPACE.decisions)))
        curves(evaluate, SPACE.decisions.without_absent(tokens), range(6 * r, 6 * r + 6))
    assert 1 <= len(evaluate.trainer.programs) <= len(SPACE.depths)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="batch_size=5000, but there are only 1078 training examples"):
        evaluator(Train(batch_size=5000))


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"batch_size": 0}, {"best_of_last": 0}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValueError, match="=0: give 1 or more"):
        Train(**bad)


def test_the_score_is_the_best_of_the_last_epochs():
    evaluate = evaluator(Train(epochs=3, batch_size=64, best_of_last=2))
    [(_, outcome)] = list(evaluate(TOKENS, np.arange(N)))
    np.testing.assert_array_equal(outcome.score, outcome.curve[:, 1:].max(1))
    assert (outcome.curve * 360 % 1 < 1e-9).all()
