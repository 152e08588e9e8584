"""Multilayer perceptrons: law 1, the space's words, and what they read."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from refusals import refused
from steps import assert_equal, trained_network

from jaxnas.children import Exports, alone, unpadded
from jaxnas.children.mlp.network import ACTIVATIONS, Perceptron
from jaxnas.evaluators import SGD, Train
from jaxnas.evaluators.train import Trainer
from jaxnas.inputs import Inputs
from jaxnas.report import draw, pretty
from jaxnas.spaces import MLP
from jaxnas.tasks import Ratings, Tabular, TextClassification

SPACE = MLP(layers=(1, 2, 3), widths=(3, 8, 5), activations=("relu", "tanh"), dropout=(0.0, 0.3))
SOME = [
    Perceptron((3,), "relu", 0.0),
    Perceptron((8, 3, 5), "tanh", 0.3),
    Perceptron((5, 8), "relu", 0.3),
    Perceptron((8, 8, 8), "tanh", 0.0),
]
TASKS = {"table": Tabular("wine"), "pair": Ratings(limit=400), "passage": TextClassification(limit=120, length=8)}
TRAIN = Train(epochs=2, batch_size=32, optimiser=SGD(learning_rate=0.1, weight_decay=0.01))


@pytest.mark.parametrize("kind", TASKS)
def test_a_padded_child_is_the_exact_network(two_devices, kind):
    """Law 1, through training with dropout, of four networks in one program."""
    task = TASKS[kind]
    data = task.search_data(0)
    children = SPACE.children(data.input_shape, data.classes)
    inside = children.envelope(SOME, children.engines[0], ())
    trainer = Trainer(children, task, data, TRAIN, 0)
    found = trainer.run(inside, [children.place(one, inside) for one in SOME], range(4))
    assert found.alive.all()
    assert len(trainer.programs) == 1
    for i, one in list(enumerate(SOME))[: 2 if kind == "table" else 1]:
        tight = unpadded(children, one)
        assert tight.widths == one.widths
        exact = Trainer(children, task, data, TRAIN, 0, devices=1)
        genes = children.place(one, tight)
        result = exact.run(tight, [genes], [i])
        np.testing.assert_allclose(found.curve[i], result.curve[0], atol=1e-4)
        padded = trained_network(trainer, inside, children.place(one, inside), found.one(i))
        own = children.weights(trained_network(exact, tight, genes, result.one(0)), one)
        for name, value in children.weights(padded, one).items():
            np.testing.assert_allclose(value, own[name], atol=1e-4, err_msg=name)
        if kind == "table":
            assert alone(children, one).parameters == sum(value.size for value in own.values())
            assert not np.asarray(padded.last[...])[one.widths[-1] :].any()


def test_the_exact_network_is_plain_layers():
    """Independent of ours: stock Flax layers with the exported weights."""
    one = Perceptron((8, 3), "tanh", 0.3)
    children = SPACE.children(Inputs((6,), "table"), 4)
    tight = unpadded(children, one)
    network = children.build(tight, children.place(one, tight), jax.random.key(3))
    weights, x = children.weights(network, one), np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    h = x
    for name in ("layer1", "layer2"):
        h = np.tanh(h @ weights[f"{name}.kernel"] + weights[f"{name}.bias"])
    logits = network(jnp.asarray(x), children.place(one, tight), False, (), jax.random.key(0))[0]
    np.testing.assert_allclose(logits, h @ weights["output.kernel"] + weights["output.bias"], rtol=1e-5, atol=1e-6)
    assert isinstance(children, Exports)


def test_company_changes_nothing(two_devices):
    """Law 2."""
    task = TASKS["table"]
    data = task.search_data(0)
    children = SPACE.children(data.input_shape, data.classes)
    inside = children.envelope(SOME, children.engines[0], ())
    run = partial(Trainer(children, task, data, TRAIN, 0).run, inside)
    place = lambda order: [children.place(SOME[i], inside) for i in order]
    found, again = run(place(range(4)), [0, 1, 2, 3]), run(place([3, 1, 0, 2]), [3, 1, 0, 2])
    for at, i in enumerate((3, 1, 0, 2)):
        assert_equal(again, at, found, i)


def test_initial_weights_keep_the_size_of_what_they_read():
    children = MLP(layers=(1,), widths=(256,), activations=("relu",)).children(Inputs((300,), "table"), 2)
    one = Perceptron((256,), "relu", 0.0)
    tight = unpadded(children, one)
    drawn = children.weights(children.build(tight, children.place(one, tight), jax.random.key(0)), one)
    assert drawn["layer1.kernel"].std() == pytest.approx(np.sqrt(2 / 300), rel=0.02)
    assert drawn["output.kernel"].std() == pytest.approx(np.sqrt(2 / 256), rel=0.1)


@pytest.mark.parametrize(("kind", "rows"), [("pair", [0, 5]), ("passage", [1])])
def test_a_stranger_is_nothing_to_begin_with(kind, rows):
    """Nobody learns from number 0, so that it would stay what was drawn."""
    one = Perceptron((3,), "relu", 0.0)
    children = SPACE.children(Inputs((2,), kind, (5, 7) if kind == "pair" else (9,)), 1)
    tight = unpadded(children, one)
    table = children.weights(children.build(tight, children.place(one, tight), jax.random.key(0)), one)["embedding"]
    assert np.flatnonzero((table == 0).all(1)).tolist() == rows


def test_tokens_and_networks():
    decisions = SPACE.decisions
    every = decisions.every(10_000)
    assert len(every) == decisions.count == (3 + 9 + 27) * 2 * 2
    assert [SPACE.encode(SPACE.decode(row)).tolist() for row in every] == every.tolist()
    assert SPACE.decode([2, 0, 1, 2, 1, 1]) == Perceptron((3, 5, 8), "tanh", 0.3)
    assert pretty(SPACE.children(Inputs((6,), "table"), 2).describe(SOME[1])) == "8-3-5 tanh, dropout 0.3"
    assert "widths: [8, 3, 5]" in draw(SPACE.children(Inputs((6,), "table"), 2).describe(SOME[1]))
    assert set(MLP(activations=tuple(ACTIVATIONS)).activations) == set(ACTIVATIONS)


def test_what_is_no_such_space_is_refused():
    refused(lambda: MLP(widths=(8, 8)), "widths=(8, 8)", "different")
    refused(lambda: MLP(activations=("relu", "rely")), "there is no 'rely'", "gelu")
    refused(lambda: SPACE.encode(Perceptron((4,), "relu", 0.0)), "is not in MLP")
    refused(lambda: SPACE.children((32,), 65), "not for every symbol of a text", "RecurrentCell")
    children = SPACE.children(Inputs((6,), "table"), 4)
    refused(lambda: children.place(SOME[1], unpadded(children, SOME[0])), "does not fit")


def test_a_network_may_keep_what_it_reads():
    class Keeps(nnx.Module):
        def __init__(self, inputs):
            self.inputs = inputs

    kept = nnx.merge(*nnx.split(Keeps(Inputs((2,), "pair", (5, 7))))).inputs
    assert (kept, kept.values, kept.whole_numbers) == (Inputs((2,), "pair", (5, 7)), (5, 7), True)
    assert kept != Inputs((2,), "passage", (5,))
    assert kept == (2,)
    assert Inputs.of_facts(kept.facts()) == kept
    refused(lambda: Inputs((2, 3)), "say what they are")
