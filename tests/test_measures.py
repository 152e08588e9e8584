"""Tables know what their scores are: refusals by row, the floor of failed children, comparisons in the right unit; and
a comparison that is killed goes on."""

import csv
import gzip
import json
import math
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from jaxnas import report
from jaxnas.cli import main
from jaxnas.compare import Comparison, Contender, Problem, as_json, compare, of_json
from jaxnas.compiled_search import CompiledSearch
from jaxnas.evaluators import Objective, Table
from jaxnas.experiment import Experiment
from jaxnas.ledger import Ledger
from jaxnas.outcome import Measure
from jaxnas.rewards import Accuracy, Lessons
from jaxnas.search import Silent, search
from jaxnas.spaces import Choices
from jaxnas.strategies import Evolution, LocalSearch, Random, Reinforce
from jaxnas.tasks import Digits
from jaxnas.values import Float
from tests.toy_table import SPACE, columns, everything, write_csv

SCORED = ("early", "valid", "test")


def logs(failed: bool = False) -> dict:
    """Log-probabilities from -6 to -2; a third of all children fail, where that is wanted."""
    made = columns()
    for name in SCORED:
        made[name] = np.round(-6 + 4 * made[name], 4).astype(object)
    if failed:
        made["early"][everything()[:, 1] == 0] = ""
    return made


SCORES = {
    "percent": (0.5, np.linspace(0, 82, 156), "row 2 .*: a score from 0 to 1 is needed: are these percent.*unit=100.0"),
    "infinite": (0.5, np.r_[np.inf, np.full(155, 0.5)], "row 0 .*inf: a score from 0 to 1"),
    "minus infinite": (-0.5, np.r_[-np.inf, np.full(155, -0.5)], "row 0 .*-inf: a log-probability, finite"),
    "of both kinds": (0.5, np.linspace(-1, 1, 156), "row 0 .*-1: a score from 0 to 1"),
    "beyond": (0.5, np.r_[np.full(155, 0.5), 1.5], "row 155 .*1.5: a score from 0 to 1"),
}


@pytest.mark.parametrize("column", SCORED)
@pytest.mark.parametrize("name", SCORES)
def test_a_score_outside_its_measure_is_refused_with_its_row(tmp_path, name, column):
    other, values, message = SCORES[name]
    made = columns() | {one: values if one == column else np.full(156, other) for one in SCORED}
    with pytest.raises(ValueError, match=f"t.csv, column {column}, {message}"):
        write_csv(tmp_path / "t.csv", made).read(SPACE)


def test_percent_are_taken_with_their_unit(tmp_path):
    made = columns()
    percent = {name: 100 * made[name] for name in SCORED}
    known = replace(write_csv(tmp_path / "t.csv", made | percent), unit=100.0).read(SPACE)
    np.testing.assert_allclose(known.score, made["early"], atol=1e-12)
    assert (known.measure, known.floor) == (Measure.SCORE, 0.0)


@pytest.mark.parametrize(
    ("said", "setting", "measure"),
    [
        (None, "", Measure.PERPLEXITY),
        (None, "bits a character", Measure.BITS),
        ("bits a character", "", Measure.BITS),
        ("bits a character", "perplexity", Measure.PERPLEXITY),
    ],
)
def test_where_a_measure_comes_from(tmp_path, said, setting, measure):
    """The setting, else the file beside the table, else the numbers themselves."""
    table = write_csv(tmp_path / "t.csv.gz", logs(), gzip.open)
    if said is not None:
        (tmp_path / "t.json").write_text(json.dumps({"measure": said}))
    assert replace(table, measure=setting).read(SPACE).measure == measure
    with pytest.raises(ValueError, match=r"-[0-9.]+: a score from 0 to 1 is needed"):
        replace(table, measure="score").read(SPACE)


def test_the_floor_is_below_every_score(tmp_path):
    known = write_csv(tmp_path / "t.csv", logs(failed=True)).read(SPACE)
    scores = known.score[~np.isnan(known.score)]
    assert known.floor == pytest.approx(scores.min() - (scores.max() - scores.min()))
    assert (known.reward[np.isnan(known.score)] == known.floor).all()
    flat = write_csv(tmp_path / "t.csv", logs() | {"early": np.full(156, -3.0)}).read(SPACE)
    assert flat.floor == -4.0


