"""A text, from its files to the exported page: followed to the letter where there is no jaxnas, it gives the score that
final training recorded.
"""

import json
import math
import os
import random
import subprocess
import sys

import pytest
from exported import BLOCK

from jaxnas.evaluators import Adam, Population, Train
from jaxnas.experiment import Experiment
from jaxnas.export import export
from jaxnas.final import Final, train_final
from jaxnas.ledger import Ledger
from jaxnas.rewards import Perplexity
from jaxnas.search import Silent, search
from jaxnas.spaces import LanguageModel, RecurrentCell, StandardCell
from jaxnas.strategies import Random
from jaxnas.tasks import Text
from jaxnas.trained import load_trained

FOLLOW = """
import json
import pathlib

import jax.numpy as jnp

said = []
names = {"inputs": jnp.ones((2, 5, 32)), "print": said.append}
for block in pathlib.Path("README.md").read_text(encoding="utf-8").split("```python")[1:]:
    if "network.call(symbols)" in block:
        names["symbols"] = names["symbols"][None, :20]
    exec(block.split("```")[0], names)
print(json.dumps({"score": names["score"], "said": said[-1]}))
"""
WORDS = ["the", "a", "of", "cat", "dog", "fox", "house", "saw", "heard", "left", "in", "under"]
MODEL = LanguageModel(hidden=8)
SPACES = {"found": RecurrentCell(base=2, model=MODEL), "lstm": StandardCell("lstm", MODEL)}


def lines(count: int, more: tuple[str, ...] = ()) -> str:
    """Sentences of four words; one line in seven is empty, one in five brings its own <eos>."""
    draw = random.Random(count)
    of = lambda n: " ".join(draw.choices((*WORDS, *more), k=4)) + (" <eos>" if n % 5 == 0 else "")
    return "".join("\n" if n % 7 == 3 else f"{of(n)}\n" for n in range(count))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three files; the test text has words and characters that the training text has not."""
    folder = tmp_path_factory.mktemp("text")
    for name, count, more in (("train", 90, ()), ("valid", 20, ()), ("test", 31, ("Ünseen", "q"))):
        (folder / f"own.{name}.txt").write_text(lines(count, more), encoding="utf-8", newline="\r\n")
    return folder


@pytest.mark.parametrize(("unit", "cell"), [("characters", "found"), ("words", "found"), ("words", "lstm")])
def test_the_page_gives_the_recorded_score(unit, cell, folder, tmp_path):
    train = Train(epochs=2, batch_size=7, optimiser=Adam(0.02))  # the last of 7 streams is shorter than the others
    task = Text(str(folder), unit=unit, unroll=9, vocabulary=20)
    experiment = Experiment(
        SPACES[cell], task, Random(), Perplexity(), Population(train), Final(train), rounds=1, children=1
    )
    ledger = Ledger(tmp_path, write=True)
    search(experiment, ledger, Silent())
    [trial] = ledger.trials()
    ledger.close()
    result = train_final(experiment, tmp_path, trial.trial_id)
    assert result["unknown"] > 0.01
    assert result["test_examples"] % 7 > 0
    export(load_trained(experiment, tmp_path, trial.trial_id), tmp_path / "out")
    (tmp_path / "out" / "test.txt").write_bytes(b"\xef\xbb\xbf" + (folder / "own.test.txt").read_bytes())
    followed = follow(tmp_path)
    assert followed["score"] == pytest.approx(result["test_score"], abs=2e-5)
    loss = -result["test_score"]
    wanted = f"{loss / math.log(2):.3f}" if unit == "characters" else f"perplexity {math.exp(loss):.3g}"
    assert followed["said"].startswith(wanted)


def follow(place) -> dict:
    (place / "sitecustomize.py").write_text(BLOCK)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(place), str(place / "out")])}
    command = [sys.executable, "-c", FOLLOW]
    done = subprocess.run(command, env=environment, cwd=place / "out", capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
