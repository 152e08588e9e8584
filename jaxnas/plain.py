"""Values of settings made plain: numpy's numbers and strings, paths, lists and ranges as what their annotation says.

What was made plain is equal to what a user would have typed, can be hashed, and can be recorded as JSON.
"""

import math
import os
import sys
import types
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

from jaxnas.ranges import Range, Such

LONGEST = 100
"""Characters of a value in a message."""
UNIONS = (Union, types.UnionType)


class UnfitError(Exception):
    """A value is not what the annotation says, which `wanted` has in words; the message is what can be said beside."""


def plain(value: Any, kind: Any) -> Any:
    """A value as its annotation has it. Raises UnfitError where it cannot be that."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        if value is None and any(isinstance(part, Such) and part.none for part in parts[1:]):
            return None
        return _inside(plain(value, parts[0]), parts[1:])
    if origin is Literal:
        return _one_of(_simple(value), parts)
    if origin in UNIONS:
        return _first(value, parts)
    if origin is tuple:
        return _tuple(value, parts)
    if origin is dict:
        _unless(isinstance(value, Mapping))
        return {plain(k, parts[0]): plain(v, parts[1]) for k, v in value.items()}
    if origin is Callable:
        return _instance(value, Callable)
    if origin is type:
        _unless(isinstance(value, type) and issubclass(value, parts[0]))
        return value
    return _MAKERS[kind](value) if kind in _MAKERS else _instance(value, kind)


def loosely(value: Any, kind: Any) -> Any:
    """Likewise of a class that is not ours, whose annotations bind nobody: numbers and strings of numpy are made
    Python's, lists tuples where the annotation says so, a path a string likewise; all else stays as it is.
    """
    if kind is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if (kind is tuple or get_origin(kind) is tuple) and isinstance(value, list | range | np.ndarray):
        value = tuple(value)
    if type(value) in (tuple, list):
        return type(value)(loosely(item, Any) for item in value)
    if type(value) is dict:
        return {loosely(k, Any): loosely(v, Any) for k, v in value.items()}
    return _simple(value)


def wanted(kind: Any) -> str:
    """What an annotation asks for, in words: "a whole number from 1 to 1,000, or None"."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        about = [part for part in parts[1:] if isinstance(part, Range | Such)]
        what = wanted(parts[0])
        return "".join(map(str, [what.lower() if any(isinstance(part, Such) for part in about) else what, *about]))
    if origin is Literal:
        return " or ".join(map(repr, parts))
    if origin in UNIONS:
        *rest, last = sorted(parts, key=lambda part: part is types.NoneType)
        return f"{' or '.join(map(wanted, rest))}, or {wanted(last)}"
    if origin is tuple:
        each = [part for part in parts if part is not Ellipsis]
        return f"a list, each {wanted(each[0])}" if Ellipsis in parts else f"({'; '.join(map(wanted, each))})"
    if origin is dict:
        return f"a dictionary, each value {wanted(parts[1])}"
    if origin is type:
        return f"a class, {parts[0].__name__} or one derived from it"
    return _NAMES[kind] if kind in _NAMES else _article(kind.__name__)


def shown(value: Any) -> str:
    """A value in a message: one line, not too long."""
    if isinstance(value, int) and value.bit_length() > 256:  # Python refuses to write very long ones
        return f"{'-' if value < 0 else ''}10**{math.floor(math.log10(2) * (value.bit_length() - 1))}"
    text = value.__qualname__ if isinstance(value, type) else " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _unless(fits: bool) -> None:
    if not fits:
        raise UnfitError


def _simple(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _inside(value: Any, about: tuple) -> Any:
    _unless(all(part.holds(value) for part in about if isinstance(part, Range)))
    return value


def _one_of(value: Any, values: tuple) -> Any:
    _unless(any(type(value) is type(v) and value == v for v in values))
    return value


def _first(value: Any, kinds: tuple) -> Any:
    """As the first of the kinds that it fits."""
    for kind in kinds:
        try:
            return plain(value, kind)
        except UnfitError:
            continue
    raise UnfitError


def _tuple(value: Any, kinds: tuple) -> tuple:
    _unless(isinstance(value, tuple | list | range) or (isinstance(value, np.ndarray) and value.ndim > 0))
    kinds = kinds[:1] * len(value) if Ellipsis in kinds else kinds
    _unless(len(value) == len(kinds))
    return tuple(plain(v, kind) for v, kind in zip(value, kinds, strict=True))


def _integer(value: Any) -> int:
    _unless(isinstance(value, Integral) and not isinstance(value, bool))
    return int(value)


def _float(value: Any) -> float:
    value = _simple(value)
    _unless(isinstance(value, Real) and not isinstance(value, bool))
    return math.inf if value > sys.float_info.max else float(value)  # an integer of 400 digits is no float


def _boolean(value: Any) -> bool:
    _unless(isinstance(value, bool | np.bool_))
    return bool(value)


def _string(value: Any) -> str:
    _unless(isinstance(value, str | os.PathLike))
    text = os.fspath(value)
    _unless(isinstance(text, str))
    return str(text)


def _none(value: Any) -> None:
    _unless(value is None)


def _instance(value: Any, kind: type) -> Any:
    """An instance; a class itself has all functions of a protocol, but is none."""
    if isinstance(value, type) or not isinstance(value, kind):
        functions = [name for name, member in vars(kind).items() if name[0] != "_" and callable(member)]
        missing = [name for name in functions if name not in dir(value)]
        raise UnfitError(f" (it has no {', '.join(missing)})" if 0 < len(missing) < len(functions) else "")
    return value


_MAKERS = {
    Any: _simple, bool: _boolean, int: _integer, float: _float, str: _string, types.NoneType: _none,
}  # fmt: skip
_NAMES = {
    Any: "anything", bool: "True or False", int: "a whole number", float: "a number", str: "a text",
    types.NoneType: "None",
}  # fmt: skip


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
