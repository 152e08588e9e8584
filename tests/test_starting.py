"""A search begins with known architectures: of another search, or of a file."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import quick
from flax import nnx
from quick import Quick, experiment
from refusals import refused
from test_search import rows, run

from jaxnas.children import Children
from jaxnas.decisions import Choice, Decisions
from jaxnas.ledger import Ledger
from jaxnas.search import first_proposal
from jaxnas.spaces import (
    Cell201,
    ChainCNN,
    Choices,
    ModuleSpace,
    RecurrentCell,
    Restores,
    SkipCNN,
    StandardCell,
    Tuned,
)
from jaxnas.starting import known
from jaxnas.strategies import Reinforce
from jaxnas.values import Float, Int

EVERY = quick.SPACE.decisions.every(100).tolist()
SCORES = Quick(lambda tokens, trial: float(np.maximum(tokens, 0).sum()))


def tokens(directory: Path, count: int | None = None) -> list[list[int]]:
    return [[*t.tokens] for t in Ledger(directory).trials()[:count]]


def written(path: Path, content) -> str:
    path.write_text(json.dumps(content))
    return str(path)


def test_the_best_of_another_search_come_first_and_then_the_strategy_s_own(tmp_path):
    run(experiment(SCORES, seed=9, rounds=1, children=3), tmp_path / "before")
    started = experiment(SCORES, start_from=str(tmp_path / "before"))
    run(started, tmp_path / "a")
    run(experiment(SCORES), tmp_path / "plain")
    best = ranked(tmp_path / "before")
    assert [*map(tuple, tokens(tmp_path / "a", len(best)))] == best
    assert (
        tokens(tmp_path / "a")[len(best) :] == tokens(tmp_path / "plain")[len(best) :]
    )  # random search learns nothing
    assert first_proposal(started).tolist() == tokens(tmp_path / "a", 4)
    run(experiment(SCORES, start_from=str(tmp_path / "a"), children=2), tmp_path / "fewer")
    assert [*map(tuple, tokens(tmp_path / "fewer", 2))] == ranked(tmp_path / "a")[:2]


def ranked(directory: Path) -> list[tuple[int, ...]]:
    """Different tokens, the best first."""
    return list(dict.fromkeys(t.tokens for t in Ledger(directory).top(99)))


def test_what_was_read_is_kept(tmp_path, monkeypatch):
    """A resume needs the file no longer; another name of it is another setting."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "known.json", [EVERY[5], quick.SPACE.decode(np.array(EVERY[7])), EVERY[5]])
    own = experiment(SCORES, start_from="known.json")
    run(own, tmp_path / "whole")
    assert tokens(tmp_path / "whole", 2) == [EVERY[5], EVERY[7]]
    assert Ledger(tmp_path / "whole").facts()["started_from"] == [EVERY[5], EVERY[7]]
    run(replace(own, rounds=1), tmp_path / "part")
    (tmp_path / "known.json").unlink()
    run(own, tmp_path / "part")
    assert rows(tmp_path / "part") == rows(tmp_path / "whole")
    refused(lambda: run(replace(own, start_from=None), tmp_path / "part"), "start_from: known.json there, None now")


def test_a_strategy_learns_from_them(tmp_path):
    """A policy takes their log-probabilities at its own parameters: what is best is proposed more."""
    place = written(tmp_path / "known.json", [EVERY[-1]])
    learner = Reinforce(0.3, policy="table", baseline_decay=0.0)
    own = experiment(SCORES, strategy=learner, start_from=place, rounds=2, children=2)
    run(own, tmp_path / "a")
    run(replace(own, start_from=None), tmp_path / "b")
    assert tokens(tmp_path / "a")[1] == tokens(tmp_path / "b")[1]  # the second of the round is its own
    favourites = [Ledger(tmp_path / name).facts()["most_likely"]["architecture"] for name in "ab"]
    assert favourites[0]["values"] == quick.SPACE.decode(np.array(EVERY[-1]))


def test_nothing_known_is_forbidden_twice(tmp_path):
    place = written(tmp_path / "known.json", EVERY[3:7])
    run(experiment(SCORES, start_from=place, repeats="forbid"), tmp_path / "a")
    assert tokens(tmp_path / "a", 4) == EVERY[3:7]
    assert sorted(tokens(tmp_path / "a")) == EVERY


class Net(nnx.Module):
    """Never built."""

    def __init__(self, inputs, outputs, *, width, rngs, rate=0.0):
        raise AssertionError


SMALL = ChainCNN(layers=3, depths=(2, 3), filters=(4, 8), stride_widths=(1, 2), pool_after=(1,))
SKIP = SkipCNN(layers=4, types=("convolution", "max_pool"), norms=(True, False), learning_rates=(0.1, 0.05))


