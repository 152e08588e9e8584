"""Early stopping: the worst of a round stop at the rungs, the others never notice, and a resume stops the same ones."""

from dataclasses import astuple, dataclass, replace

import numpy as np
import pytest
from test_search import EXPERIMENT, Recorder, Silent

from jaxnas.children import alone
from jaxnas.evaluators import Population, SuccessiveHalving, Train
from jaxnas.ledger import Ledger
from jaxnas.outcome import Status
from jaxnas.rewards import INFEASIBLE
from jaxnas.search import search

N, EPOCHS = 6, 3
TRAIN = Train(epochs=EPOCHS, batch_size=128)
SPACE, TASK = EXPERIMENT.space, EXPERIMENT.task
rng = np.random.default_rng(0)
TOKENS = np.asarray(SPACE.decisions.without_absent(rng.integers(0, SPACE.decisions.sizes, (N, len(SPACE.decisions)))))


def evaluate(halving, engine="branching"):
    """Curves, status and score of the round's children, and the rows in the order in which they were done."""
    bound = Population(TRAIN, group_size=4, engine=engine, halving=halving).bind(SPACE, TASK, 3, N)
    curve, status, score, order = np.zeros((N, EPOCHS)), np.zeros(N, int), np.zeros(N), []
    for rows, outcome in bound(TOKENS, np.arange(N)):
        curve[rows], status[rows], score[rows] = outcome.curve, outcome.status, outcome.score
        order += rows
    assert sorted(order) == list(range(N))
    return curve, status, score, order, bound


@pytest.fixture(scope="module")
def whole():
    return evaluate(SuccessiveHalving())


def test_survivors_end_as_they_would_have_without(whole):
    expected, status, *_ = whole
    assert (status == Status.OK).all()
    curve, status, score, order, bound = evaluate(SuccessiveHalving((1, 2), 0.5))
    first, second = expected[:, 0].argsort(kind="stable")[::-1], expected[:, 1]
    going = set(first[:3])  # ceil(6 / 2)
    last = sorted(going, key=lambda row: -second[row])[:2]  # ceil(6 / 4)
    assert set(np.flatnonzero(status == Status.OK)) == set(last)
    assert set(np.flatnonzero(status == Status.STOPPED)) == set(range(N)) - set(last)
    for row in range(N):
        reached = 3 if row in last else 2 if row in going else 1
        np.testing.assert_array_equal(curve[row, :reached], expected[row, :reached])
        assert np.isnan(curve[row, reached:]).all()
        assert score[row] == expected[row, :reached].max()
    assert set(order[:3]) == set(range(N)) - going  # at the first rung
    assert len(bound.trainer.programs) == 1  # places that became empty cost nothing: no smaller program is compiled


def test_ranks_and_ties():
    """By reward, of equal ones by score, of equal scores the earlier row."""
    scores = {0: (0.5, 0.2), 2: (0.7, 0.0), 3: (0.5, 0.2), 4: (0.1, 0.9), 5: (0.5, 0.3)}
    order = [2, 5, 0, 3, 4]
    for count in range(1, 6):
        assert SuccessiveHalving((1,), count / 10).survivors(0, 10, scores) == set(order[:count])
    assert SuccessiveHalving((1,), 0.9).survivors(0, 6, scores) == set(order)  # one failed before the rung


@pytest.mark.parametrize("kept", [0, 1, 3, 5])
def test_a_resumed_round_stops_the_same_ones(tmp_path, kept):
    """Whatever part of the round the ledger had at the kill."""
    experiment = replace(
        EXPERIMENT,
        evaluator=Population(TRAIN, halving=SuccessiveHalving((1, 2)), engine="branching", group_size=4),
        rounds=2,
    )
    plain = lambda ledger: [astuple(replace(t, seconds=0.0)) for t in ledger.trials()]
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    expected, again = (Ledger(tmp_path / name, write=True) for name in ("whole", "killed"))
    callback = Recorder()
    search(experiment, expected, callback)
    by_id = {trial.trial_id: trial for trial in expected.trials()}
    again.record(**{name: fact for name, fact in expected.facts().items() if name != "finished"})
    again.append([by_id[i] for i in callback.trained[:kept]])
    search(experiment, again, Silent())
    assert plain(again) == plain(expected)
    assert {trial.status for trial in expected.trials()} == {"ok", "stopped"}
    assert expected.top(12) == sorted(expected.trials(), key=lambda t: (-t.score, t.trial_id))  # whoever was stopped


@dataclass(frozen=True)
class FewParameters:
    """Small networks first; what has more than ``most`` parameters is not allowed."""

    most: int = 10**9
    floor: float = -1e6

    def __call__(self, outcome):
        return np.where(outcome.parameters > self.most, INFEASIBLE, -1.0 * outcome.parameters)


def test_a_rung_ranks_by_the_reward(whole):
    """Not by the score: a reward may want something else, and what it does not allow goes on last."""
    parameters = [alone(SPACE.children((8, 8, 1), 10), SPACE.decode(row)).parameters for row in TOKENS]
    by = lambda rows, key: sorted(rows, key=lambda row: (*key(row), -whole[0][row, 0], row))
    assert going_on(FewParameters()) == set(by(range(N), lambda row: (parameters[row],))[:3])
    most = sorted(parameters)[1]
    allowed = by((row for row in range(N) if parameters[row] <= most), lambda row: (parameters[row],))
    rest = by(set(range(N)) - set(allowed), lambda row: ())
    assert going_on(FewParameters(most)) == set([*allowed, *rest][:3])


def going_on(reward) -> set[int]:
    """The rows that a rung leaves."""
    bound = Population(TRAIN, engine="branching", halving=SuccessiveHalving((1,))).bind(SPACE, TASK, 3, N)
    bound.rank_by(reward)
    status = np.zeros(N, int)
    for rows, outcome in bound(TOKENS, np.arange(N)):
        status[rows] = outcome.status
    return set(np.flatnonzero(status == Status.OK))


@pytest.mark.parametrize(
    ("rungs", "keep", "message"),
    [((2, 1), 0.5, "rungs=\\(2, 1\\)"), ((0,), 0.5, "each a whole number from 1"), ((1,), 1.0, "keep=1.0")],
)
def test_impossible_settings_are_refused(rungs, keep, message):
    with pytest.raises(ValueError, match=message):
        SuccessiveHalving(rungs, keep)
    with pytest.raises(ValueError, match=r"rungs=\(3,\): each must be less than the 3 epochs"):
        Population(TRAIN, halving=SuccessiveHalving((3,)))
