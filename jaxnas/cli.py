"""The command line: ``jaxnas search | plan | final | export | trials | show | compare | tabulate``.

What is typed is read here; a command is imported when it runs, so that help and mistakes are answered at once.
"""

import argparse
import difflib
import importlib
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxnas import examples, interrupts
from jaxnas.called import called
from jaxnas.commands.status import FAILED, USER_ERROR
from jaxnas.version import version

ON_CONFIG = ("search", "plan", "compare", "tabulate")
"""Commands that take a config, and its settings as options."""
SAFE = "What is recorded is safe: mend the cause, then the same command goes on"


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status: 2 for a user's mistake, 1 for a failure, 130 after Ctrl-C, 141 where
    nobody reads what is printed.
    """
    with interrupts.first_is_raised():
        try:
            options, rest = _read(list(arguments))
            return importlib.import_module(f"jaxnas.commands.{options.command}").run(options, rest)
        except BrokenPipeError:
            interrupts.close_streams()
            return interrupts.CLOSED_PIPE
        except (Exception, interrupts.Stopped) as error:
            stopped = interrupts.behind(error)
            if stopped is None:
                return _said(error)
            print(f"\n{stopped}", file=sys.stderr)
            return stopped.status


def _said(error: Exception) -> int:
    """One line about what went wrong, and the status. What is no user's mistake and no known failure is raised."""
    if isinstance(error, ValueError):
        if "JAXNAS_DEBUG" in os.environ:
            raise error
        print(f"jaxnas: {error}\n(JAXNAS_DEBUG=1 shows where this comes from)", file=sys.stderr)
        return USER_ERROR
    if isinstance(error, sqlite3.OperationalError | OSError):
        print(f"jaxnas: stopped, {error}. {SAFE}", file=sys.stderr)
        return FAILED
    raise error


