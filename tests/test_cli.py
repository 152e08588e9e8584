"""What a user types and sees; the kill tests are in test_search."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxnas.cli import main
from jaxnas.compare import Comparison
from jaxnas.experiment import Experiment
from jaxnas.ledger import Ledger
from jaxnas.outcome import Measure, Trial
from jaxnas.report import draw, pretty
from jaxnas.setup import load
from jaxnas.tasks import Digits

CONFIG = """
from jaxnas.evaluators import Population, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.spaces import ChainCNN
from jaxnas.tasks import Digits

experiment = Experiment(
    space=ChainCNN(layers=2, kernel_heights=(1, 3), kernel_widths=(1, 3), filters=(4, 8)),
    task=Digits(), evaluator=Population(Train(epochs=1, batch_size=128), group_size=4),
    final=Final(Train(epochs=2)), rounds=2, children=4,
)
"""


def jaxnas(*arguments, cwd=None, **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "jaxnas", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300, env=os.environ | environment)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A directory with a config and, in runs/mine, its finished search and final training."""
    place = tmp_path_factory.mktemp("place")
    (place / "mine.py").write_text(CONFIG)
    done = jaxnas("search", "mine.py", "--final", cwd=place)
    assert done.returncode == 0, done.stderr
    (place / "output.txt").write_text(done.stdout)
    return place


def test_a_search_prints_plain_lines_where_there_is_no_terminal(place):
    out = (place / "output.txt").read_text()
    assert "compiling a program for 4 children" in out
    assert "round 2/2  children 8/8  best 0." in out
    assert "\x1b" not in out
    for figure in ("baseline", "entropy", "mean reward", "children/h", "left 0:00", "1 program, "):
        assert figure in out
    assert "Best: trial" in out
    assert "runs/mine/ledger.sqlite" in out
    assert "python -m jaxnas final runs/mine" in out
    assert "test score 0." in out


def test_the_run_table_says_how_the_trials_came_about(place):
    facts = Ledger(place / "runs" / "mine").facts()
    assert facts["seed"] == 0
    assert facts["configuration"]["space"]["layers"] == 2
    assert facts["configuration"]["strategy"]["type"] == "Reinforce"
    assert {"jax", "jaxlib", "flax", "optax", "jaxnas", "python"} <= set(facts["versions"])
    assert facts["device"]["platform"] in ("cpu", "gpu", "tpu")
    assert "git_revision" in facts
    [final] = [v for k, v in facts.items() if k.startswith("final:")]
    assert 0 < final["test_score"] < 1
    assert final["test_examples"] == 359


def test_a_finished_search_says_so_and_the_test_score_is_read_once(place):
    again = jaxnas("search", "mine.py", cwd=place)
    assert again.returncode == 0
    assert "This search is finished: 8 trials" in again.stdout
    final = jaxnas("final", "runs/mine", cwd=place)
    assert final.returncode == 0
    assert "the test score is read only once" in final.stdout


def test_another_trial_can_be_trained(place):
    best = Ledger(place / "runs" / "mine").top(1)[0].trial_id
    other = (best + 1) % 8
    done = jaxnas("final", "runs/mine", "--trial", other, cwd=place)
    assert done.returncode == 0, done.stderr
    assert f"Trial {other}, trained from scratch on 1,438 examples for 2 epochs" in done.stdout
    assert f"final:{other}" in Ledger(place / "runs" / "mine").facts()


