"""What a strategy and an evaluator answer is held against what they have promised, before anything depends on it.

A class of the user's own learns here, in one line, what is missing. Only what lies on the host is looked at, once a
round.

Letters: N samples, T decisions, E epochs.
"""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from jaxnas.decisions import ABSENT, Decisions
from jaxnas.outcome import Outcome, Status
from jaxnas.strategies import is_jittable

LEAVES = jax.Array | np.ndarray | np.generic | numbers.Number
"""Of a state, and of figures."""
ROWS = ("status", "score", "curve", "seconds", "places", "parameters", "multiply_adds", "architectures")
"""Of an outcome, what has one row a child."""
OPTIONAL = ("figures", "reasons")
"""Likewise, or nothing at all."""
COUNTS = ("places", "parameters", "multiply_adds")


def checked_state(strategy: Any, state: Any) -> Any:
    """A strategy's state.

    Raises:
        ValueError: it is to be compiled, and the state is no pytree of arrays and numbers.
    """
    if not is_jittable(strategy):
        return state
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if not isinstance(leaf, LEAVES):
            where = jax.tree_util.keystr(path)
            raise ValueError(
                f"the state of {_name(strategy)} is no pytree of arrays: state{where} is a {_name(leaf)}. Keep "
                "arrays and numbers in tuples, dicts or a class that jax.tree_util.register_dataclass knows, or say "
                "jittable: ClassVar[bool] = False in the class"
            )
    return state


def checked_tokens(strategy: Any, decisions: Decisions, tokens: Any, n: int) -> Int[np.ndarray, "N T"]:
    """Tokens that a strategy proposes, int32.

    Raises:
        ValueError: not n rows of T integers, a token that is no value of its decision, or one where the decision does
            not exist, or none where it does.
    """
    name, given = f"{_name(strategy)}.propose", np.asarray(tokens)
    if given.shape != (n, len(decisions)):
        raise ValueError(
            f"{name} gave an array of shape {list(given.shape)}: expected [n, T] = [{n}, {len(decisions)}], a row for "
            "each sample and a column for each decision"
        )
    if given.dtype.kind not in "iu":
        raise ValueError(f"{name} gave tokens of type {given.dtype}: expected int32, such as tokens.astype(jnp.int32)")
    check_rows(name, decisions, given)
    return given.astype(np.int32)


def check_rows(name: str, decisions: Decisions, given: Int[np.ndarray, "N T"]) -> None:
    """Raises ValueError where rows of tokens are none of these decisions: ``name`` gave them."""
    exists = _existing(decisions, given)
    for t, choice in enumerate(decisions.choices):
        column, present = given[:, t], exists[:, t]
        beyond = present & ((column >= choice.size) | (column < ABSENT))
        if beyond.any():
            raise ValueError(
                f"{name} gave token {column[beyond][0]} for decision {choice.name!r} in column {t}: its values are 0 "
                f"to {choice.size - 1}"
            )
        if (present & (column == ABSENT)).any():
            raise ValueError(
                f"{name} gave -1 for decision {choice.name!r} in column {t} where it exists: -1 is for decisions that "
                "do not, and decisions.without_absent(tokens) marks them"
            )
        if (~present & (column != ABSENT)).any():
            wrong = column[~present & (column != ABSENT)][0]
            raise ValueError(
                f"{name} gave token {wrong} for decision {choice.name!r} in column {t} where it does not exist, after "
                "what was decided before: decisions.without_absent(tokens) marks what does not exist with -1"
            )


def _existing(decisions: Decisions, tokens: np.ndarray) -> np.ndarray:
    """Which decisions exist after those before them, bool ``[N, T]``."""
    exists = np.ones(tokens.shape, bool)
    for t, choice in enumerate(decisions.choices):
        for column, allowed in choice.when:
            exists[:, t] &= exists[:, column] & np.isin(tokens[:, column], allowed)
    return exists


