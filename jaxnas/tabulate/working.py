"""The working file of a table: a `Journal` with a line for each group that is trained.

Letters: n rows of a group.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from jaxnas import fingerprint, journal
from jaxnas.journal import Journal
from jaxnas.machine import moved
from jaxnas.outcome import Outcome, Status, Trial

COLUMNS = ("status", "curve", "test", "seconds", "places", "parameters", "multiply_adds", "images")


@contextlib.contextmanager
def opened(path: Path, about: dict, origin: dict, note: Callable[[str], None]) -> Iterator["Working"]:
    """Hold a working file (made if missing) for this process; a kill releases it. One without trainings is removed.

    Args:
        path: where it lies.
        about: what its table is of; another one's is refused.
        origin: where it came from: of ``versions``, ``device`` and ``flags`` a change is noted.
        note: told of them.

    Raises:
        ValueError: another process holds it, it cannot be made, it is another table's, or it is damaged.
    """
    check = partial(_check, architectures=about["architectures"])
    with journal.opened(path, "table", about, check, {"origin": origin}) as kept:
        for line in moved(kept.beside["origin"], origin):
            note(line)
        working = Working(kept)
        try:
            yield working
        finally:
            if working.fresh:  # nothing is lost
                working.remove()


class Working:
    """What has been trained so far, and is kept in a journal."""

    def __init__(self, kept: Journal):
        self.kept = kept
        self._rows: dict[int, dict[int, dict]] = {}
        self._data: dict[int, dict[str, str]] = {}
        for group in kept.results:
            self._add(group)

    @property
    def fresh(self) -> bool:
        """Whether nothing has been trained yet."""
        return not any(self._rows.values())

    def check_data(self, seed: int, found: dict[str, str]) -> None:
        """Note the fingerprint of a seed's data, or raise ValueError where it was another when the seed was begun."""
        if seed in self._data:
            fingerprint.check(self._data[seed], found, self.kept.path)
        else:
            self.kept.append({"seed": seed, "data": found})
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
        self.kept.append(group)
        self._add(group)

    def remove(self) -> None:
        """Its work is done."""
        self.kept.remove()

    def _add(self, group: dict) -> None:
        if "data" in group:
            self._data[group["seed"]] = group["data"]
            return
        for i, row in enumerate(group["rows"]):
            self.rows(group["seed"])[row] = {name: group[name][i] for name in COLUMNS}


def _check(group: dict, architectures: int) -> None:
    """Raises ValueError for a line that says nothing of a seed's data, or of rows of a table of so many."""
    if not (_of_data(group) if group.keys() == {"seed", "data"} else _of_rows(group, architectures)):
        raise ValueError(f"no group of {architectures} architectures: {group}")


def _of_data(group: dict) -> bool:
    return _count(group["seed"]) and isinstance(group["data"], dict)


def _of_rows(group: dict, architectures: int) -> bool:
    if group.keys() != {"seed", "rows", *COLUMNS} or not _count(group["seed"]):
        return False
    lists = [group["rows"], *(group[name] for name in COLUMNS)]
    if not all(isinstance(one, list) and len(one) == len(lists[0]) for one in lists):
        return False
    if not all(_count(row) and row < architectures for row in group["rows"]):
        return False
    if not all(check(value) for name, check in CHECKS.items() for value in group[name]):
        return False
    ended = zip(group["status"], group["curve"], strict=True)
    return all((status == Status.OK.label) == (curve[-1] is not None) for status, curve in ended)


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
