"""Law 11: a search never goes on over other data, settings or numbers in silence; in Python as on the command line."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused
from test_search import CONFIG, EXPERIMENT, rows, run

from jaxnas import fingerprint, numerics, record
from jaxnas.evaluators import Table
from jaxnas.experiment import describe
from jaxnas.final import Final, train_final
from jaxnas.ledger import Ledger
from jaxnas.locks import locked
from jaxnas.recorded import recorded
from jaxnas.search import Silent, search
from jaxnas.tasks import Digits, Images, Text


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Digits as an .npz."""
    path = tmp_path_factory.mktemp("data") / "set.npz"
    return write(path)


def write(path, change=lambda arrays: None):
    data = Digits().final_data(0)
    arrays = {"x_train": data.train.images.copy(), "y_train": data.train.labels.copy()}
    arrays |= {"x_test": data.held_out.images.copy(), "y_test": data.held_out.labels.copy()}
    change(arrays)
    np.savez(path, **arrays)
    return path


ONE_PIXEL = {"x_train": (700, 3, 3, 0), "y_train": (700,), "x_test": (100, 3, 3, 0), "y_test": (100,)}


def changed(name):
    """One number of one array is another: of a label, that of another example of its class and one of another."""

    def change(arrays):
        at = ONE_PIXEL[name]
        arrays[name][at] = (arrays[name][at] + 1) % 10

    return change


@pytest.fixture(scope="module")
def searched(source, tmp_path_factory):
    experiment = replace(EXPERIMENT, task=Images(str(source)), rounds=1)
    run(experiment, tmp_path_factory.mktemp("searched") / "run")
    return experiment


@pytest.mark.parametrize("name", ["x_train", "y_train"])
def test_a_search_never_goes_on_over_other_data(source, tmp_path, name):
    experiment = replace(EXPERIMENT, task=Images(str(tmp_path / "set.npz")), rounds=1)
    write(tmp_path / "set.npz")
    run(experiment, tmp_path / "run")
    before = rows(tmp_path / "run")
    write(tmp_path / "set.npz", changed(name))
    with pytest.raises(ValueError, match="was begun on other data:\n  (training|held-out) data: .* there, .* now"):
        run(replace(experiment, rounds=2), tmp_path / "run")
    with pytest.raises(ValueError, match="was begun on other data"):
        train_final(experiment, tmp_path / "run", Ledger(tmp_path / "run").top(1)[0])
    assert rows(tmp_path / "run") == before
    write(tmp_path / "set.npz", changed("x_test"))  # a search has never seen it
    run(replace(experiment, rounds=2), tmp_path / "run")
    assert rows(tmp_path / "run")[: len(before)] == before


def test_two_final_trainings_read_the_same_test_data(tmp_path):
    experiment = replace(EXPERIMENT, task=Images(str(tmp_path / "set.npz")), rounds=1)
    write(tmp_path / "set.npz")
    run(experiment, tmp_path / "run")
    ledger = Ledger(tmp_path / "run", write=True)
    first, second, *_ = ledger.top(2)
    record.record_final(ledger, train_final(experiment, tmp_path / "run", first))
    write(tmp_path / "set.npz", changed("y_test"))
    with pytest.raises(ValueError, match=rf"final:{first.trial_id} of .* was begun on other data:\n  held-out data"):
        train_final(experiment, tmp_path / "run", second)


def test_tables_and_texts_are_told_apart(tmp_path):
    text = "to be or not to be that is the question " * 40
    made = {}
    for name, content in (("a", text), ("same", text), ("b", text.replace("question", "qvestion", 1))):
        (tmp_path / f"{name}.txt").write_text(content)
        made[name] = fingerprint.of_data(Text(str(tmp_path / f"{name}.txt")).search_data(0))
    assert made["a"] == made["same"] != made["b"]
    tables = {}
    for name, score in (("a", 0.5), ("same", 0.5), ("b", 0.5001)):
        lines = [f"{i} {j} 0,{score if i == j == 0 else 0.1},1.0" for i in range(2) for j in range(2)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["tokens,score,seconds", *lines]))
        space = replace(EXPERIMENT.space, layers=1, depths=(), pool_after=(), filters=(4,), kernel_widths=(1, 3))
        table = Table(str(tmp_path / f"{name}.csv"), score="score", valid="", test="")
        tables[name] = table.bind(space, None, 0, 1).fingerprint()
    assert tables["a"] == tables["same"] != tables["b"]


def test_a_digest_tells_numbers_types_shapes_and_words():
    zeros = np.zeros(4, np.int32)
    different = [zeros, zeros.astype(np.int64), zeros.reshape(2, 2), zeros + 1, (zeros, zeros), np.zeros(0)]
    assert len({fingerprint.digest(one) for one in different}) == len(different)
    assert fingerprint.digest(zeros, {"a": 1}) != fingerprint.digest(zeros, {"a": 2})
    assert fingerprint.digest(np.arange(6).reshape(2, 3).T) == fingerprint.digest(np.arange(6).reshape(2, 3).T.copy())


