"""What a search has come to, from Python: the same as the commands say, and what its trained network predicts."""

import json
import sys
from dataclasses import replace
from types import ModuleType

import jax
import numpy as np
import own_networks
import pytest
from refusals import refused
from test_ledger import trial

import jaxnas
from jaxnas.children import unpadded
from jaxnas.cli import main
from jaxnas.export import Predictor
from jaxnas.export.alone import BATCH
from jaxnas.found import FIXED, _rows
from jaxnas.ledger import Ledger
from jaxnas.tasks import Digits
from jaxnas.trained import Trained

EXPERIMENT = jaxnas.Experiment(
    space=jaxnas.Tuned(
        jaxnas.ModuleSpace(own_networks.Plain, width=jaxnas.Categorical(8), scale=jaxnas.Float(0.5, 2.0)),
        learning_rate=jaxnas.Float(0.01, 1.0, log=True),
    ),
    task=Digits(),
    strategy=jaxnas.Random(),
    evaluator=jaxnas.Population(jaxnas.Train(epochs=1)),
    final=jaxnas.Final(jaxnas.Train(epochs=2)),
    rounds=1,
    children=3,
)


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> jaxnas.Found:
    return jaxnas.run(EXPERIMENT, tmp_path_factory.mktemp("found") / "run", quiet=True)


@pytest.fixture(scope="module")
def final(found) -> dict:
    refused(lambda: found.predict(np.zeros((1, 8, 8, 1))), "no trained network", "found.final(")
    return found.final(quiet=True)


IMAGES = Digits().final_data(0).held_out


def test_it_reads_the_ledger(found):
    trials = Ledger(found.workdir).trials()
    assert found.trials == trials
    assert found.best == min((t for t in trials if t.ranked), key=lambda t: t.rank)
    best = found.best.values
    assert best.keys() == {"width", "scale", "learning_rate"}
    assert best == found.best.architecture["values"] | found.best.architecture["training"]


def test_the_recorded_final_training_is_that_of_the_command(found, final):
    assert Ledger(found.workdir).facts()[f"final:{found.best.trial_id}"] == final
    assert found.final() == final  # the test score is read once
    refused(lambda: found.final(settings=jaxnas.Final(jaxnas.Train(epochs=3))), "final.train.epochs", "2 there, 3 now")


def test_predictions_have_the_recorded_score(found, final):
    told = found.predict(IMAGES.images)
    assert (told.shape, told.dtype) == ((len(IMAGES), 10), np.float32)
    np.testing.assert_allclose(told.sum(1), 1, rtol=1e-5)
    assert (told.argmax(1) == IMAGES.labels).mean() == pytest.approx(final["test_score"])


def test_predictions_are_the_softmax_of_the_exported_program(found, final, tmp_path):
    assert "network.stablehlo" in found.export(tmp_path / "out").files
    program = jax.export.deserialize(bytearray((tmp_path / "out" / "network.stablehlo").read_bytes()))
    logits = np.asarray(program.call(np.float32(IMAGES.images)), np.float64)
    wanted = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(found.predict(IMAGES.images), wanted / wanted.sum(1, keepdims=True), rtol=1e-3)
    refused(lambda: found.export(tmp_path / "out"), "overwrites nothing")


@pytest.mark.parametrize("many", [0, 1, BATCH, BATCH + 1])
def test_predictions_do_not_depend_on_the_batch(found, final, many):
    assert len(IMAGES) > BATCH + 1
    whole = found.predict(IMAGES.images.astype(np.int64))
    np.testing.assert_allclose(found.predict(IMAGES.images[:many]), whole[:many], rtol=1e-5)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (IMAGES.images[0], ["[8, 8, 1]", "x[None]"]),
        (IMAGES.images[..., 0], ["[M, 8, 8, 1]", "x[..., None]"]),
        (IMAGES.images / 16, ["values 0 to 1:", "values 0..16", "scale it"]),
        (IMAGES.images.astype(float) * np.nan, ["nan to nan"]),
        (IMAGES.images > 9, ["type bool"]),
    ],
    ids=["alone", "flat", "divided", "nan", "bool"],
)
def test_images_of_another_kind_are_refused(found, final, x, words):
    refused(lambda: found.predict(x), *words)


def test_a_directory_is_enough_where_a_command_has_searched(found, tmp_path, monkeypatch):
    other = jaxnas.Found(str(found.workdir))
    assert other.best == found.best
    refused(other.final, "records no config", "jaxnas.Found(workdir, experiment)")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("from test_found import EXPERIMENT as experiment\n")
    assert main(["search", "own.py", "--workdir", "run"]) == 0
    assert jaxnas.Found("run").best.score == found.best.score
    assert jaxnas.Found("run").final(trial=1, quiet=True)["trial_id"] == 1


def test_what_is_no_search_or_another_one_is_refused(found, tmp_path):
    refused(lambda: jaxnas.Found(tmp_path), "has no ledger.sqlite")
    assert list(tmp_path.iterdir()) == []
    other = jaxnas.Experiment(EXPERIMENT.space, Digits(), jaxnas.Random(), seed=1)
    refused(lambda: jaxnas.Found(found.workdir, other), "holds another experiment", "seed: 0 there, 1 now")


