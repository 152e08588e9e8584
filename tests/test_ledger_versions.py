"""Ledgers of earlier versions open and go on."""

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from test_ledger import trial
from test_ledger_damage import change, content
from test_objective import EXPERIMENT
from test_search import rows, run

from jaxnas.ledger import Ledger

FIRST = """
CREATE TABLE trials(
    trial_id INTEGER PRIMARY KEY, round INTEGER NOT NULL, tokens TEXT NOT NULL, architecture TEXT NOT NULL,
    status TEXT NOT NULL, score REAL, reward REAL NOT NULL, curve TEXT NOT NULL, parameters INTEGER NOT NULL,
    multiply_adds INTEGER NOT NULL, seconds REAL NOT NULL, places INTEGER NOT NULL);
CREATE TABLE run(key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO run VALUES ('configuration', '{"children": 2, "rounds": 3}');
INSERT INTO trials VALUES
    (0, 0, '[0, -1]', '{"type": "chain", "layers": []}', 'ok', 0.5, 0.5, '[0.1, 0.5]', 7, 9, 0.25, 4),
    (1, 0, '[1, -1]', '{"type": "chain", "layers": []}', 'diverged', NULL, 0.0, '[0.1, null]', 7, 9, 0.25, 4);
"""
"""The schema before figures, reasons and copies."""
BEFORE = [trial(0), trial(1, None, "diverged")]


@pytest.fixture
def old(tmp_path) -> Path:
    with sqlite3.connect(tmp_path / "ledger.sqlite") as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(FIRST)
    db.close()
    return tmp_path


def test_an_old_ledger_is_read_as_it_is(old):
    before = content(old)
    ledger = Ledger(old)
    ledger.check()
    assert ledger.trials() == BEFORE
    assert (ledger.top(5), ledger.trial(1)) == (BEFORE[:1], BEFORE[1])
    ledger.close()
    assert content(old)["ledger.sqlite"] == before["ledger.sqlite"]


def test_an_old_ledger_goes_on(old):
    reader, ledger = Ledger(old), Ledger(old, write=True)
    more = [trial(2, figures={"loss": 0.25}), trial(3, None, "failed", reason="took more than 5 s", copied_from=1)]
    ledger.append(more)
    assert ledger.trials() == Ledger(old).trials() == [*BEFORE, *more]
    assert len(reader) == 4
    ledger.close()
    assert Ledger(old, write=True).trials() == [*BEFORE, *more]  # a second time nothing is to be added


def test_an_old_ledger_that_lacks_something_else_stays_as_it_is(old):
    change(old, "ALTER TABLE trials DROP COLUMN reward")
    before = content(old)["ledger.sqlite"]
    for write in (False, True):
        with pytest.raises(ValueError, match="lacks columns reward of the table trials"):
            Ledger(old, write=write)
    assert content(old)["ledger.sqlite"] == before


def test_a_search_of_an_earlier_version_goes_on_to_the_same_trials(tmp_path):
    run(replace(EXPERIMENT, rounds=1), tmp_path / "begun")
    shutil.copytree(tmp_path / "begun", tmp_path / "old")
    later = [f"ALTER TABLE trials DROP COLUMN {column}" for column in ("figures", "reason", "copied_from")]
    change(tmp_path / "old", "; ".join(later))
    for name in ("begun", "old"):
        run(EXPERIMENT, tmp_path / name)
    assert rows(tmp_path / "begun")[4:] == rows(tmp_path / "old")[4:]
    assert len(rows(tmp_path / "old")) == 12
