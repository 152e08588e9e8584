"""What tells one function of a user's from another: a digest of its code."""

import hashlib
from collections.abc import Callable
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any


def of_function(fn: Callable) -> str:
    """Name and digest of what is called, with default arguments and what it has taken from the function around it:
    "within_one#3f2a1b9c0d4e". (What it calls, or reads of the names around, is not looked at.)
    """
    named = fn if isinstance(fn, FunctionType) else type(fn)
    return f"{named.__qualname__}#{hashlib.sha256(_called(fn).encode()).hexdigest()[:12]}"


def _called(fn: Any) -> str:
    """A function, a method, a partial, or an object whose class says what a call does."""
    if isinstance(fn, FunctionType):
        return _whole(fn)
    if isinstance(fn, MethodType):
        return _called(fn.__func__)
    if isinstance(fn, partial):
        return repr((_called(fn.func), [_lasting(value) for value in (*fn.args, *sorted(fn.keywords.items()))]))
    call = type(fn).__call__
    return repr((type(fn).__qualname__, _whole(call) if isinstance(call, FunctionType) else ""))


def _whole(fn: FunctionType) -> str:
    """What a function does, with its default arguments and what it has taken from the function around it."""
    cells = tuple(map(_content, fn.__closure__ or ()))
    more = tuple(sorted((fn.__kwdefaults__ or {}).items()))
    return repr((_code(fn.__code__), *map(_lasting, (fn.__defaults__ or (), more, cells))))


def _lasting(value: Any) -> Any:
    """What cannot change, as it is; of anything else the type."""
    if isinstance(value, tuple):
        return [_lasting(one) for one in value]
    return value if isinstance(value, str | bytes | int | float | bool | None) else type(value).__name__


def _code(code: CodeType) -> str:
    """Wherever it stands, and in each process the same."""
    return repr((code.co_code.hex(), [_constant(c) for c in code.co_consts], code.co_names, code.co_varnames))


def _constant(value: Any) -> str:
    if isinstance(value, CodeType):
        return _code(value)
    return f"{type(value).__name__} {sorted(map(repr, value)) if isinstance(value, frozenset) else value!r}"


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is given later
        return "empty"
