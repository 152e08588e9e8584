"""Objectives: laws 2, 4 and 5 for functions that crash, hang, leak and print; what they may return; whole searches in
processes that are really killed.
"""

import math
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import objectives
import pytest
from refusals import refused
from test_ledger import trial
from test_search import kill_when, rows, run, start

from jaxnas.cli import main
from jaxnas.evaluators import Objective, Population
from jaxnas.evaluators.objective import worker, workers
from jaxnas.evaluators.objective.evaluate import seeds_of
from jaxnas.evaluators.objective.named import Function
from jaxnas.experiment import Experiment
from jaxnas.final import train_final
from jaxnas.ledger import Ledger
from jaxnas.outcome import Measure, Outcome, Status
from jaxnas.record import check_settings
from jaxnas.rewards import Perplexity
from jaxnas.rng import key_for
from jaxnas.settings import describe
from jaxnas.spaces import Choices
from jaxnas.strategies import Random
from jaxnas.tasks import Digits
from jaxnas.trained import load_trained
from jaxnas.values import Categorical, Float
from tests.toy_table import SPACE, write_csv

DEEDS = Choices(what=Categorical(*objectives.DEEDS))
LINE = Choices(x=Float(0.0, 1.0))
EXPERIMENT = Experiment(LINE, None, Random(), evaluator=Objective(objectives.smooth), rounds=3, children=4, seed=11)


def asked(objective: Objective, space, every: list, seed: int = 5, finished=None) -> dict[int, Outcome]:
    """What an objective makes of trials 100, 101, ... of these values, by their numbers, in the order of completion."""
    tokens = np.array([space.encode(one) for one in every], np.int32)
    with closing(objective.bind(space, None, seed, 1000)) as evaluate:
        found = [(rows, outcome) for rows, outcome in evaluate(tokens, np.arange(100, 100 + len(every)), finished)]
    assert all(len(rows) == 1 for rows, _ in found)
    return {100 + rows[0]: outcome for rows, outcome in found}


def told(outcome: Outcome) -> tuple:
    """All of a child but the time."""
    [status], [score] = outcome.status.tolist(), outcome.score.tolist()
    return Status(status), None if math.isnan(score) else score, *outcome.figures, *outcome.reasons


EVERY = [*objectives.DEEDS, "fine", "fine", "kill", "numpy"]
"""Of each deed one, and some twice."""
WHY = {
    "exit": "its process ended with exit status 3",
    "leave": "its process ended with exit status 0",
    "kill": "killed by signal 9 (Killed)",
    "segfault": "killed by signal 11 (Segmentation fault)",
    "hang": "took more than 2 s",
    "raise": "OwnError: on several lines",
    "nan": "score is nan",
    "figure": "loss is inf",
}


@pytest.fixture(scope="module")
def alone():
    """One process, one call after another."""
    objective = Objective(objectives.anything, processes=1, timeout=2.0)
    return asked(objective, DEEDS, [{"what": what} for what in EVERY])


@pytest.mark.parametrize("processes", [2, 3])
def test_results_do_not_depend_on_processes_or_order(alone, processes):
    found = asked(Objective(objectives.anything, processes=processes, timeout=2.0), DEEDS, [{"what": w} for w in EVERY])
    assert list(alone) == sorted(alone)
    assert list(found) != sorted(found)
    assert {trial: told(outcome) for trial, outcome in found.items()} == {t: told(o) for t, o in alone.items()}


def test_each_way_to_fail_is_said_and_harms_nobody(alone):
    seeds = dict(zip(alone, seeds_of(5, np.array(list(alone))), strict=True))
    for (number, outcome), what in zip(alone.items(), EVERY, strict=True):
        if what in WHY:
            assert told(outcome) == (Status.FAILED, None, {}, WHY[what])
        elif what == "fine":
            assert told(outcome) == (Status.OK, seeds[number] / 2**31, {"seed": float(seeds[number])}, "")
        else:
            assert told(outcome) == (Status.OK, float(seeds[number] % 7), {}, "")
        assert outcome.architectures == ({"type": "values", "values": {"what": what}},)


def test_a_function_may_take_values_alone():
    """In a process or in this one; the generators are seeded all the same."""
    told_what = [{"what": what} for what in EVERY]
    away, here = (asked(Objective(objectives.takes_one, processes=n), DEEDS, told_what) for n in (1, 0))
    assert {trial: told(outcome) for trial, outcome in away.items()} == {t: told(o) for t, o in here.items()}
    assert [int(outcome.score[0]) for outcome in away.values()] == [len(what) for what in EVERY]


