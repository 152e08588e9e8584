"""Recurrent cells in a group's training on text: laws 1, 2, 5 and 7, and scores against plain loops over the text."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_recurrent import logits, nats
from steps import assert_equal, running, trained_network

from jaxnas.children import alone, unpadded
from jaxnas.evaluators import SGD, Adam, Population, Train
from jaxnas.evaluators.train import Trainer
from jaxnas.experiment import Experiment
from jaxnas.final import Final, train_final
from jaxnas.outcome import Trial
from jaxnas.rewards import Perplexity
from jaxnas.rng import key_for
from jaxnas.spaces import Dropout, LanguageModel, RecurrentCell
from jaxnas.tasks import Passage, Text
from jaxnas.trained import load_trained

SEED, TASK = 3, Text(unroll=8, limit=1500, validation=0.001, test=0.001)
MODEL = LanguageModel(hidden=8, layers=2)
SPACE, DATA = RecurrentCell(base=4, model=MODEL), TASK.search_data(SEED)
CHILDREN = SPACE.children(DATA.input_shape, DATA.classes)
TRAIN = Train(epochs=2, batch_size=4, optimiser=Adam(learning_rate=0.01, clip=1.0))
INSIDE = CHILDREN.envelope([], CHILDREN.engines[1], ())
# none that lets rounding grow from step to step, as some do whose memory has no bound
CELLS = [SPACE.decode(np.random.default_rng(seed).integers(0, SPACE.decisions.sizes)) for seed in (0, 1, 2, 6)]
run = running(CHILDREN, CELLS, INSIDE)


@pytest.fixture(scope="module")
def trainer(two_devices):
    return Trainer(CHILDREN, TASK, DATA, TRAIN, SEED)


@pytest.fixture(scope="module")
def together(trainer):
    return run(trainer)


def weights_of(children, inside, cell, result, place):
    """Of a trained child, by name."""
    genes = children.place(cell, inside)
    net = trained_network(Trainer(children, TASK, DATA, TRAIN, SEED, 1), inside, genes, result.one(place))
    return {name: jnp.asarray(value) for name, value in children.weights(net, cell).items()}


def test_children_learn_something(together):
    """All know the symbols' frequencies by then, and are better than those of the training text would be."""
    counts = np.bincount(np.asarray(DATA.train.symbols), minlength=DATA.classes) + 1
    alone = np.log(counts / counts.sum())[np.asarray(DATA.held_out.symbols)[1:]].mean()
    assert together.alive.all()
    assert (together.curve[:, -1] > alone).all()


def by_plain_loops(cell, weights, symbols, streams=4, each=None):
    """Mean log-probability of a text, each of its streams read from its beginning without a break."""
    count = len(symbols) - 1
    each = -(-count // streams) if each is None else each
    at = np.minimum(np.arange(streams)[:, None] * each + np.arange(each), count - 1)
    found = nats(logits(cell, weights, jnp.asarray(symbols[at]), 2)[0], symbols[at + 1])
    return -found.ravel()[:count].sum() / count


def test_the_score_is_the_mean_log_probability_of_all_that_is_held_out(together):
    symbols = np.asarray(DATA.held_out.symbols)
    assert (len(symbols) - 1) % 4 > 0  # the last stream is shorter
    for place in (0, 3):
        weights = weights_of(CHILDREN, INSIDE, CELLS[place], together, place)
        np.testing.assert_allclose(together.curve[place, -1], by_plain_loops(CELLS[place], weights, symbols), rtol=1e-5)


@pytest.mark.parametrize(("each", "left"), [(32, 0), (27, 3)])
def test_training_is_the_plain_one(each, left):
    """Law 1 through training: what is remembered is carried from chunk to chunk, gradients end at a chunk's beginning.

    Four steps of SGD by hand on plain loops, the last one over what is left of the streams alone; parameters within
    1e-5.
    """
    cell, rate = CELLS[1], 0.5
    train = replace(TRAIN, epochs=1, optimiser=SGD(rate, momentum=0.0, weight_decay=0.0, schedule="constant"))
    data = replace(DATA, train=replace(DATA.train, symbols=DATA.train.symbols[: 4 * each + left + 1]))
    trainer, alone = Trainer(CHILDREN, TASK, data, train, SEED, 1), unpadded(CHILDREN, cell)
    assert trainer.steps == 4
    found = weights_of(CHILDREN, alone, cell, run(trainer, [cell], [7], alone, scored=()), 0)
    net = CHILDREN.build(alone, (), key_for(key_for(SEED, "training"), "child", 7))
    weights = {name: jnp.asarray(value) for name, value in CHILDREN.weights(net, cell).items()}
    streams, memory = np.asarray(data.train.symbols[: 4 * each]).reshape(4, each), None
    labels = np.asarray(data.train.symbols[1 : 4 * each + 1]).reshape(4, each)

    def loss(weights, x, y, memory):
        said, memory = logits(cell, weights, x, 2, memory=memory)
        picked = jnp.take_along_axis(jax.nn.log_softmax(said), y[..., None], -1)
        return -picked.mean(), memory

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    memory = CHILDREN.nothing(4)
    for at in range(0, each, 8):
        (_, memory), gradients = step(
            weights, jnp.asarray(streams[:, at : at + 8]), jnp.asarray(labels[:, at : at + 8]), memory
        )
        weights = jax.tree.map(lambda w, g: w - rate * g, weights, gradients)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, weights)


