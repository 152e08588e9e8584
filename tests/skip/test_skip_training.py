"""Networks with skip connections in a group's training and in a search: laws 2, 4 and 5, learning rates, growth."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from steps import assert_equal, running

from jaxnas.children import alone as work_of
from jaxnas.children import unpadded
from jaxnas.children.engines import Branching
from jaxnas.children.skip.architecture import Skip, SkipLayer
from jaxnas.evaluators.population import Population
from jaxnas.evaluators.train import SGD, Train, Trainer
from jaxnas.experiment import Experiment
from jaxnas.final import Final, train_final
from jaxnas.ledger import Ledger
from jaxnas.outcome import Trial
from jaxnas.search import Silent, search
from jaxnas.spaces import Growth, SkipCNN
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Digits
from jaxnas.trained import load_trained

SEED = 3
SPACE = SkipCNN(
    layers=4, kernel_heights=(1, 3), kernel_widths=(1, 3), filters=(4, 8), stride_heights=(1, 2), stride_widths=(1, 2),
    types=("convolution", "max_pool", "average_pool"), norms=(True, False), learning_rates=(0.1, 0.02),
)  # fmt: skip
TASK = Digits()
DATA = TASK.search_data(SEED)
CHILDREN = SPACE.children(DATA.input_shape, DATA.classes)
ENGINE = Branching((), (8,))
TRAIN = Train(epochs=4, batch_size=32)
conv = lambda inputs, filters, stride=(1, 1), norm=True: SkipLayer("convolution", inputs, (3, 3), stride, filters, norm)
NETWORKS = [
    Skip((conv((0,), 8), conv((1,), 8, (2, 2)), conv((1, 2), 8)), 0.1),
    Skip((conv((0,), 8, norm=False), SkipLayer("max_pool", (1,), (3, 3), (2, 1)), conv((1, 2), 4, (1, 2))), 0.1),
    Skip((conv((0,), 4), SkipLayer("average_pool", (1,), (3, 1), (2, 2)), conv((2,), 8), conv((1, 2, 3), 8)), 0.02),
    Skip((conv((0,), 8, (2, 1)),), 0.1),
]
INSIDE = CHILDREN.envelope(NETWORKS, ENGINE, ())
run = running(CHILDREN, NETWORKS, INSIDE)


@pytest.fixture(scope="module")
def trainer(two_devices):
    return Trainer(CHILDREN, TASK, DATA, TRAIN, SEED)


@pytest.fixture(scope="module")
def together(trainer):
    return run(trainer)


def test_children_learn(together):
    assert together.alive.all()
    assert together.curve[:, -1].max() > 0.5
    assert together.curve[:, -1].min() > 0.2  # chance is 0.1


def test_neither_order_nor_neighbours_count(trainer, together):
    order = [2, 0, 3, 1]
    found = run(trainer, [NETWORKS[i] for i in order], order)
    for place, i in enumerate(order):
        assert_equal(found, place, together, i)


def test_the_envelope_does_not_count(together):
    """Alone in its own envelope, one device: the same curve, within a held-out example."""
    alone = Trainer(CHILDREN, TASK, DATA, TRAIN, SEED, devices=1)
    found = run(alone, NETWORKS[1:2], [1], unpadded(CHILDREN, NETWORKS[1]))
    np.testing.assert_allclose(found.curve[0], together.curve[1], atol=1.01 / len(DATA.held_out))


def test_a_childs_learning_rate_is_that_of_the_settings(trainer, together):
    """Its own rate, or the same rate for all and none of its own: the same training."""
    i = 2
    assert NETWORKS[i].learning_rate == 0.02 != TRAIN.optimiser.learning_rate
    slow = Trainer(CHILDREN, TASK, DATA, replace(TRAIN, optimiser=SGD(0.02)), SEED)
    plain = [replace(a, learning_rate=None) for a in NETWORKS]
    found = run(slow, plain, epochs=range(1))
    np.testing.assert_allclose(found.curve[i, 0], together.curve[i, 0], atol=1.01 / len(DATA.held_out))


def test_a_child_that_begins_with_bad_numbers_is_frozen_and_its_neighbours_do_not_notice(trainer, together):
    genes = [CHILDREN.place(a, INSIDE) for a in NETWORKS]
    i = 1
    genes[i] = genes[i]._replace(blocks=genes[i].blocks._replace(spread=genes[i].blocks.spread * np.nan))
    found = trainer.run(INSIDE, genes, list(range(4)))
    assert found.alive.tolist() == [k != i for k in range(4)]
    for k in {*range(4)} - {i}:
        assert_equal(found, k, together, k)


def test_final_training_of_a_wider_network_is_read_back(tmp_path):
    """Two seeds, twice the filters: the first seed's network, read from disk, has the recorded test score."""
    final = Final(Train(epochs=2, batch_size=64), width=2.0, seeds=2)
    experiment = Experiment(SPACE, TASK, final=final, seed=SEED)
    tokens = tuple(SPACE.encode(NETWORKS[1]).tolist())
    trial = Trial(5, 0, tokens, CHILDREN.describe(NETWORKS[1]), "ok", 0.5, 0.5, (0.5,), 1, 1, 1.0, 1)
    result = train_final(experiment, tmp_path, trial)
    read = load_trained(experiment, tmp_path, trial)
    assert [layer.filters for layer in read.architecture.layers] == [16, 0, 8]
    assert result["parameters"] == work_of(read.children, read.architecture).parameters
    weights = read.children.weights(read.network, read.architecture)
    learnt = [v for n, v in weights.items() if n.split(".")[-1] not in ("mean", "variance")]
    assert sum(v.size for v in learnt) == result["parameters"]
    data = jax.device_put(TASK.final_data(SEED))
    logits = read.network(TASK.inputs(data.held_out.images, data), read.genes, False)[0]
    score = float(TASK.scores(logits, jnp.asarray(data.held_out.labels)).mean())
    np.testing.assert_allclose(score, result["test_scores"][0], atol=1e-6)


