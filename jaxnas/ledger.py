"""The ledger: every trial of a search in one SQLite file, append-only, the truth.

Whatever a search needs to go on is read from here; rows of a group are committed together, so a kill loses at most the
groups in flight.
"""

import fcntl
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, fields
from pathlib import Path

from jaxnas.outcome import RANKED, Measure, Trial

FILE = "ledger.sqlite"
LOCK = "lock"
SCHEMA = """
CREATE TABLE IF NOT EXISTS trials(
    trial_id INTEGER PRIMARY KEY, round INTEGER NOT NULL, tokens TEXT NOT NULL, architecture TEXT NOT NULL,
    status TEXT NOT NULL, score REAL, reward REAL NOT NULL, curve TEXT NOT NULL, parameters INTEGER NOT NULL,
    multiply_adds INTEGER NOT NULL, seconds REAL NOT NULL, places INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS run(key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
COLUMNS = tuple(f.name for f in fields(Trial))
AS_JSON = ("tokens", "architecture", "curve")


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Hold a directory (made if missing) for this process; a kill releases it.

    Raises:
        ValueError: another process holds it, or it cannot be made.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / LOCK).open("w")
    except OSError as error:
        raise ValueError(f"{workdir} cannot be written to ({error.strerror}): give another directory") from error
    with file:
        hold(file, f"another process works in {workdir}: wait for it, or give another directory")
        yield


def hold(file, busy: str) -> None:
    """Lock an open file for this process until it is closed; raises ValueError(busy) where another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(busy) from error


class Ledger:
    """Trials and run facts of one directory.

    Args:
        workdir: the directory.
        write: make the file where there is none. Without it the file is opened read-only, also beside a running search.

    Raises:
        ValueError: no ledger here (read-only), or the file is not one.
    """

    def __init__(self, workdir: Path, write: bool = False):
        self.path = Path(workdir) / FILE
        if not write and not self.path.is_file():
            raise ValueError(f"{workdir} has no {FILE}: it is no directory of a search")
        try:
            uri = f"{self.path.absolute().as_uri()}?mode={'rwc' if write else 'ro'}"
            self._db = sqlite3.connect(uri, uri=True, timeout=30)
            if write:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.executescript(SCHEMA)
            self._db.execute(f"SELECT {', '.join(COLUMNS)} FROM trials LIMIT 1")
        except sqlite3.DatabaseError as error:
            if write and isinstance(error, sqlite3.OperationalError):
                raise  # a full disk, say
            raise ValueError(f"{self.path} cannot be used as a ledger ({error})") from error

    def close(self) -> None:
        self._db.close()

    def append(self, trials: Iterable[Trial]) -> None:
        """Commit trials together. A trial that is there already is an error of the caller (sqlite3.IntegrityError)."""
        marks = ", ".join("?" * len(COLUMNS))
        with self._db:
            self._db.executemany(f"INSERT INTO trials VALUES ({marks})", [_row(t) for t in trials])

    def trials(self, round: int | None = None) -> list[Trial]:
        """All trials, or those of one round, in the order of their ids."""
        where, values = ("", ()) if round is None else ("WHERE round = ?", (round,))
        return self._select(f"{where} ORDER BY trial_id", values)

    def top(self, count: int) -> list[Trial]:
        """The best trials in the order of `Trial.rank`. Failed and infeasible ones are never among them."""
        marks = ", ".join("?" * len(RANKED))
        order = f"WHERE status IN ({marks}) ORDER BY reward DESC, score DESC, trial_id LIMIT ?"
        return self._select(order, (*RANKED, count))

    def trial(self, trial_id: int) -> Trial:
        """One trial. Raises ValueError where there is none."""
        found = self._select("WHERE trial_id = ?", (trial_id,))
        if not found:
            raise ValueError(f"there is no trial {trial_id}: the ledger holds {len(self)} trials, numbered from 0")
        return found[0]

    def __len__(self) -> int:
        return self._db.execute("SELECT count(*) FROM trials").fetchone()[0]

    def facts(self) -> dict:
        """The run table: configuration, seed, versions, device and what else was recorded."""
        return {key: json.loads(value) for key, value in self._db.execute("SELECT key, value FROM run")}

    @property
    def measure(self) -> Measure:
        """How the scores of this search are read."""
        return Measure(self.facts().get("measure", Measure.SCORE))

    def record(self, **facts) -> None:
        """Write facts; a known one is replaced."""
        with self._db:
            rows = [(key, json.dumps(value)) for key, value in facts.items()]
            self._db.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", rows)

    def _select(self, rest: str, values: tuple) -> list[Trial]:
        with closing(self._db.execute(f"SELECT {', '.join(COLUMNS)} FROM trials {rest}", values)) as rows:
            return [_trial(row) for row in rows]


def _row(trial: Trial) -> tuple:
    values = zip(COLUMNS, astuple(trial), strict=True)
    return tuple(json.dumps(v) if name in AS_JSON else v for name, v in values)


def _trial(row: tuple) -> Trial:
    values = {name: json.loads(v) if name in AS_JSON else v for name, v in zip(COLUMNS, row, strict=True)}
    return Trial(**values | {"tokens": tuple(values["tokens"]), "curve": tuple(values["curve"])})
