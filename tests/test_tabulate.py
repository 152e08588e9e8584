"""Tables of whole spaces: each row is the training of one network, whatever happens on the way."""

import csv
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from test_search import kill

import jaxnas.tabulate
from jaxnas.children import alone
from jaxnas.cli import main
from jaxnas.decisions import Choice, Decisions
from jaxnas.evaluators import SGD, Population, Train
from jaxnas.experiment import Experiment
from jaxnas.outcome import Measure, Progress
from jaxnas.report import table_report_on
from jaxnas.report.tabulation import LiveTableReport
from jaxnas.spaces import MLP, ChainCNN, SkipCNN
from jaxnas.tabulate import architectures, tabulate
from jaxnas.tabulate.table import columns, row
from jaxnas.tasks import Digits, Tabular

CONFIG = """
from jaxnas.evaluators import Population, Train
from jaxnas.experiment import Experiment
from jaxnas.spaces import ChainCNN
from jaxnas.tasks import Digits

experiment = Experiment(
    space=ChainCNN(layers=2, depths=(1, 2), kernel_heights=(1, 3), kernel_widths=(3,), filters=(4, 8), pool_after=(1,)),
    task=Digits(validation=0.1), evaluator=Population(Train(epochs=2, batch_size=128), group_size=4), seed=5,
)
"""
ROWS, SEEDS, IMAGES = 4 + 4 * 4, 2, 2 * 10 * 128  # of a table; that a child sees: 2 epochs of 10 steps
names = {}
exec(CONFIG, names)
EXPERIMENT: Experiment = names["experiment"]


class Silent:
    def __init__(self):
        self.told = []

    def begin(self, trainings, done):
        self.told.append((trainings, done))

    def note(self, line):
        self.told.append(line)

    def progress(self, progress): ...

    def trained(self, trainings): ...


def command(place: Path, out: str, *more: str) -> list[str]:
    return ["tabulate", str(place / "tiny.py"), str(place / out), "--seeds", str(SEEDS), *more]


