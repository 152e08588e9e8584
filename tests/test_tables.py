"""Tables: the same from every kind of file, found by tokens, refused where they are not what they should be."""

import gzip
import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from jaxnas.cli import main
from jaxnas.evaluators import Table
from jaxnas.experiment import Experiment
from jaxnas.ledger import Ledger
from jaxnas.outcome import Status
from jaxnas.search import Silent, search
from jaxnas.spaces import Cell201
from jaxnas.strategies import Random
from jaxnas.tables import address
from jaxnas.tasks import Digits
from tests.toy_table import SPACE, columns, evaluator, everything, write_csv

NASBENCH = Path(__file__).parents[2] / "shared" / "data" / "nas" / "nasbench201.csv.gz"
CONFIG = """
from jaxnas.evaluators import Table
from jaxnas.experiment import Experiment
from jaxnas.strategies import Evolution
from jaxnas.tasks import Digits
from tests.toy_table import SPACE

experiment = Experiment(
    SPACE, Digits(), Evolution(population=4, sample=2), evaluator=Table("t.csv", score="early"), rounds=3, children=4
)
"""


def test_every_kind_of_file_gives_the_same_records(tmp_path):
    np.savez(tmp_path / "t.npz", **columns())
    tables = [
        write_csv(tmp_path / "t.csv"),
        write_csv(tmp_path / "t.csv.gz", opened=gzip.open),
        evaluator(tmp_path / "t.npz"),
    ]
    plain, *others = (table.read(SPACE) for table in tables)
    np.testing.assert_array_equal(plain.tokens, everything())
    np.testing.assert_array_equal(plain.score, columns()["early"])
    for other in others:
        for name in ("tokens", "score", "valid", "test", "seconds"):
            np.testing.assert_array_equal(getattr(other, name), getattr(plain, name))


def test_an_npz_may_hold_tokens_as_numbers(tmp_path):
    np.savez(tmp_path / "t.npz", **columns() | {"tokens": everything()})
    np.testing.assert_array_equal(evaluator(tmp_path / "t.npz").read(SPACE).tokens, everything())


def test_units_and_shares_are_those_of_the_library(tmp_path):
    table = write_csv(tmp_path / "t.csv", columns() | {"early": 100 * columns()["early"]})
    known = Table(table.file, score="early", valid="", test="", unit=100.0, share=0.5).read(SPACE)
    np.testing.assert_allclose(known.score, columns()["early"], rtol=1e-12)
    np.testing.assert_array_equal(known.valid, known.score)
    np.testing.assert_array_equal(known.test, known.score)
    np.testing.assert_allclose(known.seconds, columns()["seconds"] / 2, rtol=1e-12)


def test_addresses_tell_all_combinations_apart(tmp_path):
    decisions = SPACE.decisions
    lowest = [-1 if choice.when else 0 for choice in decisions.choices]
    ranges = (range(low, choice.size) for low, choice in zip(lowest, decisions.choices, strict=True))
    combinations = np.array(list(itertools.product(*ranges)))
    np.testing.assert_array_equal(address(decisions, combinations), np.arange(len(combinations)))
    known = write_csv(tmp_path / "t.csv").read(SPACE)
    assert len(known.addresses) == len(combinations)
    found = known.addresses[np.asarray(address(decisions, known.tokens))]
    np.testing.assert_array_equal(found, np.arange(len(known.tokens)))
    assert (known.addresses == -1).sum() == len(combinations) - len(known.tokens)


