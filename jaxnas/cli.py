"""The command line: ``python -m jaxnas search | plan | final | export | trials | show | compare | tabulate``."""

import argparse
import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from jaxnas import compare_command, report, setup, tabulate_command
from jaxnas.experiment import Experiment
from jaxnas.export import FarOffError, check_free, export
from jaxnas.final import finished, train_final
from jaxnas.ledger import Ledger, locked
from jaxnas.outcome import Status, Trial
from jaxnas.record import check_settings, is_finished, record_final
from jaxnas.search import first_proposal, search
from jaxnas.tasks import measure_of
from jaxnas.trained import load_trained

USER_ERROR, FAILED, INTERRUPTED = 2, 1, 130


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status: 2 for a user's mistake, 1 for a failure, 130 after Ctrl-C."""
    options, rest = _parser().parse_known_args(arguments)
    try:
        return options.run(options, rest)
    except ValueError as error:
        if "JAXNAS_DEBUG" in os.environ:
            raise
        print(f"jaxnas: {error}\n(JAXNAS_DEBUG=1 shows where this comes from)", file=sys.stderr)
        return USER_ERROR
    except FarOffError as error:
        print(f"jaxnas: {error}", file=sys.stderr)
        return FAILED
    except (sqlite3.OperationalError, OSError) as error:
        print(
            f"jaxnas: stopped, {error}. What is recorded is safe: mend the cause, then the same command goes on",
            file=sys.stderr,
        )
        return FAILED
    except KeyboardInterrupt:
        print("\njaxnas: interrupted. The same command goes on from here", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jaxnas", description="Neural architecture search on JAX.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = _on_config(commands, "search", "search, or go on with a search", " [--workdir DIR] [--final]")
    run.add_argument("--workdir", type=Path, help="where the ledger lies; default: runs/NAME-OF-THE-CONFIG")
    run.add_argument("--final", action="store_true", help="train the best at the end and read its test score")
    run.set_defaults(run=_search)

    plan = _on_config(commands, "plan", "show how a round would be trained, without training")
    plan.set_defaults(run=_plan)
    _add_on_workdir(commands)
    compare_command.add(commands)
    tabulate_command.add(commands)
    return parser


def _add_on_workdir(commands) -> None:
    """The commands on the directory of a search."""
    final = commands.add_parser(
        "final",
        help="train the best (or a named) trial from scratch, read its test score once; killed, it goes on",
        allow_abbrev=False,
        usage="python -m jaxnas final WORKDIR [--trial N] [--final.SETTING VALUE ...]",
    )
    final.add_argument("workdir", type=Path)
    final.add_argument("--trial", type=int, help="default: the best")
    final.set_defaults(run=_final)

    export = commands.add_parser("export", help="write a finally trained network as files that need no jaxnas")
    export.add_argument("workdir", type=Path)
    export.add_argument("--trial", type=int, help="default: the best")
    export.add_argument("out", type=Path, help="the directory to write, which must not exist")
    export.set_defaults(run=_export)

    trials = commands.add_parser("trials", help="list trials")
    trials.add_argument("workdir", type=Path)
    trials.add_argument("--top", type=int, help="only the best so many; default: all, in order")
    trials.set_defaults(run=_trials)

    show = commands.add_parser("show", help="draw one architecture")
    show.add_argument("workdir", type=Path)
    show.add_argument("trial", type=int)
    show.add_argument("--out", type=Path, help="draw a picture into this file, .svg or .png; needs Graphviz")
    show.set_defaults(run=_show)


def _on_config(commands, name: str, help: str, more: str = "") -> argparse.ArgumentParser:
    """A command that takes a config; what it does not know itself are the experiment's settings."""
    usage = f"python -m jaxnas {name} CONFIG{more} [--SETTING VALUE ...]"
    parser = commands.add_parser(name, help=help, add_help=False, allow_abbrev=False, usage=usage)
    parser.add_argument("config", type=Path, help="a Python file that sets `experiment`")
    return parser


def _search(options, overrides: list[str]) -> int:
    experiment, source = setup.load(options.config, overrides)
    setup.set_flags(experiment)
    workdir = options.workdir or Path("runs") / options.config.stem
    console = Console()
    if options.final:
        experiment.final.task(experiment.task)  # what cannot be trained is said before the search
    with locked(workdir):
        ledger = Ledger(workdir, write=True)
    if is_finished(experiment, ledger):
        check_settings(experiment, ledger)
        print(f"This search is finished: {len(ledger)} trials in {workdir}. More rounds continue it: --rounds N")
    else:
        total, done = experiment.rounds * experiment.children, len(ledger)
        if done:
            print(f"Continuing {workdir}: {done} of {total} trials are done.")
        best, measure = next(iter(ledger.top(1)), None), measure_of(experiment.task)
        origin = {"config": str(options.config.absolute()), "directory": str(Path.cwd())}
        origin |= {"source": source, "overrides": overrides}
        with report.report_on(console, experiment.rounds, total, done, best, measure) as watch:
            search(experiment, ledger, watch, origin)
    print(report.summary(ledger, workdir))
    if not options.final:
        return 0
    with locked(workdir):
        return _train(ledger, experiment, None, console)


def _plan(options, overrides: list[str]) -> int:
    experiment, _ = setup.load(options.config, overrides)
    setup.set_flags(experiment)
    trials = experiment.rounds * experiment.children
    evaluate = experiment.evaluator.bind(experiment.space, experiment.task, experiment.seed, trials)
    if not hasattr(evaluate, "plan"):
        raise ValueError(f"{type(experiment.evaluator).__name__} trains nothing: there is no plan to show")
    tokens = first_proposal(experiment)
    began = time.perf_counter()
    plan = evaluate.plan(tokens)
    report.print_plan(Console(), plan, time.perf_counter() - began)
    return 0


def _final(options, rest: list[str]) -> int:
    _no_more([name for name in rest if name.startswith("--") and not name.startswith("--final.")])
    workdir = options.workdir.absolute()
    Ledger(workdir).close()  # says so, and makes nothing, where there is no search
    with locked(workdir):
        ledger = Ledger(workdir, write=True)
        with _recorded(ledger, workdir, rest) as experiment:
            return _train(ledger, experiment, options.trial, Console())


@contextlib.contextmanager
def _recorded(ledger: Ledger, workdir: Path, overrides: Sequence[str] = ()) -> Iterator[Experiment]:
    """The experiment that a ledger records; inside, the config's relative paths mean what they meant."""
    origin = ledger.facts().get("origin")
    if origin is None:
        raise ValueError(f"{workdir} records no experiment: it was not made by `python -m jaxnas search`")
    experiment = setup.restore(origin["source"], Path(origin["config"]), [*origin["overrides"], *overrides])
    setup.set_flags(experiment)
    begun = origin["directory"]
    with contextlib.chdir(begun if Path(begun).is_dir() else "."):
        yield experiment


def _chosen(ledger: Ledger, trial_id: int | None) -> Trial:
    """The trial of that id; None: the best."""
    if trial_id is not None:
        return ledger.trial(trial_id)
    if not ledger.top(1):
        raise ValueError("no trial has a score yet: let the search run first")
    return ledger.top(1)[0]


def _train(ledger: Ledger, experiment, trial_id: int | None, console: Console) -> int:
    """Final training of a trial (None: the best), unless it has been done."""
    trial = _chosen(ledger, trial_id)
    workdir, final = ledger.path.parent, experiment.final
    result = finished(experiment, workdir, trial)
    if result is None:
        seeds = f", {final.seeds} seeds together" if final.seeds > 1 else ""
        what = f"{final.train.epochs} epochs on all training data{seeds}"
        print(f"Final training of trial {trial.trial_id}: {what}", flush=True)
        with report.final_report_on(console, final.seeds) as watch:
            result = train_final(experiment, workdir, trial, watch.progress)
    else:
        print("This trial has had its final training; the test score is read only once. Recorded:")
    record_final(ledger, result)
    print(report.final_lines(result))
    return 0 if result["test_score"] is not None else FAILED


def _export(options, rest: list[str]) -> int:
    _no_more(rest)
    workdir, out = options.workdir.absolute(), options.out.absolute()
    check_free(out)
    ledger = Ledger(workdir)
    trial = _chosen(ledger, options.trial)
    if trial.status == Status.DIVERGED.label:
        raise ValueError(
            f"trial {trial.trial_id} diverged in the search, there is no network to export: choose one that has a "
            f"score, `python -m jaxnas trials {options.workdir}` lists them"
        )
    with locked(workdir), _recorded(ledger, workdir) as experiment:  # a final training may be writing
        written = export(load_trained(experiment, workdir, trial), out)
    print(f"Trial {trial.trial_id} is in {options.out}: {', '.join(written.files)}")
    print(f"Their logits differ from the trained network's by {written.difference:.0e} of the greatest.")
    return 0


def _trials(options, rest: list[str]) -> int:
    _no_more(rest)
    if options.top is not None and options.top < 1:
        raise ValueError(f"--top {options.top}: give 1 or more")
    ledger = Ledger(options.workdir)
    rows = ledger.trials() if options.top is None else ledger.top(options.top)
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    console.print(report.trial_table(rows, f"{len(ledger)} trials in {options.workdir}"))
    return 0


def _show(options, rest: list[str]) -> int:
    _no_more(rest)
    ledger = Ledger(options.workdir)
    trial = ledger.trial(options.trial)
    score = trial.status if trial.score is None else f"validation score {ledger.measure.words(trial.score)}"
    cost = f"{trial.parameters:,} parameters, {trial.multiply_adds:,} multiply-adds"
    if options.out is not None:
        report.picture(trial.architecture, f"trial {trial.trial_id}: {score}\n{cost}", options.out)
    print(f"Trial {trial.trial_id} of round {trial.round}: {score}, {cost}")
    print()
    print(report.draw(trial.architecture))
    curve = ", ".join("-" if v is None else f"{v:.4f}" for v in trial.curve)
    print(f"\nValidation score after each epoch: {curve}")
    if options.out is not None:
        print(f"Picture: {options.out}")
    return 0


def _no_more(rest: list[str]) -> None:
    if rest:
        raise ValueError(f"unknown arguments {' '.join(rest)}: see --help")
