"""A table as it is made: a bar on a terminal, plain lines elsewhere."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from jaxnas.outcome import Progress
from jaxnas.report.live import clock


class TableReport:
    """Plain lines, one a group; also the interface of `LiveTableReport`."""

    def __init__(self, console: Console):
        self.console, self.total, self.done, self.now = console, 0, 0, 0
        self._began = time.monotonic()

    def __enter__(self) -> "TableReport":
        return self

    def __exit__(self, *error) -> None:
        pass

    def begin(self, trainings: int, done: int) -> None:
        """So many trainings make the table, of which some are done."""
        self.total, self.done, self._began = trainings, done, time.monotonic()
        if done:
            self.note(f"going on: {done:,} of {trainings:,} trainings are done")

    def note(self, line: str) -> None:
        """Something that is to be read later too."""
        self.console.print(line, soft_wrap=True, highlight=False, markup=False)

    def progress(self, progress: Progress) -> None:
        """Something begins, or an epoch is done."""
        if progress.doing == "compiling":
            self.note(f"compiling a program for {progress.children} children")

    def trained(self, trainings: int) -> None:
        """A group is done and on the disk."""
        self.done, self.now = self.done + trainings, self.now + trainings
        self._show()

    @property
    def left(self) -> str:
        """Time left at the rate so far, as minutes and seconds."""
        seconds = time.monotonic() - self._began
        return clock((self.total - self.done) * seconds / self.now) if self.now else "?"

    def _show(self) -> None:
        rate = 3600 * self.now / max(time.monotonic() - self._began, 1e-9)
        self.note(f"trained {self.done:,}/{self.total:,}  {rate:,.0f} an hour  left {self.left}")


class LiveTableReport(TableReport):
    """A bar that stays in place: trainings, time gone, time left."""

    def __enter__(self) -> "LiveTableReport":
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("gone, {task.fields[left]} left"))
        self._bar = Bar(TextColumn("{task.description}"), *columns, console=self.console)
        self._task = self._bar.add_task("reading data", total=None, left="?")
        self._bar.start()
        return self

    def __exit__(self, *error) -> None:
        self._bar.stop()

    def begin(self, trainings: int, done: int) -> None:
        super().begin(trainings, done)
        self._show()

    def progress(self, progress: Progress) -> None:
        p = progress
        doing = f"compiling for {p.children} children" if p.doing == "compiling" else f"epoch {p.epoch + 1}/{p.epochs}"
        self._bar.update(self._task, description=doing)

    def _show(self) -> None:
        self._bar.update(self._task, completed=self.done, total=self.total, left=self.left)


def table_report_on(console: Console) -> TableReport:
    """The report that fits where the output goes."""
    return (LiveTableReport if console.is_terminal else TableReport)(console)
