"""Architectures that are proposed again: trained again, copied, or proposed anew until a space is exhausted."""

from dataclasses import astuple, dataclass, replace

import jax.numpy as jnp
import numpy as np
import pytest
import quick
from quick import Quick, experiment
from test_ledger_damage import change
from test_search import rows, run

from jaxnas import report
from jaxnas.decisions import Choice, Decisions
from jaxnas.ledger import Ledger
from jaxnas.record import is_finished, why_finished
from jaxnas.repeats import EXHAUSTED, Tried
from jaxnas.strategies import Evolution, LocalSearch, QTuner, Random, Reinforce

FAILING = Quick(lambda tokens, trial: None if tokens[0] == 2 else trial + tokens.clip(0).sum() / 10)
"""Scores tell trials apart."""


def trials(directory):
    return Ledger(directory).trials()


def asked(call) -> list[int]:
    """The trials that are evaluated meanwhile."""
    before = len(quick.ASKED)
    call()
    return quick.ASKED[before:]


def part(whole, directory, many: int) -> Ledger:
    """As a kill leaves it: so many trials, not the last facts."""
    directory.mkdir()
    ledger, source = Ledger(directory, write=True), Ledger(whole)
    ledger.record(**{key: value for key, value in source.facts().items() if key not in ("finished", "stopped")})
    ledger.append(source.trials()[:many])
    return ledger


def test_a_copy_is_the_first_trial_of_its_architecture(tmp_path):
    """All but numbers and time; within a round, too, and of failures."""
    reuse = experiment(FAILING, repeats="reuse", rounds=8)
    done = asked(lambda: run(reuse, tmp_path / "a"))
    found, first = trials(tmp_path / "a"), {}
    for t in found:
        original = first.setdefault(t.tokens, t)
        if original is t:
            assert t.copied_from is None
        else:
            assert astuple(t) == astuple(
                replace(original, trial_id=t.trial_id, round=t.round, seconds=0.0, copied_from=original.trial_id)
            )
    assert done == [t.trial_id for t in first.values()]
    assert 0 < len(done) <= 12 < len(found)
    assert any(t.round == found[t.copied_from].round for t in found if t.copied_from is not None)
    assert any(t.status == "failed" for t in found if t.copied_from is not None)
    run(experiment(FAILING, rounds=8), tmp_path / "trained")  # random search does not learn: the same proposals
    assert [t.tokens for t in trials(tmp_path / "trained")] == [t.tokens for t in found]


@pytest.mark.parametrize(("repeats", "strategy"), [("reuse", Evolution(population=4, sample=2)), ("forbid", Random())])
def test_a_killed_search_resumes_to_the_same_ledger(tmp_path, repeats, strategy):
    own = experiment(FAILING, repeats=repeats, strategy=strategy)
    run(own, tmp_path / "whole")
    for many in (2, len(rows(tmp_path / "whole")) - 1):
        part(tmp_path / "whole", tmp_path / str(many), many)
        done = asked(lambda many=many: run(own, tmp_path / str(many)))
        assert rows(tmp_path / str(many)) == rows(tmp_path / "whole")
        assert not {*done} & {*range(many)}


