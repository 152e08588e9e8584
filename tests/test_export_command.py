"""`python -m jaxnas export`: on real test images, against mistakes, against a kill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from exported import distance, logits, without_jaxnas

from jaxnas.children.chain.architecture import Chain, ConvLayer
from jaxnas.cli import main
from jaxnas.ledger import Ledger
from jaxnas.outcome import Trial
from jaxnas.record import begin
from jaxnas.setup import load
from jaxnas.tasks import Digits
from jaxnas.trained import load_trained

CONFIG = """
from jaxnas.evaluators import Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.spaces import ChainCNN
from jaxnas.tasks import Digits

experiment = Experiment(
    space=ChainCNN(layers=2, kernel_heights=(1, 3), kernel_widths=(1, 3), filters=(4, 8), pool_after=(1,)),
    task=Digits(), final=Final(Train(epochs=30)),
)
"""
CHAIN = Chain((ConvLayer((3, 1), 8, pool=2), ConvLayer((1, 3), 4)))


def ledger_of(folder: Path, config: Path) -> Ledger:
    """A search in which trial 0 was good, trial 1 diverged, trial 2 was not so good."""
    experiment, source = load(config, [])
    tokens = tuple(experiment.space.encode(CHAIN).tolist())
    description = experiment.space.children((8, 8, 1), 10).describe(CHAIN)
    row = lambda i, status, score: Trial(i, 0, tokens, description, status, score, score or 0.0, (score,), 1, 1, 1.0, 1)
    ledger = Ledger(folder, write=True)
    origin = {"source": source, "config": str(config), "directory": str(config.parent), "overrides": []}
    begin(experiment, ledger, None, origin, print)
    ledger.append([row(0, "ok", 0.75), row(1, "diverged", None), row(2, "ok", 0.5)])
    return ledger


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A directory with a config, in `run` a search whose best trial has been trained to the end, in `out` its export,
    in `empty` a search that has just begun.
    """
    place = tmp_path_factory.mktemp("place")
    (place / "mine.py").write_text(CONFIG)
    for name in ("run", "empty"):
        (place / name).mkdir()
    Ledger(place / "empty", write=True).close()
    ledger_of(place / "run", place / "mine.py").close()
    assert main(["final", str(place / "run")]) == 0
    assert main(["export", str(place / "run"), str(place / "out")]) == 0
    return place


def test_the_exported_files_classify_the_test_images_as_the_ledger_says(place):
    experiment, _ = load(place / "mine.py", [])
    ledger, test = Ledger(place / "run"), Digits().final_data(0).held_out
    wanted = logits(load_trained(experiment, place / "run", ledger.trial(0)), test.images)
    found = without_jaxnas({place / "out": test.images})[place / "out"]
    for kind in ("program", "module"):
        assert distance(found[f"{kind} {len(test)}"], wanted) < 1e-5
        score = np.mean(found[f"{kind} {len(test)}"].argmax(1) == test.labels)
        assert score == pytest.approx(ledger.facts()["final:0"]["test_score"], abs=1e-6)
    assert score > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--trial", "9", "new"), "there is no trial 9"),
        (("run", "--trial", "1", "new"), "trial 1 diverged in the search, there is no network to export"),
        (("run", "--trial", "2", "new"), "trial 2 has no trained network"),
        (("run", "out"), "out exists, and an export overwrites nothing"),
        (("run", "mine.py"), "mine.py exists"),
        (("run", "mine.py/new"), "cannot be made (Not a directory)"),
        ((".", "new"), "has no ledger.sqlite"),
        (("empty", "new"), "no trial has a score yet"),
        (("run", "new", "--fast"), "unknown arguments --fast"),
    ],
)
def test_a_mistake_gets_one_clear_message_and_writes_nothing(place, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(place)
    before, facts = files(place), Ledger(place / "run").facts()
    assert main(["export", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    after = files(place)
    written = {path.name for path in after if after[path] != before.get(path)}
    assert written <= {"ledger.sqlite-shm", "ledger.sqlite-wal", "lock"}  # SQLite's own, and what keeps others out
    assert Ledger(place / "run").facts() == facts


def files(folder: Path) -> dict[Path, int]:
    """When each file was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_killed_export_leaves_no_half_of_it(place, tmp_path):
    command = [sys.executable, "-m", "jaxnas", "export", str(place / "run"), str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not list(tmp_path.glob(".out.*.partial")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out").exists()
    assert main(["export", str(place / "run"), str(tmp_path / "out")]) == 0
    for name in ("architecture.json", "network.py", "weights.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (place / "out" / name).read_bytes()
