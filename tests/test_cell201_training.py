"""Cells in a group's training: laws 2, 5 and 7; final training at another width, and what is read back of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from plain_cell201 import CELLS
from steps import assert_equal, running

from jaxnas.children import alone as work_of
from jaxnas.children import unpadded
from jaxnas.children.cell201.architecture import Cell
from jaxnas.evaluators import Train
from jaxnas.evaluators.train import Trainer
from jaxnas.experiment import Experiment
from jaxnas.final import Final, train_final
from jaxnas.outcome import Trial
from jaxnas.spaces import Cell201
from jaxnas.tasks import Digits
from jaxnas.trained import load_trained

SEED, TASK = 3, Digits()
SPACE, DATA = Cell201(channels=4, cells=1), TASK.search_data(SEED)
CHILDREN = SPACE.children(DATA.input_shape, DATA.classes)
TRAIN = Train(epochs=3, batch_size=64)
INSIDE = CHILDREN.envelope([], CHILDREN.engines[1], ())
OTHER = Cell(("nor_conv_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_1x1", "avg_pool_3x3", "none"))
NETWORKS = [CELLS["all of it"], CELLS["nothing"], CELLS["a dead end"], OTHER]
run = running(CHILDREN, NETWORKS, INSIDE)


@pytest.fixture(scope="module")
def trainer(two_devices):
    return Trainer(CHILDREN, TASK, DATA, TRAIN, SEED)


@pytest.fixture(scope="module")
def together(trainer):
    return run(trainer)


def test_children_learn_what_they_can(together):
    assert together.alive.all()
    last = together.curve[:, -1]
    assert last[[0, 2, 3]].min() > 0.5
    assert last[1] < 0.2  # chance is 0.1: no edge leads to its classifier


def test_neither_order_nor_neighbours_count_and_nothing_is_compiled_again(trainer, together):
    order, compiled = [2, 0, 3, 1], []
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: compiled.append(event))
    try:
        found = run(trainer, [NETWORKS[i] for i in order], order)
    finally:
        jax.monitoring.clear_event_listeners()
    assert [e for e in compiled if "backend_compile" in e] == []
    for place, i in enumerate(order):
        assert_equal(found, place, together, i)


def test_the_envelope_does_not_count(together):
    """Alone in its own envelope, one device: the same curve, within a held-out example."""
    alone = Trainer(CHILDREN, TASK, DATA, TRAIN, SEED, devices=1)
    found = run(alone, NETWORKS[2:3], [2], unpadded(CHILDREN, NETWORKS[2]), epochs=range(2))
    np.testing.assert_allclose(found.curve[0, :2], together.curve[2, :2], atol=1.01 / len(DATA.held_out))


def test_a_child_that_begins_with_bad_numbers_is_frozen_and_its_neighbours_do_not_notice(trainer, together):
    genes = [CHILDREN.place(a, INSIDE) for a in NETWORKS]
    genes[2] = genes[2]._replace(spread=genes[2].spread * np.float32(np.nan))
    found = trainer.run(INSIDE, genes, list(range(4)))
    assert found.alive.tolist() == [True, True, False, True]
    assert np.isnan(found.curve[2]).all()
    for i in (0, 1, 3):
        assert_equal(found, i, together, i)


def test_final_training_of_a_wider_network_is_read_back(tmp_path):
    """Twice the channels: the network, read from disk, has the recorded test score."""
    experiment = Experiment(SPACE, TASK, final=Final(Train(epochs=1, batch_size=64), width=2.0), seed=SEED)
    tokens = tuple(SPACE.encode(OTHER).tolist())
    trial = Trial(5, 0, tokens, CHILDREN.describe(OTHER), "ok", 0.5, 0.5, (0.5,), 1, 1, 1.0, 1)
    result = train_final(experiment, tmp_path, trial)
    read = load_trained(experiment, tmp_path, trial)
    assert read.children.channels == 8
    assert result["parameters"] == work_of(read.children, OTHER).parameters
    weights = read.children.weights(read.network, read.architecture)
    learnt = [v for n, v in weights.items() if n.split(".")[-1] not in ("mean", "variance")]
    assert sum(v.size for v in learnt) == result["parameters"]
    data = jax.device_put(TASK.final_data(SEED))
    logits = nnx.jit(lambda net, x: net(x, read.genes, False)[0])(read.network, TASK.inputs(data.held_out.images, data))
    score = float(TASK.scores(logits, jnp.asarray(data.held_out.labels)).mean())
    np.testing.assert_allclose(score, result["test_scores"][0], atol=1e-6)