def test_what_was_copied_is_said(tmp_path, capsys):
    from jaxnas.cli import main

    run(experiment(FAILING, repeats="reuse", rounds=8), tmp_path)
    copy = next(t for t in trials(tmp_path) if t.copied_from is not None)
    assert main(["show", str(tmp_path), str(copy.trial_id)]) == 0
    assert main(["trials", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"Its result is that of trial {copy.copied_from}, which has the same architecture" in out
    assert "copied from" in out
    own = report.trial_table([t for t in trials(tmp_path) if t.copied_from is None], "")
    assert "copied from" not in [column.header for column in own.columns]


def test_a_copy_of_a_later_trial_is_damage(tmp_path):
    run(experiment(repeats="reuse", rounds=2), tmp_path)
    change(tmp_path, "UPDATE trials SET copied_from = 5 WHERE trial_id = 5")
    with pytest.raises(ValueError, match="trial 5: copied_from is '5', not an earlier trial"):
        Ledger(tmp_path).check()


of_many_kinds = pytest.mark.parametrize(
    "strategy",
    [Evolution(population=4, sample=2), LocalSearch(), QTuner(), Reinforce(policy="table")],
    ids=lambda strategy: type(strategy).__name__,
)


@of_many_kinds
def test_nothing_is_tried_twice_and_an_exhausted_space_ends_the_search(tmp_path, strategy):
    """Five a round: of twelve architectures the last round has two."""
    own = experiment(repeats="forbid", strategy=strategy, children=5)
    run(own, tmp_path)
    found = trials(tmp_path)
    assert sorted(t.tokens for t in found) == sorted(map(tuple, quick.SPACE.decisions.every(100).tolist()))
    ledger = Ledger(tmp_path)
    assert ledger.facts()["stopped"] == {"rounds": 3, "reason": EXHAUSTED}
    assert why_finished(own, ledger) == EXHAUSTED
    assert is_finished(replace(own, rounds=99), ledger)
    assert f"It stopped after 3 rounds: {EXHAUSTED}" in report.summary(ledger, tmp_path)


@pytest.mark.parametrize("children", [4, 20])
def test_rounds_that_end_with_the_space(tmp_path, children):
    own = experiment(repeats="forbid", children=children)
    run(own, tmp_path)
    assert asked(lambda: run(replace(own, rounds=7), tmp_path)) == []
    assert len({t.tokens for t in trials(tmp_path)}) == len(trials(tmp_path)) == 12
    assert Ledger(tmp_path).facts()["stopped"]["rounds"] == (3 if children == 4 else 1)


@of_many_kinds
def test_a_strategy_that_has_learnt_of_no_round_has_no_favourite(tmp_path, strategy):
    """The space is smaller than the first round."""
    run(experiment(repeats="forbid", strategy=strategy, children=13), tmp_path)
    facts = Ledger(tmp_path).facts()
    assert len(trials(tmp_path)) == 12
    assert facts["stopped"] == {"rounds": 1, "reason": EXHAUSTED}
    assert "most_likely" not in facts


@dataclass(frozen=True)
class Grown:
    """A space of architectures by their tokens; its second decision exists after so many trials."""

    after: int
    decisions: Decisions = Decisions((Choice("a", "a", 3), Choice("b", "b", 4)))

    def decode(self, tokens):
        return {"a": int(tokens[0])} if tokens[1] < 0 else {"a": int(tokens[0]), "b": int(tokens[1])}

    def encode(self, architecture):
        return np.array([architecture["a"], architecture.get("b", -1)], np.int32)

    def children(self, input_shape, classes, dtype="float32"): ...

    def present(self, trials):
        return np.array([True, trials >= self.after])


def test_a_growing_space_grows_early_where_nothing_else_is_left(tmp_path):
    """Three architectures, then twelve more: of two a round the second has one of each, and the rest follow in order;
    the favourite is one that exists by then."""
    own = replace(experiment(repeats="forbid", strategy=Evolution(population=4, sample=2), children=2), rounds=20)
    own = replace(own, space=Grown(after=1000))
    run(own, tmp_path / "whole")
    found = trials(tmp_path / "whole")
    assert [t.tokens[1] < 0 for t in found] == [True] * 3 + [False] * 12
    assert len({t.tokens for t in found}) == 15
    facts = Ledger(tmp_path / "whole").facts()
    assert facts["stopped"] == {"rounds": 8, "reason": EXHAUSTED}
    assert facts["most_likely"]["architecture"]["values"].keys() == {"a", "b"}
    part(tmp_path / "whole", tmp_path / "part", 4)
    run(own, tmp_path / "part")
    assert rows(tmp_path / "part") == rows(tmp_path / "whole")
    run(replace(own, space=Grown(after=2), repeats="train", rounds=3), tmp_path / "train")
    assert [t.tokens[1] < 0 for t in trials(tmp_path / "train")] == [True] * 2 + [False] * 4


@dataclass(frozen=True)
class Stubborn:
    """Proposes the same again and again."""

    def init(self, decisions, key):
        return jnp.zeros(len(decisions), jnp.int32)

    def propose(self, state, key, n):
        return quick.SPACE.decisions.without_absent(jnp.tile(state, (n, 1)))

    def update(self, state, tokens, rewards):
        return state, {"mean reward": rewards.mean()}


def test_what_a_strategy_does_not_propose_is_drawn_uniformly(tmp_path):
    """Chi-squared of the second of two trials, over 11 architectures and 330 seeds; 0.999 of its law is below 29.6."""
    seconds = []
    for seed in range(330):
        tried = Tried()
        stubborn = lambda attempt: np.zeros((2, 3), np.int32)
        [first, second] = tried.unseen(stubborn, quick.SPACE.decisions, 3, seed, 0).tolist()
        assert first == [0, 0, 0]
        seconds.append(tuple(second))
    _, counts = np.unique(np.array(seconds), axis=0, return_counts=True)
    assert len(counts) == 11
    assert ((counts - 30) ** 2 / 30).sum() < 29.6
    run(experiment(repeats="forbid", strategy=Stubborn()), tmp_path)
    assert len({t.tokens for t in trials(tmp_path)}) == 12


def test_large_and_growing_spaces():
    """Of a large one others are drawn; of a growing one the columns that exist count."""
    large = Decisions(tuple(Choice(f"{i}", f"{i}", 5) for i in range(12)))
    tried, stubborn = Tried(), lambda attempt: np.zeros((7, 12), np.int32)
    for r in range(3):
        tokens = tried.unseen(stubborn, large, 12, 1, r)
        assert (len(tokens), tokens.min(), tokens.max()) == (7, 0, 4)
        assert tried.copied(tokens, 7 * r) == {}
        tried.add(tokens, 7 * r)
    grown = Tried().unseen(lambda attempt: np.repeat([[0, 0, -1, -1]], 30, 0), Decisions(large.made[:4]), 2, 1, 0)
    assert sorted(map(tuple, grown.tolist())) == [(a, b, -1, -1) for a in range(5) for b in range(5)]