def start(place: Path, out: str) -> subprocess.Popen:
    arguments = [sys.executable, "-m", "jaxnas", *command(place, out)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def column(rows, name: str) -> np.ndarray:
    return np.array([float(line[name]) for line in rows])


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A directory with a config and the table made of it, unkilled."""
    place = tmp_path_factory.mktemp("tables")
    (place / "tiny.py").write_text(CONFIG)
    process = start(place, "whole.csv.gz")
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert f"trained {ROWS * SEEDS}/{ROWS * SEEDS}" in out
    assert f"{ROWS} architectures, {SEEDS} seeds, 2 epochs; md5 " in out
    return place


def test_it_says_what_it_came_from(place):
    facts = json.loads((place / "whole.json").read_text())
    assert facts["md5"] == hashlib.md5((place / "whole.csv.gz").read_bytes()).hexdigest()
    assert facts["source"] == CONFIG
    assert facts["configuration"]["evaluator"]["train"]["epochs"] == 2
    assert (facts["rows"], facts["seeds"], facts["epochs"], facts["images"]) == (ROWS, SEEDS, 2, IMAGES)
    assert {"jax", "jaxnas", "python"} <= set(facts["versions"])
    assert facts["columns"] == list(read(place / "whole.csv.gz")[0])
    assert sorted(path.name for path in place.iterdir() if path.name.startswith("whole")) == [
        "whole.csv.gz",
        "whole.json",
    ]


@dataclass(frozen=True)
class OnTest(Digits):
    """A search that would validate on the test data, all else being equal."""

    def search_data(self, seed):
        return replace(super().search_data(seed), held_out=super().final_data(seed).held_out)


def test_each_row_is_the_training_of_its_network(place, two_devices):
    """Through `Population`, one round a seed; and test scores by a search that sees test data, in its own program."""
    rows, tokens = read(place / "whole.csv.gz"), architectures(EXPERIMENT.space.decisions, None, 0)
    assert [line["tokens"] for line in rows] == [" ".join(map(str, one)) for one in tokens.tolist()]
    own, on_test = EXPERIMENT.task, OnTest(validation=0.1)
    for name, seed, task in (("valid", 0, own), ("valid", 1, own), ("test", 1, on_test)):
        evaluate = EXPERIMENT.evaluator.bind(EXPERIMENT.space, task, EXPERIMENT.seed + seed, ROWS)
        found = np.full((ROWS, 2), np.nan)
        for some, outcome in evaluate(tokens, np.arange(ROWS)):
            found[some] = outcome.curve
        np.testing.assert_allclose(column(rows, f"{name}_s{seed}"), found[:, -1], atol=5.1e-5)
    first = rows[0]
    cost = alone(evaluate.children, EXPERIMENT.space.decode(tokens[0]))
    assert (int(first["parameters"]), int(first["multiply_adds"])) == (cost.parameters, cost.multiply_adds)
    assert float(first["seconds"]) == pytest.approx(3 * cost.multiply_adds * IMAGES / jaxnas.tabulate.SPEED, abs=5e-5)


@pytest.mark.parametrize("validation", [0.1, 0.5], ids=["more test rows than a part", "fewer"])
def test_a_score_over_the_whole_is_that_of_all_test_rows(validation, tmp_path):
    """As a search on test data has it, whose parts are others."""

    @dataclass(frozen=True)
    class OnTestRows(Tabular):
        def search_data(self, seed):
            return replace(super().search_data(seed), held_out=super().final_data(seed).held_out)

    space = MLP(layers=(1,), widths=(4, 8), activations=("relu",))
    evaluator = Population(Train(epochs=1, batch_size=16))
    task = Tabular("wine", score="auc", validation=validation)
    tabulate(Experiment(space, task, evaluator=evaluator), tmp_path / "t.csv.gz", Silent(), 1)
    tokens = architectures(space.decisions, None, 0)
    evaluate, found = evaluator.bind(space, OnTestRows("wine", score="auc", validation=validation), 0, 12), np.zeros(12)
    for some, outcome in evaluate(tokens, np.arange(12)):
        found[some] = outcome.score
    np.testing.assert_allclose(column(read(tmp_path / "t.csv.gz"), "test"), found, atol=5.1e-5)


def test_means_are_those_of_the_seeds(place):
    rows = read(place / "whole.csv.gz")
    for name in ("valid", "test"):
        mean = np.mean([column(rows, f"{name}_s{seed}") for seed in range(SEEDS)], 0)
        np.testing.assert_allclose(column(rows, name), mean, atol=1.01e-4)
    np.testing.assert_array_equal(column(rows, "valid"), column(rows, "valid_2"))
    assert (column(rows, "valid_1") != column(rows, "valid_2")).any()


def test_the_bytes_depend_on_config_and_seed_alone(place, tmp_path, monkeypatch):
    """In this process; in other rounds, whose groups are others, only the last digits could differ."""
    facts = tabulate(EXPERIMENT, tmp_path / "again.csv.gz", Silent(), SEEDS)
    assert (tmp_path / "again.csv.gz").read_bytes() == (place / "whole.csv.gz").read_bytes()
    assert facts["md5"] == json.loads((place / "whole.json").read_text())["md5"]
    monkeypatch.setattr(jaxnas.tabulate, "ROUND", 8)
    tabulate(replace(EXPERIMENT, seed=6), tmp_path / "next.csv.gz", Silent())
    one, next_one = read(place / "whole.csv.gz"), read(tmp_path / "next.csv.gz")
    for name in ("valid", "test"):  # the second seed of 5 is the first of 6
        np.testing.assert_allclose(column(one, f"{name}_s1"), column(next_one, f"{name}_s0"), atol=0.02)


def lines(path: Path) -> int:
    """Whole lines but those about data: the first, and one a group."""
    content = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return sum(line.endswith(b"\n") and b'"data": ' not in line for line in content)


def test_a_full_disk_a_kill_and_a_torn_line_leave_the_same_table(place, tmp_path):
    """The file may grow no further (RLIMIT_FSIZE): the error that a full disk gives."""
    (tmp_path / "tiny.py").write_text(CONFIG)
    working = tmp_path / "t.csv.gz.partial"
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, resource.RLIM_INFINITY)); "
    limit += "from jaxnas.cli import main; sys.exit(main(sys.argv[1:]))"
    full = subprocess.run(
        [sys.executable, "-c", limit, *command(tmp_path, "t.csv.gz")],
        capture_output=True,
        text=True,
        timeout=180,
        env=os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"},
    )
    assert full.returncode == 1, full.stderr
    assert "File too large. What is recorded is safe" in full.stderr
    assert "Traceback" not in full.stderr
    assert working.stat().st_size == 6000
    first = lines(working)
    assert 1 < first < 10
    process, deadline = start(tmp_path, "t.csv.gz"), time.monotonic() + 120
    while lines(working) <= first:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    kill(process)
    second = lines(working)
    assert second < 11
    assert not (tmp_path / "t.csv.gz").exists()
    with working.open("ab") as file:
        file.write(b'{"seed": 0, "rows": [0, ')
    process = start(tmp_path, "t.csv.gz")
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert f"going on: {4 * (second - 1)} of {ROWS * SEEDS} trainings are done" in out
    assert (tmp_path / "t.csv.gz").read_bytes() == (place / "whole.csv.gz").read_bytes()
    assert not working.exists()


def test_a_second_process_is_refused_and_another_seed_goes_on(place, tmp_path, capsys):
    """What is there of one seed counts when more are wanted; nothing but a table's own settings may differ."""
    out = tmp_path / "t.csv.gz"

    class Second(Silent):
        def trained(self, trainings):
            if self.told[-1] != "second":
                self.told.append("second")
                with pytest.raises(ValueError, match="another process writes"):
                    tabulate(EXPERIMENT, out, Silent(), 1)
                raise KeyboardInterrupt

    callback = Second()
    with pytest.raises(KeyboardInterrupt):
        tabulate(EXPERIMENT, out, callback, 1)
    assert callback.told == [(ROWS, 0), "second"]
    other = replace(EXPERIMENT, task=Digits(validation=0.2))
    with pytest.raises(ValueError, match=r"holds another table:\n  task.validation: 0.1 there, 0.2 now"):
        tabulate(other, out, Silent(), 1)
    going = Silent()
    tabulate(replace(EXPERIMENT, rounds=7, children=3), out, going, SEEDS)
    assert going.told == [(ROWS * SEEDS, 4)]
    assert out.read_bytes() == (place / "whole.csv.gz").read_bytes()
    with pytest.raises(ValueError, match="exists: give another name"):
        tabulate(EXPERIMENT, out, Silent(), SEEDS)


def test_a_damaged_line_is_named(place, tmp_path):
    working = tmp_path / "t.csv.gz.partial"
    first, data, group, *_ = _begun(place, tmp_path).splitlines(keepends=True)
    for line in (b"nothing", b"[1]", b"{}", group.strip()[:-2], group.replace(b'"rows": [', b'"rows": [99, ').strip()):
        content = first + data + line + b"\n" + group
        working.write_bytes(content)
        with pytest.raises(ValueError, match=r"line 3 of .*t.csv.gz.partial is damaged"):
            tabulate(EXPERIMENT, tmp_path / "t.csv.gz", Silent())
        assert working.read_bytes() == content


def _begun(place, tmp_path) -> bytes:
    """The working file of a table of which a part has been trained."""

    class StopsError(Silent):
        def trained(self, trainings):
            raise KeyboardInterrupt

    (tmp_path / "begun").mkdir()
    with pytest.raises(KeyboardInterrupt):
        tabulate(EXPERIMENT, tmp_path / "begun" / "t.csv.gz", StopsError())
    return (tmp_path / "begun" / "t.csv.gz.partial").read_bytes()


@pytest.mark.parametrize(
    "content", [b"my notes", b"my notes\n", b"[1]\n", b'{"a": 1}\n', b"\x00\x01", b'{"about": {}}\n']
)
def test_a_file_that_is_not_ours_is_not_touched(tmp_path, content):
    working = tmp_path / "t.csv.gz.partial"
    working.write_bytes(content)
    with pytest.raises(ValueError, match="is no working file of a table"):
        tabulate(EXPERIMENT, tmp_path / "t.csv.gz", Silent())
    assert working.read_bytes() == content


@pytest.mark.parametrize("torn", [b"", b'{"abo'])
def test_a_beginning_that_a_kill_has_torn_is_begun_anew(tmp_path, torn):
    working = tmp_path / "t.csv.gz.partial"
    working.write_bytes(torn)
    hopeless = replace(EXPERIMENT, evaluator=Population(Train(epochs=1, batch_size=5000)))
    with pytest.raises(ValueError, match="batch_size=5000"):
        tabulate(hopeless, tmp_path / "t.csv.gz", Silent())
    assert list(tmp_path.iterdir()) == []


def test_a_table_never_goes_on_over_other_data_or_numerics(place, tmp_path):
    lines = [json.loads(line) for line in _begun(place, tmp_path).splitlines()]
    write = lambda: (tmp_path / "t.csv.gz.partial").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert set(lines[1]["data"]) == {"training data", "held-out data", "form", "test data"}
    lines[1]["data"]["test data"] = "another"
    write()
    with pytest.raises(ValueError, match="was begun on other data:\n  test data: another there"):
        tabulate(EXPERIMENT, tmp_path / "t.csv.gz", Silent())
    lines[0]["about"]["numerics"] -= 1
    write()
    with pytest.raises(ValueError, match="holds another table:\n  numerics: "):
        tabulate(EXPERIMENT, tmp_path / "t.csv.gz", Silent())


def test_a_start_that_fails_leaves_nothing(tmp_path):
    """A task that has no data, say: no file binds the name to it."""
    hopeless = replace(EXPERIMENT, evaluator=Population(Train(epochs=1, batch_size=5000)))
    with pytest.raises(ValueError, match="batch_size=5000"):
        tabulate(hopeless, tmp_path / "t.csv.gz", Silent())
    assert list(tmp_path.iterdir()) == []


def test_networks_that_diverge_have_empty_cells(tmp_path):
    diverging = Population(
        Train(epochs=1, batch_size=128, optimiser=SGD(learning_rate=1e3, weight_decay=1e6)), group_size=4
    )
    facts = tabulate(replace(EXPERIMENT, evaluator=diverging), tmp_path / "t.csv.gz", Silent(), sample=4)
    rows = read(tmp_path / "t.csv.gz")
    assert facts["failed"] == len(rows) == 4
    for line in rows:
        assert {line[name] for name in ("valid_1", "valid", "test", "valid_s0", "test_s0")} == {""}
        assert int(line["parameters"]) > 0


def test_a_mean_is_empty_where_one_seed_failed():
    good = {"curve": [0.25, 0.5], "test": 0.125, "parameters": 7, "multiply_adds": 10, "images": 100}
    line = row([0, -1], [good, good | {"curve": [0.3, None], "test": None}], speed=1000.0)
    assert line == {
        "tokens": "0 -1", "parameters": "7", "multiply_adds": "10", "seconds": "3.0000",
        "valid_1": "0.2750", "valid_2": "", "valid": "", "test": "",
        "valid_s0": "0.5000", "test_s0": "0.1250", "valid_s1": "", "test_s1": "",
    }  # fmt: skip
    assert row([0, -1], [good], speed=1e9)["seconds"] == "3e-06"
    small = good | {"curve": [-1.23456789e-5, -2e-5], "test": -1234567.8}
    found = row([0, -1], [small], 1e9, Measure.RMSE)
    assert (found["valid_1"], found["valid"], found["test"]) == ("-1.2346e-05", "-2e-05", "-1.2346e+06")
    assert columns(0, 1) == ["tokens", "parameters", "multiply_adds", "seconds", "valid", "test", "valid_s0", "test_s0"]


# Which architectures.


def test_a_sample_is_drawn_by_the_seed_alone():
    decisions = ChainCNN(layers=3, filters=(4, 8)).decisions  # 32,768
    every = {tuple(one) for one in architectures(decisions, None, 0).tolist()}
    drawn = architectures(decisions, 100, 3)
    np.testing.assert_array_equal(drawn, architectures(decisions, 100, 3))
    assert {tuple(one) for one in drawn.tolist()} <= every
    assert drawn.tolist() == [list(one) for one in sorted(set(map(tuple, drawn.tolist())))]
    assert len(drawn) == 100
    assert (drawn != architectures(decisions, 100, 4)).any()
    np.testing.assert_array_equal(architectures(decisions, len(every), 3), sorted(every))


def test_a_sample_of_a_space_that_cannot_be_listed():
    """Anchors, needs and 10**9 architectures; and one of which half are drawn, repeats left out."""
    decisions = SkipCNN(layers=4, types=("convolution", "max_pool")).decisions
    drawn = architectures(decisions, 50, 3)
    assert drawn.shape == (50, len(decisions))
    assert drawn.tolist() == sorted(drawn.tolist())
    np.testing.assert_array_equal(decisions.without_absent(drawn), drawn)
    np.testing.assert_array_equal(drawn, architectures(decisions, 50, 3))
    large = Decisions((Choice("a", "a", 201), Choice("b", "b", 1000)))
    many = architectures(large, 100_000, 0)
    assert len(np.unique(many @ [1000, 1])) == 100_000
    assert many[:, 0].max() == 200


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--seeds", "0"), "--seeds 0: give 1 to 10,000"),
        (("--seeds", "1000000000"), "--seeds 1000000000: give 1 to 10,000"),
        (("--speed", "inf"), "--speed inf: give multiply-adds a second"),
        (("--speed", "nan"), "--speed nan: give multiply-adds a second"),
        (("--seed", str(2**31 - 1), "--seeds", "2"), "--seeds 2: give 1 to 10,000, so that"),
        (("--speed", "0"), "--speed 0.0: give multiply-adds a second"),
        (("--sample", "0"), "--sample 0: give a number from 1 to the 20 architectures of the space"),
        (("--sample", "21"), "--sample 21: give a number from 1 to the 20 architectures"),
        (("--space.layers", "6", "--space.depths"), "more than 200,000 architectures: give --sample N"),
        (("--space.layers", "9", "--space.depths", "9", "--sample", "200001"), "give a number from 1 to 200,000"),
        (("--evaluator.halving.rungs", "1"), "evaluator.halving.rungs=(1,): a table holds whole trainings"),
        (("--space.filter", "4"), "did you mean --space.filters or "),
    ],
)
def test_mistakes_are_said_before_any_training(place, more, message, monkeypatch, capsys):
    monkeypatch.chdir(place)
    before = sorted(place.iterdir())
    arguments = ["--space.kernel-widths", "1", "3", "5"] if "--space.layers" in more else []
    assert main(["tabulate", "tiny.py", "new.csv.gz", *more, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("whole.csv.gz", "whole.csv.gz exists: give another name, or move it away"),
        ("tiny.csv", "tiny.csv: give a name that ends in .csv.gz"),
        ("taken.csv.gz", "taken.json exists"),
        ("tiny.py/t.csv.gz", "cannot be written"),
    ],
)
def test_files_that_are_there_are_not_touched(place, out, message, monkeypatch, capsys):
    monkeypatch.chdir(place)
    (place / "taken.json").write_text("mine")
    assert main(["tabulate", "tiny.py", out]) == 2
    assert message in capsys.readouterr().err
    assert (place / "taken.json").read_text() == "mine"


def test_an_evaluator_that_trains_nothing_is_named(tmp_path):
    @dataclass(frozen=True)
    class LooksUp:
        def bind(self, space, task, seed, trials):
            return lambda *arguments: iter(())

    with pytest.raises(ValueError, match="LooksUp trains nothing"):
        tabulate(replace(EXPERIMENT, evaluator=LooksUp()), tmp_path / "t.csv.gz", Silent())


# What a person sees.


def test_the_remaining_time_is_that_of_the_rate_so_far(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with table_report_on(Console(file=out, width=200)) as report:
        report.begin(1000, 400)
        report.progress(Progress("compiling", 128, 0, 8, 1, 0.0))
        now[0] += 60
        report.trained(100)
    assert out.getvalue().splitlines() == [
        "going on: 400 of 1,000 trainings are done",
        "compiling a program for 128 children",
        "trained 500/1,000  6,000 an hour  left 5:00",
    ]


def test_the_bar_shows_the_same():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with table_report_on(console) as report:
        assert isinstance(report, LiveTableReport)
        report.begin(1000, 400)
        report.progress(Progress("training", 128, 2, 8, 1, 0.0))
        report.trained(100)
    assert "epoch 3/8" in out.getvalue()
    assert "500/1000" in out.getvalue()