STRATEGIES = {
    "evolution": Evolution(10, 3),
    "table": Reinforce(0.1, policy="table", baseline_decay=0.9),
    "local": LocalSearch(),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_learns_to_avoid_failed_children_of_any_measure(tmp_path, name):
    known = write_csv(tmp_path / "t.csv", logs(failed=True)).read(SPACE)
    late = lambda s: np.isnan(known.score[CompiledSearch(s, 1, 20).run(known, 140.0, range(20)).rows[:, 30:50]]).mean()
    assert late(STRATEGIES[name]) < late(Random()) - 0.1


@pytest.mark.parametrize("failed", [False, True])
def test_a_whole_search_over_log_probabilities_makes_the_trials_of_search(tmp_path, failed):
    table = write_csv(tmp_path / "t.csv", logs(failed))
    known, strategy = table.read(SPACE), Reinforce(0.1, policy="table")
    [whole] = CompiledSearch(strategy, 4).run(known, 60.0, [3]).rows
    rounds = int((whole >= 0).sum()) // 4
    reward = Accuracy(floor=known.floor)
    ledger = Ledger(tmp_path, write=True)
    search(Experiment(SPACE, Digits(), strategy, reward, table, rounds=rounds, children=4, seed=3), ledger, Silent())
    found = [known.row_of[t.tokens] for t in ledger.trials()]
    assert found == whole[: len(found)].tolist()
    assert ledger.measure == Measure.PERPLEXITY
    assert ledger.trials()[0].architecture["column"] == "early"


@dataclass(frozen=True)
class Hears(Random):
    """Says the least of what it is told."""

    def update(self, state, tokens, rewards):
        return super().update(state, tokens, rewards)[0], {"told": rewards.min()}


def test_a_failed_child_is_never_better_off_than_another_of_its_round(tmp_path):
    """Of log-probabilities, among which the floor of 0 would be the best."""
    table, heard = write_csv(tmp_path / "t.csv", logs(failed=True)), []
    ledger = Ledger(tmp_path, write=True)

    class Listens(Silent):
        def round_done(self, round, metrics):
            heard.append(metrics["told"])

    search(Experiment(SPACE, Digits(), Hears(), evaluator=table, rounds=1, children=16), ledger, Listens())
    scores = [t.score for t in ledger.trials() if t.ranked]
    assert 0 < len(scores) < 16
    assert heard == [pytest.approx(2 * min(scores) - max(scores))]
    assert {t.reward for t in ledger.trials() if not t.ranked} == {0.0}
    assert ledger.top(1)[0].score == max(scores)


def lesson(*rounds, measure=Measure.SCORE):
    """What is told of the last of some rounds, each of rewards and who is ranked."""
    lessons = Lessons(measure)
    *_, last = [lessons.of(np.array(rewards), np.array(ranked)) for rewards, ranked in rounds]
    return None if last is None else last.tolist()


def test_what_lies_below_all_is_as_it_was():
    """Where the floor is below the others already, also at the least of them."""
    ranked = [True, False, True, True]
    assert lesson(([0.3, 0.0, 0.9, 0.0], ranked)) == [0.3, 0.0, 0.9, 0.0]
    assert lesson(([-0.3, 0.0, -0.9, 0.0], ranked)) == [-0.3, -1.8, -0.9, 0.0]
    assert lesson(([-2.0, 0.0], [True, False])) == [-2.0, -3.0]


def test_a_failed_child_is_below_those_of_earlier_rounds():
    assert lesson(([-2.0, -5.0], [True, True]), ([0.0, -1.0], [False, True])) == [-9.0, -1.0]


def test_a_round_of_failures_before_any_score_teaches_nothing_where_scores_have_no_floor():
    failed = [0.0, 0.0], [False, False]
    assert lesson(failed) == [0.0, 0.0]
    assert lesson(failed, measure=Measure.RMSE) is None
    assert lesson(failed, ([-3.0, 0.0], [True, False]), measure=Measure.RMSE) == [-3.0, -4.0]


@dataclass(frozen=True)
class Counts(Random):
    """Rounds that it has learnt from."""

    def init(self, decisions, key):
        return super().init(decisions, key), jnp.int32(0)

    def propose(self, state, key, n):
        return super().propose(state[0], key, n)

    def update(self, state, tokens, rewards):
        return (super().update(state[0], tokens, rewards)[0], state[1] + 1), {"rounds": state[1] + 1}


def test_a_strategy_is_not_told_of_rounds_in_which_nothing_was_learnt(tmp_path):
    """The first two children fail; it then learns of both others."""
    heard = []

    class Listens(Silent):
        def round_done(self, round, metrics):
            heard.append(metrics)

    def fn(values, seed):
        if calls.append(seed) or len(calls) < 3:
            raise ArithmeticError
        return -5.0

    calls, ledger = [], Ledger(tmp_path, write=True)
    space = Choices(x=Float(0.0, 1.0))
    experiment = Experiment(space, None, Counts(), evaluator=Objective(fn, processes=0), rounds=4, children=1)
    search(experiment, ledger, Listens())
    assert heard == [{"mean reward": 0.0}, {"mean reward": 0.0}, {"rounds": 1.0}, {"rounds": 2.0}]


@pytest.mark.parametrize("measure", [Measure.PERPLEXITY, Measure.BITS])
def test_a_comparison_speaks_in_the_measure_of_its_table(tmp_path, measure):
    table = replace(write_csv(tmp_path / "t.csv", logs()), measure=measure.value)
    comparison = Comparison(SPACE, {"words": Problem(table, 30.0)}, {}, seeds=4)
    tables = comparison.tables()
    standings = list(compare(comparison, tables))
    console = Console(record=True, width=140)
    report.print_comparison(console, standings, tables)
    text = console.export_text()
    number = (lambda s: np.exp(-s)) if measure == Measure.PERPLEXITY else (lambda s: -s / math.log(2))
    assert f"in {measure.value}" in text
    assert "%" not in text
    assert "percent" not in text
    assert f"{number(standings[0].test).mean():.5g} +- {number(standings[0].test).std():.5g}" in text
    assert f"{number(tables['words'].test.max()):.5g}" in text  # the optimum
    assert "results.csv" in report.write_comparison(tmp_path, standings, {"words": 30.0}, 0, tables)


ODD = "toy [8x8] [/bold] $x_1"
NAMES = ("_a [/b]", 'a, b"c')


def test_names_are_printed_as_they_are(tmp_path):
    problems = {ODD: Problem(write_csv(tmp_path / "t.csv"), 20.0)}
    comparison = Comparison(SPACE, problems, {name: Contender(Random()) for name in NAMES}, seeds=2)
    tables = comparison.tables()
    standings = list(compare(comparison, tables))
    with (tmp_path / "shown").open("w") as file:
        console = report.console(160)
        console.file = file
        report.print_comparison(console, standings, tables)
    for name in (ODD, *NAMES):
        assert name in (tmp_path / "shown").read_text()
    report.write_comparison(tmp_path, standings, {ODD: 20.0}, 0, tables)
    with (tmp_path / "results.csv").open(newline="") as lines:
        assert {row["contender"] for row in csv.DictReader(lines)} == {"random", *NAMES}
    for name in ("", " ", "a\nb"):
        with pytest.raises(ValueError, match="names a problem or contender"):
            replace(comparison, contenders={name: Contender(Random())})


def test_a_standing_comes_back_bit_for_bit(tmp_path):
    comparison = Comparison(SPACE, {"toy": Problem(write_csv(tmp_path / "t.csv"), 20.0)}, {}, seeds=5)
    [standing] = compare(comparison, comparison.tables())
    again = of_json(json.loads(json.dumps(as_json(standing))))
    for name in ("score", "valid", "test", "trials", "curve", "band"):
        np.testing.assert_array_equal(getattr(again, name), getattr(standing, name))
        assert getattr(again, name).dtype == getattr(standing, name).dtype
    with pytest.raises(ValueError, match="lacks 'curve'"):
        of_json({name: value for name, value in as_json(standing).items() if name != "curve"})


CONFIG = """
from jaxnas.compare import Comparison, Contender, Problem
from jaxnas.evaluators import Table
from jaxnas.strategies import LocalSearch, Reinforce
from tests.toy_table import SPACE

comparison = Comparison(
    space=SPACE, problems={"toy": Problem(Table("t.csv", score="early"), 40.0)},
    contenders={"learner": Contender(Reinforce(policy="table")), "local": Contender(LocalSearch())}, seeds=6,
)
"""


class StoppedError(Exception):
    pass


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "t.csv")
    (tmp_path / "mine.py").write_text(CONFIG)
    return tmp_path


