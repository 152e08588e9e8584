"""Values by name, as the decisions of a space.

Letters: T decisions.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxnas.decisions import ABSENT, Choice, Decisions, Ordinal, When
from jaxnas.values.kinds import Scalar, Value, conditions


class Named:
    """Values by name, as decisions: each a column, after those that it depends on.

    Args:
        values: in the order in which they were given.

    Raises:
        ValueError: a condition on what is not there, on a value that another cannot take, or in a circle.
    """

    def __init__(self, values: Mapping[str, Value]):
        self.values = {name: values[name] for name in _in_order(values)}
        self._column = {name: column for column, name in enumerate(self.values)}

    @cached_property
    def decisions(self) -> Decisions:
        """One for each value; every name is a kind of its own."""
        made = []
        for name, value in self.values.items():
            kind = Ordinal if value.ordered else Choice
            made.append(kind(name, name, value.size, self._when(name)))
        return Decisions(tuple(made))

    def decode(self, tokens: Int[np.ndarray, " T"]) -> dict[str, Scalar]:
        """The values that exist. Raises ValueError where tokens are none of these decisions'."""
        tokens = self.decisions.check(tokens).tolist()
        found = zip(self.values.items(), tokens, strict=True)
        return {name: value.value(token) for (name, value), token in found if token != ABSENT}

    def encode(self, given: Mapping[str, Scalar]) -> Int[np.ndarray, " T"]:
        """The tokens of values. Raises ValueError where one is missing, none of ours, or there where it does not
        exist.
        """
        unknown = [name for name in given if name not in self.values]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no value of this space: it has {', '.join(self.values)}")
        tokens = np.full(len(self.values), ABSENT, np.int32)
        for column, (name, value) in enumerate(self.values.items()):
            exists = all(tokens[other] in wanted for other, wanted in self._when(name))
            if exists != (name in given):
                raise ValueError(f"{name!r} is {'missing' if exists else 'given, but not there beside the others'}")
            if exists:
                tokens[column] = _token(name, value, given[name])
        return tokens

    def _when(self, name: str) -> When:
        def tokens(other: str, wanted: tuple) -> tuple[int, ...]:
            try:
                return tuple(sorted({_token(other, self.values[other], v) for v in wanted}))
            except ValueError as error:
                raise ValueError(f"{name}: when={self.values[name].when!r}: {error}") from error

        met: dict[int, set[int]] = {}
        for other, wanted in conditions(self.values[name].when):
            column, some = self._column[other], set(tokens(other, wanted))
            met[column] = met.get(column, some) & some
        return tuple((column, tuple(sorted(some))) for column, some in met.items())


def _token(name: str, value: Value, given: Any) -> int:
    try:
        return value.token(given)
    except ValueError as error:
        raise ValueError(f"{name}={error}") from error


def _in_order(values: Mapping[str, Value]) -> list[str]:
    """Names, each after those that it depends on, otherwise as given."""
    order: list[str] = []
    depending = {name: [n for n, v in values.items() if name in dict(conditions(v.when))] for name in values}

    def put(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise ValueError(f"the conditions form a circle: {circle}: drop one `when` of these")
        if name in order:
            return
        for other, _ in conditions(values[name].when):
            if other not in values:
                raise ValueError(f"{name}: when={values[name].when!r}: there is no {other!r} among {', '.join(values)}")
            put(other, (*path, name))
        if name in order:  # after the last of these
            return
        order.append(name)
        for later in depending[name]:  # at once, so that few conditions are open at a time
            if all(other in order for other, _ in conditions(values[later].when)):
                put(later, ())

    for name in values:
        put(name, ())
    return order
