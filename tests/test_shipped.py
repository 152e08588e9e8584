"""The comparison that runs without a config fits the shipped table; test_shipped_table looks at the table itself."""

import csv
import gzip
from pathlib import Path

import numpy as np

from jaxnas import setup
from jaxnas.compare import CONTROL, Comparison
from jaxnas.experiment import Experiment
from jaxnas.tables import SHIPPED

CONFIG = Path(__file__).parents[1] / "configs" / "digits_table.py"


def test_its_space_is_that_of_the_config_that_made_the_table():
    comparison, _ = setup.load(setup.SHIPPED_COMPARISON, [], Comparison)
    experiment, _ = setup.load(CONFIG, [], Experiment)
    assert comparison.space == experiment.space
    [known] = comparison.tables().values()
    assert len(known.tokens) == 1872
    assert not np.isnan(known.score).any()
    assert CONTROL not in comparison.contenders  # `compare` adds it


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
