"""What the ledger holds, as tables and lines."""

from collections import Counter
from pathlib import Path

from rich.table import Table

from jaxnas.called import called
from jaxnas.ledger import Ledger
from jaxnas.outcome import Measure, Status, Trial
from jaxnas.report.draw import draw, pretty
from jaxnas.report.words import copied_from, costs, figures, introduced

REASONS = 3
"""So many different ones of failed children are listed at most."""
HEADINGS = {"kernel height x width : filters": {"chain", "skip"}, "cell": {"cell201", "recurrent", "standard"}}
"""Of the column of architectures, by their types."""


def trial_table(trials: list[Trial], title: str, measure: Measure = Measure.SCORE) -> Table:
    """Trials as rows: id, round, score, reward, parameters, multiply-adds, seconds, architecture; where there are any,
    figures, why children failed and whose results were copied. ``measure``: what scores are; errors are shown as people
    read them.
    """
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    head = str(measure) if measure.named else "score"
    for name in ("trial", "round", head, "reward", "parameters", "mult-adds", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    types = {t.architecture.get("type") for t in trials}
    table.add_column(
        next((name for name, known in HEADINGS.items() if types <= known), "architecture"), overflow="fold"
    )
    further = [("figures", figures), ("why it failed", lambda t: t.reason), ("copied from", copied_from)]
    further = [(name, words) for name, words in further if any(map(words, trials))]
    for name, _ in further:
        table.add_column(name, overflow="fold")
    number = Measure.SCORE.figure if measure.logarithmic else measure.figure
    for t in trials:
        more = "" if t.status == Status.OK.label else f" {t.status}"
        read = lambda score: score if measure.logarithmic else measure.number(score)
        score = t.status if t.score is None else f"{number(read(t.score))}{more}"
        known = (f"{t.parameters:,}", f"{t.multiply_adds:,}") if costs(t) else ("", "")
        numbers = number(t.reward), *known, f"{t.seconds:.2f}"
        last = [words(t) for _, words in further]
        table.add_row(str(t.trial_id), str(t.round), score, *numbers, pretty(t.architecture), *last)
    return table


def summary(ledger: Ledger, workdir: Path, kept: bool = True) -> str:
    """The end of a search: best architecture, the policy's favourite and, of what is ``kept``, where everything is and
    what to type next.
    """
    trials, facts = ledger.trials(), ledger.facts()
    count = lambda status: sum(t.status == status.label for t in trials)
    counts = [f"{sum(count(status) for status in Status if status.failed)} failed"]
    counts += [f"{count(Status.STOPPED)} stopped early"] * (count(Status.STOPPED) > 0)
    counts += [f"{count(Status.INFEASIBLE)} infeasible"] * (count(Status.INFEASIBLE) > 0)
    lines = [f"{len(trials)} trials, {', '.join(counts)}."]
    stopped = facts.get("stopped")
    if stopped:
        done = stopped["rounds"]
        lines += [f"It stopped after {done} round{'s' * (done > 1)}: {stopped['reason']}."]
    reasons = Counter(t.reason for t in trials if t.reason).most_common(REASONS)
    lines += [f"Failed, {number} of them: {reason}" for reason, number in reasons]
    best = ledger.top(1)
    if best:
        lines += [
            "",
            f"Best: trial {best[0].trial_id}, {introduced(best[0], ledger.measure, ledger.unknown)}{costs(best[0])}",
            "",
            draw(best[0].architecture),
        ]
        lines += ["", f"Figures: {figures(best[0])}"] * bool(best[0].figures)
    if "most_likely" in facts:
        lines += ["", f"The strategy's favourite now: {pretty(facts['most_likely']['architecture'])}"]
    return "\n".join([*lines, *(_next(ledger, workdir) if kept else [])])


def _next(ledger: Ledger, workdir: Path) -> list[str]:
    facts, lines = ledger.facts(), ["", f"Ledger: {ledger.path}", "Next:"]
    if facts.get("configuration", {}).get("task", ...) is not None:
        command = f"{called()} final {workdir}" if facts.get("origin") else "found.final()"
        lines += [f"  {command}       train the best from scratch, read its test score"]
    return [*lines, f"  {called()} trials {workdir} --top 10"]
