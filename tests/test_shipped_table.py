"""The table that comes with the library."""

import csv
import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import jaxnas
from jaxnas.children import alone
from jaxnas.experiment import describe, flatten
from jaxnas.setup import load
from jaxnas.tabulate import architectures


def column(rows, name: str) -> np.ndarray:
    return np.array([float(line[name]) for line in rows])


@pytest.fixture(scope="module")
def shipped():
    """Its file, its rows, what lies beside it and the experiment of its config."""
    config = Path(__file__).parent.parent / "configs" / "digits_table.py"
    path = Path(jaxnas.__file__).parent / "tables" / "digits.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    return path, rows, json.loads(path.with_name("digits.json").read_text()), load(config, [])[0]


def test_the_shipped_table_is_that_of_its_config(shipped):
    path, rows, facts, experiment = shipped
    assert path.stat().st_size < 1_000_000
    assert facts["md5"] == hashlib.md5(path.read_bytes()).hexdigest()
    for name in ("space", "task", "evaluator", "seed"):
        recorded, now = (
            flatten({name: facts["configuration"][name]}),
            flatten({name: describe(getattr(experiment, name))}),
        )
        assert {setting: now[setting] for setting in recorded} == recorded  # settings may have been added since
    assert (facts["overrides"], facts["failed"]) == ([], 0)
    tokens = architectures(experiment.space.decisions, None, 0)
    assert len(rows) == 144 + 1728
    assert [line["tokens"] for line in rows] == [" ".join(map(str, one)) for one in tokens.tolist()]
    assert list(rows[0]) == facts["columns"]
    assert {"valid_1", "valid_8", "valid", "test", "valid_s2", "test_s2"} <= set(rows[0])
    children = experiment.space.children((8, 8, 1), 10)
    for line, one in list(zip(rows, tokens, strict=True))[::100]:
        cost = alone(children, experiment.space.decode(one))
        assert (int(line["parameters"]), int(line["multiply_adds"])) == (cost.parameters, cost.multiply_adds)


def test_architectures_of_the_shipped_table_differ_by_more_than_noise(shipped):
    rows = shipped[1]
    for name in ("valid", "test"):
        seeds = np.stack([column(rows, f"{name}_s{seed}") for seed in range(3)])
        assert column(rows, name).std() > 3 * np.sqrt(seeds.var(0, ddof=1).mean())
        assert 0.9 < column(rows, name).max() < 0.99
    ranks = lambda values: np.argsort(np.argsort(values))
    correlation = np.corrcoef(ranks(column(rows, "valid_2")), ranks(column(rows, "valid")))[0, 1]
    assert 0.6 < correlation < 0.95  # a score after two epochs is a hint, not the answer


def test_a_row_of_the_shipped_table_can_be_trained_again(shipped, two_devices):
    """The best one, in a group of two: another machine or plan may differ by a few of the 719 images."""
    _, rows, _, experiment = shipped
    best = max(range(len(rows)), key=lambda i: float(rows[i]["valid"]))
    ids = np.array([best, best - 1])
    tokens = np.array([rows[i]["tokens"].split() for i in ids], np.int32)
    evaluate = experiment.evaluator.bind(experiment.space, experiment.task, experiment.seed + 1, len(rows))
    for places, outcome in evaluate(tokens, ids):
        for i, curve in zip(ids[places], outcome.curve, strict=True):
            assert curve[-1] == pytest.approx(float(rows[i]["valid_s1"]), abs=0.03)
