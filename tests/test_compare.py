"""Comparisons: what they report is what plain Python finds in the trials; what they write and refuse."""

import csv
import io
import json
import math
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import wilcoxon

from jaxnas.cli import main
from jaxnas.compare import POINTS, Comparison, Contender, Problem, _block, compare
from jaxnas.compiled_search import CompiledSearch
from jaxnas.outcome import Measure
from jaxnas.report.comparisons import standing_table
from jaxnas.strategies import Bayes, Random, Reinforce
from tests.toy_table import SPACE, columns, write_csv

LEARNER = Reinforce(learning_rate=0.1, policy="table", baseline="present", baseline_decay=0.5)
CONFIG = """
from jaxnas.compare import Comparison, Contender, Problem
from jaxnas.evaluators import Table
from jaxnas.strategies import Reinforce
from tests.toy_table import SPACE

comparison = Comparison(
    space=SPACE, problems={"toy": Problem(Table("t.csv", score="early"), 40.0)},
    contenders={"learner": Contender(Reinforce(policy="table"), children=2)}, seeds=6,
)
"""


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    table = write_csv(tmp_path_factory.mktemp("table") / "t.csv")
    problems = {"short": Problem(table, 12.0), "long": Problem(table, 200.0)}
    return Comparison(SPACE, problems, {"learner": Contender(LEARNER, children=2)}, seeds=40, seed=5)


@pytest.fixture(scope="module")
def standings(comparison):
    return list(compare(comparison, comparison.tables()))


def test_random_search_is_always_among_them_and_comes_first(standings):
    assert [(s.contender, s.problem) for s in standings] == [
        ("random", "short"),
        ("random", "long"),
        ("learner", "short"),
        ("learner", "long"),
    ]


def test_the_winner_has_the_best_search_score_and_its_final_scores_are_reported(comparison, standings):
    known = comparison.tables()["long"]
    for standing, search in ((standings[1], CompiledSearch(Random())), (standings[3], CompiledSearch(LEARNER, 2))):
        found = search.run(known, 200.0, range(5, 45))
        for i, rows in enumerate(found.rows.tolist()):
            seen = [row for row in rows if row >= 0]
            winner = max(seen, key=lambda row: known.score[row])  # the first of equals
            assert standing.score[i] == known.score[winner]
            assert standing.valid[i] == known.valid[winner]
            assert standing.test[i] == known.test[winner]
            assert standing.trials[i] == len(seen)


def test_the_curve_is_the_mean_incumbent_and_its_band(comparison, standings):
    known = comparison.tables()["long"]
    found = CompiledSearch(Random()).run(known, 200.0, range(5, 45))
    for point in (0, 3, 10, 77, 200):
        cost, values = point * 200.0 / (POINTS - 1), []
        for rows, spent in zip(found.rows, found.spent, strict=True):
            over = [row for row, end in zip(rows.tolist(), spent, strict=True) if row >= 0 and end <= cost]
            values.append(known.test[max(over, key=lambda row: known.score[row])] if over else np.nan)
        band = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))
        np.testing.assert_allclose([standings[1].curve[point], standings[1].band[point]], [np.mean(values), band])


def test_the_first_of_equals_wins_and_a_trial_counts_from_its_end_on(tmp_path):
    """All scores equal and all costs one second: the first trial is the winner, and stands from one second on."""
    flat = columns() | {"early": np.full(156, 0.5), "seconds": np.ones(156)}
    problem = Problem(write_csv(tmp_path / "t.csv", flat), float(POINTS - 1))
    comparison = Comparison(SPACE, {"flat": problem}, {}, seeds=8)
    known = comparison.tables()["flat"]
    [standing] = compare(comparison, {"flat": known})
    first = CompiledSearch(Random()).run(known, 1.0, range(8)).rows[:, 0]
    np.testing.assert_array_equal(standing.test, known.test[first])
    assert np.isnan(standing.curve[0])
    np.testing.assert_allclose(standing.curve[1:], known.test[first].mean())


def test_the_significance_is_paired_by_seed(standings):
    control, learner = standings[1], standings[3]
    assert control.p_value is None
    assert learner.p_value == wilcoxon(learner.test, control.test).pvalue
    assert learner.p_value < 1e-3
    assert learner.test.mean() > control.test.mean()