def test_a_seed_is_that_of_the_trial_alone():
    import jax

    seeds = seeds_of(5, np.arange(2000))
    one = lambda seed, trial: int(jax.random.bits(key_for(seed, "objective", trial), dtype=jnp.uint32)) // 2
    assert seeds[7::500] == [one(5, trial) for trial in range(7, 2000, 500)]
    assert seeds_of(5, np.array([1999, 3])) == [seeds[1999], seeds[3]]
    assert len({*seeds, *seeds_of(6, np.arange(2000))}) == 4000
    assert 0 <= min(seeds) < 2**22
    assert 2**31 - 2**22 < max(seeds) < 2**31


def test_what_is_finished_is_not_asked_again_and_changes_nothing(alone):
    every, objective = [{"what": "fine"}] * 4, Objective(objectives.anything, processes=2)
    whole = asked(objective, DEEDS, every)
    part = asked(objective, DEEDS, every, finished={i: trial(i) for i in (100, 102)})
    assert part.keys() == {101, 103}
    assert all(told(part[i]) == told(whole[i]) for i in part)
    assert asked(objective, DEEDS, every, finished={i: trial(i) for i in range(100, 104)}) == {}


# What is returned


GOOD = [1, 0.5, True + 1, Fraction(1, 2), np.float32(0.5), np.int8(3), np.array(0.5), np.array(3), jnp.float32(0.5)]


@pytest.mark.parametrize("value", [*GOOD, jnp.array(2, jnp.int32)], ids=repr)
def test_what_is_a_number(value):
    assert worker.checked(value) == {"kind": "scored", "score": float(value), "figures": {}}
    found = worker.checked({"loss": value, "score": 1})
    assert (found["score"], found["figures"]) == (1.0, {"loss": float(value)})
    assert type(found["figures"]["loss"]) is float


BAD = {
    "None (does it lack a `return`?)": None,
    "'0.5'": "0.5",
    "True": True,
    "a complex": 1j,
    "a list": [0.5],
    "a tuple": (0.5, 1),
    "a Decimal": Decimal("0.5"),
    "a ndarray of shape (3,) and type float64": np.zeros(3),
    "a ndarray of shape (1,) and type float64": np.zeros(1),
    "a ndarray of shape () and type bool": np.array(True),
    "of shape (2, 2) and type float32": jnp.zeros((2, 2)),
    "a dict of nothing, without 'score'": {},
    "a dict of 'accuracy', 'loss', without 'score'": {"accuracy": 1, "loss": 2},
    "'loss': 'low'": {"score": 1, "loss": "low"},
    "'loss': None": {"score": 1, "loss": None},
    "'score': a ndarray of shape (2,)": {"score": np.zeros(2)},
    "the name 3, which is no text": {"score": 1, 3: 4},
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_none(words):
    with pytest.raises(worker.WrongError, match=re.escape(words)):
        worker.checked(BAD[words])


def test_tensors_are_taken_as_arrays_are():
    torch = pytest.importorskip("torch")
    assert worker.checked(torch.tensor(0.5))["score"] == 0.5
    for bad, words in ((torch.zeros(3), "a Tensor of shape (3,)"), (torch.tensor(True), "of shape () and type torch")):
        with pytest.raises(worker.WrongError, match=re.escape(words)):
            worker.checked(bad)


@pytest.mark.parametrize("value", [math.nan, -math.inf, 10**400, np.float32("nan"), {"score": 1, "loss": math.nan}])
def test_a_number_that_is_not_finite_is_a_failure(value):
    assert worker.checked(value)["kind"] == "failed"


# What stops a search


def test_a_slip_stops_the_search_with_one_line(tmp_path):
    without = replace(EXPERIMENT, evaluator=Objective(objectives.nothing))
    words = "nothing returned None (does it lack a `return`?): it must return a number"
    refused(lambda: run(without, tmp_path / "a"), "trial 0, {'x': 0.", words)
    stopping = replace(EXPERIMENT, evaluator=Objective(objectives.stops), rounds=30)
    words = "stops raised SystemExit: enough (objectives.py, line ", "which catch does not name"
    refused(lambda: run(stopping, tmp_path / "b"), *words)
    assert len(Ledger(tmp_path / "b")) < 20


def test_what_is_caught_may_be_named():
    every = [{"what": "raise"}]
    for kinds in ((objectives.OwnError,), (ValueError, Exception), (BaseException,)):
        [outcome] = asked(Objective(objectives.anything, catch=kinds), DEEDS, every).values()
        assert told(outcome)[-1] == WHY["raise"]
    for kinds in ((), (ValueError, KeyError)):
        words = "trial 100, {'what': 'raise'}: anything raised OwnError: on several lines (objectives.py, line"
        refused(lambda kinds=kinds: asked(Objective(objectives.anything, catch=kinds), DEEDS, every), words)


def nested():
    def inside(values, seed): ...

    return inside


class Called:
    def __call__(self, values, seed): ...


def renamed(values, seed): ...


other = renamed


def renamed(values, seed): ...  # noqa: F811 - another of the same name


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (
            lambda values, seed: 1.0,
            "fn is a lambda, which has no name by which workers would load it: give one that is written",
        ),
        (nested(), "fn=nested.<locals>.inside stands inside another function"),
        (partial(objectives.smooth, seed=3), "has no name of its own"),
        (Called(), "has no name of its own"),
        (len, "fn=len stands in no file"),
        (other, "fn=renamed is not what "),
        (
            objectives.takes_none,
            "fn=takes_none is called with (values, seed) or (values): too many positional arguments",
        ),
        ("smooth", "fn='smooth': give a callable, such as a function fn(values, seed) or fn(values)"),
        (None, "fn=None: give"),
    ],
)
def test_a_function_that_no_worker_could_load_is_refused(fn, words):
    refused(lambda: Objective(fn), words)


