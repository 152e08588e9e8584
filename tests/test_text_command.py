"""A search on text as a user types it: what is printed, a kill between two rounds, the cell without jaxnas."""

import contextlib
import io
import os
import subprocess
import sys

import numpy as np
import pytest

from jaxnas.cli import main
from jaxnas.ledger import Ledger
from jaxnas.tasks import Text

CONFIG = """
from jaxnas.evaluators import Adam, Population, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.rewards import Perplexity
from jaxnas.spaces import LanguageModel, RecurrentCell
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Text

experiment = Experiment(
    space=RecurrentCell(base=2, model=LanguageModel(hidden=8)), reward=Perplexity(),
    strategy=Reinforce(policy="table"),
    task=Text("own.txt", unroll=8, vocabulary=12),
    evaluator=Population(Train(epochs=1, batch_size=4, optimiser=Adam(0.01))),
    final=Final(Train(epochs=1, batch_size=4, optimiser=Adam(0.01)), seeds=2), rounds=2, children=2,
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a search of one round has been made, and then continued to two."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "own.py").write_text(CONFIG)
    (folder / "own.txt").write_text("".join(f"line {number} of a short text\n" for number in range(60)))
    before = os.getcwd()
    os.chdir(folder)
    try:
        assert main(["search", "own.py", "--workdir", "run", "--rounds", "1"]) == 0
        assert main(["search", "own.py", "--workdir", "run"]) == 0
        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert main(["search", "own.py", "--workdir", "whole"]) == 0
        (folder / "said").write_text(said.getvalue())
        yield folder
    finally:
        os.chdir(before)


def test_a_search_that_goes_on_is_the_whole_one(folder):
    """Law 4."""
    kept = lambda t: (t.trial_id, t.tokens, t.score, t.reward, t.curve)
    first, whole = ([kept(t) for t in Ledger(folder / name).trials()] for name in ("run", "whole"))
    assert len(whole) == 4
    assert first == whole


def test_what_is_printed_is_bits_and_formulas(folder, capsys):
    best = Ledger(folder / "run").top(1)[0]
    held_out = Text("own.txt", vocabulary=12).search_data(0).held_out.symbols[1:]
    share = f"{100 * np.mean(held_out == 0):.3g}% of the text is <unk>"
    bits = f"{-best.score / np.log(2):.4f} bits a character, {share}"
    assert main(["show", "run", str(best.trial_id)]) == 0
    shown = capsys.readouterr().out
    assert f"({bits})" in shown
    assert "W0 x" in shown
    assert "c' = " in shown
    assert main(["search", "own.py", "--workdir", "run", "--final"]) == 0
    said = capsys.readouterr().out
    assert "test bits a character of 2 seeds" in said
    assert "symbols for 1 epochs" in said
    assert "% of the text is <unk>" in said
    rounds = [line for line in (folder / "said").read_text().splitlines() if line.startswith("round ")]
    assert len(rounds) == 2
    assert all(share in line for line in rounds)


def test_the_exported_cell_needs_no_jaxnas(folder):
    """After the final training of the test above, or its own."""
    assert main(["final", "run"]) == 0
    assert main(["export", "run", "out"]) == 0
    code = (
        "import sys; sys.path.insert(0, '.'); from network import Cell, load; from flax import nnx; "
        "import jax.numpy as jnp; layer = nnx.RNN(Cell(in_features=3, hidden_features=5, rngs=nnx.Rngs(0))); "
        "print(layer(jnp.ones((2, 4, 3))).shape, load()(jnp.zeros((1, 7), jnp.int32)).ndim, 'jaxnas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=folder / "out", capture_output=True, text=True)
    assert done.stdout.split("\n")[0] == "(2, 4, 5) 3 False", done.stderr


def test_a_config_that_cannot_be_is_refused_in_one_line(folder, capsys):
    for setting, words in (
        ("--task.source=none.txt", "no text at 'none.txt'"),
        ("--evaluator.train.batch-size=9999", "batch_size=9999"),
    ):
        assert main(["search", "own.py", "--workdir", "other", setting]) == 2
        assert words in capsys.readouterr().err.splitlines()[0]
