"""Laws 3, 4 and 8, and reproducibility: whole searches on digits, in processes that are really killed."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest

from jaxnas.evaluators import Population, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final, train_final
from jaxnas.ledger import Ledger
from jaxnas.outcome import Outcome, Status
from jaxnas.rewards import REWARDS
from jaxnas.search import Silent, search
from jaxnas.spaces import ChainCNN
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Digits, Images

CONFIG = """
from jaxnas.evaluators import Population, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.spaces import ChainCNN
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Digits

experiment = Experiment(
    space=ChainCNN(layers=2, depths=(1, 2), kernel_heights=(1, 3), kernel_widths=(3,), filters=(4, 8), pool_after=(1,)),
    task=Digits(), strategy=Reinforce(learning_rate=0.1, policy="table"),
    evaluator=Population(Train(epochs=2, batch_size=64), group_size=2),
    final=Final(Train(epochs=2)), rounds=3, children=6, seed=11,
)
"""
TRIALS = 18
names = {}
exec(CONFIG, names)
EXPERIMENT: Experiment = names["experiment"]


class Recorder(Silent):
    def __init__(self):
        self.metrics, self.trained = [], []

    def trials(self, trials):
        self.trained += [t.trial_id for t in trials]

    def round_done(self, round, metrics):
        self.metrics.append(metrics)


def rows(workdir: Path) -> list[tuple]:
    """Everything in the ledger but the times."""
    return [astuple(replace(t, seconds=0.0)) for t in Ledger(workdir).trials()]


def run(experiment, workdir, callback=None):
    workdir.mkdir(exist_ok=True)
    ledger = Ledger(workdir, write=True)
    search(experiment, ledger, callback or Silent())
    ledger.close()


def start(config: Path, workdir: Path, *more: str) -> subprocess.Popen:
    """``python -m jaxnas search`` as a user starts it."""
    command = [sys.executable, "-m", "jaxnas", "search", str(config), "--workdir", str(workdir), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def count(workdir: Path) -> int:
    try:
        with sqlite3.connect(f"file:{workdir / 'ledger.sqlite'}?mode=ro", uri=True) as db:
            return db.execute("SELECT count(*) FROM trials").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def kill_when(process: subprocess.Popen, workdir: Path, trials: int) -> int:
    """SIGKILL as soon as the ledger holds so many trials; how many it holds then."""
    deadline = time.monotonic() + 120
    while count(workdir) < trials:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kill(process)
    return count(workdir)


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def unkilled(config, tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("unkilled") / "run"
    process = start(config, workdir)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert "round 3/3  children 18/18" in out
    return workdir


def test_a_killed_search_resumes_to_the_same_ledger(config, unkilled, tmp_path):
    workdir = tmp_path / "run"
    first = kill_when(start(config, workdir), workdir, 2)
    assert 2 <= first < TRIALS
    assert set(map(str, rows(workdir))) <= set(map(str, rows(unkilled)))
    second = kill_when(start(config, workdir), workdir, max(first + 1, 9))
    assert first < second < TRIALS
    written = {t.trial_id: t.seconds for t in Ledger(workdir).trials()}
    process = start(config, workdir)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert f"{second} of {TRIALS} trials are done" in out
    assert rows(workdir) == rows(unkilled)
    kept = {t.trial_id: t.seconds for t in Ledger(workdir).trials() if t.trial_id in written}
    assert kept == written  # nothing was trained twice


def test_a_second_process_in_the_directory_is_refused(config, tmp_path):
    workdir = tmp_path / "run"
    first = start(config, workdir, "--rounds", "1000")
    while not (workdir / "ledger.sqlite").exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    second = start(config, workdir)
    _, err = second.communicate(timeout=60)
    kill(first)
    assert second.returncode == 2
    assert f"another process works in {workdir}" in err


def test_the_same_seed_gives_the_same_ledger_and_another_seed_another(unkilled, tmp_path):
    """In this process, with programs of its own: only the seed decides."""
    run(EXPERIMENT, tmp_path / "again")
    assert rows(tmp_path / "again") == rows(unkilled)
    run(replace(EXPERIMENT, seed=12, rounds=1), tmp_path / "other")
    assert [r[2] for r in rows(tmp_path / "other")] != [r[2] for r in rows(unkilled)[:6]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Recorder:
    """What a search in this process tells."""
    callback = Recorder()
    run(EXPERIMENT, tmp_path_factory.mktemp("whole"), callback)
    return callback


@pytest.mark.parametrize("lost", [1, 7, 17])
def test_the_ledger_alone_rebuilds_the_strategy(unkilled, whole, tmp_path, lost):
    """Law 3 for the loop: whatever number of last trials is missing, the rest comes out as it was, metrics included."""
    part = Recorder()
    shutil.copytree(unkilled, tmp_path / "part")
    with sqlite3.connect(tmp_path / "part" / "ledger.sqlite") as db:
        db.execute("DELETE FROM trials WHERE trial_id >= ?", (TRIALS - lost,))
    run(EXPERIMENT, tmp_path / "part", part)
    assert rows(tmp_path / "part") == rows(unkilled)
    assert part.metrics == whole.metrics
    assert sorted(part.trained) == list(range(TRIALS - lost, TRIALS))


def test_more_rounds_continue_the_same_search(unkilled, tmp_path):
    shutil.copytree(unkilled, tmp_path / "longer")
    callback = Recorder()
    run(replace(EXPERIMENT, rounds=4), tmp_path / "longer", callback)
    assert sorted(callback.trained) == list(range(18, 24))
    assert rows(tmp_path / "longer")[:TRIALS] == rows(unkilled)


def test_a_ledger_of_other_proposals_is_refused(unkilled, tmp_path):
    shutil.copytree(unkilled, tmp_path / "foreign")
    with pytest.raises(ValueError, match=r"holds another experiment:\n  seed: 11 there, 12 now"):
        run(replace(EXPERIMENT, seed=12), tmp_path / "foreign")
    with sqlite3.connect(tmp_path / "foreign" / "ledger.sqlite") as db:
        db.execute("UPDATE trials SET tokens = '[1, 1, 0, 1, 0]' WHERE trial_id = 3")
    with pytest.raises(ValueError, match="trial 3 of the ledger has tokens .* but this machine proposes"):
        run(EXPERIMENT, tmp_path / "foreign")


# Law 8: test data is never read by a search.


def write_npz(path: Path, test_images) -> Path:
    data = Digits().search_data(0)
    labels = np.arange(len(test_images)) % 10
    arrays = {"x_train": data.train.images, "y_train": data.train.labels}
    np.savez(path, **arrays, x_test=test_images, y_test=labels)
    return path


def test_a_search_does_not_depend_on_the_test_data(tmp_path):
    noise = np.random.default_rng(0).integers(0, 17, (50, 8, 8, 1), np.uint8)
    found = []
    for name, images in (("noise", noise), ("unusable", np.full((3, 2), np.nan))):
        task = Images(str(write_npz(tmp_path / f"{name}.npz", images)))
        run(replace(EXPERIMENT, task=task, rounds=1), tmp_path / name)
        found.append(rows(tmp_path / name))
    assert found[0] == found[1]
    with pytest.raises(ValueError, match="x_test|test"):
        train_final(replace(EXPERIMENT, task=task), tmp_path, Ledger(tmp_path / "unusable").trial(0))


def test_the_final_score_is_that_of_the_test_data(tmp_path):
    """Test images that are the training images, with the right and with wrong labels: near 1, near 0."""
    experiment = replace(EXPERIMENT, final=Final(Train(epochs=12, batch_size=32)))
    data, scores = Digits().search_data(0), {}
    run(replace(experiment, rounds=1), tmp_path / "run")
    trial = max(Ledger(tmp_path / "run").trials(), key=lambda t: t.parameters)
    for shift in (0, 1):
        path = tmp_path / f"{shift}.npz"
        x, y = data.train.images, data.train.labels
        np.savez(path, x_train=x, y_train=y, x_test=x, y_test=(y + shift) % 10)
        result = train_final(replace(experiment, task=Images(str(path))), tmp_path / f"final {shift}", trial)
        scores[shift] = result["test_score"]
    assert scores[0] > 0.9
    assert scores[1] < 0.05


# Rewards.


BY_HAND = {
    "Accuracy": ([0.5, 0.9], [0.5, 0.9]),
    "CubedAccuracy": ([0.5, 0.9], [0.125, 0.729]),
    "Perplexity": ([-1e6, -np.log(4)], [0, 5]),  # 80 / 4**2; what is hopeless has no reward, not NaN
}


@pytest.mark.parametrize("name", REWARDS)
def test_rewards_are_finite_and_rise_with_the_score(name):
    n, (scores, wanted) = 4, BY_HAND[name]
    outcome = Outcome(
        status=np.array([Status.OK, Status.STOPPED, Status.DIVERGED, Status.OUT_OF_MEMORY], np.int32),
        score=np.array([*scores, np.nan, np.nan]), curve=np.full((n, 1), np.nan), seconds=np.ones(n),
        places=np.ones(n, int), parameters=np.ones(n, int), multiply_adds=np.ones(n, int), architectures=({},) * n,
    )  # fmt: skip
    found = REWARDS[name]()(outcome)
    np.testing.assert_allclose(found, [*wanted, 0, 0])
    assert (REWARDS[name](floor=-1.0)(outcome)[2:] == -1).all()


def test_an_accuracy_has_no_perplexity():
    score, one = np.array([0.9]), np.ones(1, int)
    outcome = Outcome(np.zeros(1, np.int32), score, np.full((1, 1), 0.9), np.ones(1), one, one, one, ({},))
    with pytest.raises(ValueError, match="0.9 is no log-probability"):
        REWARDS["Perplexity"]()(outcome)


@pytest.mark.parametrize(
    ("task", "reward", "message"),
    [
        (Digits(), "Perplexity", "take Accuracy"),
        (Digits(score="f1"), "Perplexity", "take Accuracy"),
    ],
)
def test_a_reward_that_does_not_go_with_the_scores_is_refused_before_anything_is_trained(task, reward, message):
    with pytest.raises(ValueError, match=message):
        Experiment(EXPERIMENT.space, task, reward=REWARDS[reward]())


def test_a_search_in_which_every_child_fails_goes_on(tmp_path):
    """Law 5: the reward is the floor, and none of them is ever the best."""
    from jaxnas.evaluators import SGD

    hopeless = Population(Train(epochs=1, optimiser=SGD(learning_rate=1e3, weight_decay=1e6)), group_size=6)
    run(replace(EXPERIMENT, evaluator=hopeless, rounds=2), tmp_path / "run")
    ledger = Ledger(tmp_path / "run")
    assert [t.status for t in ledger.trials()] == ["diverged"] * 12
    assert {t.reward for t in ledger.trials()} == {0.0}
    assert {t.score for t in ledger.trials()} == {None}
    assert ledger.top(5) == []


def test_the_experiment_of_these_tests_is_the_one_in_the_file():
    assert EXPERIMENT.space == ChainCNN(
        layers=2, depths=(1, 2), kernel_heights=(1, 3), kernel_widths=(3,), filters=(4, 8), pool_after=(1,)
    )
    assert EXPERIMENT.strategy == Reinforce(learning_rate=0.1, policy="table")
