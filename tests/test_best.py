"""Law 10: the best is the highest reward among children that have one, wherever it is named."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
from rich.console import Console
from test_search import EXPERIMENT, run

from jaxnas import report
from jaxnas.ledger import Ledger
from jaxnas.outcome import Measure, Outcome, Status, Trial
from jaxnas.report.live import Standing
from jaxnas.rewards import INFEASIBLE, Accuracy, Lessons, told


@dataclass(frozen=True)
class UnderLimit:
    """A reward as a user writes it: too many parameters are not allowed."""

    most: int = 400
    banned: bool = True

    def __call__(self, outcome):
        return np.where(
            outcome.parameters > self.most, INFEASIBLE if self.banned else 0.0, np.nan_to_num(outcome.score)
        )


def trials() -> list[Trial]:
    """Every mixture of status, reward and score, in an order that tells nothing."""
    mixed = list(
        itertools.product((0.1, 0.5), (0.2, 0.9), ("ok", "stopped", "diverged", "infeasible", "out_of_memory"))
    )
    order, made = np.random.default_rng(0).permutation(len(mixed)), []
    for i, (reward, score, status) in enumerate(mixed[j] for j in order):
        score = None if status in ("diverged", "out_of_memory") else score
        made.append(Trial(i, 0, (0,), {"type": "table", "arch": str(i)}, status, score, reward, (score,), 1, 1, 1.0, 1))
    return made


def test_one_order_everywhere(tmp_path):
    made, ledger = trials(), Ledger(tmp_path, write=True)
    ledger.append(made)
    can = [t for t in made if t.status in ("ok", "stopped")]
    wanted = sorted(can, key=lambda t: (-t.reward, -t.score, t.trial_id))
    assert ledger.top(100) == wanted
    assert len({(t.reward, t.score) for t in wanted}) == 4  # so that ties are decided by the number
    ledger.record(measure="score")
    best = f"trial {wanted[0].trial_id}"
    for groups in (1, 3, 7):
        standing = Standing(1, len(made), 0, None)
        for at in range(0, len(made), groups):
            standing.add(made[at : at + groups])
        assert standing.best == wanted[0]
        assert best in standing.best_words
    assert f"Best: {best}, " in report.summary(ledger, tmp_path)
    assert "8 failed, 4 stopped early, 4 infeasible" in report.summary(ledger, tmp_path)


def test_nothing_is_the_best_where_nothing_has_a_rank(tmp_path):
    ledger = Ledger(tmp_path, write=True)
    ledger.append([t for t in trials() if t.status not in ("ok", "stopped")])
    assert ledger.top(5) == []
    assert "Best" not in report.summary(ledger, tmp_path)
    standing = Standing(1, 1, 0, None)
    standing.add(ledger.trials())
    assert standing.best_words == "none yet"


@pytest.mark.parametrize("banned", [True, False])
def test_a_limit_is_respected_by_search_and_summary(tmp_path, banned):
    """The case of an outsider: small networks only, said by `INFEASIBLE` or by a reward of 0."""
    run(replace(EXPERIMENT, rounds=1), tmp_path / "free")
    most = Ledger(tmp_path / "free").top(1)[0].parameters - 1  # so that the best score is over the limit
    run(replace(EXPERIMENT, reward=UnderLimit(most, banned), rounds=1), tmp_path / "run")
    ledger = Ledger(tmp_path / "run")
    large = [t for t in ledger.trials() if t.parameters > most]
    assert 0 < len(large) < len(ledger)
    assert {t.reward for t in large} == {0.0}  # the floor of a reward that names none
    assert all(t.score is not None for t in large)
    assert {t.status for t in large} == ({"infeasible"} if banned else {"ok"})
    assert ledger.top(1)[0].parameters <= most
    shown = Console(width=200, record=True)
    shown.print(report.trial_table(ledger.trials(), "all"))
    assert shown.export_text().count(" infeasible") == (len(large) if banned else 0)


def outcome(*parameters: int, status=Status.OK) -> Outcome:
    n, ones = len(parameters), np.ones(len(parameters), int)
    score = np.full(n, np.nan if status.failed else 0.5)
    return Outcome(
        np.full(n, status, np.int32), score, score[:, None], np.ones(n), ones, np.array(parameters), ones, ({},) * n
    )


@dataclass(frozen=True)
class Floored(UnderLimit):
    floor: float = -7.0


def test_what_a_strategy_is_told_of_an_infeasible_child():
    rewards, infeasible = told(UnderLimit(), outcome(1, 500))
    assert (rewards.tolist(), infeasible.tolist()) == ([0.5, 0.0], [False, True])
    assert told(Floored(), outcome(1, 500))[0].tolist() == [0.5, -7.0]
    assert told(Accuracy(floor=-1.0), outcome(1, 500, status=Status.DIVERGED))[0].tolist() == [-1.0, -1.0]
    negative = lambda outcome: np.where(outcome.parameters > 400, INFEASIBLE, -2.5)
    rewards, infeasible = told(negative, outcome(1, 500))
    assert Lessons(Measure.SCORE).of(rewards, ~infeasible).tolist() == [-2.5, -3.5]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([0.5, np.nan], "finite numbers are needed, or rewards.INFEASIBLE"),
        ([0.5, np.inf], "finite numbers are needed"),
        ([0.5], r"shape \(1,\) for 2 children: one number each"),
        (0.5, r"shape \(\) for 2 children"),
    ],
)
def test_a_reward_that_is_no_number_a_child_is_refused(found, message):
    with pytest.raises(ValueError, match=message):
        told(lambda outcome: found, outcome(1, 2))


def test_the_reward_is_said_where_it_is_not_the_score():
    one = replace(trials()[0], status="ok", score=0.9, reward=0.9)
    assert report.scored(one, Measure.SCORE) == "0.9000"
    assert report.scored(replace(one, reward=0.5), Measure.SCORE) == "0.9000, reward 0.5"
    assert report.scored(replace(one, status="infeasible", reward=0.0), Measure.SCORE) == "0.9000, infeasible"
    assert report.scored(replace(one, status="diverged", score=None), Measure.SCORE) == "diverged"
