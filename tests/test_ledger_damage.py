"""The ledger cannot look empty: whatever is missing or damaged is refused with file, table, trial and remedy, and stays
as it was; what a kill leaves is read; where nothing can be written, it is read all the same."""

import errno
import fcntl
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from test_ledger import trial

from jaxnas import locks
from jaxnas.cli import main
from jaxnas.ledger import Ledger
from jaxnas.locks import locked

CONFIGURATION = {"children": 2, "rounds": 3}


def written(folder: Path, count: int = 6) -> Path:
    folder.mkdir()
    ledger = Ledger(folder, write=True)
    ledger.record(configuration=CONFIGURATION)
    ledger.append([trial(i, None if i == 1 else i / 10, "diverged" if i == 1 else "ok") for i in range(count)])
    ledger.close()
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return written(tmp_path / "run")


def change(folder: Path, statement: str, *values) -> None:
    db = sqlite3.connect(folder / "ledger.sqlite")
    db.executescript(statement) if not values else db.execute(statement, values)
    db.commit()
    db.close()


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def loosened(folder: Path) -> None:
    """The same rows in tables that take anything, as another program would leave them."""
    change(
        folder,
        "CREATE TABLE t AS SELECT * FROM trials; DROP TABLE trials; ALTER TABLE t RENAME TO trials;",
    )


def test_a_ledger_is_one_file_when_it_is_closed_and_after_every_settling(tmp_path):
    folder = written(tmp_path / "run")
    assert [path.name for path in folder.iterdir()] == ["ledger.sqlite"]
    ledger = Ledger(folder, write=True)
    ledger.append([trial(6), trial(7)])
    ledger.settle()
    for name in ("copied alone", "log deleted"):  # as after a kill: the process still has it open
        (tmp_path / name).mkdir()
        shutil.copy(folder / "ledger.sqlite", tmp_path / name)
        assert len(Ledger(tmp_path / name)) == 8
    ledger.append([trial(8)])  # not settled: only what is in flight is lost without the log
    for name, files, count in (("without", ["ledger.sqlite"], 8), ("with", ["ledger.sqlite", "ledger.sqlite-wal"], 9)):
        (tmp_path / name).mkdir()
        for file in files:
            shutil.copy(folder / file, tmp_path / name)
        assert len(Ledger(tmp_path / name)) == count


FILES = {
    "empty": (lambda path: path.write_bytes(b""), "is empty, and a ledger never is"),
    "no database": (lambda path: path.write_text("no database at all" * 99), "cannot be used as a ledger"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:5000]), "damaged|malformed|cannot be used"),
    "a page of nonsense": (
        lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\xa5" * 4096 + path.read_bytes()[8192:]),
        "damaged|malformed|cannot be used",
    ),
    "a directory": (lambda path: (path.unlink(), path.mkdir()), "is no file"),
    "only the log": (
        lambda path: (path.with_name("ledger.sqlite-wal").write_bytes(b"log"), path.unlink()),
        "is missing, but ledger.sqlite-wal lies there",
    ),
}
TABLES = {
    "no trials": ("DROP TABLE trials", "lacks the table trials"),
    "no run": ("DROP TABLE run", "lacks the table run"),
    "no tables": ("DROP TABLE run; DROP TABLE trials", "lacks the table trials"),
    "no column": ("ALTER TABLE trials DROP COLUMN reward", "lacks columns reward of the table trials"),
    "another database": ("DROP TABLE run; DROP TABLE trials; CREATE TABLE x(y)", "lacks the table trials"),
}


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_and_stays(folder, name, write):
    damage, message = FILES[name]
    damage(folder / "ledger.sqlite")
    path = folder / "ledger.sqlite"
    before = path.read_bytes() if path.is_file() else path.exists()
    with pytest.raises(ValueError, match=f"{folder}/ledger.sqlite .*({message}).*nothing was changed. Take another"):
        Ledger(folder, write=write).check()
    assert (path.read_bytes() if path.is_file() else path.exists()) == before


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_is_missing_is_not_made_anew(folder, name, write):
    statement, message = TABLES[name]
    change(folder, statement)
    before = content(folder)
    with pytest.raises(ValueError, match=message):
        Ledger(folder, write=write)
    assert content(folder)["ledger.sqlite"] == before["ledger.sqlite"]


