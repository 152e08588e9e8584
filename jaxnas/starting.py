"""Architectures that a search begins with: those of another search, or of a file."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from jaxnas.contracts import check_rows
from jaxnas.decisions import ABSENT, Decisions
from jaxnas.experiment import Experiment, describe
from jaxnas.ledger import FILE, Ledger
from jaxnas.settings import differing
from jaxnas.spaces import Restores, Space, present_columns

UNREADABLE = KeyError, IndexError, TypeError, AttributeError, ValueError
EARLY = "the space grows, and its first round does not have that much"
LONGEST = 100
"""Characters of an entry in a message."""


def known(experiment: Experiment) -> list[list[int]]:
    """The tokens of what ``start_from`` names, different ones, the best or first of them, as many as a round has
    children; none where it names nothing.

    Raises:
        ValueError: nothing there, something that is no list of architectures or tokens, a search of another space or
            without a best trial, or an architecture that the first round cannot have.
    """
    if experiment.start_from is None:
        return []
    place = Path(experiment.start_from)
    found = _of_search(experiment, place) if place.is_dir() else _of_file(experiment.space, place)
    return [list(row) for row in dict.fromkeys(map(tuple, found))][: experiment.children]


def _of_search(experiment: Experiment, place: Path) -> list[list[int]]:
    """Those of the ranked trials of another search, the best first, that the first round may have."""
    ledger = Ledger(place)
    ledger.check()
    recorded = ledger.facts().get("configuration", {}).get("space", {})
    other = differing({"space": recorded}, {"space": describe(experiment.space)})
    if other:
        raise ValueError(f"start_from={place}: that search has another space ({'; '.join(other.values())})")
    best = ledger.top(len(ledger))
    if not best:
        raise ValueError(f"start_from={place}: that search has no trial with a score yet")
    first = len(_first(experiment.space))
    known = [t for t in best if all(token == ABSENT for token in t.tokens[first:])]
    if not known:
        raise ValueError(f"start_from={place}: {EARLY} yet as any trial with a score there: leave it out")
    return [_checked(experiment.space, list(t.tokens), f"start_from={place}: trial {t.trial_id}") for t in known]


def _of_file(space: Space, place: Path) -> list[list[int]]:
    try:
        entries = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = f"cannot be read as JSON ({error}): give a search's directory with a {FILE}, or a JSON file"
        raise ValueError(f"start_from={place} {why}") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"start_from={place}: give a list of architectures, or of lists of tokens, one or more")
    return [_tokens(space, entry, f"start_from={place}: entry {i}") for i, entry in enumerate(entries)]


def _tokens(space: Space, entry: Any, where: str) -> list[int]:
    text = json.dumps(entry)
    where = f"{where}, {text if len(text) <= LONGEST else f'{text[:LONGEST]}...'}"
    if isinstance(entry, list):
        return _checked(space, entry, where)
    if not isinstance(entry, dict) or not isinstance(space, Restores):
        what = "lists of tokens" if not isinstance(space, Restores) else "an architecture or a list of tokens"
        raise ValueError(f"{where}: give {what}")
    try:
        tokens = space.encode(space.restore(entry))
    except UNREADABLE as error:
        lacks = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{where}, is no architecture of {type(space).__name__}: {lacks}") from error
    return _checked(space, np.asarray(tokens).tolist(), where)


def _checked(space: Space, tokens: list, where: str) -> list[int]:
    """Tokens that the first round may have."""
    decisions = space.decisions
    if len(tokens) != len(decisions) or not all(type(token) is int and abs(token) < 2**31 for token in tokens):
        raise ValueError(f"{where}: give {len(decisions)} whole numbers, one for each decision of the space")
    first = _first(space)
    if any(token != ABSENT for token in tokens[len(first) :]):
        raise ValueError(f"{where}: {EARLY} yet")
    check_rows(where, first, np.array([tokens[: len(first)]], np.int32))
    return tokens


def _first(space: Space) -> Decisions:
    """Of the first round."""
    return space.decisions.first(int(present_columns(space, 0).sum()))
