"""What the live display shows, and the figures behind it."""

import io
import math

import pytest
from rich.console import Console

from jaxnas.ledger import Ledger
from jaxnas.outcome import Measure, Progress, Trial
from jaxnas.report import final_lines, final_report_on, report_on, summary
from jaxnas.report.finals import FinalReport, LiveFinalReport
from jaxnas.report.live import LiveReport, Report, Standing

LAYER = {"kernel": [3, 5], "filters": 8, "stride": [1, 1], "pool": 1, "map": [8, 8], "parameters": 136}


def trial(i, score):
    architecture = {"type": "chain", "input": [8, 8, 1], "layers": [LAYER]}
    return Trial(i, 0, (0,), architecture, "ok" if score else "diverged", score, score or 0.0, (score,), 1, 1, 1.0, 1)


@pytest.fixture
def standing(monkeypatch):
    """A search of 4 rounds of 5, of which 5 trials were done before; 100 seconds ago this process began."""
    s = Standing(rounds=4, total=20, done=5, best=trial(0, 0.5))
    monkeypatch.setattr(Standing, "seconds", 100.0)
    return s


def test_figures_by_hand(standing):
    assert (standing.left, standing.compiled) == ("?", "0 programs")
    standing.add([trial(5, 0.4), trial(6, None), trial(7, 0.75), trial(8, 0.75), trial(9, 0.1)])
    standing.progress = Progress("training", 5, 1, 3, programs=2, compile_seconds=25.0)
    assert standing.per_hour == 180  # 5 in 100 seconds
    assert standing.left == "3:20"  # 10 more
    assert standing.best_words == "0.7500 (trial 7)"
    assert standing.compiled == "2 programs, 25% of the time"


def show(report) -> str:
    report.console.print(report._panel())
    return report.console.file.getvalue()


def test_the_panel_shows_every_figure(standing):
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    report = LiveReport(console, standing)
    report.progress(Progress("compiling", 5, 0, 3, 0, 0.0))
    assert "compiling a program for 5 children" in show(report)
    report.progress(Progress("training", 5, 1, 3, 1, 10.0))
    report.trials([trial(i, 0.6 + i / 100) for i in range(5, 10)])
    report.round_done(1, {"baseline": 0.25, "entropy": 12.5, "mean reward": 0.875})
    text = show(report)
    for figure in (
        "2 of 4 done",
        "10 of 20",
        "0.6900 (trial 9)",
        "0.25",
        "12.5",
        "0.875",
        "180",
        "1:40 gone, 3:20 left",
    ):
        assert figure in text
    for figure in ("1 program, 10% of the time", "training 5 different children in one program: epoch 2 of 3", "3x5:8"):
        assert figure in text


def test_a_terminal_gets_the_panel_and_a_pipe_gets_lines():
    terminal, pipe = (Console(file=io.StringIO(), force_terminal=f, width=100) for f in (True, False))
    assert type(report_on(terminal, 1, 1, 0, None)) is LiveReport
    lines = report_on(pipe, 2, 4, 2, None)
    assert type(lines) is Report
    lines.round_done(0, {"entropy": 1.0})  # replayed: nothing is said of it
    assert pipe.file.getvalue() == ""
    lines.trials([trial(2, 0.5), trial(3, 0.25)])
    lines.round_done(1, {"entropy": 1.0})
    assert pipe.file.getvalue().startswith("round 2/2  children 4/4  best 0.5000 (trial 2)  entropy 1  ")


# Final training.


def told(report, clock):
    """What a training of 4 epochs tells that goes on after the first: 3 networks, one of which diverges on the way."""
    for doing, alive, epoch, now in (
        ("compiling", 3, 0, 0),
        ("training", 3, 1, 10),
        ("training", 3, 2, 50),
        ("training", 3, 2, 50),  # the next piece begins where this one ended
        ("training", 2, 3, 70),
        ("training", 2, 4, 100),
    ):
        clock[0] = float(now)
        report.progress(Progress(doing, alive, epoch, 4, 1, 0.0))