CELLS = {
    "tokens": ["no JSON", "3", '["a"]', "[1.5]", None, b"\x00"],
    "architecture": ["no JSON", "[1]", "3", None],
    "status": ["wonderful", "", None, 3],
    "score": ["high", "NaN", float("inf"), None, b"\x01"],
    "reward": ["high", None, float("inf"), float("-inf"), b"\x01"],
    "curve": ["no JSON", "3", '["a"]', "[NaN]", None],
    "round": [7, -1, "first", None, 1.5],
    "parameters": [-1, "many", None, 1.5],
    "multiply_adds": [-1, "many", None],
    "seconds": [-1.0, "long", None, float("inf")],
    "places": ["all", None, -3],
    "figures": ["no JSON", "3", '{"a": "b"}', '{"a": NaN}', '{"a": true}', None],
    "reason": [None, b"\x00"],
}


@pytest.mark.parametrize(("column", "value"), [(c, v) for c, values in CELLS.items() for v in values])
def test_a_cell_that_is_no_such_thing_is_named(folder, column, value):
    loosened(folder)
    change(folder, f"UPDATE trials SET {column} = ? WHERE trial_id = 2", value)
    with pytest.raises(
        ValueError, match=f"{folder}/ledger.sqlite is damaged: table trials, trial 2.*nothing was changed"
    ):
        Ledger(folder).check()


