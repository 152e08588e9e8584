"""Spaces whose fields are values that a user names: a dataclass of its own for each set of names, so that the command
line, the ledger and messages know ``--space.width.low`` as they know any other setting.
"""

import keyword
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

from jaxnas.decisions import Decisions
from jaxnas.settings import settings
from jaxnas.values import Categorical, Float, Int, Named, Scalar

RESERVED = {"decisions", "decode", "encode", "children", "values", "traced", "own"}


class NamedValues:
    """Base of such spaces: a call of one makes an instance of a subclass with a field for each name.

    A subclass of this one that has fields of its own declares them in ``own``: names and annotations.
    """

    own: tuple[tuple[str, Any], ...] = ()

    def __new__(cls, *args: Any, **given: Any) -> Any:
        if "__settled__" in vars(cls):
            return object.__new__(cls)
        fields = [name for name, _ in cls.own]
        values = {name: value for name, value in given.items() if name not in fields}
        for name, value in values.items():
            if not name.isidentifier() or keyword.iskeyword(name):
                raise ValueError(f"{name!r}: the name of a value has to be one in Python, as max_depth")
            if name in RESERVED:
                raise ValueError(f"{name}={value!r}: a space has something else of this name: give the value another")
            if not isinstance(value, Float | Int | Categorical):
                raise ValueError(f"{name}={value!r}: give Float(low, high), Int(low, high) or Categorical(...)")
        return object.__new__(_made(cls, tuple((name, type(value)) for name, value in values.items())))

    def traced(self, name: str) -> bool:
        """Whether a value enters a program as an array."""
        del name
        return False

    @cached_property
    def values(self) -> Named:
        """The named values, in an order in which they can be decided."""
        fields = [name for name in type(self).__dataclass_fields__ if name not in dict(self.own)]
        return Named({name: getattr(self, name) for name in fields})


class ValueSpace(NamedValues):
    """Base of those whose architectures are dictionaries of the values that exist."""

    @property
    def decisions(self) -> Decisions:
        """One for each value."""
        return self.values.decisions

    def decode(self, tokens) -> dict[str, Scalar]:
        """tokens ``[T]`` -> the values that exist."""
        return self.values.decode(tokens)

    def encode(self, architecture: Mapping[str, Scalar]):
        """Values -> tokens ``[T]``."""
        return self.values.encode(architecture)

    def restore(self, described: Mapping[str, Any]) -> dict[str, Scalar]:
        """See `Restores`; also values alone."""
        return dict(described["values"]) if described.get("type") in ("module", "values") else dict(described)


@lru_cache
def _made(cls: type, fields: tuple[tuple[str, type], ...]) -> type:
    """The subclass with these fields, the same for the same names and kinds."""
    body = {
        "__annotations__": dict((*cls.own, *fields)),
        "__doc__": cls.__doc__,
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__reduce__": lambda self: (_again, (cls, {name: getattr(self, name) for name in self.__dataclass_fields__})),
    }
    return settings(type(cls.__name__, (cls,), body))


def _again(cls: type, fields: dict[str, Any]) -> Any:
    """What pickle calls."""
    return cls(**fields)
