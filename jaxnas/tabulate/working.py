"""The working file of a table: a line of JSON for each group that is trained, on the disk before the next one begins.

The first line says what the table is of. A line that a kill or a full disk has torn is dropped.

Letters: n rows of a group.
"""

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from jaxnas import fingerprint
from jaxnas.locks import hold
from jaxnas.machine import moved
from jaxnas.outcome import Outcome, Status, Trial
from jaxnas.settings import differing

COLUMNS = ("status", "curve", "test", "seconds", "places", "parameters", "multiply_adds", "images")
HEAD = b'{"about": '
"""How a working file begins."""


@contextlib.contextmanager
def opened(path: Path, about: dict, origin: dict, note: Callable[[str], None]) -> Iterator["Working"]:
    """Hold a working file (made if missing) for this process; a kill releases it.

    Args:
        path: where it lies.
        about: what its table is of; another one's is refused.
        origin: where it came from: of ``versions``, ``device`` and ``flags`` a change is noted.
        note: told of them.

    Raises:
        ValueError: another process holds it, it cannot be made, it is another table's, or it is damaged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror}): give another place") from error
    with file:
        hold(file, f"another process writes {path}: wait for it, or give another file")
        working = Working(path, file)
        try:
            working.begin(about, origin, note)
            yield working
        finally:
            if working.fresh:  # nothing is lost
                working.remove()


class Working:
    """What has been trained so far.

    Args:
        path: of the file.
        file: the same, open for reading and appending, without a buffer.
    """

    def __init__(self, path: Path, file):
        self.path, self.file, self.fresh = path, file, False
        self._rows: dict[int, dict[int, dict]] = {}
        self._data: dict[int, dict[str, str]] = {}

    def begin(self, about: dict, origin: dict, note: Callable[[str], None]) -> None:
        """Read what is there, or write the first line. What is not ours stays as it is."""
        self.file.seek(0)
        whole, newline, torn = self.file.read().rpartition(b"\n")
        lines = [self._parsed(line, number) for number, line in enumerate(whole.splitlines(), 1)]
        if not lines and torn and not torn.startswith(HEAD[: len(torn)]):
            raise self._foreign()
        first = lines[0] if lines else {"about": about, "origin": origin}
        if not (isinstance(first, dict) and first.keys() == {"about", "origin"}):
            raise self._foreign()
        if not all(isinstance(part, dict) for part in first.values()):
            raise self._foreign()
        if len(lines) < 2:  # nothing has been trained yet
            self.file.truncate(0)
            self._write({"about": about, "origin": origin})
            self.fresh = True
            return
        groups = lines[1:]
        changed = differing(first["about"], about)
        if changed:
            raise ValueError(
                f"{self.path} holds another table:\n  "
                + "\n  ".join(changed.values())
                + "\ngive the old settings, or another file, or move that one away"
            )
        for line in moved(first["origin"], origin):
            note(line)
        for number, group in enumerate(groups, 2):
            self._check(group, number, about)
            self._add(group)
        self.fresh = not self._rows
        self.file.truncate(len(whole) + len(newline))

    def check_data(self, seed: int, found: dict[str, str]) -> None:
        """Note the fingerprint of a seed's data, or raise ValueError where it was another when the seed was begun."""
        if seed in self._data:
            fingerprint.check(self._data[seed], found, self.path)
        else:
            self._write({"seed": seed, "data": found})
            self._data[seed] = found

    def rows(self, seed: int) -> dict[int, dict]:
        """The trainings of one seed by row: status, curve, test, seconds, places, parameters, multiply_adds, images."""
        return self._rows.setdefault(seed, {})

    def trials(self, seed: int, rows: Int[np.ndarray, " n"]) -> dict[int, Trial]:
        """Those of some rows that are there, as an evaluator takes them."""
        known = self.rows(seed)
        return {row: _trial(row, known[row]) for row in rows.tolist() if row in known}

    def append(
        self,
        seed: int,
        rows: Int[np.ndarray, " n"],
        outcome: Outcome,
        tests: Float[np.ndarray, " n"],
        images: int,
    ) -> None:
        """Write a group's trainings to the disk.

        Args:
            seed: which, from 0.
            rows: of the table.
            outcome: the group's.
            tests: its test scores, NaN where a child failed.
            images: that each child was trained on, all epochs together.

        Raises:
            OSError: the disk is full, say.
        """
        ok = outcome.status == Status.OK
        group = {
            "seed": seed,
            "rows": rows.tolist(),
            "status": [Status(status).label for status in outcome.status],
            "curve": [_plain(curve) for curve in outcome.curve],
            "test": _plain(np.where(ok, tests, np.nan)),
            "seconds": outcome.seconds.tolist(),
            "places": outcome.places.tolist(),
            "parameters": outcome.parameters.tolist(),
            "multiply_adds": outcome.multiply_adds.tolist(),
            "images": [images] * len(rows),
        }
        self._write(group)
        self._add(group)

    def remove(self) -> None:
        """Its work is done."""
        self.path.unlink(missing_ok=True)

    def _parsed(self, line: bytes, number: int):
        try:
            return json.loads(line)
        except ValueError as error:
            if number == 1:
                raise self._foreign() from error
            raise self._damaged(number) from error

    def _check(self, group, number: int, about: dict) -> None:
        """Raises ValueError for a line that says nothing of rows of this table."""
        if isinstance(group, dict) and group.keys() == {"seed", "data"}:
            if not (_count(group["seed"]) and isinstance(group["data"], dict)):
                raise self._damaged(number)
            return
        if not isinstance(group, dict) or group.keys() != {"seed", "rows", *COLUMNS}:
            raise self._damaged(number)
        lists = [group["rows"], *(group[name] for name in COLUMNS)]
        if not all(isinstance(one, list) and len(one) == len(lists[0]) for one in lists):
            raise self._damaged(number)
        if not all(_count(row) and row < about["architectures"] for row in group["rows"]):
            raise self._damaged(number)
        good = all(check(value) for name, check in CHECKS.items() for value in group[name])
        if not (_count(group["seed"]) and good):
            raise self._damaged(number)
        ended = zip(group["status"], group["curve"], strict=True)
        if any((status == Status.OK.label) == (curve[-1] is None) for status, curve in ended):
            raise self._damaged(number)

    def _damaged(self, number: int) -> ValueError:
        return ValueError(f"line {number} of {self.path} is damaged: move that file away, and begin anew")

    def _foreign(self) -> ValueError:
        return ValueError(f"{self.path} is no working file of a table: move it away, or give another name")

    def _write(self, values: dict) -> None:
        line = memoryview(json.dumps(values).encode() + b"\n")
        while line:
            line = line[self.file.write(line) :]
        os.fsync(self.file.fileno())

    def _add(self, group: dict) -> None:
        if "data" in group:
            self._data[group["seed"]] = group["data"]
            return
        self.fresh = False
        for i, row in enumerate(group["rows"]):
            self.rows(group["seed"])[row] = {name: group[name][i] for name in COLUMNS}


def _count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _known(value) -> bool:
    """A number, or None: a child that failed has none."""
    return value is None or _number(value)


CHECKS = {
    "status": lambda value: value in [status.label for status in Status],
    "curve": lambda value: isinstance(value, list) and len(value) > 0 and all(map(_known, value)),
    "test": _known,
    "seconds": lambda value: _number(value) and value >= 0,
    "places": _count,
    "parameters": _count,
    "multiply_adds": _count,
    "images": _count,
}
"""What each value of a group must be, by its name."""


def _plain(numbers) -> list[float | None]:
    """NaN as None."""
    return [None if np.isnan(number) else float(number) for number in numbers]


def _trial(row: int, known: dict) -> Trial:
    """What evaluators read of a finished trial: status, curve and places."""
    curve = tuple(known["curve"])
    costs = known["parameters"], known["multiply_adds"], known["seconds"], known["places"]
    return Trial(row, 0, (), {}, known["status"], curve[-1], 0.0, curve, *costs)