ROWS = {
    "an unknown round": ("UPDATE trials SET round = 1 WHERE trial_id = 4", "trial 4 stands in round 1"),
    "a number outside": ("UPDATE trials SET trial_id = 99 WHERE trial_id = 5", "trial 99 stands in round 2"),
    "a gap": ("DELETE FROM trials WHERE trial_id = 2", "lacks trials before trial 3"),
    "no beginning": ("DELETE FROM trials WHERE trial_id < 2", "lacks trials before trial 2"),
    "failed with a score": ("UPDATE trials SET status = 'diverged' WHERE trial_id = 3", "trial 3: score is '0.3'"),
    "no experiment": ("DELETE FROM run", "holds 6 trials, but its table run has no 'configuration'"),
    "a round too many": ('UPDATE run SET value = \'{"children": 2, "rounds": 2}\'', "trial 5 is none of 2 rounds"),
    "no rounds": ("UPDATE run SET value = '{\"children\": 2}'", "trial 5 is none of None rounds"),
    "no children": ("""UPDATE run SET value = '{"rounds": 3}'""", "says no number of children a round"),
    "a fact that is no JSON": ("UPDATE run SET value = '{'", "'configuration' of table run is no JSON"),
    "a negative number": ("UPDATE trials SET trial_id = -1, round = -1 WHERE trial_id = 0", "trial -1: trial_id"),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_belong_to_no_search_are_refused(folder, name):
    statement, message = ROWS[name]
    change(folder, statement)
    before = content(folder)
    with pytest.raises(ValueError, match=message):
        Ledger(folder).check()
    assert content(folder)["ledger.sqlite"] == before["ledger.sqlite"]


@pytest.mark.parametrize("row", range(6))
def test_a_trial_that_is_there_twice_is_named(folder, row):
    loosened(folder)
    change(folder, f"INSERT INTO trials SELECT * FROM trials WHERE trial_id = {row}")
    with pytest.raises(ValueError, match=f"table trials holds trial {row} twice"):
        Ledger(folder).check()


ORIGIN = '{"config": "c.py", "directory": "/", "source": "", "overrides": '
FACTS = {
    "configuration": ["3", "[]", "null"],
    "origin": ["3", "[]", "{}", ORIGIN + "null}", ORIGIN + "[3]}"],
    "measure": ["3", "null", '"colour"', "[]"],
    "about": ["[]", "null", '{"unknown": "much"}', '{"unknown": NaN}'],
    "data": ["[]", "null"],
    "numerics": ["-1", "1.5", "true", "null", '"1"'],
    "finished": ["-1", "1.5", "true", "null"],
    "most_likely": ["{}", "3", "null"],
    "final:0": ["{}", "3", "null"],
}


@pytest.mark.parametrize(("key", "value"), [(key, v) for key, values in FACTS.items() for v in [*values, "[" * 99_999]])
def test_a_fact_of_another_form_is_named(folder, key, value):
    change(folder, "INSERT OR REPLACE INTO run VALUES (?, ?)", key, value)
    with pytest.raises(ValueError, match=f"{folder}/ledger.sqlite is damaged: .*'{key}'.*nothing was changed"):
        Ledger(folder).facts()


def test_facts_as_they_are_recorded_are_good(folder):
    ledger = Ledger(folder, write=True)
    facts = {"origin": None, "about": {}, "measure": "perplexity", "numerics": 3, "finished": 0, "a user's": [1]}
    ledger.record(**facts)
    assert ledger.facts() == facts | {"configuration": CONFIGURATION}
    ledger.record(origin={"config": "c.py", "directory": "/", "source": "", "overrides": ["--seed", "3"]})
    assert ledger.facts()["origin"]["overrides"] == ["--seed", "3"]


@pytest.mark.parametrize("table", ["trials", "run"])
def test_text_that_is_no_utf8_is_damage(folder, table):
    change(folder, f"UPDATE {table} SET {'architecture' if table == 'trials' else 'value'} = CAST(x'7bff7d' AS TEXT)")
    ledger = Ledger(folder)
    with pytest.raises(ValueError, match=f"{folder}/ledger.sqlite is damaged: .*nothing was changed"):
        ledger.check()


def test_a_file_of_the_user_called_as_our_lock_keeps_its_content(tmp_path):
    (tmp_path / "lock").write_text("a user's")
    with locked(tmp_path):
        pass
    assert (tmp_path / "lock").read_text() == "a user's"


@pytest.mark.parametrize("command", ["trials", "show", "final", "export"])
def test_every_command_checks(folder, tmp_path, command, capsys):
    change(folder, "UPDATE trials SET tokens = 'none' WHERE trial_id = 3")
    more = {"show": ["2"], "export": [str(tmp_path / "out")]}.get(command, [])
    assert main([command, str(folder), *more]) == 2
    err = capsys.readouterr().err
    assert f"{folder}/ledger.sqlite is damaged: table trials, trial 3: tokens is 'none', not JSON" in err


def test_what_a_search_may_leave_is_good(folder):
    change(folder, "DELETE FROM trials WHERE trial_id = 4")  # of the last round, whose groups end in any order
    Ledger(folder).check()
    Ledger(folder.parent / "new", write=True).check() if (folder.parent / "new").mkdir() is None else None
    shutil.copytree(folder, folder.parent / "killed")
    (folder.parent / "killed" / "ledger.sqlite.new").write_text("what a kill has left of a beginning")
    Ledger(folder.parent / "killed", write=True).check()


@pytest.mark.parametrize("number", ["99999999999999999999", "-1", "6", str(2**63)])
def test_a_trial_that_is_not_there(folder, number, capsys):
    assert main(["show", str(folder), "--", number]) == 2
    assert f"there is no trial {number}: the ledger holds 6 trials" in capsys.readouterr().err
    assert len(Ledger(folder).top(2**70)) == 5


def as_another_user(function, *arguments) -> str:
    """What the function gives, or its error, in a process of a user who may only read."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setuid(12345)
        try:
            words = str(function(*arguments))
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
        os.write(write, words.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        words = answer.read()
    os.waitpid(child, 0)
    return words


@pytest.fixture
def readable(tmp_path):
    """A ledger that everybody may read, in a directory that only its owner may write."""
    if os.getuid() != 0:
        pytest.skip("only root may become another user")
    for path in (*tmp_path.parents, tmp_path):
        if path.stat().st_mode & 0o005 != 0o005 and path.is_relative_to("/tmp"):
            path.chmod(0o755)
    folder = written(tmp_path / "run")
    folder.chmod(0o755)
    (folder / "ledger.sqlite").chmod(0o644)
    return folder


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_another_user_reads(readable):
    count = lambda: len(Ledger(readable).trials())
    before = content(readable)
    assert as_another_user(count) == "6"
    assert content(readable) == before
    owner = Ledger(readable, write=True)
    owner.append([trial(6)])
    assert as_another_user(count) == "7"  # beside a search that runs, whose index can be read
    copied = readable.parent / "copied"  # both files, while the search runs
    copied.mkdir()
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        shutil.copy(readable / name, copied)
    assert "Copy both files to another directory" in as_another_user(lambda: len(Ledger(copied)))
    assert len(Ledger(copied)) == 7  # by one who may write there
    assert "readonly database" in as_another_user(lambda: Ledger(readable, write=True).record(a=1))


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks(tmp_path, monkeypatch, number):
    def flock(*asked):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(ValueError, match="its file system has no locks .*JAXNAS_NO_LOCK=1"), locked(tmp_path):
        pass
    monkeypatch.setenv(locks.WITHOUT, "1")
    with locked(tmp_path):
        pass


def test_another_error_of_a_lock_is_no_missing_lock(tmp_path, monkeypatch):
    def flock(*asked):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output"), locked(tmp_path):
        pass
