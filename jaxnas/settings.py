"""Settings: frozen dataclasses whose values are made plain and checked when they are made; how the ledger and
checkpoints record them, and how two records differ.
"""

import dataclasses
import math
import os
import re
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, dataclass_transform, get_args, get_origin, get_type_hints, no_type_check

import numpy as np

from jaxnas.plain import UnfitError, loosely, plain, shown, wanted
from jaxnas.ranges import Range

LONGEST = 300
"""Characters of a recorded value in a message."""


@dataclass_transform(frozen_default=True)
def settings(cls: type) -> type:
    """A frozen dataclass of settings, as a class decorator. Before its ``__post_init__`` (for what concerns several
    fields) each value is made plain (`jaxnas.plain`) and held against its annotation, numbers against their `Range`.

    Making one raises ValueError: a value of another kind or out of its range, by name, with what is wanted.

    Raises:
        TypeError: a number without a `Range`, which would go unchecked.
    """
    for name, hint in get_type_hints(cls, include_extras=True).items():
        if get_origin(hint) is not ClassVar and any(_unchecked(hint)):
            raise TypeError(f"{cls.__qualname__}.{name}: {hint} has a number without a Range: give it one")
    further = getattr(cls, "__post_init__", lambda self: None)

    def __post_init__(self):  # noqa: N807 - what `dataclass` looks for
        settle(self)
        further(self)

    cls.__post_init__ = __post_init__
    cls.__settled__ = True
    cls = dataclasses.dataclass(frozen=True)(cls)
    no_type_check(cls.__init__)  # of these classes `settle` checks types, also where jaxtyping's import hook would
    return cls


def _unchecked(hint: Any) -> Iterator[bool]:
    """Of all numbers in an annotation, whether they have no range."""
    if get_origin(hint) is Annotated:
        kind, *about = get_args(hint)
        if not any(isinstance(part, Range) for part in about):
            yield from _unchecked(kind)
    elif hint in (int, float):
        yield True
    else:
        for part in get_args(hint):
            yield from _unchecked(part)


def settle(own: Any, prefix: str = "") -> None:
    """Make the values of a dataclass plain, in place, and refuse those that do not fit, also in dataclasses within.

    A class that is none of ours (no `settings`) need not keep to its annotations: of it, numbers that are not finite
    are refused. ``prefix`` stands before the names of fields in messages.

    Raises:
        ValueError: names the setting, what was given and what is wanted.
    """
    named = hints(type(own))
    for field in dataclasses.fields(own):
        name, value, hint = f"{prefix}{field.name}", getattr(own, field.name), named.get(field.name, Any)
        settled = _settled(name, value, hint) if _ours(type(own), field) else loosely(value, hint)
        if settled is not value:
            object.__setattr__(own, field.name, settled)
        _settle_within(settled, name)


def _ours(cls: type, field: dataclasses.Field) -> bool:
    """Whether a field is one of `settings`, not one that a user's subclass has added."""
    ours = (c for c in cls.__mro__ if "__settled__" in vars(c))
    return any(field is f for c in ours for f in dataclasses.fields(c))


def hints(cls: type) -> dict[str, Any]:
    """The annotations of a class by name."""
    try:
        return get_type_hints(cls, include_extras=True)
    except NameError:  # a user's class, with a name that its module lacks: these annotations say nothing
        return {}


def _settled(name: str, value: Any, hint: Any) -> Any:
    try:
        return plain(value, hint)
    except UnfitError as error:
        raise ValueError(f"{name}={shown(value)}: give {wanted(hint)}{error}") from error


def _settle_within(value: Any, name: str) -> None:
    """Everything within a value: dataclasses and finite numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        settle(value, f"{name}.")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _settle_within(item, f"{name}.{key}")
    elif isinstance(value, tuple | list):
        for item in value:
            _settle_within(item, name)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name}={value}: give a finite number")


def describe(value):
    """Settings as plain JSON values: each dataclass a dict of its fields and, under "type", its class name; what is no
    JSON value as Python writes it.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        named = {f.name: describe(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__qualname__} | named
    if isinstance(value, dict):
        return {str(name): describe(v) for name, v in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(describe, value), key=repr)  # a set has another order in each process
    if isinstance(value, tuple | list):
        return [describe(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return describe(value.tolist())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value if isinstance(value, str | int | float | bool | None) else _written(value)


def _written(value) -> str:
    """As Python writes it, but for the address in memory, which is another in each process; of a class or function the
    name alone: its module has another one where a config runs as a script.
    """
    if isinstance(value, type | types.FunctionType):
        return f"<{type(value).__name__} {value.__qualname__}>"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def flatten(description: dict, prefix: str = "") -> dict[str, object]:
    """Nested descriptions as one dict with dotted names: {"strategy.learning_rate": 0.01, ...}."""
    flat = {}
    for name, value in description.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def differing(recorded: dict, wanted: dict) -> dict[str, str]:
    """The settings in which two descriptions differ, by dotted name: how, in words.

    One that is missing on one side is no difference where it is off on the other (None, False, 0, empty): a version of
    the class did not have it yet.
    """
    a, b = flatten(recorded), flatten(wanted)
    differ = lambda name: a[name] != b[name] if name in a and name in b else bool(a.get(name) or b.get(name))
    names = [name for name in dict.fromkeys((*a, *b)) if differ(name)]
    return {n: f"{n}: {_shown(a.get(n, 'absent'))} there, {_shown(b.get(n, 'absent'))} now" for n in names}


def _shown(value: object) -> str:
    """A value as a message has it: of a long one, such as a vocabulary, the beginning."""
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
