"""How strategies did against each other: a table, CSV files, a plot.

``standings`` are `compare.Standing`s, ``tables`` the `tables.Records` they searched, by name of problem.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from jaxnas.outcome import Measure

FILES = ("results.csv", "seeds.csv", "curves.csv", "curves.png")
SUMMARY = (
    *("problem", "contender", "seeds", "score_mean", "valid_mean", "valid_std", "valid_sem"),
    *("test_mean", "test_std", "test_sem", "trials_mean", "p_value", "seconds"),
)


def standing_table(problem: str, standings: Iterable, known) -> Table:
    """One problem: contenders, best test score first; then what the table could give at most."""
    unit = "percent" if known.measure == Measure.SCORE else str(known.measure)
    show = lambda score: _shown(known.measure, score)
    table = Table(
        title=f"{problem} (means over the searches, in {unit})", title_justify="left", box=None, pad_edge=False
    )
    for name in ("strategy", "valid", "test", "s.e. of test", "p against random", "trials", "seconds"):
        table.add_column(name, justify="left" if name == "strategy" else "right", no_wrap=True)
    for s in sorted(standings, key=lambda s: -s.test.mean()):
        p = "" if s.p_value is None else f"{s.p_value:.1g}"
        valid, test = _converted(known.measure, s.valid), _converted(known.measure, s.test)
        error = _digits_of(known.measure, _sem(test), 3)
        numbers = _spread(known.measure, valid), _spread(known.measure, test), error, p, f"{s.trials.mean():.0f}"
        table.add_row(s.contender, *numbers, f"{s.seconds:.1f}")
    best = int(np.nanargmax(known.score))
    table.add_row("(best search score of all)", show(known.valid[best]), show(known.test[best]))
    table.add_row("(optimum)", show(np.nanmax(known.valid)), show(np.nanmax(known.test)))
    return table


def test_words(measure: Measure, test: np.ndarray) -> str:
    """The mean of test scores ``[S]`` as it is read."""
    mean = _converted(measure, test).mean()
    return f"{mean:.2f}% test" if measure == Measure.SCORE else f"test {measure.value} {mean:.5g}"


def _converted(measure: Measure, scores: np.ndarray) -> np.ndarray:
    """Scores in the unit in which they are read: percent, perplexity or bits."""
    return 100 * scores if measure == Measure.SCORE else np.array([measure.number(score) for score in scores])


def _shown(measure: Measure, score: float) -> str:
    return _digits_of(measure, _converted(measure, np.array([score]))[0])


def _digits_of(measure: Measure, value: float, decimals: int = 2) -> str:
    """A value as it is read: percent with so many decimals, others, which may be of any size, with five digits."""
    return f"{value:.{decimals}f}" if measure == Measure.SCORE else f"{value:.5g}"


def print_comparison(console: Console, standings: Sequence, tables: dict) -> None:
    """`standing_table` of every problem."""
    for problem, known in tables.items():
        console.print(standing_table(problem, [s for s in standings if s.problem == problem], known))
        console.print()


def write_comparison(
    folder: Path, standings: Sequence, budgets: dict[str, float], first_seed: int, tables: dict
) -> list[str]:
    """`FILES` into an existing folder; the names of those written. The plot needs Matplotlib: without it there is none.

    results.csv: a row for each contender and problem; seeds.csv: for each search; curves.csv: for each point of the
    mean best-so-far test score over simulated seconds. Scores are the table's: shares of 1, or log-probabilities in
    nats. results.csv comes last, when all else is there.
    """
    _write(
        folder / "seeds.csv",
        ("problem", "contender", "seed", "score", "valid", "test", "trials"),
        _seeds(standings, first_seed),
    )
    points = [(s, np.linspace(0, budgets[s.problem], len(s.curve))) for s in standings]
    curves = (
        (s.problem, s.contender, *map(_digits, row)) for s, x in points for row in zip(x, s.curve, s.band, strict=True)
    )
    _write(folder / "curves.csv", ("problem", "contender", "seconds", "test_mean", "half_interval_95"), curves)
    drawn = _plot(folder / "curves.png", points, tables)
    _write(folder / "results.csv", SUMMARY, map(_summary, standings))
    return list(FILES if drawn else FILES[:-1])


def _axis(measure: Measure) -> str:
    """What the plot's scores are: the table's, in which higher is better."""
    if measure.logarithmic:
        return "log-probability (nats)"
    return "accuracy (%)" if measure == Measure.SCORE else f"{'-' * measure.error}{measure}"


def _plot(file: Path, points: list, tables: dict) -> bool:
    """One panel a problem."""
    try:
        from matplotlib.figure import Figure  # not pyplot: no window, no global state
    except ImportError:
        return False
    problems = list(dict.fromkeys(s.problem for s, _ in points))
    figure = Figure(figsize=(5.2 * len(problems), 4.2), layout="constrained")
    for problem, axes in zip(problems, figure.subplots(1, len(problems), squeeze=False)[0], strict=True):
        measure = tables[problem].measure
        scale = 100 if measure == Measure.SCORE else 1
        for number, (s, x) in enumerate([p for p in points if p[0].problem == problem]):
            style = {"color": "black", "linestyle": "--"} if s.p_value is None else {"color": f"C{number - 1}"}
            axes.plot(x, scale * s.curve, label=_verbatim(s.contender), linewidth=1.4, **style)
            low, high = scale * (s.curve - s.band), scale * (s.curve + s.band)
            axes.fill_between(x, low, high, color=style["color"], alpha=0.2, linewidth=0)
        known = [(scale * s.curve, scale * s.band) for s, _ in points if s.problem == problem]
        low, high = min(np.nanquantile(c, 0.1) for c, _ in known), max(c[-1] + b[-1] for c, b in known)
        axes.set_ylim(low, high + 0.05 * (high - low))  # the first few trials lie far below and scatter widely
        what = f"test {_axis(measure)} of the best so far"
        axes.set(title=_verbatim(problem), xlabel="simulated seconds", ylabel=what)
        axes.legend(fontsize="small", loc="lower right")
        axes.grid(alpha=0.3)
    figure.savefig(file, dpi=110)
    return True


def _verbatim(name: str) -> str:
    """A name that Matplotlib neither typesets nor leaves out of the legend."""
    text = name.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def _write(file: Path, header: Sequence[str], rows: Iterable) -> None:
    """A file that is there as a whole or not at all."""
    new = file.with_name(f"{file.name}.new")
    with new.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(header)
        writer.writerows(rows)
    new.replace(file)


def _summary(s) -> tuple:
    p = "" if s.p_value is None else f"{s.p_value:.3g}"
    valid, test = ((v.mean(), v.std(), _sem(v)) for v in (s.valid, s.test))
    numbers = map(_digits, (s.score.mean(), *valid, *test, s.trials.mean()))
    return (s.problem, s.contender, len(s.test), *numbers, p, f"{s.seconds:.1f}")


def _seeds(standings: Sequence, first_seed: int):
    for s in standings:
        for i in range(len(s.test)):
            yield (
                s.problem,
                s.contender,
                first_seed + i,
                *map(_digits, (s.score[i], s.valid[i], s.test[i])),
                s.trials[i],
            )


def _spread(measure: Measure, values: np.ndarray) -> str:
    """Mean and deviation of values as they are read."""
    return f"{_digits_of(measure, values.mean())} +- {_digits_of(measure, _deviation(values, 0))}"


def _sem(values: np.ndarray) -> float:
    """Standard error of the mean."""
    return _deviation(values, 1) / np.sqrt(len(values))


def _deviation(values: np.ndarray, ddof: int) -> float:
    """The standard deviation; the square of a perplexity may be too great for a float."""
    scale = np.abs(values).max() or 1.0
    return scale * (values / scale).std(ddof=ddof)


def _digits(value: float) -> str:
    return f"{value:.6g}"