@pytest.mark.parametrize(
    ("space", "shape"),
    [
        (SMALL, (8, 8, 1)),
        (SKIP, (12, 12, 3)),
        (Cell201(), (8, 8, 3)),
        (RecurrentCell(base=4), (5,)),
        (StandardCell("gru"), (5,)),
        (Tuned(SMALL, learning_rate=Float(0.1, 1.0), batch_size=Int(8, 32)), (8, 8, 1)),
        (Tuned(Cell201(), momentum=Float(0.0, 0.9)), (8, 8, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_architectures_as_the_ledger_writes_them(tmp_path, space, shape):
    """Of every space: tokens -> architecture -> JSON -> tokens of this architecture. (Of a pooling that has several
    inputs one is read, so that some tokens of `SkipCNN` mean the same.)
    """
    children: Children = space.children(shape, 10)
    drawn = first_proposal(replace(experiment(), space=space, children=20))
    described = [children.describe(space.decode(row)) for row in drawn]
    assert isinstance(space, Restores)
    place = written(tmp_path / "known.json", described)
    found = known(replace(experiment(), space=space, children=20, start_from=place))
    wanted = [space.decode(row) for row in drawn]
    assert [space.decode(np.array(row)) for row in found] == [a for i, a in enumerate(wanted) if a not in wanted[:i]]


def test_values_with_and_without_their_names(tmp_path):
    space = ModuleSpace(Net, width=Int(8, 32, step=8), rate=Float(0.1, 1.0, when=("width", 8)))
    drawn = first_proposal(replace(experiment(), space=space, children=9)).tolist()
    forms = [
        lambda values: values,
        lambda values: {"type": "module", "network": "Net", "values": values},
        lambda values: {"type": "values", "values": values},
    ]
    for form in forms:
        place = written(tmp_path / "known.json", [form(space.decode(np.array(row))) for row in drawn])
        found = known(replace(experiment(), space=space, children=9, start_from=place))
        assert found == [list(row) for row in dict.fromkeys(map(tuple, drawn))]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": 1}, "give a list of architectures, or of lists of tokens, one or more"),
        ([], "give a list of architectures"),
        ([3], "entry 0, 3: give an architecture or a list of tokens"),
        ([[0, 0]], "entry 0, [0, 0]: give 3 whole numbers, one for each decision"),
        ([[0, 0, 0], [0, 0.5, 0]], "entry 1, [0, 0.5, 0]: give 3 whole numbers"),
        ([[9, 0, 0]], "gave token 9 for decision 'a' in column 0: its values are 0 to 3"),
        ([[0, 1, 0]], "gave token 0 for decision 'c' in column 2 where it does not exist"),
        ([[0, 0, -1]], "gave -1 for decision 'c' in column 2 where it exists"),
        ([{"a": 1, "b": "y", "d": 3}], "is no architecture of Choices: 'd' is no value of this space"),
        ([{"a": 77, "b": "y"}], "is no architecture of Choices: a="),
        ([{"layers": []}], "is no architecture of Choices"),
    ],
)
def test_what_is_none_gets_one_line(tmp_path, content, words):
    place = written(tmp_path / "known.json", content)
    refused(lambda: run(experiment(start_from=place), tmp_path / "a"), f"start_from={place}", words)
    assert len(Ledger(tmp_path / "a")) == 0  # and the directory takes other settings


def test_other_searches_and_files_that_are_none(tmp_path):
    other = Choices(a=Int(0, 9))
    run(replace(experiment(rounds=1), space=other), tmp_path / "other")
    start = lambda place, **more: known(experiment(start_from=str(tmp_path / place), **more))
    refused(lambda: start("other"), "that search has another space", "space.a.high: 9 there, 3 now")
    refused(lambda: start("nowhere.json"), "cannot be read as JSON", "give a search's directory")
    (tmp_path / "empty").mkdir()
    refused(lambda: start("empty"), "has no ledger.sqlite")
    run(experiment(Quick(lambda tokens, trial: None), rounds=1), tmp_path / "failed")
    refused(lambda: start("failed"), "that search has no trial with a score yet")
    chain = {"layers": [{"kernel": [3, 3], "filters": 5, "stride": [1, 1], "pool": 1}]}
    place = written(tmp_path / "chain.json", [chain])
    refused(
        lambda: known(replace(experiment(start_from=place), space=SMALL)), "is no architecture of ChainCNN", "not in"
    )
    place = written(tmp_path / "lacks.json", [{"layers": [{"kernel": [3, 3]}]}])
    refused(
        lambda: known(replace(experiment(start_from=place), space=SMALL)), "is no architecture of ChainCNN: it has no"
    )


@dataclass(frozen=True)
class Growing:
    """Of two decisions; the second one comes after four trials."""

    decisions: Decisions = Decisions((Choice("a", "a", 3), Choice("b", "b", 4)))

    def decode(self, tokens):
        return {"a": int(tokens[0]), "b": int(tokens[1])}

    def encode(self, architecture): ...

    def children(self, input_shape, classes, dtype="float32"): ...

    def present(self, trials):
        return np.array([True, trials >= 4])


def test_of_a_space_that_grows_what_the_first_round_may_have(tmp_path):
    """The best of a search are deeper: of those that are not, the best. What is named one by one is refused."""
    own = replace(experiment(SCORES, rounds=3), space=Growing())
    run(own, tmp_path / "a")
    assert max(tokens(tmp_path / "a"), key=sum)[1] > 0
    shallow = [row for row in ranked(tmp_path / "a") if row[1] < 0]
    assert [*map(tuple, known(replace(own, start_from=str(tmp_path / "a"))))] == shallow
    late = replace(own, evaluator=Quick(lambda tokens, trial: None if trial < 4 else 1.0), rounds=2)
    run(late, tmp_path / "late")
    refused(lambda: known(replace(own, start_from=str(tmp_path / "late"))), "the space grows", "trial with a score")
    place = written(tmp_path / "deep.json", [[0, -1], [0, 3]])
    refused(lambda: known(replace(own, start_from=place)), "entry 1", "its first round does not have that much yet")