def test_other_settings_that_mean_nothing_are_refused():
    refused(lambda: Objective(objectives.smooth, catch=(3,)), "catch=(3,): give a list, each a class, BaseException or")
    refused(lambda: Objective(objectives.smooth, processes=-1), "processes=-1: give a whole number from 0")
    refused(lambda: Objective(objectives.smooth, timeout=0), "timeout=0: give a number above 0")
    refused(lambda: Experiment(LINE, strategy=Random()), "task=None: the evaluator Population trains", "Objective(fn)")
    refused(lambda: replace(EXPERIMENT, reward=Perplexity()), "reward Perplexity reads log-probabilities")


def test_a_function_in_a_class_is_found():
    [outcome] = asked(Objective(objectives.Holder.smooth), LINE, [{"x": 0.0}]).values()
    assert outcome.score[0] == 1 - 0.25**2
    named = Function(objectives.Holder.smooth)
    assert repr(named) == "objectives:Holder.smooth"
    assert named == Function(objectives.Holder.smooth) != Function(objectives.smooth)


def test_scores_may_be_negative(tmp_path):
    run(replace(EXPERIMENT, evaluator=Objective(objectives.negative)), tmp_path / "run")
    ledger = Ledger(tmp_path / "run")
    assert (len(ledger), ledger.measure, ledger.top(1)[0].score < -1) == (12, Measure.NUMBER, True)


# Processes


class Pair:
    """A space of the user's own, whose architectures are tuples."""

    decisions = DEEDS.decisions

    def decode(self, tokens):
        return tuple(np.asarray(tokens).tolist())

    def encode(self, architecture):
        return np.array(architecture, np.int32)

    def children(self, input_shape, classes, dtype="float32"):
        raise ValueError("these are not trained")


def test_any_space_will_do():
    found = asked(Objective(objectives.of_architecture), Pair(), [(3,), (0,)])
    assert [outcome.score[0] for outcome in found.values()] == [3.0, 0.0]
    assert found[100].architectures == ({"type": "values", "values": [3]},)


def test_what_is_printed_goes_to_standard_error(capfd):
    [outcome] = asked(Objective(objectives.prints), LINE, [{"x": 0.0}]).values()
    out, err = capfd.readouterr()
    assert (outcome.score[0], out) == (1.0, "")
    assert err.count("x") == 200_000
    assert {"printed", "written", "said"} <= set(re.split("[\nx]+", err.replace("unended", "\n")))
    assert "unended" in err


def processes(objective: Objective, calls: int) -> list[float]:
    """Which process made each call."""
    return [o.figures[0]["process"] for o in asked(objective, LINE, [{"x": 0.0}] * calls).values()]


def test_a_process_that_has_served_long_or_grown_is_replaced(monkeypatch):
    monkeypatch.setattr(workers, "CALLS", 2)
    served = processes(Objective(objectives.who), 5)
    assert [served.count(one) for one in dict.fromkeys(served)] == [2, 2, 1]
    monkeypatch.setattr(workers, "CALLS", 1000)
    monkeypatch.setattr(workers, "GROWTH", 2**27 + 2**26)  # three times 128 MiB is too much
    served = processes(Objective(objectives.grows), 4)
    assert [served.count(one) for one in dict.fromkeys(served)] == [3, 1]


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has asked for is as good as that."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def all_gone(folder: Path, within: float = 3.0) -> bool:
    deadline, left = time.monotonic() + within, [int(path.name) for path in folder.iterdir()]
    assert left
    while any(not gone(pid) for pid in left) and time.monotonic() < deadline:
        time.sleep(0.02)
    return all(map(gone, left))