@pytest.mark.parametrize(
    "other",
    [{"evaluator": replace(EXPERIMENT.evaluator, group_size=3)}, {"seed": 12}, {"children": 7}, {"task": Digits(0.2)}],
)
def test_python_refuses_what_the_command_refuses(tmp_path, other):
    """The library records as the command does, and refuses another experiment in a used directory."""
    run(replace(EXPERIMENT, rounds=1), tmp_path / "run")
    facts = Ledger(tmp_path / "run").facts()
    assert {"configuration", "seed", "measure", "numerics", "data", "versions", "device", "finished"} <= facts.keys()
    assert facts["configuration"]["strategy"]["learning_rate"] == EXPERIMENT.strategy.learning_rate
    before = rows(tmp_path / "run")
    with pytest.raises(ValueError, match=f"holds another experiment:\n  {next(iter(other))}"):
        run(replace(EXPERIMENT, **other), tmp_path / "run")
    assert (rows(tmp_path / "run"), Ledger(tmp_path / "run").facts()) == (before, facts)


def test_a_search_in_a_directory_that_is_held_is_refused(tmp_path):
    ledger = Ledger(tmp_path, write=True)
    with locked(tmp_path), pytest.raises(ValueError, match="another process works in"):
        search(EXPERIMENT, ledger, Silent())


@pytest.mark.parametrize("known", [numerics.NUMERICS - 1, numerics.NUMERICS + 1, None])
def test_other_numerics_are_not_continued(tmp_path, known):
    run(replace(EXPERIMENT, rounds=1), tmp_path / "run")
    with sqlite3.connect(tmp_path / "run" / "ledger.sqlite") as db:
        if known is None:  # before it was recorded
            db.execute("DELETE FROM run WHERE key = 'numerics'")
        else:
            db.execute("UPDATE run SET value = ? WHERE key = 'numerics'", (str(known),))
    with pytest.raises(ValueError, match=rf"numerics {known or 1}, here {numerics.NUMERICS}"):
        run(replace(EXPERIMENT, rounds=2), tmp_path / "run")
    with pytest.raises(ValueError, match=rf"numerics {known or 1}, here"):
        train_final(EXPERIMENT, tmp_path / "run", Ledger(tmp_path / "run").top(1)[0])


def test_trials_without_an_experiment_are_refused(tmp_path):
    run(replace(EXPERIMENT, rounds=1), tmp_path / "run")
    with sqlite3.connect(tmp_path / "run" / "ledger.sqlite") as db:
        db.execute("DELETE FROM run")
    with pytest.raises(ValueError, match="holds 6 trials, but its table run has no 'configuration'"):
        run(EXPERIMENT, tmp_path / "run")


@dataclass(frozen=True)
class Wild:
    """A strategy whose state turns non-finite at a round."""

    at: int = 1

    def init(self, decisions, key):
        return {"columns": np.zeros(len(decisions)), "rounds": np.int32(0), "value": np.float32(0)}

    def propose(self, state, key, n):
        return EXPERIMENT.space.decisions.without_absent(np.zeros((n, len(state["columns"])), np.int32))

    def update(self, state, tokens, rewards):
        value = jnp.where(state["rounds"] == self.at, jnp.nan, state["value"])
        return state | {"rounds": state["rounds"] + 1, "value": value}, {"mean reward": rewards.mean()}


def test_a_state_that_is_not_finite_stops_the_search_and_leaves_the_ledger_good(tmp_path):
    experiment = replace(EXPERIMENT, strategy=Wild())
    for _ in range(2):  # a second start comes to the same point, and adds nothing
        with pytest.raises(ValueError, match=r"state of Wild is no longer finite after round 1, whose rewards lie"):
            run(experiment, tmp_path / "run")
        assert len(Ledger(tmp_path / "run")) == 2 * EXPERIMENT.children
    assert Ledger(tmp_path / "run").top(1)


def test_a_config_that_is_another_experiment_by_now_is_trained_no_further(tmp_path):
    """As where a module that it imports has changed: the text is the same, what it makes is not."""
    with closing(Ledger(tmp_path, write=True)) as ledger:
        origin = {"source": CONFIG, "config": str(tmp_path / "config.py"), "directory": str(tmp_path), "overrides": []}
        ledger.record(origin=origin, configuration=describe(replace(EXPERIMENT, rounds=9, final=Final(seeds=7))))
        with recorded(ledger, tmp_path, start=lambda: None) as experiment:
            assert experiment == EXPERIMENT
        ledger.record(configuration=describe(replace(EXPERIMENT, seed=12)))
        refused(
            recorded(ledger, tmp_path, start=lambda: None).__enter__, "another experiment", "seed: 12 there, 11 now"
        )
