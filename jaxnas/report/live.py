"""A search as it goes: a live display on a terminal and in a notebook, plain lines elsewhere."""

import sys
import time
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jaxnas.outcome import Measure, Progress, Trial
from jaxnas.report.console import display, stays_in_place
from jaxnas.report.draw import pretty
from jaxnas.report.words import scored


@dataclass
class Standing:
    """How far a search has come; the clock starts when it is made.

    rounds, total: of the whole search; done: trials finished, by whatever process; trained: those of this one; measure:
    how a score is read; unknown: share of the held-out text that is <unk>.
    """

    rounds: int
    total: int
    done: int
    best: Trial | None
    measure: Measure = Measure.SCORE
    unknown: float = 0.0
    round: int = 0
    trained: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    progress: Progress | None = None
    began: float = field(default_factory=time.monotonic)

    def add(self, trials: list[Trial]) -> None:
        self.trained += len(trials)
        self.done += len(trials)
        known = [t for t in (self.best, *trials) if t is not None and t.ranked]
        self.best = min(known, key=lambda t: t.rank, default=None)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def per_hour(self) -> float:
        """Children an hour in this process, compilation included."""
        return 3600 * self.trained / max(self.seconds, 1e-9)

    @property
    def left(self) -> str:
        """Time left at this rate, as minutes and seconds."""
        if not self.trained:
            return "?"
        return clock((self.total - self.done) * self.seconds / self.trained)

    @property
    def compiled(self) -> str:
        """Programs compiled, and the share of the time that took; nothing where nothing is."""
        if self.progress is None:
            return "0 programs"
        if self.progress.doing == "evaluating":
            return ""
        share = self.progress.compile_seconds / max(self.seconds, 1e-9)
        return f"{self.progress.programs} program{'s' * (self.progress.programs != 1)}, {share:.0%} of the time"

    @property
    def ordered_metrics(self) -> list[tuple[str, float]]:
        """The strategy's figures, the mean reward first."""
        return sorted(self.metrics.items(), key=lambda item: (item[0] != "mean reward", item[0]))

    @property
    def best_words(self) -> str:
        if self.best is None:
            return "none yet"
        return f"{scored(self.best, self.measure, self.unknown)} (trial {self.best.trial_id})"


class Report:
    """Plain lines: one a round, and one when something begins that takes long. Also the interface of `LiveReport`."""

    def __init__(self, console: Console, standing: Standing):
        self.console, self.standing = console, standing
        self._doing = ""

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *error) -> None:
        pass

    def about(self, facts: dict) -> None:
        """What the ledger says of the data."""
        self.standing.unknown = facts.get("unknown", 0.0)

    def progress(self, progress: Progress) -> None:
        """Something begins, or an epoch is done."""
        self.standing.progress = progress
        if progress.doing == "compiling":
            self._say(f"compiling a program for {progress.children} children")
        elif progress.doing == "planning":
            self._say(f"planning a round of {progress.children} children")

    def trials(self, trials: list[Trial]) -> None:
        """A group is done and in the ledger."""
        self.standing.add(trials)

    def round_done(self, round: int, metrics: dict[str, float]) -> None:
        """The strategy has learnt from a round; one of an earlier process is passed over in silence."""
        s = self.standing
        s.round, s.metrics = round + 1, metrics
        if s.trained:
            figures = "  ".join(f"{name} {value:.4g}" for name, value in s.ordered_metrics)
            self._say(
                f"round {s.round}/{s.rounds}  children {s.done}/{s.total}  best {s.best_words}  {figures}  "
                f"{s.per_hour:,.0f} children/h  left {s.left}  {s.compiled}".rstrip()
            )

    def note(self, line: str) -> None:
        """Something that differs from the former run, and is to be read later too."""
        print(f"jaxnas: note: {line}", file=sys.stderr)

    def _say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True, highlight=False, markup=False)


class LiveReport(Report):
    """A panel that stays in place and shows the same figures as they change."""

    def __enter__(self) -> "LiveReport":
        self._live = display(self.console, self._panel)
        self._live.start()
        return self

    def __exit__(self, *error) -> None:
        self._live.stop()

    def _say(self, line: str) -> None:
        del line  # the panel shows it

    def _panel(self) -> Panel:
        s, grid = self.standing, Table.grid(padding=(0, 2))
        now = Text("") if s.done >= s.total else _now(s.progress)
        metrics = [(name, f"{value:.4g}") for name, value in s.ordered_metrics]
        facts = [
            ("round", f"{s.round} of {s.rounds} done"),
            ("children", f"{s.done} of {s.total}"),
            ("best", s.best_words),
            *metrics,
            ("children an hour", f"{s.per_hour:,.0f}" if s.trained else "?"),
            ("time", f"{clock(s.seconds)} gone, {s.left} left"),
            *([("compiled", s.compiled)] if s.compiled else []),
        ]
        for name, value in facts:
            grid.add_row(Text(name, style="dim"), value)
        best = Text(f"best: {pretty(s.best.architecture)}", style="green") if s.best else Text("")
        bar = Table.grid()  # a cell, because a bar alone does not end its line
        bar.add_row(ProgressBar(total=s.total, completed=s.done, width=60))
        return Panel(Group(grid, bar, now, best), title="jaxnas search", width=84)


def report_on(
    console: Console, rounds: int, total: int, done: int, best: Trial | None, measure: Measure = Measure.SCORE
) -> Report:
    """The report that fits where the output goes."""
    return (LiveReport if stays_in_place(console) else Report)(console, Standing(rounds, total, done, best, measure))


def _now(p: Progress | None) -> Text:
    if p is None:
        return Text("starting")
    if p.doing == "compiling":
        return Text(f"compiling a program for {p.children} children ...", style="yellow")
    if p.doing == "planning":
        return Text(f"planning a round of {p.children} children ...", style="yellow")
    if p.doing == "evaluating":
        return Text(f"evaluating {p.children} children: {p.epoch} are done")
    return Text(f"training {p.children} different children in one program: epoch {p.epoch + 1} of {p.epochs}")


def clock(seconds: float) -> str:
    """Seconds as "1:02:03" or "2:03"."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"