def test_neither_order_nor_neighbours_count_and_nothing_is_compiled_again(trainer, together):
    """Laws 2 and 7."""
    order, compiled = [2, 0, 3, 1], []
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: compiled.append(event))
    try:
        found = run(trainer, [CELLS[i] for i in order], order)
    finally:
        jax.monitoring.clear_event_listeners()
    assert [e for e in compiled if "backend_compile" in e] == []
    for place, i in enumerate(order):
        assert_equal(found, place, together, i)


@pytest.mark.parametrize("engine", ["alone", "padded"])
def test_the_envelope_does_not_count(together, engine):
    """Laws 1 and 2: the cell alone on one device, and among others by selection: the curve of the group."""
    inside = unpadded(CHILDREN, CELLS[2]) if engine == "alone" else CHILDREN.envelope([], CHILDREN.engines[0], ())
    found = run(Trainer(CHILDREN, TASK, DATA, TRAIN, SEED, devices=1), CELLS[2:3], [2], inside)
    np.testing.assert_allclose(found.curve[0], together.curve[2], rtol=1e-4)


def test_a_child_that_fails_is_frozen_and_its_neighbours_do_not_notice(trainer, together):
    """Law 5: sums of sums double h at every step, until it is no number."""
    grows = replace(CELLS[1], nodes=(("add", "identity"),) * 7, inject=("add", "identity"))
    found = run(trainer, [CELLS[0], grows, *CELLS[2:]])
    assert found.alive.tolist() == [True, False, True, True]
    assert np.isnan(found.curve[1]).all()
    for place in (0, 2, 3):
        assert_equal(found, place, together, place)


def test_a_search_through_the_evaluator(two_devices):
    """Outcomes in their order; the reward is 80 / perplexity^2; a child is trained on what fills 4 streams."""
    evaluate = Population(TRAIN).bind(SPACE, TASK, SEED, 4)
    tokens = np.stack([SPACE.encode(cell) for cell in CELLS])
    [(rows, outcome)] = list(evaluate(tokens, np.arange(4)))
    assert sorted(rows) == [0, 1, 2, 3]
    np.testing.assert_allclose(Perplexity()(outcome), 80 / np.exp(-outcome.score) ** 2)
    assert evaluate.images == 2 * (1499 // 4) * 4
    assert evaluate.about()["unknown"] == DATA.unknown
    assert (outcome.parameters == alone(CHILDREN, CELLS[0]).parameters).all()


def test_a_table_has_the_scores_of_the_test_text(trainer, together):
    """Another text in parts of the held-out one's length: the plain loops over each part."""
    symbols = np.asarray(DATA.train.symbols)[100 : 100 + len(DATA.held_out) * 3 // 2]
    again = run(trainer)  # its states are consumed
    genes = [CHILDREN.place(cell, INSIDE) for cell in CELLS]
    found = trainer.score(INSIDE, genes, range(4), again, Passage(symbols))
    part, count = len(DATA.held_out), len(symbols) - 1
    first, rest = symbols[: part + 1], symbols[part:]
    weights = weights_of(CHILDREN, INSIDE, CELLS[0], together, 0)
    wanted = by_plain_loops(CELLS[0], weights, first) * part
    wanted += by_plain_loops(CELLS[0], weights, rest, each=-(-part // 4)) * (count - part)
    np.testing.assert_allclose(found[0], wanted / count, rtol=1e-5)


def test_a_final_training_is_read_back(tmp_path):
    """Twice the units: the network, read from disk, has the recorded test score."""
    experiment = Experiment(
        SPACE, TASK, reward=Perplexity(), final=Final(replace(TRAIN, epochs=1), width=2.0), seed=SEED
    )
    tokens = tuple(SPACE.encode(CELLS[3]).tolist())
    trial = Trial(5, 0, tokens, CHILDREN.describe(CELLS[3]), "ok", -3.0, 0.1, (-3.0,), 1, 1, 1.0, 1)
    result = train_final(experiment, tmp_path, trial)
    read = load_trained(experiment, tmp_path, trial)
    assert (read.children.hidden, result["measure"]) == (16, "bits a character")
    weights = {n: jnp.asarray(w) for n, w in read.children.weights(read.network, read.architecture).items()}
    assert sum(w.size for w in weights.values()) == result["parameters"]
    symbols = np.asarray(TASK.final_data(SEED).held_out.symbols)
    np.testing.assert_allclose(result["test_score"], by_plain_loops(CELLS[3], weights, symbols), rtol=1e-5)
    assert read.data["vocabulary"] == list(DATA.vocabulary)
    data = TASK.final_data(SEED)
    assert (result["train_examples"], result["unknown"]) == (data.seen(4), data.unknown)
    assert len(data.train) - 4 < data.seen(4) < len(data.train)


def test_a_killed_final_training_of_text_goes_on_to_the_same_score(tmp_path):
    """After the first of two epochs; what is dropped depends on (seed, epoch, step), not on when that was."""
    space = replace(SPACE, model=replace(MODEL, dropout=Dropout(between=0.2, recurrent=0.2, symbols=0.2)))
    experiment = Experiment(space, TASK, reward=Perplexity(), final=Final(TRAIN), seed=SEED)
    tokens = tuple(SPACE.encode(CELLS[3]).tolist())
    trial = Trial(5, 0, tokens, CHILDREN.describe(CELLS[3]), "ok", -3.0, 0.1, (-3.0,), 1, 1, 1.0, 1)

    def kill(progress):
        if progress.doing == "training" and progress.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_final(experiment, tmp_path / "killed", trial, kill)
    again, whole = (train_final(experiment, tmp_path / name, trial) for name in ("killed", "whole"))
    assert again["test_scores"] == whole["test_scores"]
    plain = train_final(replace(experiment, space=SPACE), tmp_path / "plain", trial)
    assert plain["test_scores"] != whole["test_scores"]  # something was dropped
