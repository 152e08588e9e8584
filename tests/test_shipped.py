"""The shipped table, and the comparison that runs without a config."""

import csv
import gzip
import hashlib
import json
from pathlib import Path

import numpy as np

from jaxnas import setup
from jaxnas.compare import CONTROL, Comparison
from jaxnas.experiment import Experiment
from jaxnas.settings import describe
from jaxnas.tables import SHIPPED

CONFIG = Path(__file__).parents[1] / "configs" / "digits_table.py"


def test_the_comparison_fits_the_table_and_the_config_that_made_it():
    comparison, _ = setup.load(setup.SHIPPED_COMPARISON, [], Comparison)
    experiment, _ = setup.load(CONFIG, [], Experiment)
    assert comparison.space == experiment.space
    made = json.loads(SHIPPED["digits"].with_name("digits.json").read_text())
    assert made["configuration"]["space"] == json.loads(json.dumps(describe(experiment.space)))
    assert made["configuration"]["task"] == json.loads(json.dumps(describe(experiment.task)))
    assert made["configuration"]["evaluator"] == json.loads(json.dumps(describe(experiment.evaluator)))
    assert made["md5"] == hashlib.md5(SHIPPED["digits"].read_bytes()).hexdigest()
    [known] = comparison.tables().values()
    assert len(known.tokens) == 1872 == made["rows"]
    assert not np.isnan(known.score).any()
    assert SHIPPED["digits"].stat().st_size < 2**20


def test_a_search_pays_for_the_epochs_that_it_sees():
    comparison, _ = setup.load(setup.SHIPPED_COMPARISON, [], Comparison)
    [problem] = comparison.problems.values()
    epochs = int(problem.table.score.removeprefix("valid_"))
    assert problem.table.share == epochs / 8
    with gzip.open(SHIPPED["digits"], "rt", newline="") as file:
        row = next(csv.DictReader(file))
    known = comparison.tables()["digits"]
    np.testing.assert_allclose(known.seconds[0], float(row["seconds"]) * epochs / 8)
    assert known.score[0] == float(row[f"valid_{epochs}"])
    assert CONTROL not in comparison.contenders  # `compare` adds it