@pytest.mark.parametrize("after", [1, 2])
def test_a_killed_comparison_goes_on_to_the_same_files(place, monkeypatch, capsys, after):
    assert main(["compare", "mine.py", "--out", "whole"]) == 0
    run, left = CompiledSearch.run, [after]

    def stops(self, *arguments):
        left[0] -= 1
        if left[0] < 0:
            raise StoppedError
        return run(self, *arguments)

    monkeypatch.setattr(CompiledSearch, "run", stops)
    with pytest.raises(StoppedError):
        main(["compare", "mine.py", "--out", "killed"])
    with (place / "killed" / "standings.jsonl").open("ab") as file:
        file.write(b'{"contender": "torn')
    left[0] = 3 - after  # as many as are missing may run
    capsys.readouterr()
    assert main(["compare", "mine.py", "--out", "killed", "--seeds", "7"]) == 2
    assert "configuration.seeds: 6 there, 7 now" in capsys.readouterr().err
    assert main(["compare", "mine.py", "--out", "killed"]) == 0
    assert f"Going on: {after} results are there" in capsys.readouterr().out
    assert left[0] == 0
    for name in ("seeds.csv", "curves.csv"):
        assert (place / "killed" / name).read_bytes() == (place / "whole" / name).read_bytes()
    lines = lambda folder: (place / folder / "results.csv").read_text().splitlines()
    assert [line.rpartition(",")[0] for line in lines("killed")] == [line.rpartition(",")[0] for line in lines("whole")]
    write_csv(place / "t.csv", columns() | {"test": columns()["test"][::-1]})
    (place / "killed" / "results.csv").unlink()
    assert main(["compare", "mine.py", "--out", "killed"]) == 2
    assert "tables.toy: " in capsys.readouterr().err