@pytest.fixture
def pids(tmp_path, monkeypatch):
    """Where objectives note processes."""
    (tmp_path / "pids").mkdir()
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    return tmp_path / "pids"


def test_what_a_late_call_has_started_is_killed_with_it(pids):
    [outcome] = asked(Objective(objectives.parent, timeout=1.5), LINE, [{"x": 0.0}]).values()
    assert outcome.reasons == ("took more than 1.5 s",)
    assert all_gone(pids)


def test_who_stops_listening_ends_the_processes(pids):
    evaluate = Objective(objectives.slow, processes=2).bind(LINE, None, 0, 1)
    answers = evaluate(np.zeros((6, 1), np.int32), np.arange(6))
    next(answers)
    answers.close()
    assert all_gone(pids)
    assert len(list(evaluate(np.zeros((2, 1), np.int32), np.arange(2)))) == 2  # and others begin
    evaluate.close()
    assert all_gone(pids)


# Whole searches


CONFIG = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from jaxnas.evaluators import Objective
from jaxnas.experiment import Experiment
from jaxnas.spaces import Choices
from jaxnas.strategies import Random
from jaxnas.values import Float
from objectives import slow, smooth

experiment = Experiment(Choices(x=Float(0.0, 1.0)), strategy=Random(), evaluator=Objective(slow, processes=2),
                        rounds=5, children=6, seed=3)
"""
CAUGHT = """
from jaxnas.evaluators import Objective
from jaxnas.experiment import Experiment
from jaxnas.spaces import Choices
from jaxnas.strategies import Random
from jaxnas.values import Float

class NoGoodError(Exception):
    "Of the config's own."

def fit(values, seed):
    if values["x"] < 0.5:
        raise NoGoodError("too small")
    return {"score": 0.001 * values["x"], "long name": 12345.678}

experiment = Experiment(Choices(x=Float(0.0, 1.0)), strategy=Random(), evaluator=Objective(fit, catch=(NoGoodError,)),
                        rounds=1, children=8)
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.py"
    path.write_text(CONFIG)
    return path


def test_stopped_and_killed_it_leaves_no_process_and_goes_on_to_the_same_ledger(config, pids, tmp_path):
    process = start(config, tmp_path / "run")
    deadline = time.monotonic() + 60
    while not any(pids.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, err.strip()) == (130, "jaxnas: interrupted. The same command goes on from here")
    assert all_gone(pids)
    first = kill_when(start(config, tmp_path / "run", "--evaluator.processes", "3"), tmp_path / "run", 8)
    assert all_gone(pids)
    assert 8 <= first < 30
    assert main(["search", str(config), "--workdir", str(tmp_path / "run"), "--evaluator.processes", "1"]) == 0
    assert main(["search", str(config), "--workdir", str(tmp_path / "whole"), "--evaluator.processes", "3"]) == 0
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert len(rows(tmp_path / "whole")) == 30
    assert all_gone(pids)


def test_only_the_number_of_processes_may_change(tmp_path):
    run(EXPERIMENT, tmp_path)
    before, ledger = rows(tmp_path), Ledger(tmp_path)
    check_settings(replace(EXPERIMENT, evaluator=Objective(objectives.smooth, processes=7)), ledger)
    for other, words in (
        (Objective(objectives.smooth, timeout=3.0), "evaluator.timeout: None there, 3.0 now"),
        (Objective(objectives.negative), "evaluator.fn: objectives:smooth there, objectives:negative now"),
        (Objective(objectives.smooth, catch=()), "evaluator.catch: ["),
    ):
        refused(lambda other=other: run(replace(EXPERIMENT, evaluator=other), tmp_path), "another experiment", words)
    assert rows(tmp_path) == before
    assert "0x" not in str(describe(EXPERIMENT))


