"""A final training as it goes, and what it has come to: a bar on a terminal or in a notebook, plain lines elsewhere."""

import statistics
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from jaxnas.outcome import Measure, Progress
from jaxnas.report.console import display, stays_in_place
from jaxnas.report.live import clock


class FinalReport:
    """Plain lines, one an epoch; also the interface of `LiveFinalReport`.

    Args:
        console: where they go.
        seeds: how many networks train together.
    """

    def __init__(self, console: Console, seeds: int):
        self.console, self.seeds, self.alive = console, seeds, seeds
        self._begun: tuple[int, float] | None = None  # epochs done by then, and when
        self._done = 0

    def __enter__(self) -> "FinalReport":
        return self

    def __exit__(self, *error) -> None:
        pass

    def progress(self, progress: Progress) -> None:
        """Something begins, or an epoch is done."""
        p, now = progress, time.monotonic()
        if p.children < self.alive:
            self.alive = p.children
            self._say(f"{self.seeds - p.children} of {self.seeds} networks diverged")
        if p.doing == "compiling":
            self._compiling(f"compiling a program for {self.seeds} network{'s' * (self.seeds > 1)}")
        elif self._begun is None:
            self._begun, self._done = (p.epoch, now), p.epoch
            if p.epoch:
                self._say(f"going on after epoch {p.epoch} of {p.epochs}")
            self._trained(p, None)
        elif p.epoch > self._done:
            self._done = p.epoch
            self._trained(p, (now - self._begun[1]) / (p.epoch - self._begun[0]))

    def _compiling(self, what: str) -> None:
        self._say(what)

    def _trained(self, p: Progress, each: float | None) -> None:
        """So many epochs are done; ``each``: seconds an epoch, None before the first."""
        if each is not None:
            self._say(f"epoch {p.epoch}/{p.epochs}  {each:.3g} s an epoch  left {clock(each * (p.epochs - p.epoch))}")

    def _say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True, highlight=False, markup=False)


class LiveFinalReport(FinalReport):
    """A bar that stays in place: epochs, time gone, time left."""

    def __enter__(self) -> "LiveFinalReport":
        columns = (BarColumn(), MofNCompleteColumn(), "epochs ", TimeElapsedColumn(), TextColumn("{task.fields[left]}"))
        self._bar = Bar(TextColumn("{task.description}"), *columns, console=self.console)
        self._task = self._bar.add_task("reading data", total=None, left="")
        self._live = display(self.console, self._bar.get_renderable)
        self._live.start()
        return self

    def __exit__(self, *error) -> None:
        self._live.stop()

    def _compiling(self, what: str) -> None:
        self._bar.update(self._task, description=what)

    def _trained(self, p: Progress, each: float | None) -> None:
        left = "?" if each is None else clock(each * (p.epochs - p.epoch))
        doing = f"training {p.children} network{'s' * (p.children != 1)}"
        self._bar.update(self._task, description=doing, completed=p.epoch, total=p.epochs, left=f"gone, {left} left")


def final_report_on(console: Console, seeds: int) -> FinalReport:
    """The report that fits where the output goes."""
    return (LiveFinalReport if stays_in_place(console) else FinalReport)(console, seeds)


def final_lines(result: dict) -> str:
    """A final training in words."""
    r, measure = result, Measure(result.get("measure", Measure.SCORE))
    seen = f"{r['train_examples']:,} {measure.examples} for {r['epochs']} epochs"
    head = f"Trial {r['trial_id']}, trained from scratch on {seen}"
    cost = f"{r['parameters']:,} parameters, {r['multiply_adds']:,} multiply-adds, {r['seconds']:.1f} seconds"
    if r["test_score"] is None:
        return f"{head}: it diverged, so there is no test score ({cost}). Try --final.train.optimiser.learning-rate."
    each = r.get("test_scores", [r["test_score"]])  # of one seed alone before there were several
    unknown = r.get("unknown", 0.0)
    score = f"{'test' if measure.named else 'test score'} {measure.words(r['test_score'], unknown)}"
    if len(each) > 1:
        score = f"test {_several(measure, each)}{measure.hidden(unknown)}"
    return f"{head}:\n{score}, on {r['test_examples']:,} {measure.examples} ({cost})"


def _several(measure: Measure, scores: list[float | None]) -> str:
    """The scores of several seeds as they are read, their mean and their standard deviation (n - 1)."""
    numbers = [None if score is None else measure.number(score) for score in scores]
    known = [number for number in numbers if number is not None]
    listed = ", ".join("diverged" if number is None else measure.figure(number) for number in numbers)
    name = "scores" if measure == Measure.SCORE else measure.value
    spread = f", standard deviation {measure.figure(statistics.stdev(known))}" if len(known) > 1 else ""
    return f"{name} of {len(scores)} seeds {listed}: mean {measure.figure(statistics.fmean(known))}{spread}"
