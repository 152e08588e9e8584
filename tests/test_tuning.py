"""The two-line way: what may be given, in which process calls are made, and where they are kept."""

import pickle
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import objectives
import pytest
from refusals import refused
from test_search import rows

import jaxnas
from jaxnas import setup, tuning
from jaxnas.evaluators.objective.here import Here, _own_random_numbers
from jaxnas.evaluators.objective.named import OfThisProcess, named
from jaxnas.ledger import Ledger
from jaxnas.strategies import Bayes

RANDOM = {"strategy": jaxnas.Random(), "rounds": 3, "children": 4, "quiet": True}


def test_two_lines():
    found = jaxnas.tune(
        {"x": jaxnas.Float(-1.0, 1.0), "kind": ["a", "b"], "n": range(9, 0, -3)},
        lambda values, seed: -(values["x"] ** 2) + values["n"] - (values["kind"] == "b"),
        **RANDOM,
    )
    scores = [-(t.values["x"] ** 2) + t.values["n"] - (t.values["kind"] == "b") for t in found.trials]
    assert [t.score for t in found.trials] == pytest.approx(scores)
    assert (len(scores), found.best.score) == (12, max(t.score for t in found.trials))
    assert {t.values["n"] for t in found.trials} <= {3, 6, 9}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (range(3), jaxnas.Int(0, 2)),
        (range(10, 1, -4), jaxnas.Int(2, 10, step=4)),
        (range(5, 6), jaxnas.Categorical(5)),
        (("tree", None, 2.5), jaxnas.Categorical("tree", None, 2.5)),
        (np.array([8, 16]), jaxnas.Categorical(8, 16)),
        (jaxnas.Float(0.0, 1.0, log=False), jaxnas.Float(0.0, 1.0)),
    ],
    ids=str,
)
def test_plain_values_are_what_they_look_like(given, wanted):
    assert tuning._space({"x": given}) == jaxnas.Choices(x=wanted)


def test_a_space_is_taken_as_it_is():
    space = jaxnas.Choices(x=jaxnas.Int(1, 2))
    assert tuning._space(space) is space


@pytest.mark.parametrize("given", [0.5, "tree", [], range(0), None, [[1], [2]], np.array(3), np.zeros(0)], ids=str)
def test_what_is_no_value_is_refused(given):
    refused(lambda: jaxnas.tune({"x": given}, lambda values, seed: 1.0), "x")


def test_what_is_not_given(monkeypatch):
    """A function with a file is called in processes, one a core, others here; ranks are enough for `Bayes`."""
    made, nothing = {}, object.__new__(jaxnas.Found)
    monkeypatch.setattr(tuning, "run", lambda experiment, *more, **named: made.update(experiment=experiment) or nothing)
    monkeypatch.setattr(tuning, "cores", lambda: 3)
    for fn, processes in ((objectives.smooth, 3), (lambda values, seed: 1.0, 0)):
        jaxnas.tune({"x": [1, 2]}, fn)
        experiment = made["experiment"]
        assert experiment.evaluator.processes == processes
        assert experiment.strategy == Bayes()
    jaxnas.tune({"x": [1, 2]}, objectives.smooth, children=2, strategy=jaxnas.Random(), seed=3)
    assert (made["experiment"].seed, made["experiment"].evaluator.processes) == (3, 2)


# In this process.


def evaluated(processes: int, workdir: Path) -> list[tuple]:
    jaxnas.tune({"x": jaxnas.Float(0.0, 1.0)}, objectives.smooth, workdir=workdir, processes=processes, **RANDOM)
    return sorted(rows(workdir))


def test_calls_here_give_what_calls_elsewhere_give(tmp_path):
    here = evaluated(0, tmp_path / "here")
    assert here == evaluated(2, tmp_path / "there")
    assert evaluated(2, tmp_path / "here") == here  # the same search: nothing is done again


def test_the_random_numbers_of_this_process_are_left_alone():
    before = random.getstate(), np.random.get_state()[1].copy()
    call = pickle.dumps((({}, 3), 3))
    [(_, said)] = Here(lambda values, seed: random.random() + np.random.rand()).answers([(0, call)])
    assert said["kind"] == "scored"
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    with _own_random_numbers():  # alone, because the checks of types in these tests draw numbers too
        before = random.getstate()
        with _own_random_numbers():
            random.seed(1)
        assert random.getstate() == before


def fails(values, seed):
    if values["x"] == 2:
        raise ArithmeticError("two\nis too much")
    return 1.0


