"""The comparisons that come with the library fit its tables; test_shipped_table looks at the table of digits itself."""

import csv
import gzip
import hashlib
import json
from pathlib import Path

import numpy as np

from jaxnas import setup
from jaxnas.compare import CONTROL, Comparison
from jaxnas.experiment import Experiment
from jaxnas.outcome import Measure
from jaxnas.settings import describe
from jaxnas.tables import SHIPPED

CONFIGS = Path(__file__).parents[1] / "configs"
CONFIG = CONFIGS / "digits_table.py"


def test_its_space_is_that_of_the_config_that_made_the_table():
    comparison, _ = setup.load(setup.SHIPPED_COMPARISON, [], Comparison)
    experiment, _ = setup.load(CONFIG, [], Experiment)
    assert comparison.space == experiment.space
    [known] = comparison.tables().values()
    assert len(known.tokens) == 1872
    assert not np.isnan(known.score).any()
    assert CONTROL not in comparison.contenders  # `compare` adds it


def test_the_table_of_settings_is_that_of_its_grid():
    comparison, _ = setup.load(CONFIGS / "tuners.py", [], Comparison)
    grid, _ = setup.load(CONFIGS / "tuning_grid.py", [], Experiment)
    assert comparison.space == grid.space
    [known] = comparison.tables().values()
    assert len(known.tokens) == grid.space.decisions.count == 4320
    assert known.measure == Measure.LOG_LOSS
    assert 0 < np.isnan(known.score).sum() < 40  # these diverged
    assert SHIPPED["tuning"].stat().st_size <= 200_000
    facts = json.loads(SHIPPED["tuning"].with_name("tuning.json").read_text())
    assert facts["md5"] == hashlib.md5(SHIPPED["tuning"].read_bytes()).hexdigest()
    assert facts["configuration"]["space"] == describe(grid.space)


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
