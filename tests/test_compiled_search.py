"""Whole searches on the device are the searches of the loop, and end where the budget does."""

from dataclasses import dataclass

import jax
import numpy as np
import pytest

from jaxnas.compiled_search import CompiledSearch
from jaxnas.experiment import Experiment
from jaxnas.ledger import Ledger
from jaxnas.search import Silent, search
from jaxnas.strategies import Random, Reinforce
from jaxnas.tasks import Digits
from tests.toy_table import SPACE, columns, write_csv

LEARNER = Reinforce(learning_rate=0.1, policy="table", baseline="present", baseline_decay=0.5)


@dataclass(frozen=True)
class OnHost(Random):
    jittable = False


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("table") / "t.csv")


@pytest.fixture(scope="module")
def known(table):
    return table.read(SPACE)


@pytest.mark.parametrize("children", [1, 3])
@pytest.mark.parametrize("strategy", [Random(), LEARNER], ids=["random", "learner"])
def test_they_are_the_searches_of_the_loop(table, known, strategy, children, tmp_path):
    found = CompiledSearch(strategy, children).run(known, 30.0, range(4))
    for seed in range(4):
        (tmp_path / str(seed)).mkdir()
        ledger = Ledger(tmp_path / str(seed), write=True)
        settings = {"evaluator": table, "rounds": 40 // children, "children": children, "seed": seed}
        search(Experiment(SPACE, Digits(), strategy, **settings), ledger, Silent())
        trials = ledger.trials()
        rows = [known.row_of[trial.tokens] for trial in trials]
        ends = int(np.argmax(np.cumsum([trial.seconds for trial in trials]) >= 30.0)) + 1
        assert found.trials[seed] == ends
        assert found.rows[seed, :ends].tolist() == rows[:ends]
        assert (found.rows[seed, ends:] == -1).all()


def test_the_trial_that_reaches_the_budget_counts(known):
    found = CompiledSearch(Random()).run(known, 20.0, range(50))
    for rows, trials, spent in zip(found.rows, found.trials, found.spent, strict=True):
        costs = np.cumsum(known.seconds[rows[:trials]])
        assert costs[-1] >= 20.0
        assert trials == 1 or costs[-2] < 20.0
        np.testing.assert_allclose(spent[:trials], costs, rtol=1e-12)
        assert (spent[trials:] == spent[trials - 1]).all()
    assert len(set(found.trials.tolist())) > 3


def test_a_seed_does_not_depend_on_its_company(known):
    together = CompiledSearch(LEARNER, block=4).run(known, 25.0, range(11))
    for block, seeds in ((1, [7]), (1, range(6, 9)), (16, range(5, 10))):
        apart = CompiledSearch(LEARNER, block=block).run(known, 25.0, seeds)
        for at, seed in enumerate(seeds):
            np.testing.assert_array_equal(apart.rows[at], together.rows[seed])


def test_what_cannot_be_compiled_runs_on_the_host(known):
    a, b = (CompiledSearch(strategy, 2).run(known, 25.0, range(3, 6)) for strategy in (OnHost(), Random()))
    np.testing.assert_array_equal(a.trials, b.trials)
    np.testing.assert_array_equal(a.rows[:, : a.trials.max()], b.rows[:, : a.trials.max()])


def test_one_program_serves_all_budgets_and_tables(known, tmp_path):
    other, whole = write_csv(tmp_path / "t.csv", columns(seed=1)).read(SPACE), CompiledSearch(Random())
    first = whole.run(known, 25.0, range(8))
    size = whole._program._cache_size()
    second = whole.run(other, 28.0, range(8))
    assert whole._program._cache_size() == size == 1
    assert (first.trials != second.trials).any()


def test_the_strategy_is_told_the_scores_and_0_for_a_failure(tmp_path):
    heard = []

    @dataclass(frozen=True)
    class Listening(Random):
        def update(self, state, tokens, rewards):
            jax.debug.callback(lambda t, r: heard.append((tuple(t[0].tolist()), float(r[0]))), tokens, rewards)
            return super().update(state, tokens, rewards)

    scores = columns()["early"].astype(object)
    scores[::2] = ""
    known = write_csv(tmp_path / "t.csv", columns() | {"early": scores}).read(SPACE)
    CompiledSearch(Listening()).run(known, 30.0, [0])
    jax.effects_barrier()
    assert {reward == 0 for _, reward in heard} == {True, False}
    for tokens, reward in heard:
        assert reward == np.float32(np.nan_to_num(known.score[known.row_of[tokens]]))


@pytest.mark.parametrize("strategy", [Random(), OnHost()], ids=["device", "host"])
def test_a_table_with_gaps_is_refused(strategy, tmp_path):
    short = {name: column[:40] for name, column in columns().items()}
    with pytest.raises(ValueError, match="the table holds 40 architectures, but a strategy proposed one"):
        CompiledSearch(strategy).run(write_csv(tmp_path / "t.csv", short).read(SPACE), 30.0, range(3))
