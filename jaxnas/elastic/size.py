"""Whole numbers that may be traced, with a greatest value that Python knows."""

import operator
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Int

REMEDY = (
    "use the layers of jaxnas.elastic, loop to jaxnas.elastic.most(...) and let Skippable leave out the rest, or say "
    "static=True where the value is declared, which gives each value a program of its own"
)


class Extent(nnx.Variable):
    """What a layer was told of its width, its rate or whether it is there: kept from call to call, learnt by nobody."""


class Size(nnx.Pytree):
    """A width or depth, of which ``value`` may be traced while ``most`` is a Python int.

    With whole numbers and other sizes ``+ - * //`` give a Size again: ``most`` is then the greatest that can come of
    it. Comparisons give bool arrays, all other arithmetic gives arrays, and JAX takes it for the array ``value``. It
    can be an attribute of a module, where its value is an `Extent`.

    Args:
        value: int32 ``[]``, from 0 to ``most``; of layers, at least 1.
        most: the greatest value; of layers, at least 1.
        name: what errors call it.

    Raises:
        ValueError: ``most`` or a ``value`` that is no array is out of range; wherever it is used as a Python number.
    """

    __array_ufunc__ = None  # or NumPy, on the left of an operator, would take it apart

    def __init__(self, value: ArrayLike, most: int, name: str = "size"):
        if most < 0:
            raise ValueError(f"{name} can be at most {most}: give what can be 0 or more")
        if isinstance(value, int) and not 0 <= value <= most:
            raise ValueError(f"{name} = {value}: give a value from 0 to most, which is {most}")
        self.most, self.name = most, name
        self.extent = Extent(jnp.asarray(value, jnp.int32))

    @property
    def value(self) -> Int[Array, ""]:
        """The number itself."""
        return self.extent[...]

    @property
    def live(self) -> Bool[Array, " most"]:
        """Which of ``most`` places are within; see `jaxnas.elastic.live`."""
        return jnp.arange(self.most) < self.value

    def __jax_array__(self) -> Int[Array, ""]:
        return self.value

    def __repr__(self) -> str:
        return f"Size({self.name}, at most {self.most})"

    __str__ = __repr__

    def _refuse(self, *_) -> NoReturn:
        raise ValueError(
            f"{self.name} is traced, so that all its values share one program, and no Python number: {REMEDY}"
        )

    __int__ = __index__ = __float__ = __bool__ = __round__ = __trunc__ = __iter__ = _refuse

    def __lt__(self, other: Any) -> Any:
        return self.value < other

    def __le__(self, other: Any) -> Any:
        return self.value <= other

    def __gt__(self, other: Any) -> Any:
        return self.value > other

    def __ge__(self, other: Any) -> Any:
        return self.value >= other

    def __eq__(self, other: Any) -> Any:  # by identity, `if width == 16` would be False in silence
        return self.value == other

    def __ne__(self, other: Any) -> Any:
        return self.value != other

    __hash__ = object.__hash__

    def __add__(self, other: Any) -> Any:
        return _combined(operator.add, "+", self, other, most)

    def __radd__(self, other: Any) -> Any:
        return _combined(operator.add, "+", other, self, most)

    def __mul__(self, other: Any) -> Any:
        return _combined(operator.mul, "*", self, other, most)

    def __rmul__(self, other: Any) -> Any:
        return _combined(operator.mul, "*", other, self, most)

    def __sub__(self, other: Any) -> Any:
        return _combined(operator.sub, "-", self, other, lambda part: 0 if isinstance(part, Size) else part)

    def __rsub__(self, other: Any) -> Any:
        return _combined(operator.sub, "-", other, self, lambda part: 0)

    def __floordiv__(self, other: Any) -> Any:
        return _combined(operator.floordiv, "//", self, other, lambda part: 1 if isinstance(part, Size) else part)

    def __rfloordiv__(self, other: Any) -> Any:
        return _combined(operator.floordiv, "//", other, self, lambda part: 1)

    def __truediv__(self, other: Any) -> Any:
        return self.value / other

    def __rtruediv__(self, other: Any) -> Any:
        return other / self.value

    def __mod__(self, other: Any) -> Any:
        return self.value % other

    def __pow__(self, other: Any) -> Any:
        return self.value**other


def _combined(do: Callable, sign: str, left: Any, right: Any, greatest: Callable[[Any], int]) -> Any:
    """``do`` of both; ``greatest``: the right number at which it is greatest."""
    number = lambda part: part.value if isinstance(part, Size) else part
    if not all(isinstance(part, int | Size) for part in (left, right)):
        arrays = all(isinstance(part, Size | float | jax.Array | np.ndarray | np.generic) for part in (left, right))
        return do(number(left), number(right)) if arrays else NotImplemented
    name = lambda part: part.name if isinstance(part, Size) else str(part)
    return Size(
        do(number(left), number(right)), do(most(left), greatest(right)), f"({name(left)} {sign} {name(right)})"
    )


def most(size: int | Size) -> int:
    """The greatest value: of a Size its ``most``, of an int itself. A loop to it, with what lies beyond the value
    skipped, serves a network of traced depth and of a known one."""
    return size.most if isinstance(size, Size) else size


def live(size: int | Size) -> Bool[Array, " most"]:
    """Which of `most` places are within, also of an int: ``jnp.mean(x, -1, where=elastic.live(width))`` is a mean over
    live features.
    """
    return jnp.arange(most(size)) < jnp.asarray(size)


def features(size: int | Size, argument: str) -> int:
    """The length of an axis that holds so many features.

    Raises:
        ValueError: no int or Size, or less than 1.
    """
    if not isinstance(size, int | Size) or most(size) < 1:
        raise ValueError(f"{argument} = {size}: give a whole number from 1 on, or a jaxnas.elastic.Size")
    return most(size)


def kept(size: int | Size) -> Size | None:
    """What a layer keeps of a number of features, a Size of its own; None of an int, since then nothing is cut."""
    return Size(size.value, size.most, size.name) if isinstance(size, Size) else None
