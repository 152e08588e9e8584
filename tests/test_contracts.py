"""What a class of the user's own must answer: each slip has one line that says what is missing."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.cli import main
from jaxnas.contracts import checked_outcome, checked_tokens
from jaxnas.decisions import ABSENT, Choice, Decisions
from jaxnas.experiment import Experiment
from jaxnas.ledger import Ledger
from jaxnas.outcome import Outcome
from jaxnas.search import Silent, search
from jaxnas.tasks import Digits

DECISIONS = Decisions((Choice("depth", "depth", 2), Choice("a", "size", 3), Choice("b", "size", 3, when=((0, (1,)),))))


class Space:
    """A plain class: any network may be searched."""

    decisions = DECISIONS

    def decode(self, tokens):
        return tuple(np.asarray(tokens).tolist())

    def encode(self, architecture):
        return np.array(architecture, np.int32)

    def children(self, input_shape, classes, dtype="float32"):
        raise ValueError("these networks are trained elsewhere")


class Scores:
    """Scores without data."""

    def __call__(self, tokens, trial_ids, finished=None, on_progress=lambda progress: None):
        rows = [i for i, trial in enumerate(trial_ids) if trial not in (finished or {})]
        if rows:
            yield rows, outcome_of(tokens[rows])

    def describe(self, tokens):
        return {"deep": {"tokens": [int(t) for t in tokens], "long": list(range(40))}, "x": None}


def outcome_of(tokens) -> Outcome:
    score, n = np.float64(tokens.clip(0).sum(1)) / 10, len(tokens)
    one = np.ones(n, np.int64)
    described = tuple(Scores().describe(row) for row in tokens)
    return Outcome(np.zeros(n, np.int64), score, score[:, None], np.ones(n), one, one, one, described)


@dataclass(frozen=True)
class Mine:
    """An evaluator with fields that no command line could set."""

    rate: float = 0.5
    how: Callable = np.mean
    anything: Any = None
    rows: np.ndarray = field(default_factory=lambda: np.arange(3))

    def bind(self, space, task, seed, trials):
        return Scores()


@dataclass(frozen=True)
class Good:
    """Fixed tokens."""

    tokens: tuple = ((1, 2, 0), (0, 1, ABSENT))
    state: Any = 0
    answer: Callable = lambda state, rewards: (state, {"mean reward": rewards.mean()})

    def init(self, decisions, key):
        return self.state

    def propose(self, state, key, n):
        return jnp.array(self.tokens)

    def update(self, state, tokens, rewards):
        return self.answer(state, rewards)


@dataclass(frozen=True)
class Interpreted(Good):
    jittable: ClassVar[bool] = False


def searched(tmp_path, strategy, **other):
    experiment = Experiment(Space(), Digits(), strategy, evaluator=Mine(), rounds=2, children=2)
    ledger = Ledger(tmp_path, write=True)
    search(replace(experiment, **other), ledger, Silent())
    return ledger


def folder(place: Path, name: str) -> Path:
    (place / name).mkdir()
    return place / name


def test_what_keeps_to_it_is_searched(tmp_path):
    assert [t.tokens for t in searched(folder(tmp_path, "a"), Good()).trials()] == [(1, 2, 0), (0, 1, -1)] * 2
    strategy = Interpreted(state={"words": "any", "object": object()})
    assert len(searched(folder(tmp_path, "b"), strategy)) == 4


SLIPS = {
    "a text in the state": (Good(state={"best": "none"}), r"state\['best'\] is a str.*register_dataclass"),
    "an object as state": (Good(state=object()), "no pytree of arrays: state is a object.*jittable: ClassVar"),
    "too few rows": (Good(((1, 2, 0),)), r"shape \[1, 3\]: expected \[n, T\] = \[2, 3\]"),
    "floats": (Good(((1.0, 2, 0), (0, 1, -1))), "tokens of type float32: expected int32"),
    "beyond": (Good(((1, 2, 0), (0, 3, -1))), "token 3 for decision 'a' in column 1: its values are 0 to 2"),
    "below": (Good(((1, 2, 0), (0, -2, -1))), "token -2 for decision 'a' in column 1"),
    "present": (Good(((1, 2, 0), (0, 1, 2))), r"where it does not exist.*decisions.without_absent\(tokens\) marks"),
    "absent": (Good(((1, 2, -1), (0, 1, -1))), "-1 for decision 'b' in column 2 where it exists"),
    "no pair": (Good(answer=lambda state, rewards: state), "expected the pair"),
    "no dict": (Good(answer=lambda state, rewards: (state, rewards.mean())), "metrics of type .*: expected a dict"),
    "a word": (Good(answer=lambda state, rewards: (state, {"best": "b"})), "metric 'best' is 'b': expected a number"),
    "many": (
        Good(answer=lambda state, rewards: (state, {"all": rewards})),
        "metric 'all' is .*: expected a single num",
    ),
    "a text later": (Good(answer=lambda state, rewards: (("x",), {})), r"state\[0\] is a str"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_of_a_strategy_is_answered_with_what_is_missing(slip, tmp_path):
    strategy, words = SLIPS[slip]
    with pytest.raises(ValueError, match=words) as error:
        searched(tmp_path, strategy)
    assert "\n" not in str(error.value)


def broken(good: Outcome, **changed) -> Outcome:
    """With fields that the types would not allow, which are checked in tests alone."""
    made = object.__new__(Outcome)
    for name, value in (vars(good) | changed).items():
        object.__setattr__(made, name, value)
    return made


BROKEN = {
    "status": (np.array([0]), r"Outcome.status has shape \[1\] for 2 children: expected 2 values"),
    "curve": (np.zeros(2), r"Outcome.curve has shape \[2\] for 2 children: expected \[2, E\]"),
    "seconds": (1.0, r"Outcome.seconds has shape \[\] for 2"),
    "architectures": (({},), "Outcome.architectures has shape 1 for 2"),
    "parameters": (np.array([1.5, 2]), "Outcome.parameters holds .*: expected integers"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_outcome_without_a_row_for_each_child_is_refused(name):
    value, words = BROKEN[name]
    good = outcome_of(np.zeros((2, 3), np.int32))
    assert checked_outcome(Scores(), ([0, 1], good), 2)[0] == [0, 1]
    with pytest.raises(ValueError, match=words):
        checked_outcome(Scores(), ([0, 1], broken(good, **{name: value})), 2)


def test_an_outcome_whose_values_mean_nothing_is_refused():
    good = outcome_of(np.zeros((2, 3), np.int32))
    for changed, words in (
        ({"status": np.array([0, 9])}, "Outcome.status holds 9"),
        ({"score": np.array([0.5, np.nan])}, "status ok has score nan: a child that failed has Status.DIVERGED"),
        ({"architectures": ({}, "a")}, "Outcome.architectures holds 'a': expected a dict"),
    ):
        with pytest.raises(ValueError, match=words):
            checked_outcome(Scores(), ([0, 1], broken(good, **changed)), 2)
    for answer, words in ((good, "expected the pair"), (([0, 0], good), "each once"), (([0, 2], good), "0 to 1")):
        with pytest.raises(ValueError, match=words):
            checked_outcome(Scores(), answer, 2)


@pytest.mark.parametrize("seed", range(3))
def test_tokens_are_taken_where_without_absent_has_marked_them(seed):
    """Held against `Decisions.every`: of all that could be proposed, just the samples that there are."""
    made = [
        Choice("d", "d", 3),
        Choice("e", "e", 2, when=((0, (1, 2)),)),
        Choice("f", "f", 2, when=((1, tuple(range(seed % 2, 2))),)),
    ]
    decisions = Decisions(tuple(made))
    every = {tuple(row) for row in decisions.every(1000).tolist()}
    found = set()
    for row in np.ndindex(4, 3, 3):
        try:
            found.add(tuple(checked_tokens(Good(), decisions, np.array([row]) - 1, 1)[0].tolist()))
        except ValueError:
            continue
    assert found == every


CONFIG = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from jaxnas.experiment import Experiment
from test_contracts import Good, Mine, Space
from jaxnas.tasks import Digits

class Task(Digits):
    "No measure of its own."

experiment = Experiment(Space(), Task(), Good(), evaluator=Mine(), rounds=1, children=2)
"""


@pytest.mark.filterwarnings("error")
def test_ones_own_classes_on_the_command_line(tmp_path, monkeypatch, capsys):
    """No warning; what can be set is set; networks of no known type are shown by their values; `final` says why not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CONFIG)
    assert main(["search", "mine.py", "--workdir", "d", "--evaluator.rate", "0.25"]) == 0
    assert main(["search", "mine.py", "--workdir", "d", "--evaluator.rate", "0.25", "--rounds", "2"]) == 0
    assert main(["trials", "d"]) == 0
    assert main(["show", "d", "0"]) == 0
    out = capsys.readouterr().out
    assert "tokens: [1, 2, 0]" in out
    assert main(["final", "d"]) == 2
    assert "trained elsewhere" in capsys.readouterr().err
    assert main(["show", "d", "0", "--out", "x.svg"]) == 2
    assert "has no picture" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["search", "mine.py", "--help"])
    assert "--evaluator.rate" in capsys.readouterr().out
