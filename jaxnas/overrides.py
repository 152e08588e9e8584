"""Settings from the command line: ``--space.filters 8 16`` in place of what a config says."""

import contextlib
import dataclasses
import difflib
import io
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import tyro

from jaxnas.by_name import nameable, replaced
from jaxnas.called import called
from jaxnas.examples import shown
from jaxnas.settings import describe, flatten, hints

Settings = TypeVar("Settings")
NEAREST = 3
LIKE = 0.6
"""How like a setting's name something must be to be meant by it."""


def override(settings: Settings, overrides: list[str], config: Path) -> Settings:
    """Settings with those of the command line in them.

    Raises:
        ValueError: an unknown setting, or a name that the library does not have.
        SystemExit: a value of the wrong type (status 2, after a message), or --help.
    """
    settings, overrides = replaced(settings, overrides)
    names = list(flatten(describe(settings)))
    valid = [name for name in names if name.split(".")[-1] != "type"] + nameable(settings, names)
    for argument in overrides:
        if argument.startswith("--"):
            _check(argument, valid, config)
    kind = type(settings).__name__.lower()
    command = {"experiment": "search", "comparison": "compare"}.get(kind, kind)
    return _parsed(settings, _spread(settings, overrides), f"{called()} {command} {shown(config)}")


def print_settings(settings, command: str) -> None:
    """What can be set, and what it is."""
    with contextlib.suppress(SystemExit):
        _parsed(settings, ["--help"], f"{called()} {command}")


def _one_line(said: str) -> str:
    """What tyro says in a box."""
    words = re.sub("[^ -~\u00a0-\u024f]|-{3,}|^[|+]|[|+]$", " ", said, flags=re.MULTILINE)
    words = re.split(" For full helptext| Argument helptext", " ".join(words.split()))[0]
    return re.sub("^(Parsing|Value) error |Error parsing (?!--)[A-Za-z_.]+: ", "", words)


@contextlib.contextmanager
def _wide(wanted: bool) -> Iterator[None]:
    """Where lines are as long as they like: tyro breaks them within numbers, after a comma."""
    before = os.environ.get("COLUMNS")
    if wanted:
        os.environ["COLUMNS"] = "100000"
    try:
        yield
    finally:
        if before is not None:
            os.environ["COLUMNS"] = before
        elif wanted:
            del os.environ["COLUMNS"]


def _parsed(settings: Settings, arguments: list[str], program: str) -> Settings:
    with warnings.catch_warnings():
        # of a class of the user's own it says that its fields are not annotated as it would like: they stay as they are
        warnings.filterwarnings("ignore", category=UserWarning, module=r"tyro\.")
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), _wide({"-h", "--help"}.isdisjoint(arguments)):
                return tyro.cli(
                    type(settings),
                    args=arguments,
                    default=settings,
                    prog=program,
                    config=(tyro.conf.AvoidSubcommands,),  # settings that may be None stay settings
                )
        except SystemExit as stop:
            if stop.code in (0, None):  # help
                raise
            raise ValueError(_one_line(said.getvalue())) from stop


def _check(argument: str, valid: list[str], config: Path) -> None:
    """Raises ValueError where there is no such setting, with those that are most like it."""
    name = argument.removeprefix("--").split("=")[0].replace("-", "_")
    parent, dot, last = name.rpartition(".")
    switched_off = f"{parent}{dot}{last.removeprefix('no_')}"  # --task.augment.no-flip
    if {name, switched_off} & {*valid, "help"}:
        return
    alike = difflib.get_close_matches(name, valid, NEAREST, LIKE)
    by_end = [n for like in difflib.get_close_matches(last, _ends(valid), NEAREST, LIKE) for n in _ends(valid)[like]]
    near = [f"--{n.replace('_', '-')}" for n in dict.fromkeys([*alike, *by_end])][:NEAREST]
    hint = f": did you mean {' or '.join(near)}?" if near else ";"
    raise ValueError(f"unknown setting {argument}{hint} `{shown(config)} --help` after the command lists all of them")


def _ends(valid: list[str]) -> dict[str, list[str]]:
    """Full names by their last part."""
    found: dict[str, list[str]] = {}
    for name in valid:
        found.setdefault(name.rpartition(".")[2], []).append(name)
    return found


def _spread(settings, overrides: list[str]) -> list[str]:
    """The values of a tuple as arguments of their own, however they are written: ``8 16``, ``8,16``, ``(8, 16)``."""
    spread, listed = [], False
    for argument in overrides:
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            listed = _is_tuple(settings, name.removeprefix("--").replace("-", "_").split("."))
            spread += [name, *_values(value)] if listed and equals else [argument]
        else:
            spread += _values(argument) if listed else [argument]
    return spread


def _values(text: str) -> list[str]:
    return re.findall(r"[^\s,()\[\]]+", text)


def _is_tuple(settings, path: list[str]) -> bool:
    """Whether the setting of that name takes several values."""
    for name in path[:-1]:
        settings = settings.get(name) if isinstance(settings, dict) else getattr(settings, name, None)
    if not dataclasses.is_dataclass(settings):
        return False
    return "tuple" in str(hints(type(settings)).get(path[-1], ""))