def test_the_curve_by_hand(tmp_path):
    """The best by reward, then score; what failed has none."""
    ledger = Ledger(tmp_path, write=True)
    ledger.append(
        [trial(0, None, "failed"), *(trial(i, i / 4) for i in (2, 1)), trial(3, None, "diverged"), trial(4, 1.0)]
    )
    curve = jaxnas.Found(tmp_path).curve()
    np.testing.assert_array_equal(curve.best, [np.nan, 0.25, 0.5, 0.5, 1.0])
    np.testing.assert_array_equal(curve.trials, [1, 2, 3, 4, 5])
    np.testing.assert_allclose(curve.seconds, np.cumsum([t.seconds for t in ledger.trials()]))


class Rows:
    """In the place of pandas.DataFrame."""

    def __init__(self, rows, columns=None):
        self.rows, self.columns = rows, columns


def test_a_frame_has_a_column_for_each_value(found, monkeypatch):
    pandas = ModuleType("pandas")
    pandas.DataFrame = Rows
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    rows = found.frame().rows
    assert [row["trial"] for row in rows] == [0, 1, 2]
    for row, one in zip(rows, found.trials, strict=True):
        assert {name: row[name] for name in one.values} == one.values
        assert (row["score"], row["parameters"], row["status"]) == (one.score, one.parameters, one.status)
        assert "architecture" not in row
        json.dumps(row)
    monkeypatch.setitem(sys.modules, "pandas", None)
    refused(found.frame, "pip install pandas")


def test_names_that_are_taken_have_a_word_before_them(tmp_path, monkeypatch):
    pandas = ModuleType("pandas")
    pandas.DataFrame = Rows
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    space = jaxnas.Choices(score=jaxnas.Categorical(7), x=jaxnas.Categorical(1))
    told = lambda values, seed: {"score": 0.5, "x": 2.0}
    experiment = jaxnas.Experiment(
        space, None, jaxnas.Random(), evaluator=jaxnas.Objective(told, processes=0), rounds=1
    )
    [row, *_] = jaxnas.run(experiment, tmp_path, quiet=True).frame().rows
    assert (row["score"], row["values.score"], row["x"], row["figures.x"]) == (0.5, 7, 1, 2.0)
    refused(jaxnas.Found(tmp_path, experiment).final, "no task")
    refused(lambda: jaxnas.Found(tmp_path).predict(np.zeros(3)), "no task")


def test_the_rows_of_all_trials_have_the_same_columns(tmp_path):
    """Also where a value or figure has the name of a column that another trial alone has."""
    values = [{"reason": 1, "x": 2}, {"reason": 3, "copied_from": 4}, {"reason": 5}]
    found = [{"x": 0.1}, {"x": 0.2, "reason": 0.3}, {}]
    trials = [
        replace(trial(i, 0.5), architecture={"type": "values", "values": one}, figures=figures)
        for i, (one, figures) in enumerate(zip(values, found, strict=True))
    ]
    trials[2] = replace(trials[2], reason="it was to fail", copied_from=0)
    ledger = Ledger(tmp_path, write=True)
    ledger.append(trials)
    rows = [{name: row[name] for name in row if name not in FIXED} for row in _rows(jaxnas.Found(tmp_path).trials)]
    assert rows == [
        {"values.reason": 1, "x": 2, "figures.x": 0.1},
        {"values.reason": 3, "values.copied_from": 4, "figures.x": 0.2, "figures.reason": 0.3},
        {"values.reason": 5, "reason": "it was to fail", "copied_from": 0},
    ]


# Text.


def table(key, inputs, outputs, size):
    return jax.random.normal(key, (outputs, outputs)) * size


def follow(parameters, x, size):
    """What follows each symbol."""
    return parameters[x]


@pytest.fixture(scope="module")
def reader() -> Trained:
    """A network of texts of 3 symbols; what it has been trained on counts for nothing here."""
    children = jaxnas.ModuleSpace((table, follow), size=jaxnas.Categorical(2)).children((3,), 4)
    inside = unpadded(children, {"size": 2})
    genes = children.place({"size": 2}, inside)
    data = {"input_shape": [3], "classes": 4, "vocabulary": ["<unk>", "a", "b", "c"], "unit": "characters"}
    return Trained({"size": 2}, children, children.build(inside, genes, jax.random.key(1)), genes, data, {})


def test_texts_give_log_probabilities_of_what_follows(reader):
    predictor = Predictor(reader)
    told = predictor(["abc", "b?a"])
    assert told.shape == (2, 3, 4)
    np.testing.assert_allclose(np.exp(told).sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(told, predictor(np.array([[1, 2, 3], [2, 0, 1]])))
    np.testing.assert_array_equal(told[:1], predictor("abc"))
    np.testing.assert_array_equal(told[0, 1], told[1, 0])  # of "b", wherever it stands
    assert not np.allclose(told[0, 0], told[0, 1])


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ("ab", ["2 symbols", "3 at a time"]),
        (["abc", "ab"], ["3, 2 symbols", "one length"]),
        (np.array([[1, 2, 4]]), ["1 to 4", "from 0 to 3"]),
        (np.array([1, 2, 3]), ["shape [3]"]),
        (np.ones((1, 3)), ["float64", "whole numbers"]),
    ],
    ids=["short", "unequal", "beyond", "flat", "floats"],
)
def test_texts_of_another_kind_are_refused(reader, x, words):
    refused(lambda: Predictor(reader)(x), *words)