def test_a_final_training_in_lines_and_as_a_bar(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("jaxnas.report.finals.time.monotonic", lambda: clock[0])
    terminal, pipe = (Console(file=io.StringIO(), force_terminal=f, width=100) for f in (True, False))
    lines, bar = final_report_on(pipe, 3), final_report_on(terminal, 3)
    assert (type(lines), type(bar)) == (FinalReport, LiveFinalReport)
    with lines:
        told(lines, clock)
    assert pipe.file.getvalue().splitlines() == [
        "compiling a program for 3 networks",
        "going on after epoch 1 of 4",
        "epoch 2/4  40 s an epoch  left 1:20",
        "1 of 3 networks diverged",
        "epoch 3/4  30 s an epoch  left 0:30",
        "epoch 4/4  30 s an epoch  left 0:00",
    ]
    with bar:
        told(bar, clock)
    shown = terminal.file.getvalue()
    for words in ("training 2 networks", "4/4", "0:00 left", "1 of 3 networks diverged"):
        assert words in shown


def test_a_final_result_in_words():
    one = {
        "trial_id": 7, "train_examples": 1438, "epochs": 3, "test_examples": 359, "parameters": 1234,
        "multiply_adds": 56789, "seconds": 1.25, "test_score": 0.5, "test_std": None, "test_scores": [0.5],
    }  # fmt: skip
    head = "Trial 7, trained from scratch on 1,438 examples for 3 epochs"
    cost = "1,234 parameters, 56,789 multiply-adds, 1.2 seconds"
    assert final_lines(one) == f"{head}:\ntest score 0.5000, on 359 examples ({cost})"
    several = one | {"test_scores": [0.4, None, 0.6], "test_std": 0.1414}
    words = "test scores of 3 seeds 0.4000, diverged, 0.6000: mean 0.5000, standard deviation 0.1414"
    assert final_lines(several) == f"{head}:\n{words}, on 359 examples ({cost})"
    none = one | {"test_score": None, "test_scores": [None]}
    assert final_lines(none).startswith(f"{head}: it diverged, so there is no test score ({cost})")


@pytest.mark.parametrize("measure", Measure)
def test_the_share_of_unknown_words_stands_beside_what_it_makes_small(measure, tmp_path):
    """Most of a text is <unk>, which is easily predicted: said beside both of its measures, no other."""
    score, share = -0.15, "97.1% of the text is <unk>"
    told = Report(Console(file=io.StringIO()), Standing(1, 1, 1, trial(3, score), measure))
    told.about({"unknown": 0.9712, "unit": "words"})
    ledger = Ledger(tmp_path, write=True)
    ledger.record(measure=measure, about={"unknown": 0.9712})
    ledger.append([trial(3, score)])
    result = {
        "trial_id": 1, "train_examples": 1000, "epochs": 3, "parameters": 10, "multiply_adds": 20, "seconds": 1.0,
        "test_score": score, "test_examples": 100, "measure": str(measure), "unknown": 0.9712,
    }  # fmt: skip
    finals = [final_lines(result | {"test_scores": scores}) for scores in ([score], [score, score])]
    for words in (told.standing.best_words, summary(ledger, tmp_path), *finals):
        assert (share in words) == measure.logarithmic
    assert "<unk>" not in measure.words(score, 0.0)


@pytest.mark.parametrize(
    ("measure", "score", "read"),
    [
        (Measure.SCORE, 0.5, "0.5000"),
        (Measure.BITS, -1.5 * math.log(2), "-1.0397 (1.5000 bits a character)"),
        (Measure.PERPLEXITY, -math.log(62.4), "-4.1336 (perplexity 62.4)"),
        (Measure.PERPLEXITY, -1e6, "-1000000.0000 (perplexity 1.0142e+304)"),  # as great as a float can be, or nearly
    ],
)
def test_a_score_is_read_as_its_measure_says(measure, score, read):
    """In the display and at the end of a final training, whose ledger has the measure as a word."""
    assert Standing(1, 1, 1, trial(3, score), measure).best_words == f"{read} (trial 3)"
    result = {
        "trial_id": 1, "train_examples": 1000, "epochs": 3, "parameters": 10, "multiply_adds": 20, "seconds": 1.0,
        "test_score": score, "test_examples": 100, "measure": str(measure),
    }  # fmt: skip
    several = final_lines(result | {"test_scores": [score, None, score]})
    assert (
        f"of 3 seeds {(number := measure.figure(measure.number(score)))}, diverged, {number}: mean {number}, standard"
        in several
    )
    assert max(map(len, several.split())) < 20  # a perplexity of 10^300 has no 300 digits
    examples = "examples" if measure == Measure.SCORE else "symbols"
    assert f"1,000 {examples} for 3 epochs:\ntest score {read}, on 100 {examples} (" in final_lines(result)