def test_perplexities_of_any_size_have_five_digits():
    """Even one of 10^160; its square, of which a deviation is made, is no float."""
    scores = np.array([-369.0, -360.0, -5.0])
    known = SimpleNamespace(measure=Measure.PERPLEXITY, score=scores, valid=scores, test=scores)
    one = SimpleNamespace(contender="one", p_value=None, valid=scores, test=scores, trials=np.ones(3), seconds=1.0)
    console = Console(width=200, file=io.StringIO())
    console.print(standing_table("words", [one], known))
    each = [Fraction(math.exp(-score)) for score in scores]
    mean = sum(each) / 3
    deviation = math.sqrt(sum((value / mean - 1) ** 2 for value in each) / 3) * float(mean)
    assert console.file.getvalue().count(f"{float(mean):.5g} +- {deviation:.5g}") == 2
    assert max(map(len, console.file.getvalue().split())) < 20


def test_equal_contenders_are_not_told_apart(comparison):
    same = Comparison(SPACE, comparison.problems, {"again": Contender(Random())}, seeds=5)
    assert [s.p_value for s in compare(same, same.tables())] == [None, None, 1.0, 1.0]


def test_a_strategy_that_branches_is_not_run_side_by_side(comparison):
    assert _block(Bayes(), SPACE) == 1
    assert _block(Random(), SPACE) == 256
    assert 1 < _block(Reinforce(layers=1), SPACE) < 256  # as many states as the cache holds
    one = Comparison(SPACE, comparison.problems, {"bayes": Contender(Bayes(initial=4, capacity=16))}, seeds=6)
    found = {(s.contender, s.problem): s for s in compare(one, one.tables())}
    assert found["bayes", "long"].test.mean() > found["random", "long"].test.mean()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problems": {}}, "give one table or more"),
        ({"seeds": 1}, "seeds=1"),
        ({"seed": -1}, "seed=-1"),
        ({"contenders": {"random": Contender(LEARNER)}}, "'random' is Reinforce"),
    ],
)
def test_impossible_comparisons_are_refused(comparison, changes, message):
    settings = {"problems": comparison.problems, "contenders": comparison.contenders} | changes
    with pytest.raises(ValueError, match=message):
        Comparison(SPACE, **settings)


def test_impossible_entries_are_refused(comparison):
    with pytest.raises(ValueError, match="budget=0"):
        Problem(comparison.problems["short"].table, 0.0)
    with pytest.raises(ValueError, match="children=0"):
        Contender(Random(), 0)


# The command.


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "t.csv")
    (tmp_path / "mine.py").write_text(CONFIG)
    return tmp_path


def rows_of(file: Path) -> list[dict]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_command_prints_a_table_and_writes_files(place, capsys):
    assert main(["compare", "mine.py", "--seeds", "4", "--contenders.learner.strategy.learning-rate", "0.2"]) == 0
    out, folder = capsys.readouterr().out, place / "runs" / "compare-mine"
    assert "4 searches of each strategy" in out
    for word in ("learner", "random", "(optimum)", f"{100 * columns()['test'].max():.2f}"):
        assert word in out
    results = {row["contender"]: row for row in rows_of(folder / "results.csv")}
    seeds = [row for row in rows_of(folder / "seeds.csv") if row["contender"] == "learner"]
    assert [row["seed"] for row in seeds] == ["0", "1", "2", "3"]
    mean = np.mean([float(row["test"]) for row in seeds])
    np.testing.assert_allclose(float(results["learner"]["test_mean"]), mean, rtol=1e-5)
    assert f"{100 * mean:.2f} +-" in out
    assert len(rows_of(folder / "curves.csv")) == 2 * POINTS
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    recorded = json.loads((folder / "comparison.json").read_text())
    assert recorded["source"] == CONFIG
    assert recorded["configuration"]["seeds"] == 4
    assert recorded["configuration"]["contenders"]["learner"]["strategy"]["learning_rate"] == 0.2


def test_another_file_for_all_tables(place, capsys):
    (place / "t.csv").rename(place / "elsewhere.csv")
    assert main(["compare", "mine.py", "--seeds=2"]) == 2
    assert "there is no table t.csv" in capsys.readouterr().err
    assert main(["compare", "mine.py", "--seeds=2", "--file=elsewhere.csv"]) == 0


def test_a_finished_comparison_is_not_overwritten(place, capsys):
    assert main(["compare", "mine.py", "--seeds=2", "--out=here"]) == 0
    before = (place / "here" / "results.csv").read_bytes()
    assert main(["compare", "mine.py", "--seeds=3", "--out=here"]) == 2
    assert "here holds a comparison already" in capsys.readouterr().err
    assert (place / "here" / "results.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.py"], "cannot read none.py"),
        (["mine.py", "--sedes=3"], "unknown setting --sedes=3: did you mean --seeds"),
        (["empty.py"], "sets no `comparison`: it needs a line `comparison = Comparison(...)`"),
    ],
)
def test_mistakes_get_one_clear_line(place, capsys, arguments, message):
    (place / "empty.py").write_text("")
    assert main(["compare", *arguments]) == 2
    assert message in capsys.readouterr().err
