"""What the library has by name, on the command line: ``--strategy Random`` in place of what a config says."""

import copy
import dataclasses
import difflib
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar, get_args, get_origin

from jaxnas.evaluators import SGD, Adam, Optimiser
from jaxnas.rewards import REWARDS, Reward
from jaxnas.settings import hints
from jaxnas.strategies import STRATEGIES, Strategy

Settings = TypeVar("Settings")
NAMED = {Strategy: STRATEGIES, Reward: REWARDS, Optimiser: {"SGD": SGD, "Adam": Adam}}
"""By the annotation of a setting, what may be named in its place."""


def replaced(settings: Settings, arguments: list[str]) -> tuple[Settings, list[str]]:
    """Settings with what is named at its defaults in place of a config's own, and the other arguments, which may set
    something of it. The settings are not checked again before all arguments are in.

    Raises:
        ValueError: no name, or one that the library does not have.
    """
    rest, given = [], list(arguments)
    while given:
        argument = given.pop(0)
        option, equals, value = argument.partition("=")
        path = option.removeprefix("--").replace("-", "_").split(".")
        known = _known(settings, path) if option.startswith("--") else None
        if known is None:
            rest.append(argument)
            continue
        if not equals:
            value = given.pop(0) if given and not given[0].startswith("--") else ""
        if value not in known:
            raise ValueError(_unknown(option, value, list(known)))
        settings = _with(settings, path, known[value]())
    return settings, rest


def nameable(settings: Any, names: Iterable[str]) -> list[str]:
    """Of all settings by their full names, the parents that take a library's name, as "strategy"."""
    parents = (name.removesuffix(".type") for name in names if name.endswith(".type"))
    return [name for name in parents if _known(settings, name.split(".")) is not None]


def _unknown(option: str, value: str, known: list[str]) -> str:
    lower = {name.lower(): name for name in known}
    near = [lower[name] for name in difflib.get_close_matches(value.lower(), lower, 1)]
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{option} {value or 'without a name'}: {hint}There are {', '.join(known)}"


def _known(settings: Any, path: list[str]) -> dict[str, type] | None:
    """What may be named for the setting of that path; None: it is no such setting."""
    for name in path[:-1]:
        settings = vars(settings).get(name) if dataclasses.is_dataclass(settings) else None
    if not dataclasses.is_dataclass(settings):
        return None
    hint = hints(type(settings)).get(path[-1])
    hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return NAMED.get(hint) if isinstance(hint, type) else None


def _with(settings: Any, path: list[str], value: Any) -> Any:
    """A copy with another value at that path."""
    own = copy.copy(settings)
    value = value if len(path) == 1 else _with(getattr(settings, path[0]), path[1:], value)
    object.__setattr__(own, path[0], value)
    return own