def test_what_fails_here_is_a_failed_trial():
    found = jaxnas.tune({"x": [1, 2]}, lambda values, seed: fails(values, seed), **RANDOM)
    reasons = {(t.values["x"], t.status, t.reason) for t in found.trials}
    assert reasons == {(1, "ok", ""), (2, "failed", "ArithmeticError: two is too much")}
    stops = lambda: jaxnas.tune({"x": [1]}, lambda values, seed: "much", **RANDOM)
    refused(stops, "trial 0", "<lambda> returned 'much'")
    refused(lambda: jaxnas.tune({"x": [1]}, fails, processes=0, timeout=1.0), "timeout=1", "processes=1 or more")
    refused(lambda: jaxnas.tune({"x": [1]}, lambda: 1.0), "called with (values, seed) or (values)")
    refused(lambda: jaxnas.tune({"x": [1]}, lambda v, seed: 1.0, processes=1), "is a lambda", "processes=0")


@pytest.fixture
def pythons_own_interrupt():
    """Ctrl-C raises KeyboardInterrupt, whatever a test of the command line has left for it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_leaves_a_search_that_goes_on_to_the_same_end(tmp_path, capsys, pythons_own_interrupt):
    calls = []

    def once(values, seed):
        calls.append(seed)
        if len(calls) == 6:
            signal.raise_signal(signal.SIGINT)
        return values["x"]

    go = lambda: jaxnas.tune({"x": jaxnas.Float(0.0, 1.0)}, once, workdir=tmp_path, **(RANDOM | {"quiet": False}))
    with pytest.raises(KeyboardInterrupt):
        go()
    assert "interrupted, 5 trials are kept: the same call goes on" in capsys.readouterr().err
    found = go()
    assert len(calls) == 13  # the interrupted one twice
    assert [t.score for t in found.trials] == [t.values["x"] for t in found.trials]


def of(number):
    return lambda values, seed: number


def test_another_function_is_another_search(tmp_path):
    """Of functions that no file names, by what they do, what they have taken along, and their defaults."""
    same = [lambda v, seed: v["x"] in {"a", "b", "c"} for _ in range(2)]
    assert named(same[0], here=True) == named(same[1], here=True)
    kinds = [lambda v, seed: 1.0, lambda v, seed: 2.0, lambda v, seed: v["x"], lambda v, seed: v["y"], of(1), of(2)]
    kinds += [lambda v, seed, by=1: by, lambda v, seed, by=2: by, lambda v, seed: (lambda: 1)(), *same[:1]]
    kinds += [lambda v, seed: (lambda: 2)(), lambda v, seed: v["x"] in {"a", "b"}]
    assert len({repr(named(fn, here=True)) for fn in kinds}) == len(kinds)
    jaxnas.tune({"x": [1]}, kinds[0], workdir=tmp_path, **RANDOM)
    refused(lambda: jaxnas.tune({"x": [1]}, kinds[1], workdir=tmp_path, **RANDOM), "another experiment", "evaluator.fn")
    assert len(Ledger(tmp_path)) == 12


def test_a_function_with_a_file_keeps_its_name():
    assert repr(named(objectives.smooth, here=True)) == repr(named(objectives.smooth, here=False))
    assert isinstance(named(of(1), here=True), OfThisProcess)


# Whole processes.

SCRIPT = """
import jaxnas

def fn(values, seed):
    return values["x"]

print("begins", flush=True)
found = jaxnas.tune({"x": [1, 2]}, fn, rounds=1, children=2, strategy=jaxnas.Random(), timeout=60)
"""


def test_a_script_that_is_read_by_its_workers_is_told_so(tmp_path):
    """Each would start workers of its own, without an end."""
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "a process of the objective reads this file" in done.stderr.splitlines()[-1]
    assert 'below `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]
    assert done.stdout.count("begins") == 1


TYPED = """
import jax.numpy as jnp
from jaxnas import setup
setup.cores = lambda: 3
jnp.zeros(1).sum()
import jaxnas
for _ in range(2):
    found = jaxnas.tune({"x": [1, 2]}, lambda v, seed: v["x"], rounds=1, children=2, strategy=jaxnas.Random())
print(found.workdir)
"""


def test_without_a_directory_nothing_is_left(tmp_path):
    """Typed without a file; what JAX had begun with is said once."""
    environment = {**setup.os.environ, "TMPDIR": str(tmp_path)}
    del environment["JAX_NUM_CPU_DEVICES"]
    command = [sys.executable, "-c", TYPED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    workdir = Path(done.stdout.splitlines()[-1])
    assert (workdir.parent, workdir.exists(), list(tmp_path.iterdir())) == (tmp_path, False, []), done.stderr
    assert "Next:" not in done.stdout
    assert done.stderr.count("children train on 1 of 3 cores, to equal numbers: begin with jaxnas") == 1