def _read(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options of a command, and what it does not know itself: settings."""
    parser, commands = _parser()
    if not arguments:
        parser.print_help(sys.stderr)
        raise SystemExit(USER_ERROR)
    command = arguments[0]
    if not command.startswith("-") and command not in commands:
        near = difflib.get_close_matches(command, commands, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"there is no command {command!r}: {hint}There are {', '.join(commands)}")
    if command not in ON_CONFIG:
        return parser.parse_known_args(arguments)
    config, others = _without_config(arguments[1:])
    if config is None and {"-h", "--help"} & set(others):
        commands[command].print_help()
        kind = "comparison" if command == "compare" else "experiment"
        print("\nconfigs that come with jaxnas:", *examples.lines(kind), sep="\n")
        raise SystemExit(0)
    options, rest = parser.parse_known_args([command, *others])
    if config is None and command != "compare":
        raise ValueError(
            f"{command} needs a config, a Python file or a name such as digits, before its options: "
            f"{called()} {command} CONFIG"
        )
    options.config = None if config is None else examples.found(config)
    return options, rest


def _without_config(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The config and all else: the first argument if that is the name of a shipped one; else, wherever it stands, the
    first name that ends in .py; else the first argument if it is no option.
    """
    files = [i for i, one in enumerate(arguments) if one.endswith(".py") and not one.startswith("-")]
    leads = len(arguments) > 0 and not arguments[0].startswith("-")
    first = [0] if leads and arguments[0] in examples.names() else files or [0] * leads
    if not first:
        return None, arguments
    return arguments[first[0]], arguments[: first[0]] + arguments[first[0] + 1 :]


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog=called(),
        description="Neural architecture search on JAX.",
        epilog="COMMAND --help says more; with a CONFIG before it, it lists all of its settings.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"jaxnas {version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    _on_config(commands)
    _on_tables(commands)
    _on_workdir(commands)
    return parser, commands.choices


def _config_command(commands, name: str, help: str, more: str = "", config: str = "CONFIG"):
    usage = f"{called()} {name} {config}{more} [--SETTING VALUE ...]"
    epilog = (
        f"{called()} {name} CONFIG --help lists all settings of a config. --strategy Random, --reward CubedAccuracy "
    )
    epilog += (
        "and --evaluator.train.optimiser Adam put another in the place of the config's, with its default settings."
    )
    return commands.add_parser(
        name, help=help, description=help, add_help=False, allow_abbrev=False, usage=usage, epilog=epilog
    )


def _on_config(commands) -> None:
    help = "search with a config (a Python file that sets `experiment`, or the name of one that comes along), or go on"
    run = _config_command(commands, "search", help, " [--workdir DIR] [--final]")
    run.add_argument("--workdir", type=Path, help="where the ledger lies; default: runs/NAME-OF-THE-CONFIG")
    run.add_argument("--final", action="store_true", help="train the best at the end and read its test score")
    help = "show how a round would be trained, without training; or compile it for a device that is not here"
    plan = _config_command(commands, "plan", help, " [--for DEVICE] [--memory GIB]")
    plan.add_argument("--for", dest="target", help="h100, v5e, v6e or v5p: whether the first round compiles and fits")
    plan.add_argument("--memory", type=_gib, help="GiB that a group may take there; default: 4/5 of the device's")


def _gib(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of GiB: give one, as --memory 40") from None


def _on_tables(commands) -> None:
    help = (
        "compare strategies on tabular benchmarks: whole searches over many seeds; without CONFIG on the shipped table"
    )
    parser = _config_command(commands, "compare", help, " [--out DIR]", "[CONFIG]")
    parser.add_argument("--out", type=Path, help="directory for CSV files and plot; default: runs/compare-NAME")
    help = "train every architecture of a space, and write a table of their scores; killed, it goes on"
    options = " OUT.csv.gz [--seeds K] [--sample N] [--no-curves] [--speed S]"
    table = _config_command(commands, "tabulate", help, options)
    table.add_argument("out", type=Path, help="the table, a name that ends in .csv.gz; it must not exist")
    table.add_argument("--seeds", type=int, default=1, help="trainings of each architecture")
    table.add_argument("--sample", type=int, help="only so many architectures, drawn by the seed; default: all")
    help = "leave out the scores after each epoch but the last: a smaller file"
    table.add_argument("--no-curves", dest="curves", action="store_false", help=help)
    table.add_argument("--speed", type=float, help="multiply-adds a second, for the column `seconds`; default: 1e9")


def _on_workdir(commands) -> None:
    """The commands on the directory of a search."""
    help = "train the best (or a named) trial from scratch, read its test score once; killed, it goes on"
    usage = f"{called()} final WORKDIR [--trial N] [--final.SETTING VALUE ...]"
    final = commands.add_parser("final", help=help, description=help, allow_abbrev=False, add_help=False, usage=usage)
    final.add_argument("workdir", type=Path, nargs="?")
    final.add_argument("--trial", type=int, help="default: the best")
    final.add_argument("-h", "--help", action="store_true", help="show this, and all settings")
    final.set_defaults(parser=final)

    help = "write a finally trained network as files that need no jaxnas"
    export = commands.add_parser("export", help=help, description=help, allow_abbrev=False)
    export.add_argument("workdir", type=Path)
    export.add_argument("--trial", type=int, help="default: the best")
    export.add_argument("out", type=Path, help="the directory to write, which must not exist")

    trials = commands.add_parser("trials", help="list trials", description="List trials.", allow_abbrev=False)
    trials.add_argument("workdir", type=Path)
    trials.add_argument("--top", type=int, help="only the best so many; default: all, in order")

    help = "draw one architecture"
    show = commands.add_parser("show", help=help, description=help, allow_abbrev=False)
    show.add_argument("workdir", type=Path)
    show.add_argument("trial", type=int)
    show.add_argument("--out", type=Path, help="draw a picture into this file, .svg or .png; needs Graphviz")
