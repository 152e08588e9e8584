"""Rows of the ledger's table of trials: written and read, and held against what a trial is."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from itertools import pairwise

from jaxnas.outcome import Measure, Status, Trial

COLUMNS = tuple(f.name for f in fields(Trial))
AS_JSON = ("tokens", "architecture", "curve", "figures")
LATER = {"figures": "'{}'", "reason": "''", "copied_from": "NULL"}
"""Columns that ledgers of earlier versions lack, and what their trials have there, in SQL."""
CONFIGURATION = "configuration"
STATUS = {status.label: status for status in Status}


def row_of(trial: Trial) -> tuple:
    """A trial as SQLite keeps it."""
    values = zip(COLUMNS, astuple(trial), strict=True)
    return tuple(json.dumps(v) if name in AS_JSON else v for name, v in values)


def trial_of(row: tuple) -> Trial:
    """A row as a trial. Raises ValueError where it is none, with table, trial and column."""
    values = dict(zip(COLUMNS, row, strict=True))
    for name in AS_JSON:
        try:
            values[name] = json.loads(values[name])
        except (ValueError, TypeError, RecursionError) as error:
            raise _wrong(row, name, "JSON", values[name]) from error
    for name, (good, what) in RULES.items():
        if not good(values[name]):
            raise _wrong(row, name, what, values[name])
    if STATUS[values["status"]].failed != (values["score"] is None) and values["status"] != Status.INFEASIBLE.label:
        raise _wrong(row, "score", f"what a child of status {values['status']} has", values["score"])
    if values["copied_from"] is not None and values["copied_from"] >= values["trial_id"]:
        raise _wrong(row, "copied_from", "an earlier trial", values["copied_from"])
    return Trial(**values | {"tokens": tuple(values["tokens"]), "curve": tuple(values["curve"])})


def check_rounds(trials: Sequence[Trial], configuration: Mapping) -> None:
    """Raises ValueError where trials, in the order of their ids, are not those of rounds of a search: each round but
    the last is whole.
    """
    children = configuration.get("children") if isinstance(configuration, Mapping) else None
    if not (_whole(children) and children >= 1):
        raise ValueError(f"{CONFIGURATION!r} of table run says no number of children a round")
    for before, trial in pairwise(trials):
        if before.trial_id == trial.trial_id:
            raise ValueError(f"table trials holds trial {trial.trial_id} twice")
    for trial in trials:
        if trial.round != trial.trial_id // children:
            raise ValueError(
                f"table trials, trial {trial.trial_id} stands in round {trial.round}, and with {children} children a "
                f"round it is one of round {trial.trial_id // children}"
            )
    rounds, last = configuration.get("rounds"), trials[-1].round
    if not (_whole(rounds) and last < rounds):
        raise ValueError(f"table trials, trial {trials[-1].trial_id} is none of {rounds} rounds of {children} children")
    before = [trial.trial_id for trial in trials if trial.round < last]
    gap = next((b for a, b in pairwise([-1, *before, last * children]) if b != a + 1), None)
    if gap is not None:
        raise ValueError(f"table trials lacks trials before trial {gap}, though a later round has begun")


def check_fact(key: str, value: object) -> None:
    """Raises ValueError where a known fact of the table run has another form than the one it is recorded in."""
    good, what = FACTS.get(key.partition(":")[0], ANY)
    if not good(value):
        raise ValueError(f"table run: {key!r} is {str(value)[:60]!r}, not {what}")


def _wrong(row: tuple, column: str, wanted: str, found: object) -> ValueError:
    return ValueError(f"table trials, trial {row[0]}: {column} is {str(found)[:60]!r}, not {wanted}")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


COUNT = (lambda value: _whole(value) and value >= 0, "a number from 0")
RULES = {
    "trial_id": COUNT,
    "round": COUNT,
    "tokens": (lambda value: isinstance(value, list) and all(map(_whole, value)), "a list of integers"),
    "architecture": (lambda value: isinstance(value, dict), "a JSON object"),
    "status": (lambda value: value in STATUS, f"one of {', '.join(STATUS)}"),
    "score": (lambda value: value is None or _number(value), "a finite number"),
    "reward": (_number, "a finite number"),
    "curve": (lambda v: isinstance(v, list) and all(x is None or _number(x) for x in v), "a list of numbers"),
    "parameters": COUNT,
    "multiply_adds": COUNT,
    "seconds": (lambda value: _number(value) and value >= 0, "a number from 0"),
    "places": COUNT,
    "figures": (lambda v: isinstance(v, dict) and all(map(_number, v.values())), "an object of numbers"),
    "reason": (lambda value: isinstance(value, str), "a text"),
    "copied_from": (lambda value: value is None or COUNT[0](value), "null or a number from 0"),
}
"""What each column must be, and how that is called."""


def _origin(value: object) -> bool:
    """As `jaxnas.search` records it: null, or where the config came from."""
    if not isinstance(value, dict):
        return value is None
    texts, typed = [value.get(name) for name in ("config", "directory", "source")], value.get("overrides")
    return all(isinstance(text, str) for text in (*texts, *(typed if isinstance(typed, list) else [None])))


def _about(value: object) -> bool:
    return isinstance(value, dict) and _number(value.get("unknown", 0.0))


OBJECT = (lambda value: isinstance(value, dict), "a JSON object")
ANY = (lambda value: True, "")


def _stopped(value: object) -> bool:
    """As `jaxnas.search` records it: null, or after how many rounds and why."""
    return value is None or (
        isinstance(value, dict) and COUNT[0](value.get("rounds")) and isinstance(value.get("reason"), str)
    )


FACTS = {
    CONFIGURATION: OBJECT,
    "data": OBJECT,
    "about": (_about, "what is said of data"),
    "measure": (lambda value: value in list(Measure), f"one of {', '.join(Measure)}"),
    "numerics": COUNT,
    "finished": COUNT,
    "ran": (lambda value: _number(value) and value >= 0, "seconds"),
    "started_from": (lambda v: isinstance(v, list) and all(map(RULES["tokens"][0], v)), "lists of tokens"),
    "stopped": (_stopped, "null, or rounds and a reason"),
    "origin": (_origin, "a config with its directory, source and overrides"),
    "most_likely": (lambda v: isinstance(v, dict) and {"rounds", "architecture"} <= v.keys(), "an architecture"),
    "final": (lambda value: isinstance(value, dict) and "test_score" in value, "the result of a final training"),
}
"""What each known fact must be, by the part of its name before a colon, and how that is called."""