def test_trials_and_show(place):
    listing = jaxnas("trials", "runs/mine", "--top", 3, cwd=place).stdout
    best = Ledger(place / "runs" / "mine").top(3)
    assert len([line for line in listing.splitlines() if "x" in line and ":" in line]) >= 3
    assert [f"{t.score:.4f}" in listing for t in best] == [True] * 3
    shown = jaxnas("show", "runs/mine", best[0].trial_id, cwd=place).stdout
    assert f"{best[0].parameters:,} parameters, {best[0].multiply_adds:,} multiply-adds" in shown
    layers = best[0].architecture["layers"]
    assert f"conv {layers[0]['kernel'][0]} x {layers[0]['kernel'][1]}" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search", "nowhere.py"), "cannot read nowhere.py"),
        (("search", "broken.py"), "broken.py does not run: NameError: name 'undefined' is not defined"),
        (("search", "empty.py"), "sets no `experiment`"),
        (("search", "mine.py", "--strategy.learning-rat", "1"), "did you mean --strategy.learning-rate or "),
        (("search", "mine.py", "--straegy", "Random"), "unknown setting --straegy: did you mean --strategy or "),
        (("search", "mine.py", "--speed", "1"), "unknown setting --speed: did you mean --seed"),
        (("search", "mine.py", "--wumpus", "1"), "unknown setting --wumpus; `mine.py --help` after the command lists"),
        (("serch", "mine.py"), "there is no command 'serch': did you mean search?"),
        (("search",), "search needs a config, a Python file"),
        (("search", "exits.py"), "exits.py does not run: SystemExit: 7"),
        (("final",), "final needs the directory of a search"),
        (("search", "mine.py", "--rounds", "many"), "invalid literal for int"),
        (("search", "mine.py", "--rounds", "0"), "rounds=0: give a whole number from 1"),
        (("search", "mine.py", "--seed", "-1"), "seed=-1: give a whole number from 0"),
        (("search", "mine.py", "--space.filters"), "filters=(): give one or more"),
        (("search", "mine.py", "--seed", "5"), "runs/mine holds another experiment:\n  seed: 0 there, 5 now"),
        (("search", "mine.py", "--strategy.units", "5"), "strategy.units: 35 there, 5 now"),
        (("search", "mine.py", "--workdir", "mine.py"), "cannot be written to"),
        (("trials", "."), "has no ledger.sqlite"),
        (("trials", "runs/mine", "--top", "0"), "--top 0: give 1 or more"),
        (("trials", "runs/mine", "--best"), "unknown arguments --best"),
        (("show", "runs/mine", "99"), "there is no trial 99"),
        (("final", "."), "has no ledger.sqlite"),
        (("final", "runs/mine", "--trial", "99"), "there is no trial 99"),
    ],
)
def test_a_mistake_gets_one_clear_message_and_status_2(place, arguments, message, monkeypatch, capsys):
    (place / "broken.py").write_text("experiment = undefined")
    (place / "empty.py").write_text("")
    (place / "exits.py").write_text("import sys\nsys.exit(7)")
    before = Ledger(place / "runs" / "mine").facts()
    monkeypatch.chdir(place)
    try:
        status = main(arguments)
    except SystemExit as stop:  # how argparse and tyro end
        status = stop.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert Ledger(place / "runs" / "mine").facts() == before
    assert len(Ledger(place / "runs" / "mine")) == 8


def test_a_directory_without_trials_takes_any_configuration(place, tmp_path, monkeypatch, capsys):
    """A first start that fails on its data does not bind the directory to the wrong settings."""
    monkeypatch.chdir(place)
    images = CONFIG.replace("task=Digits()", "task=Images('nowhere.npz')").replace("import Digits", "import Images")
    (place / "images.py").write_text(images)
    assert main(["search", "images.py", "--workdir", str(tmp_path / "a # b?"), "--task.augment.no-flip"]) == 2
    assert "nowhere.npz" in capsys.readouterr().err
    digits = Digits().search_data(0).train
    arrays = {"x_train": digits.images, "y_train": digits.labels, "x_test": digits.images, "y_test": digits.labels}
    np.savez("somewhere.npz", **arrays)
    assert main(["search", "images.py", "--workdir", str(tmp_path / "a # b?"), "--task.source", "somewhere.npz"]) == 0
    monkeypatch.chdir(tmp_path)  # `final` finds the relative path all the same
    assert main(["final", "a # b?"]) == 0
    assert "test score 0." in capsys.readouterr().out


def test_a_config_may_define_classes_of_its_own(tmp_path):
    own = "from __future__ import annotations\nfrom dataclasses import dataclass\n" + CONFIG.replace(
        "Digits()", "Mine()"
    )
    own = own.replace(
        "experiment = ", "@dataclass(frozen=True)\nclass Mine(Digits):\n    width: int = 3\n\n\nexperiment = "
    )
    (tmp_path / "own.py").write_text(own)
    experiment, _ = load(tmp_path / "own.py", ["--task.width", "7", "--no-deterministic"])
    assert experiment.task.width == 7
    assert experiment.deterministic is False


