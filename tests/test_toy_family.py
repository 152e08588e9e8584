"""A family of one's own, of at most 60 lines, goes through all that the library does with networks; and stock layers
with statistics, dropout and variables of any type keep the laws in it.
"""

import gzip
import os
from pathlib import Path

import jax
import numpy as np
import pytest
import toy_family
from steps import assert_equal
from toy_family import OneHidden

from jaxnas.children import Children, Exports, Network, Widens, unpadded
from jaxnas.cli import main
from jaxnas.evaluators import Train
from jaxnas.evaluators.train import Trainer
from jaxnas.ledger import Ledger
from jaxnas.tasks import Digits

CONFIG = """
from toy_family import OneHidden
from jaxnas.evaluators import Population, SuccessiveHalving, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Digits

train = Train(epochs=2, batch_size=64)
experiment = Experiment(
    space=OneHidden(), task=Digits(), strategy=Reinforce(policy="table"),
    evaluator=Population(train, halving=SuccessiveHalving((1,), 0.5)),
    final=Final(Train(epochs=2, batch_size=32), seeds=2), rounds=2, children=4,
)
"""
SEED, TASK = 3, Digits()
DATA, TRAIN = TASK.search_data(SEED), Train(epochs=3, batch_size=64)
CHILDREN = OneHidden().children(DATA.input_shape, DATA.classes)
WIDTHS = [4, 16, 8, 8]
INSIDE = CHILDREN.envelope(WIDTHS, CHILDREN.engines[0], ())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    (folder / "own.py").write_text(CONFIG)
    before = os.getcwd()
    os.chdir(folder)
    try:
        assert main(["search", "own.py", "--workdir", "run", "--rounds", "1"]) == 0
        assert main(["search", "own.py", "--workdir", "run"]) == 0
        assert main(["search", "own.py", "--workdir", "whole"]) == 0
        yield folder
    finally:
        os.chdir(before)


def test_the_family_is_small_and_keeps_to_the_contract():
    lines = [line for line in Path(toy_family.__file__).read_text().splitlines() if line.strip()]
    assert len(lines) <= 60
    assert isinstance(CHILDREN, Children)
    assert not isinstance(CHILDREN, Widens | Exports)
    assert issubclass(toy_family.Net, Network)


def test_a_search_with_early_stopping_goes_on_as_it_began(folder):
    """Law 4, with dropout, statistics and a counter in every child."""
    kept = lambda t: (t.trial_id, t.tokens, t.status, t.score, t.reward, t.curve, t.parameters)
    run, whole = ([kept(t) for t in Ledger(folder / name).trials()] for name in ("run", "whole"))
    assert run == whole
    assert sorted(t[2] for t in whole) == ["ok"] * 4 + ["stopped"] * 4
    assert max(t[3] for t in whole) > 0.5
    assert {t[6] for t in whole} <= {(64 + 10) * width for width in (4, 8, 16)}


def test_every_command_takes_it(folder, capsys):
    assert main(["plan", "own.py"]) == 0
    assert main(["final", "run"]) == 0
    assert "standard deviation" in capsys.readouterr().out
    assert main(["trials", "run"]) == 0
    assert "one hidden layer" in capsys.readouterr().out
    best = Ledger(folder / "run").top(1)[0]
    assert main(["show", "run", str(best.trial_id)]) == 0
    assert "width" in capsys.readouterr().out
    (folder / "table.py").write_text(CONFIG.replace(", halving=SuccessiveHalving((1,), 0.5)", ""))
    assert main(["tabulate", "table.py", "toy.csv.gz"]) == 0
    assert gzip.decompress((folder / "toy.csv.gz").read_bytes()).count(b"\n") == 1 + 3


def test_what_it_does_not_offer_is_refused_in_one_line(folder, capsys):
    for command, words in (
        (["final", "run", "--trial", "0", "--final.width", "2"], "has no `widened`"),
        (["export", "run", "out"], "cannot be exported"),
        (["plan", "own.py", "--evaluator.engine", "branching"], "take one of: auto, padded"),
    ):
        assert main(command) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert words in said[0]
        assert said[1:] in ([], ["(JAXNAS_DEBUG=1 shows where this comes from)"])


@pytest.fixture(scope="module")
def together(two_devices):
    trainer = Trainer(CHILDREN, TASK, DATA, TRAIN, SEED)
    return trainer, run(trainer, WIDTHS, range(4))


def run(trainer, widths, trials, **more):
    return trainer.run(INSIDE, [CHILDREN.place(width, INSIDE) for width in widths], list(trials), **more)


def test_dropout_follows_the_trial_whatever_its_place_and_company(together):
    """Law 2."""
    trainer, found = together
    assert found.alive.all()
    order = [2, 0, 3, 1]
    again = run(trainer, [WIDTHS[i] for i in order], order)
    for place, i in enumerate(order):
        assert_equal(again, place, found, i)
    same = run(trainer, [8, 8, 8, 8], [2, 2, 5, 6])
    assert_equal(same, 0, same, 1)
    assert same.curve[0].tolist() != same.curve[2].tolist()


def test_a_training_that_is_left_and_taken_up_is_the_whole_one(together):
    """Law 4: statistics, the counter and the draws of dropout go on."""
    trainer, found = together
    first = run(trainer, WIDTHS, range(4), epochs=range(1))
    second = run(trainer, WIDTHS, range(4), epochs=range(1, 3), since=[first.one(i) for i in range(4)])
    for i in range(4):
        assert_equal(second, i, found, i)


def test_any_variable_is_carried_and_scoring_changes_none(together):
    trainer, found = together
    counted = [np.asarray(leaf) for leaf in jax.tree.leaves(found.states.learnt.network.others)]
    assert [leaf.tolist() for leaf in counted] == [[3 * trainer.steps] * 4]


def test_dropout_drops_in_training_alone(together):
    """Without it training gives other numbers; scoring a trained child twice gives the same."""
    trainer, found = together
    inside = unpadded(CHILDREN, 8)
    genes = CHILDREN.place(8, inside)
    score = lambda network, x, training: network(x, genes, training, (), jax.random.key(0))[0]
    network = CHILDREN.build(inside, genes, jax.random.key(1))
    x = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype(np.float32)
    network.eval()
    assert (score(network, x, False) == score(network, x, False)).all()
    network.train()
    assert not np.allclose(score(network, x, True), score(network, x, True))
