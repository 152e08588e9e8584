"""The ledger: what goes in comes out, rows are added and never changed, a directory belongs to one process."""

import json
import sqlite3
import subprocess
import sys

import pytest

from jaxnas.ledger import Ledger
from jaxnas.locks import locked
from jaxnas.outcome import Trial


def trial(i, score=0.5, status="ok", **more):
    values = {
        "round": i // 2,
        "tokens": (i, -1),
        "architecture": {"type": "chain", "layers": []},
        "reward": score or 0.0,
    }
    values |= {"curve": (0.1, score), "parameters": 7, "multiply_adds": 9, "seconds": 0.25, "places": 4} | more
    return Trial(trial_id=i, status=status, score=score, **values)


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path, write=True)
    yield ledger
    ledger.close()


def test_trials_come_back_as_they_were(ledger, tmp_path):
    found = {"figures": {"loss": 0.1 + 0.7, "a name with 'signs\"": -1e-300}}
    trials = [trial(0, 1 / 3, **found), trial(1, None, "failed", reason='it\'s "late"'), trial(2, 0.1 + 0.2)]
    ledger.append(trials[:2])
    ledger.append(trials[2:])
    assert Ledger(tmp_path).trials() == trials
    assert ledger.trials(range(2)) == trials[:2]
    assert ledger.trial(2) == trials[2]
    assert len(ledger) == 3


def test_the_table_is_the_documented_one(ledger):
    ledger.append([trial(3)])
    with sqlite3.connect(ledger.path) as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(trials)")]
        tokens, architecture, curve = db.execute("SELECT tokens, architecture, curve FROM trials").fetchone()
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert columns == [
        "trial_id", "round", "tokens", "architecture", "status", "score", "reward", "curve", "parameters",
        "multiply_adds", "seconds", "places", "figures", "reason", "copied_from",
    ]  # fmt: skip
    assert json.loads(tokens) == [3, -1]
    assert json.loads(curve) == [0.1, 0.5]
    assert json.loads(architecture)["type"] == "chain"


def test_the_best_come_first_and_failures_never(ledger):
    ledger.append([trial(0, 0.5), trial(1, None, "diverged"), trial(2, 0.9), trial(3, 0.9), trial(4, 0.1)])
    assert [t.trial_id for t in ledger.top(3)] == [2, 3, 0]
    assert [t.trial_id for t in ledger.top(10)] == [2, 3, 0, 4]


def test_a_group_is_written_wholly_or_not_at_all(ledger):
    ledger.append([trial(1, 0.7)])
    with pytest.raises(sqlite3.IntegrityError):
        ledger.append([trial(0), trial(1, 0.2)])
    assert [t.trial_id for t in ledger.trials()] == [1]
    assert ledger.trial(1).score == 0.7


def test_facts(ledger, tmp_path):
    ledger.record(seed=3, configuration={"a": [1, None]})
    ledger.record(seed=4)
    assert Ledger(tmp_path).facts() == {"seed": 4, "configuration": {"a": [1, None]}}


def test_no_ledger_no_trial_no_database(ledger, tmp_path):
    with pytest.raises(ValueError, match="there is no trial 5: the ledger holds 0 trials"):
        ledger.trial(5)
    with pytest.raises(ValueError, match=r"has no ledger.sqlite"):
        Ledger(tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "ledger.sqlite").write_text("these are no tables at all")
    with pytest.raises(ValueError, match="cannot be used as a ledger"):
        Ledger(tmp_path / "other")
    assert (tmp_path / "other" / "ledger.sqlite").read_text() == "these are no tables at all"


def test_reading_beside_a_writer_changes_nothing(ledger, tmp_path):
    ledger.append([trial(0)])
    reader = Ledger(tmp_path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.append([trial(1)])
    ledger.append([trial(1)])
    assert len(reader) == 2


def test_one_process_a_directory(tmp_path):
    holder = "import pathlib, sys\nfrom jaxnas.locks import locked\n"
    holder += "with locked(pathlib.Path(sys.argv[1])):\n print('held', flush=True)\n sys.stdin.read()"
    command = [sys.executable, "-c", holder, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="another process works in"), locked(tmp_path):
            pass
        process.kill()
    with locked(tmp_path):
        pass


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written to"), locked(tmp_path / "file" / "under"):
        pass
