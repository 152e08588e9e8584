"""Optuna's samplers: what they are told, and that they learn from it."""

import importlib.util
from dataclasses import replace

import numpy as np
import optuna
import pytest
from test_search import EXPERIMENT, rows, run

from jaxnas.contracts import checked_tokens
from jaxnas.decisions import ABSENT, Anchor, Choice, Decisions, Ordinal
from jaxnas.outcome import Outcome, Status
from jaxnas.rng import key_for
from jaxnas.strategies import Optuna, Random

DEEP = Decisions(
    (
        Choice("depth", "depth", 2),
        Anchor("layer 1"),
        Choice("side", "side", 5),
        Anchor("layer 2", when=((0, (1,)),)),
        Choice("inner", "inner", 5, when=((0, (1,)),)),
        Choice("fixed", "fixed", 1),
    )
)


def need(sampler: str) -> None:
    if sampler == "gp":
        pytest.importorskip("torch")


def peak(tokens) -> np.ndarray:
    """Best at depth 1, with link, side 3 and inner 1: 0 there, less elsewhere."""
    depth, side, link, inner, _ = tokens.T
    return np.float32(-((side - 3) ** 2) - (inner - 1) ** 2 + link + depth - 2)


def search(strategy, rounds, n, seed=0):
    state, history = strategy.init(DEEP, key_for(seed, "strategy")), []
    for r in range(rounds):
        tokens = np.asarray(strategy.propose(state, key_for(seed, "propose", r), n))
        state, _ = strategy.update(state, tokens, peak(tokens))
        history.append((tokens, peak(tokens)))
    return state, history


@pytest.mark.parametrize(("sampler", "rounds", "seeds"), [("tpe", 12, 3), ("cmaes", 18, 3), ("gp", 6, 1)])
def test_each_beats_random(sampler, rounds, seeds):
    """Rounds of 4: mean reward of the last three rounds, by 2 of a scale from -14 to 0."""
    need(sampler)
    late = lambda s: np.mean([[h[1].mean() for h in search(s, rounds, 4, seed)[1][-3:]] for seed in range(seeds)])
    assert late(Optuna(sampler=sampler)) > late(Random()) + 2


@pytest.mark.parametrize(("sampler", "startup"), [("tpe", 13), ("cmaes", 3), ("gp", 3)])
def test_tokens_follow_the_key_and_are_of_the_space(sampler, startup):
    """That of "tpe" while it is random: later its 24 candidates hold all values, and the best is always the same."""
    need(sampler)
    strategy = Optuna(sampler=sampler, startup=startup)
    state, history = search(strategy, 3, 4)
    first, again, other = (np.asarray(strategy.propose(state, key_for(i, "propose"), 6)) for i in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    for tokens in (first, other, *(tokens for tokens, _ in history)):
        shallow = tokens[:, 0] == 0
        assert (tokens[shallow][:, 2:4] == ABSENT).all()
        assert (tokens[~shallow] >= 0).all()
        assert (tokens < DEEP.sizes).all()


def test_it_is_told_all_that_there_is(monkeypatch):
    """Absent decisions are no parameters of a trial."""
    told = []
    monkeypatch.setattr(optuna.study.Study, "add_trial", lambda study, trial: told.append(trial))
    state, history = search(Optuna(startup=100), 1, 6)
    Optuna(startup=100).propose(state, key_for(0, "propose", 1), 1)
    [(tokens, rewards)] = history
    assert [t.value for t in told] == rewards.tolist()
    for trial, row in zip(told, tokens.tolist(), strict=True):
        assert trial.params == {str(t): token for t, token in enumerate(row) if token >= 0}
        assert all(type(kind).__name__ == "CategoricalDistribution" for kind in trial.distributions.values())
    assert {len(t.params) for t in told} == {3, 5}


NUMBERS = Decisions(
    (Choice("depth", "depth", 2), Ordinal("rate", "rate", 500), Ordinal("in", "in", 9, when=((0, (1,)),)))
)


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "gp"])
def test_ordinals_are_integers_to_it(monkeypatch, sampler):
    """In what is asked for and in what is told; proposals lie near the best rate, 400, whose neighbours are known."""
    need(sampler)
    kinds = []
    for name in ("suggest_int", "suggest_categorical"):
        plain = getattr(optuna.trial.Trial, name)
        asked = lambda trial, column, *args, plain=plain: (
            kinds.append((plain.__name__, column)) or plain(trial, column, *args)
        )
        monkeypatch.setattr(optuna.trial.Trial, name, asked)
    strategy, rates = Optuna(sampler=sampler, startup=1), np.linspace(0, 499, 12).astype(int)
    tokens = NUMBERS.without_absent(np.stack([np.arange(12) % 2, rates, rates % 9], axis=1))
    state, _ = strategy.update(strategy.init(NUMBERS, key_for(0, "s")), tokens, -np.abs(np.float32(rates) - 400))
    proposed = checked_tokens(strategy, NUMBERS, strategy.propose(state, key_for(0, "propose"), 6), 6)
    choice = "suggest_int" if sampler == "cmaes" else "suggest_categorical"
    assert {("suggest_int", "1"), ("suggest_int", "2"), (choice, "0")} == set(kinds)
    assert np.median(np.abs(proposed[:, 1] - 400)) < 150