def checked_update(strategy: Any, answer: Any) -> tuple[Any, dict[str, Any]]:
    """State and figures by name that a strategy's ``update`` gives; also where they are traced, and have no values.

    Raises:
        ValueError: something else, or a state that `checked_state` refuses.
    """
    name = f"{_name(strategy)}.update"
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise ValueError(f"{name} gave a {_name(answer)}: expected the pair (state, metrics), metrics being a dict")
    state, metrics = answer
    if not isinstance(metrics, Mapping):
        raise ValueError(f"{name} gave metrics of type {_name(metrics)}: expected a dict, name -> number")
    for key, value in metrics.items():
        if not isinstance(value, LEAVES):
            raise ValueError(f"{name}: metric {key!r} is {_short(value)}: expected a number, such as rewards.mean()")
    return checked_state(strategy, state), {str(key): value for key, value in metrics.items()}


def checked_metrics(strategy: Any, metrics: Mapping[str, Any]) -> dict[str, float]:
    """Figures of a round as numbers.

    Raises:
        ValueError: one is an array of several.
    """
    return {key: _number(f"{_name(strategy)}.update: metric {key!r}", value) for key, value in metrics.items()}


def _number(what: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} is {_short(value)}: expected a single number, such as rewards.mean()") from error


def checked_outcome(evaluate: Any, answer: Any, n: int) -> tuple[list[int], Outcome]:
    """What an evaluator yields: rows of n, and their outcome.

    Raises:
        ValueError: something else, an array without a row for each child, values that mean nothing.
    """
    name = _name(evaluate)
    if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], Outcome)):
        raise ValueError(
            f"{name} yielded a {_name(answer)}: expected the pair (rows, Outcome), rows of the tokens given"
        )
    rows, outcome = [int(row) for row in answer[0]], answer[1]
    if len(set(rows)) < len(rows) or not all(0 <= row < n for row in rows):
        raise ValueError(f"{name} yielded rows {_short(rows)}: expected some of 0 to {n - 1}, each once")
    for field in (*ROWS, *(field for field in OPTIONAL if getattr(outcome, field))):
        value = getattr(outcome, field)
        length = len(value) if isinstance(value, Sequence) else (np.shape(value) or (None,))[0]
        if length != len(rows) or (field == "curve" and np.ndim(value) != 2):
            wanted = f"[{len(rows)}, E]" if field == "curve" else f"{len(rows)} values"
            given = length if isinstance(value, Sequence) else list(np.shape(value))
            raise ValueError(f"{name}: Outcome.{field} has shape {given} for {len(rows)} children: expected {wanted}")
    _check_values(name, outcome)
    return rows, outcome


def _check_values(name: str, outcome: Outcome) -> None:
    known = {int(s): s for s in Status if s != Status.INFEASIBLE}
    for status, score in zip(np.asarray(outcome.status).tolist(), np.asarray(outcome.score).tolist(), strict=True):
        if status not in known:
            raise ValueError(f"{name}: Outcome.status holds {status}: expected values of jaxnas.outcome.Status")
        if not known[status].failed and not np.isfinite(score):
            raise ValueError(
                f"{name}: a child with status {known[status].label} has score {score}: a child that failed has "
                "Status.DIVERGED, every other one a finite score"
            )
    for field in COUNTS:
        if not np.issubdtype(np.asarray(getattr(outcome, field)).dtype, np.integer):
            raise ValueError(f"{name}: Outcome.{field} holds {_short(getattr(outcome, field))}: expected integers")
    for field in (*COUNTS, "seconds"):
        values = np.asarray(getattr(outcome, field))
        if not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError(f"{name}: Outcome.{field} holds {_short(values.tolist())}: expected finite numbers from 0")
    for found in outcome.figures:
        for key, value in found.items():
            if not (isinstance(key, str) and isinstance(value, float) and np.isfinite(value)):
                figure = f"{key!r}: {_short(value)}"
                raise ValueError(f"{name}: Outcome.figures holds {figure}: expected finite floats by name")
    for architecture in outcome.architectures:
        if not isinstance(architecture, dict):
            raise ValueError(
                f"{name}: Outcome.architectures holds {_short(architecture)}: expected a dict of JSON values"
            )


def _name(value: Any) -> str:
    return type(value).__name__


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