@pytest.mark.parametrize("content", ["my notes", "my notes\n", "[1]\n", '{"a": 1}\n'])
def test_a_file_that_is_not_ours_is_not_touched(place, capsys, content):
    (place / "out").mkdir()
    (place / "out" / "standings.jsonl").write_text(content)
    assert main(["compare", "mine.py", "--out", "out"]) == 2
    assert "standings.jsonl" in capsys.readouterr().err
    assert (place / "out" / "standings.jsonl").read_text() == content


def test_a_table_as_a_spreadsheet_leaves_it(tmp_path):
    write_csv(tmp_path / "t.csv")
    text, odd = (tmp_path / "t.csv").read_text(), tmp_path / "odd.csv"
    read = lambda path: Table(str(path), score="early").read(SPACE).score
    for changed in ("\ufeff" + text, text.replace("\n", "\r\n"), text + "\n\n"):
        odd.write_text(changed, newline="", encoding="utf-8")
        np.testing.assert_array_equal(read(odd), read(tmp_path / "t.csv"))
    odd.write_text(text.replace(",", ";"))
    with pytest.raises(ValueError, match="separated by semicolons"):
        read(odd)
    odd.write_text(text.replace("seconds", "early", 1))
    with pytest.raises(ValueError, match="has no column seconds"):
        read(odd)
    odd.write_text(text.replace("tokens,early,valid", "tokens,early,early", 1))
    with pytest.raises(ValueError, match="more than one column early"):
        Table(str(odd), score="early", valid="").read(SPACE)


@pytest.mark.parametrize("told", [False, True])
def test_costs_come_from_the_table_or_stay_blank(tmp_path, capsys, told):
    more = {"parameters": np.arange(156) + 1000, "multiply_adds": np.arange(156) + 5000} if told else {}
    ledger, table = Ledger(tmp_path, write=True), write_csv(tmp_path / "t.csv", columns() | more)
    search(Experiment(SPACE, Digits(), Random(), evaluator=table, rounds=1, children=4), ledger, Silent())
    best, words = ledger.top(1)[0], report.summary(ledger, tmp_path)
    assert f"Best: trial {best.trial_id}, column early {best.score:.4f}, final validation score " in words
    assert ("parameters" in words) == told
    assert main(["trials", str(tmp_path)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line[:5].strip().isdigit()][-4:]
    assert len(lines) == 4
    assert [len(line.split()) for line in lines] == [5 + 2 * told + 7] * 4  # and an architecture of 7 tokens