def test_cmaes_goes_through_its_generations(monkeypatch):
    """After a random trial, each of 4 + 3 log 4 = 8 trials, the fixed decision not counted: told again from the start
    in every round, 41 trials end the fifth."""
    seen = []
    tell = optuna.study.Study.tell
    monkeypatch.setattr(
        optuna.study.Study, "tell", lambda study, trial, value: seen.append(tell(study, trial, value)) or seen[-1]
    )
    state, _ = search(Optuna(sampler="cmaes"), 1, 41)
    Optuna(sampler="cmaes").propose(state, key_for(0, "propose", 1), 1)
    generations = [trial.system_attrs.get("cma:generation") for trial in seen]
    assert generations == [None] + [g for g in range(5) for _ in range(8)]
    assert [trial.params["1"] for trial in seen] == state.tokens[:, 1].tolist()


def test_the_number_of_random_trials_can_be_set():
    """Nothing but the key decides them: rewards do not matter before."""
    for startup, differ in ((9, False), (8, True)):
        strategy, found = Optuna(startup=startup), []
        for rewards in (np.arange(8.0), -np.arange(8.0)):
            state = strategy.init(DEEP, key_for(0, "s"))
            tokens = np.array([[1, i % 5, i % 2, i // 2, 0] for i in range(8)])
            state, _ = strategy.update(state, tokens, np.float32(rewards))
            found.append(strategy.propose(state, key_for(0, "propose"), 8))
        assert (found[0] != found[1]).any() == differ


def test_the_user_s_loudness_stays():
    level = optuna.logging.get_verbosity()
    try:
        optuna.logging.set_verbosity(optuna.logging.DEBUG)
        search(Optuna(), 1, 1)
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    finally:
        optuna.logging.set_verbosity(level)


@pytest.mark.parametrize(
    ("sampler", "package", "remedy"),
    [
        ("tpe", "optuna", r'"jaxnas\[optuna\]"$'),
        ("cmaes", "cmaes", r'"jaxnas\[optuna\]"$'),
        ("gp", "torch", r'"jaxnas\[optuna\]" scipy torch$'),
    ],
)
def test_a_missing_package_is_named(monkeypatch, sampler, package, remedy):
    there = lambda name: None if name == package else importlib.machinery.ModuleSpec(name, None)
    monkeypatch.setattr(importlib.util, "find_spec", there)
    with pytest.raises(ValueError, match=f"needs {package}: pip install {remedy}"):
        Optuna(sampler=sampler).init(DEEP, key_for(0, "strategy"))


@pytest.mark.parametrize(("settings", "message"), [({"sampler": "bo"}, "sampler='bo'"), ({"startup": 0}, "startup=0")])
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Optuna(**settings)


class Table:
    """An evaluator that scores by the tokens' sum, in groups of one."""

    def bind(self, space, task, seed, trials):
        return self

    def describe(self, tokens):
        return {"tokens": tokens.tolist()}

    def __call__(self, tokens, trial_ids, done, on_progress):
        for i in [i for i, trial in enumerate(trial_ids) if trial not in done]:
            score, one = np.array([tokens[i].sum() / 10]), np.ones(1, int)
            yield np.array([i]), Outcome(one * Status.OK, score, score[:, None], abs(score), one, one, one, ({},))


def test_a_search_goes_on_where_it_was(tmp_path):
    """It is not compiled; the ledger is the same after a break."""
    experiment = replace(EXPERIMENT, strategy=Optuna(startup=4), evaluator=Table(), rounds=6, children=3)
    run(experiment, tmp_path / "whole")
    for rounds in (2, 6):
        run(replace(experiment, rounds=rounds), tmp_path / "broken")
    assert rows(tmp_path / "broken") == rows(tmp_path / "whole")
    assert len(rows(tmp_path / "whole")) == 18
