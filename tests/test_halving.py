"""Early stopping: the worst of a round stop at the rungs, the others never notice, and a resume stops the same ones."""

from dataclasses import astuple, replace

import numpy as np
import pytest
from test_search import EXPERIMENT, Recorder, Silent

from jaxnas.evaluators import Halving, Population, Train
from jaxnas.ledger import Ledger
from jaxnas.outcome import Status
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
    return evaluate(Halving())


def test_survivors_end_as_they_would_have_without(whole):
    expected, status, *_ = whole
    assert (status == Status.OK).all()
    curve, status, score, order, bound = evaluate(Halving((1, 2), 0.5))
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
    scores = {0: 0.5, 1: np.nan, 2: 0.7, 3: 0.5, 4: 0.1}
    assert Halving((1,), 0.4).survivors(0, 5, scores) == {2, 0}
    assert Halving((1,), 0.1).survivors(0, 5, scores) == {2}
    assert Halving((1,), 0.9).survivors(0, 5, scores) == {2, 0, 3, 4}


@pytest.mark.parametrize("kept", [0, 1, 3, 5])
def test_a_resumed_round_stops_the_same_ones(tmp_path, kept):
    """Whatever part of the round the ledger had at the kill."""
    experiment = replace(
        EXPERIMENT, evaluator=Population(TRAIN, halving=Halving((1, 2)), engine="branching", group_size=4), rounds=2
    )
    plain = lambda ledger: [astuple(replace(t, seconds=0.0)) for t in ledger.trials()]
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    expected, again, watch = Ledger(tmp_path / "whole", write=True), Ledger(tmp_path / "killed", write=True), Recorder()
    search(experiment, expected, watch)
    by_id = {trial.trial_id: trial for trial in expected.trials()}
    again.append([by_id[i] for i in watch.trained[:kept]])
    search(experiment, again, Silent())
    assert plain(again) == plain(expected)
    assert {trial.status for trial in expected.trials()} == {"ok", "stopped"}
    assert all(trial.status == "ok" for trial in expected.top(12))


@pytest.mark.parametrize(
    ("rungs", "keep", "message"),
    [((2, 1), 0.5, "rungs=\\(2, 1\\)"), ((0,), 0.5, "each a whole number from 1"), ((1,), 1.0, "keep=1.0")],
)
def test_impossible_settings_are_refused(rungs, keep, message):
    with pytest.raises(ValueError, match=message):
        Halving(rungs, keep)
    with pytest.raises(ValueError, match=r"rungs=\(3,\): each must be less than the 3 epochs"):
        Population(TRAIN, halving=Halving((3,)))
