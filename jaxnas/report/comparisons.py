"""How strategies did against each other: a table, CSV files, a plot.

``standings`` are `compare.Standing`s, ``tables`` the `tables.Records` they searched, by name of problem.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

FILES = ("results.csv", "seeds.csv", "curves.csv", "curves.png")
SUMMARY = (
    *("problem", "contender", "seeds", "score_mean", "valid_mean", "valid_std", "valid_sem"),
    *("test_mean", "test_std", "test_sem", "trials_mean", "p_value", "seconds"),
)


def standing_table(problem: str, standings: Iterable, known) -> Table:
    """One problem: contenders, best test score first; then what the table could give at most. Scores in percent."""
    table = Table(
        title=f"{problem} (means over the searches, in percent)", title_justify="left", box=None, pad_edge=False
    )
    for name in ("strategy", "valid", "test", "s.e. of test", "p against random", "trials", "seconds"):
        table.add_column(name, justify="left" if name == "strategy" else "right", no_wrap=True)
    for s in sorted(standings, key=lambda s: -s.test.mean()):
        p = "" if s.p_value is None else f"{s.p_value:.1g}"
        numbers = _spread(s.valid), _spread(s.test), f"{100 * _sem(s.test):.3f}", p, f"{s.trials.mean():.0f}"
        table.add_row(s.contender, *numbers, f"{s.seconds:.1f}")
    best = int(np.nanargmax(known.score))
    table.add_row("(best search score of all)", f"{100 * known.valid[best]:.2f}", f"{100 * known.test[best]:.2f}")
    table.add_row("(optimum)", f"{100 * np.nanmax(known.valid):.2f}", f"{100 * np.nanmax(known.test):.2f}")
    return table


def print_comparison(console: Console, standings: Sequence, tables: dict) -> None:
    """`standing_table` of every problem."""
    for problem, known in tables.items():
        console.print(standing_table(problem, [s for s in standings if s.problem == problem], known))
        console.print()


def write_comparison(folder: Path, standings: Sequence, budgets: dict[str, float], first_seed: int) -> list[str]:
    """`FILES` into an existing folder; the names of those written. The plot needs Matplotlib: without it there is none.

    results.csv: a row for each contender and problem; seeds.csv: for each search; curves.csv: for each point of the
    mean best-so-far test score over simulated seconds. Scores lie in [0, 1].
    """
    _write(folder / "results.csv", SUMMARY, map(_summary, standings))
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
    return list(FILES if _plot(folder / "curves.png", points) else FILES[:-1])


def _plot(file: Path, points: list) -> bool:
    """One panel a problem."""
    try:
        from matplotlib.figure import Figure  # not pyplot: no window, no global state
    except ImportError:
        return False
    problems = list(dict.fromkeys(s.problem for s, _ in points))
    figure = Figure(figsize=(5.2 * len(problems), 4.2), layout="constrained")
    for problem, axes in zip(problems, figure.subplots(1, len(problems), squeeze=False)[0], strict=True):
        for number, (s, x) in enumerate([p for p in points if p[0].problem == problem]):
            style = {"color": "black", "linestyle": "--"} if s.p_value is None else {"color": f"C{number - 1}"}
            axes.plot(x, 100 * s.curve, label=s.contender, linewidth=1.4, **style)
            low, high = 100 * (s.curve - s.band), 100 * (s.curve + s.band)
            axes.fill_between(x, low, high, color=style["color"], alpha=0.2, linewidth=0)
        known = [(100 * s.curve, 100 * s.band) for s, _ in points if s.problem == problem]
        low, high = min(np.nanquantile(c, 0.1) for c, _ in known), max(c[-1] + b[-1] for c, b in known)
        axes.set_ylim(low, high + 0.05 * (high - low))  # the first few trials lie far below and scatter widely
        axes.set(title=problem, xlabel="simulated seconds", ylabel="test accuracy of the best so far, %")
        axes.legend(fontsize="small", loc="lower right")
        axes.grid(alpha=0.3)
    figure.savefig(file, dpi=110)
    return True


def _write(file: Path, header: Sequence[str], rows: Iterable) -> None:
    with file.open("x", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(header)
        writer.writerows(rows)


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


def _spread(values: np.ndarray) -> str:
    return f"{100 * values.mean():.2f} +- {100 * values.std():.2f}"


def _sem(values: np.ndarray) -> float:
    """Standard error of the mean."""
    return values.std(ddof=1) / np.sqrt(len(values))


def _digits(value: float) -> str:
    return f"{value:.6g}"