def test_a_childs_own_rate_holds_in_final_training(tmp_path):
    """As in the search: the same as a space without rates under settings of that rate."""
    scores = {}
    for name, space, rate in (("own", SPACE, 0.5), ("settings", replace(SPACE, learning_rates=()), 0.02)):
        final = Final(Train(epochs=2, batch_size=64, optimiser=SGD(rate)))
        architecture = NETWORKS[2] if name == "own" else replace(NETWORKS[2], learning_rate=None)
        children = space.children(DATA.input_shape, DATA.classes)
        tokens = tuple(space.encode(architecture).tolist())
        trial = Trial(5, 0, tokens, children.describe(architecture), "ok", 0.5, 0.5, (0.5,), 1, 1, 1.0, 1)
        experiment = Experiment(space, TASK, final=final, seed=SEED)
        scores[name] = train_final(experiment, tmp_path / name, trial)["test_score"]
    np.testing.assert_allclose(scores["own"], scores["settings"], atol=1.01 / 359)


def grown(tmp_path, rounds, name):
    space = replace(SPACE, layers=3, growth=Growth(start=2, by=1, every=4))
    evaluator = Population(Train(epochs=1, batch_size=128), engine="branching")
    experiment = Experiment(space, Digits(), Reinforce(policy="table"), evaluator=evaluator, rounds=rounds, children=2)
    (tmp_path / name).mkdir(exist_ok=True)
    ledger = Ledger(tmp_path / name, write=True)
    search(experiment, ledger, Silent())
    return ledger.trials()


def test_depth_grows_during_a_search_and_a_resumed_one_is_the_same(tmp_path):
    whole = grown(tmp_path, 4, "whole")
    assert [len(t.architecture["layers"]) for t in whole] == [2, 2, 2, 2, 3, 3, 3, 3]
    assert all(t.score is not None for t in whole)
    grown(tmp_path, 2, "resumed")
    assert [replace(t, seconds=0.0) for t in grown(tmp_path, 4, "resumed")] == [replace(t, seconds=0.0) for t in whole]