def changed(name, row, value):
    def change(table):
        column = table[name].astype(object)
        column[row] = value
        return table | {name: column}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: {k: v for k, v in t.items() if k != "test"},
            "no column test; it has: tokens, early, valid, seconds",
        ),
        (changed("tokens", 3, "0 1"), r"row 3: \(2,\) tokens given"),
        (changed("tokens", 3, "0 9 0 -1 -1 -1 -1"), "row 3: token 9"),
        (changed("tokens", 3, "0 x 0 -1 -1 -1 -1"), "row 3: .*'x'"),
        (changed("tokens", 3, "0 0 0 0 -1 -1 -1"), "twice"),
        (changed("valid", 2, "good"), "column valid: .*'good'"),
        (changed("seconds", 2, "0"), "column seconds, row 2 .*above 0"),
        (changed("seconds", 2, ""), "column seconds, row 2 .*above 0"),
        (changed("valid", 2, "1,2"), "line 4: 6 cells, the header has 5"),
        (lambda t: {k: v[:0] for k, v in t.items()}, "no rows"),
    ],
)
def test_malformed_tables_are_refused(tmp_path, change, message):
    table = write_csv(tmp_path / "t.csv", change(columns()))
    with pytest.raises(ValueError, match=message):
        table.read(SPACE)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "there is no table .*none.csv: give a CSV"),
        ("t.parquet", b"PAR1", "no table that can be read"),
        ("t.csv.gz", b"not gzip", "cannot be read as a table"),
        ("t.npz", b"not a zip", "cannot be read as a table"),
        ("t.csv", b"\xff\xfe\x00", "cannot be read as a table"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        evaluator(tmp_path / name).read(SPACE)


def test_a_truncated_file_is_refused(tmp_path):
    write_csv(tmp_path / "t.csv.gz", opened=gzip.open)
    os.truncate(tmp_path / "t.csv.gz", 200)
    with pytest.raises(ValueError, match="cannot be read as a table"):
        evaluator(tmp_path / "t.csv.gz").read(SPACE)


def test_a_space_without_parse_says_which_column_it_reads(tmp_path):
    with pytest.raises(ValueError, match="ChainCNN reads architectures from a column named tokens, not early"):
        Table(write_csv(tmp_path / "t.csv").file, "early", score="early").read(SPACE)


# The evaluator.


def ledger_of(table, folder, rounds=4, children=5) -> list:
    ledger = Ledger(folder, write=True)
    search(Experiment(SPACE, Digits(), Random(), evaluator=table, rounds=rounds, children=children), ledger, Silent())
    return ledger.trials()


def test_a_search_looks_its_scores_up(tmp_path):
    table = write_csv(tmp_path / "t.csv", changed("early", 5, "")(columns()))
    known = table.read(SPACE)
    trials = ledger_of(table, tmp_path)
    assert len(trials) == 20
    for trial in trials:
        row = known.row_of[trial.tokens]
        assert trial.score == (None if row == 5 else known.score[row])
        assert trial.seconds == known.seconds[row]
        about = {"type": "table", "arch": known.architectures[row], "column": "early", "final": known.valid[row]}
        assert trial.architecture == about


def test_an_empty_score_is_a_failed_child(tmp_path):
    evaluate = write_csv(tmp_path / "t.csv", changed("early", 5, "")(columns())).bind(SPACE, None, 0, 2)
    [(rows, outcome)] = evaluate(everything()[[5, 6]], np.array([0, 1]))
    assert rows == [0, 1]
    assert outcome.status.tolist() == [Status.DIVERGED, Status.OK]
    assert np.isnan(outcome.score[0])


def test_finished_trials_are_left_out(tmp_path):
    trials = ledger_of(write_csv(tmp_path / "t.csv"), tmp_path)
    evaluate = evaluator(tmp_path / "t.csv").bind(SPACE, None, 0, 5)
    tokens = np.array([trial.tokens for trial in trials[:5]])
    [(rows, outcome)] = evaluate(tokens, np.arange(5), {0: trials[0], 3: trials[3]})
    assert rows == [1, 2, 4]
    assert outcome.score.tolist() == [trials[row].score for row in rows]
    assert list(evaluate(tokens, np.arange(5), dict(enumerate(trials[:5])))) == []


def test_an_architecture_that_the_table_lacks_is_an_error(tmp_path):
    short = {name: column[:10] for name, column in columns().items()}
    evaluate = write_csv(tmp_path / "t.csv", short).bind(SPACE, None, 0, 1)
    with pytest.raises(ValueError, match="no row for tokens .*: it holds 10 architectures"):
        next(evaluate(everything()[[11]], np.array([0])))


def test_a_search_over_a_table_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "t.csv")
    (tmp_path / "mine.py").write_text(CONFIG)
    assert main(["search", "mine.py"]) == 0
    assert "12 trials, 0 failed" in capsys.readouterr().out
    best = Ledger(tmp_path / "runs" / "mine").top(1)[0]
    assert main(["trials", "runs/mine", "--top", "1"]) == 0
    assert best.architecture["arch"] in capsys.readouterr().out
    assert main(["show", "runs/mine", str(best.trial_id)]) == 0
    assert f"column early {best.score:.4f}, final validation score " in capsys.readouterr().out
    assert main(["plan", "mine.py"]) == 2
    assert "Table trains nothing: there is no plan to show" in capsys.readouterr().err
    assert main(["search", "mine.py", "--evaluator.file=elsewhere.csv", "--workdir=other"]) == 2
    assert "there is no table elsewhere.csv" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["share", "unit"])
def test_impossible_settings_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}=0"):
        Table(**{name: 0.0})


@pytest.mark.skipif(not NASBENCH.is_file(), reason=f"no table of NAS-Bench-201 at {NASBENCH}")
@pytest.mark.parametrize(
    ("data", "valid", "test"), [("c10valid", 91.61, 94.37), ("c100", 73.49, 73.51), ("in16", 46.73, 47.31)]
)
def test_nasbench201_has_the_optima_of_the_literature(data, valid, test):
    names = {"score": f"{data}_val_12", "valid": f"{data}_val_200"}
    names["test"] = f"{data.removesuffix('valid')}_test_200"
    known = Table(str(NASBENCH), "arch", **names, seconds=f"train_s_200_{data}", unit=100.0).read(Cell201())
    assert len(known.tokens) == 15_625 == len(known.row_of)
    assert round(100 * known.valid.max(), 2) == valid
    assert round(100 * known.test.max(), 2) == test
