"""The ledger: every trial of a search in one SQLite file, append-only, the truth.

Whatever a search needs to go on is read from here; rows of a group are committed together, so a kill loses at most the
groups in flight. What has been written since the last `Ledger.settle` lies in a second file, ``ledger.sqlite-wal``.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from jaxnas.ledger_rows import COLUMNS, CONFIGURATION, LATER, check_fact, check_rounds, row_of, trial_of
from jaxnas.outcome import RANKED, Measure, Trial

FILE = "ledger.sqlite"
SCHEMA = """
CREATE TABLE trials(
    trial_id INTEGER PRIMARY KEY, round INTEGER NOT NULL, tokens TEXT NOT NULL, architecture TEXT NOT NULL,
    status TEXT NOT NULL, score REAL, reward REAL NOT NULL, curve TEXT NOT NULL, parameters INTEGER NOT NULL,
    multiply_adds INTEGER NOT NULL, seconds REAL NOT NULL, places INTEGER NOT NULL,
    figures TEXT NOT NULL, reason TEXT NOT NULL, copied_from INTEGER);
CREATE TABLE run(key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
TABLES = {"trials": COLUMNS, "run": ("key", "value")}
REMEDY = f"nothing was changed. Take another copy ({FILE}, with {FILE}-wal if there is one), or another directory"
MOST = 2**63 - 1
"""The greatest integer of SQLite."""


class Ledger:
    """Trials and run facts of one directory.

    Args:
        workdir: the directory.
        write: make the file where there is none. Without it the file is opened read-only, also beside a running search,
            on read-only media and as another user. One of an earlier version gets the columns that it lacks where it is
            opened for writing, and is read as if it had them where it is not.

    Raises:
        ValueError: no ledger here (read-only), or the file is none: it is empty, damaged or lacks a table. It stays as
            it is, and no other is begun in its place.
    """

    def __init__(self, workdir: Path, write: bool = False):
        self.path = Path(workdir) / FILE
        self._check_file(write)
        if not self.path.exists():
            self._make()
        try:
            self._db = self._opened(write)
            self._check_tables(write)
            self._columns = self._complete(write)
        except sqlite3.DatabaseError as error:
            if write and isinstance(error, sqlite3.OperationalError):
                raise  # a full disk, say
            raise self._damaged(f"cannot be used as a ledger ({error})") from error

    def close(self) -> None:
        """Afterwards all is in the one file, unless another process reads it."""
        self._db.close()

    def settle(self) -> None:
        """Bring all that was written into the one file: whoever copies that alone has everything."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def check(self) -> None:
        """Raises ValueError where trials do not belong to the search whose configuration is recorded."""
        trials = self.trials()
        if trials:
            facts = self.facts()
            if CONFIGURATION not in facts:
                raise self._damaged(f"holds {len(trials)} trials, but its table run has no {CONFIGURATION!r}")
            with self._naming():
                check_rounds(trials, facts[CONFIGURATION])

    def append(self, trials: Iterable[Trial], **facts) -> None:
        """Commit trials together, and facts with them. A trial that is there already is an error of the caller
        (sqlite3.IntegrityError).
        """
        marks = ", ".join("?" * len(COLUMNS))
        with self._db:
            insert = f"INSERT INTO trials ({', '.join(COLUMNS)}) VALUES ({marks})"
            self._db.executemany(insert, [row_of(t) for t in trials])
            self._write(facts)

    def trials(self, ids: range | None = None) -> list[Trial]:
        """All trials, or those of consecutive ids, in their order. Raises ValueError where one is damaged."""
        # by id, for which there is an index: a look at all rows in each round would be slow where there are many rounds
        where, values = ("", ()) if ids is None else ("WHERE trial_id >= ? AND trial_id < ?", (ids.start, ids.stop))
        return self._select(f"{where} ORDER BY trial_id", values)

    def top(self, count: int) -> list[Trial]:
        """The best trials in the order of `Trial.rank`. Failed and infeasible ones are never among them."""
        marks = ", ".join("?" * len(RANKED))
        order = f"WHERE status IN ({marks}) ORDER BY reward DESC, score DESC, trial_id LIMIT ?"
        return self._select(order, (*RANKED, min(count, MOST)))

    def trial(self, trial_id: int) -> Trial:
        """One trial. Raises ValueError where there is none."""
        found = self._select("WHERE trial_id = ?", (trial_id,)) if 0 <= trial_id <= MOST else []
        if not found:
            raise ValueError(f"there is no trial {trial_id}: the ledger holds {len(self)} trials, numbered from 0")
        return found[0]

    def __len__(self) -> int:
        with self._naming():
            return self._db.execute("SELECT count(*) FROM trials").fetchone()[0]

    def facts(self) -> dict:
        """The run table: configuration, seed, versions, device and what else was recorded."""
        with self._naming():
            rows = self._db.execute("SELECT key, value FROM run").fetchall()
        return {key: self._fact(key, value) for key, value in rows}

    @property
    def measure(self) -> Measure:
        """How the scores of this search are read."""
        return Measure(self.facts().get("measure", Measure.SCORE))

    @property
    def unknown(self) -> float:
        """Share of the held-out text that is <unk>; 0 where there is no text."""
        return self.facts().get("about", {}).get("unknown", 0.0)

    def record(self, **facts) -> None:
        """Write facts; a known one is replaced."""
        with self._db:
            self._write(facts)

    def _write(self, facts: dict) -> None:
        rows = [(key, json.dumps(value)) for key, value in facts.items()]
        self._db.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", rows)

    def _fact(self, key: str, value: object):
        try:
            known = json.loads(value)
        except (ValueError, TypeError, RecursionError) as error:
            raise self._damaged(f"is damaged: {key!r} of table run is no JSON ({str(value)[:60]!r})") from error
        with self._naming():
            check_fact(key, known)
        return known

    def _select(self, rest: str, values: tuple) -> list[Trial]:
        with self._naming(), closing(self._db.execute(f"SELECT {self._columns} FROM trials {rest}", values)) as rows:
            return [trial_of(row) for row in rows]

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """What is wrong inside is said with the file's name, and what to do."""
        try:
            yield
        except sqlite3.OperationalError:
            raise  # a disk that fails, another process that is slow
        except (ValueError, sqlite3.DatabaseError) as error:
            raise self._damaged(f"is damaged: {error}") from error

    def _damaged(self, what: str) -> ValueError:
        return ValueError(f"{self.path} {what}: {REMEDY}")

    def _check_file(self, write: bool) -> None:
        """Raises ValueError for a file that is missing or empty, though something was there."""
        log = self.path.with_name(f"{FILE}-wal")
        if not self.path.is_file():
            if self.path.exists():
                raise self._damaged("is no file")
            if log.exists() and log.stat().st_size:
                raise self._damaged(f"is missing, but {log.name} lies there: they belong together")
            if not write:
                raise ValueError(f"{self.path.parent} has no {FILE}: it is no directory of a search")
        elif self.path.stat().st_size == 0:
            raise self._damaged("is empty, and a ledger never is")

    def _make(self) -> None:
        """A new file, which appears with its tables in it."""
        new = self.path.with_name(f"{FILE}.new")
        for path in (new, new.with_name(f"{new.name}-wal"), new.with_name(f"{new.name}-shm")):
            path.unlink(missing_ok=True)  # what a kill has left
        with closing(sqlite3.connect(new)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(SCHEMA)
        new.rename(self.path)

    def _opened(self, write: bool) -> sqlite3.Connection:
        uri = self.path.absolute().as_uri()
        if write:
            return self._connected(f"{uri}?mode=rw")
        try:
            return self._connected(f"{uri}?mode=ro")
        except sqlite3.OperationalError as error:  # SQLite wants a place for its index, even to read
            log = self.path.with_name(f"{FILE}-wal")
            if os.access(self.path.parent, os.W_OK) or not os.access(self.path, os.R_OK):
                raise
            if log.exists() and log.stat().st_size:
                raise ValueError(
                    f"{self.path} cannot be read here: a part of it lies in {log.name}, and the directory cannot be "
                    "written to. Copy both files to another directory and read them there, or let their owner go on "
                    "with the search, which brings them into one file"
                ) from error
            return self._connected(f"{uri}?mode=ro&immutable=1")

    def _connected(self, uri: str) -> sqlite3.Connection:
        db = sqlite3.connect(uri, uri=True, timeout=30)
        db.text_factory = bytes.decode  # what is no UTF-8 is damage, not a failing disk
        db.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # opens the file
        return db

    def _check_tables(self, write: bool) -> None:
        """Raises ValueError where a table or a column is missing, sqlite3.DatabaseError where pages are damaged."""
        for table, columns in TABLES.items():
            found = self._found(table)
            missing = [column for column in columns if column not in found and not (found and column in LATER)]
            if missing:
                what = f"columns {', '.join(missing)} of the table {table}" if found else f"the table {table}"
                raise self._damaged(f"lacks {what}")
        if write:
            [state] = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if state != "ok":
                raise self._damaged(f"is damaged ({' '.join(state.split())[:200]})")
            self._db.execute("PRAGMA journal_mode=WAL")

    def _complete(self, write: bool) -> str:
        """What is selected of a trial, in SQL. Columns that an earlier version lacked are added, or read as empty."""
        missing = LATER.keys() - self._found("trials")
        if write:
            with self._db:
                for column in (name for name in LATER if name in missing):
                    kind = "INTEGER" if LATER[column] == "NULL" else f"TEXT NOT NULL DEFAULT {LATER[column]}"
                    self._db.execute(f"ALTER TABLE trials ADD COLUMN {column} {kind}")
            missing = set()
        return ", ".join(f"{LATER[c]} AS {c}" if c in missing else c for c in COLUMNS)

    def _found(self, table: str) -> set[str]:
        """The columns that the file has."""
        return {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}