def test_a_full_disk_stops_with_one_line_and_the_search_goes_on_later(place, tmp_path):
    """The file may grow no further (RLIMIT_FSIZE): the same error from SQLite as a full disk gives."""
    limit = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (52_000, resource.RLIM_INFINITY)); "
    limit += "from jaxnas.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["search", "mine.py", "--workdir", str(tmp_path / "run"), "--rounds", "30"]
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    full = subprocess.run(
        [sys.executable, "-c", limit, *arguments],
        capture_output=True,
        text=True,
        cwd=place,
        timeout=300,
        env=environment,
    )
    assert full.returncode == 1, full.stderr
    assert "What is recorded is safe" in full.stderr
    assert "Traceback" not in full.stderr
    assert 0 < len(Ledger(tmp_path / "run")) < 120
    done = jaxnas(*arguments, cwd=place)
    assert done.returncode == 0, done.stderr
    assert len(Ledger(tmp_path / "run")) == 120


def test_every_setting_can_be_given(place):
    shown = jaxnas("search", "mine.py", "--help", cwd=place).stdout
    for name in (
        "--rounds",
        "--seed",
        "--strategy.learning-rate",
        "--space.pool-after",
        "--evaluator.train.optimiser.momentum",
    ):
        assert name in shown


@pytest.mark.parametrize(
    "config", sorted((Path(__file__).parent.parent / "configs").glob("*.py")), ids=lambda p: p.stem
)
def test_every_config_loads_and_tells_command_time_and_result(config):
    kind = Comparison if "comparison = " in config.read_text() else Experiment
    settings, source = load(config, ["--seed", "7"], kind)
    assert settings.seed == 7
    head = source.split('"""')[1]
    if kind is Comparison:
        read = Measure(next(iter(settings.problems.values())).table.measure or "score")
    else:
        read = getattr(settings.task, "measure", Measure.SCORE)
    result = {Measure.SCORE: "accuracy", Measure.BITS: "bits"}.get(read, str(read))
    for word in (f"configs/{config.name}", "minute", result):
        assert word in head


ARCHITECTURE = {
    "type": "chain", "input": [8, 8, 1],
    "layers": [
        {"kernel": [3, 5], "filters": 8, "stride": [1, 1], "pool": 2, "map": [4, 4], "parameters": 136},
        {"kernel": [1, 1], "filters": 4, "stride": [2, 1], "pool": 1, "map": [2, 4], "parameters": 40},
    ],
}  # fmt: skip


def test_a_drawing():
    assert pretty(ARCHITECTURE) == "3x5:8/2 1x1:4s2x1"
    lines = draw(ARCHITECTURE).splitlines()
    assert lines[2].split() == [
        "1",
        "conv",
        "3",
        "x",
        "5,",
        "max",
        "pool",
        "2",
        "4",
        "x",
        "4",
        "x",
        "8",
        "136",
        "█" * 24,
    ]
    assert lines[4].split() == [
        "2",
        "conv",
        "1",
        "x",
        "1,",
        "stride",
        "2",
        "x",
        "1",
        "2",
        "x",
        "4",
        "x",
        "4",
        "40",
        "█" * 12,
    ]
    assert "tree" in draw({"type": "tree"})  # a type without a drawing of its own


def test_failed_trials_are_listed_as_such(tmp_path):
    ledger = Ledger(tmp_path, write=True)
    ledger.record(configuration={"children": 1, "rounds": 1})
    ledger.append([Trial(0, 0, (0,), ARCHITECTURE, "diverged", None, 0.0, (None,), 3, 4, 0.5, 1)])
    assert "diverged" in jaxnas("trials", tmp_path).stdout
    assert "diverged" in jaxnas("show", tmp_path, 0).stdout
    assert "records no config: its search was called from Python" in jaxnas("final", tmp_path).stderr