def test_a_config_of_its_own_in_all_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("fit.py").write_text(CAUGHT)
    assert main(["search", "fit.py", "--workdir", "d", "--evaluator.timeout", "60", "--final"]) == 2
    assert "this search has no task, so there is nothing to train" in capsys.readouterr().err
    assert main(["search", "fit.py", "--workdir", "d", "--evaluator.timeout", "60", "--seed", "2"]) == 0
    done = capsys.readouterr()
    trials = Ledger(Path("d")).trials()
    bad, best = [t for t in trials if t.score is None], Ledger(Path("d")).top(1)[0]
    assert 0 < len(bad) < 8
    assert {t.reason for t in bad} == {"NoGoodError: too small"}
    assert {t.reason for t in trials if t not in bad} == {""}
    assert best.figures == {"long name": 12345.678}
    assert f"Failed, {len(bad)} of them: NoGoodError: too small" in done.out
    assert f"Best: trial {best.trial_id}, score {best.score:.5g}" in done.out
    assert "jaxnas final" not in done.out
    assert done.err == ""
    assert main(["trials", "d"]) == 0
    listed = capsys.readouterr().out
    for words in ("failed", "long name 12346", "NoGoodError: too small", f"{best.score:.5g}"):
        assert words in listed
    assert main(["show", "d", str(best.trial_id)]) == main(["show", "d", str(bad[0].trial_id)]) == 0
    shown = capsys.readouterr().out
    for words in ("Figures: long name 12346", "It failed: NoGoodError: too small", "x: "):
        assert words in shown
    assert "epoch" not in shown
    for command in (["final", "d"], ["final", "d", "--trial", "0"], ["export", "d", "out"], ["final", "d", "--help"]):
        assert main(command) == 2
        assert "this search has no task, so there is nothing to train or to export" in capsys.readouterr().err
    assert main(["plan", "fit.py"]) == 2
    assert "Objective trains nothing: there is no plan to show" in capsys.readouterr().err
    assert main(["tabulate", "fit.py", "t.csv.gz"]) == main(["plan", "fit.py", "--for", "v5e"]) == 2
    assert capsys.readouterr().err.count("Objective trains nothing: ") == 2
    assert sorted(os.listdir()) == ["d", "fit.py"]
    with pytest.raises(SystemExit):
        main(["search", "fit.py", "--help"])
    assert "--evaluator.processes" in capsys.readouterr().out
    assert main(["search", "fit.py", "--evaluator.fn", "fit"]) == 2


def test_python_is_told_the_same(tmp_path):
    run(EXPERIMENT, tmp_path)
    for call in (train_final, load_trained):
        refused(lambda call=call: call(EXPERIMENT, tmp_path, 0), "no task, so there is nothing to train")
    assert isinstance(replace(EXPERIMENT, task=Digits(), evaluator=Population()).evaluator, Population)


def test_a_table_needs_no_task_either(tmp_path):
    experiment = Experiment(SPACE, evaluator=write_csv(tmp_path / "t.csv"), strategy=Random(), rounds=1, children=4)
    run(experiment, tmp_path / "run")
    assert len(Ledger(tmp_path / "run")) == 4
    refused(lambda: train_final(experiment, tmp_path / "run", 0), "no task, so there is nothing to train")


SCRIPT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from jaxnas.evaluators import Objective
from jaxnas.experiment import Experiment
from jaxnas.ledger import Ledger
from jaxnas.search import Silent, search
from jaxnas.spaces import Choices
from jaxnas.strategies import Random
from jaxnas.values import Float

def fit(values, seed):
    return values["x"]

def go():
    place = Path("script")
    place.mkdir(exist_ok=True)
    space = Choices(x=Float(0.0, 1.0))
    experiment = Experiment(space, strategy=Random(), evaluator=Objective(fit), rounds=1, children=2)
    search(experiment, Ledger(place, write=True), Silent())
    print([round(t.score, 3) == round(t.architecture["values"]["x"], 3) for t in Ledger(place).trials()])

if __name__ == "__main__":
    go()
"""


def test_an_exception_of_a_script_is_caught_in_this_process_however_it_is_run(monkeypatch):
    """As `python -m package.script` runs it, and as `python script.py`."""
    own = type("Own", (Exception,), {"__module__": "__main__"})

    def fails(values, seed):
        raise own("no good")

    for spec in (ModuleSpec("package.script", None), None):
        monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
        [outcome] = asked(Objective(fails, catch=(own,), processes=0), LINE, [{"x": 0.5}]).values()
        assert told(outcome) == (Status.FAILED, None, {}, "Own: no good")


def test_a_script_of_its_own(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[True, True]\n", "")


def test_a_file_that_no_worker_can_load_is_an_error(tmp_path, monkeypatch):
    """Here it can be imported, as a script without a guard can be run."""
    (tmp_path / "unguarded.py").write_text(
        "import sys\nif 'pytest' not in sys.modules:\n    raise RuntimeError('go on\\nthere')\n"
        "def fit(values, seed): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import unguarded

    words = "could not load unguarded:fit (RuntimeError: go on there)", 'belongs under `if __name__ == "__main__":`'
    refused(lambda: asked(Objective(unguarded.fit), LINE, [{"x": 0.0}]), *words)
