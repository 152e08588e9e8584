"""What a function costs, counted in its jaxpr: multiply-adds of products and convolutions, bytes of what it makes."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr


class Count(NamedTuple):
    """multiply_adds: of matrix products and convolutions; made_bytes: of all results on the way."""

    multiply_adds: int
    made_bytes: int


def count(jaxpr: Jaxpr) -> Count:
    """Of loops every turn (of those without a known end, one), of branches the dearest one."""
    total = Count(0, 0)
    for eqn in jaxpr.eqns:
        found = [count(inner) for inner in _inner(eqn.params)]
        name = eqn.primitive.name
        if name == "scan":
            turns = eqn.params["length"]
            one = Count(*(turns * n for n in _sum(found)))
        elif name == "cond":
            one = max(found)
        elif found:
            one = _sum(found)
        else:
            one = Count(_multiply_adds(eqn), sum(_bytes(v.aval) for v in eqn.outvars))
        total = Count(total.multiply_adds + one.multiply_adds, total.made_bytes + one.made_bytes)
    return total


def _inner(params: dict[str, Any]) -> list[Jaxpr]:
    """The jaxprs that an equation calls."""
    values = [part for value in params.values() for part in (value if isinstance(value, tuple | list) else (value,))]
    return [v.jaxpr if isinstance(v, ClosedJaxpr) else v for v in values if isinstance(v, ClosedJaxpr | Jaxpr)]


def _sum(counts: list[Count]) -> Count:
    return Count(*(sum(numbers) for numbers in zip(*counts, strict=True))) if counts else Count(0, 0)


def _multiply_adds(eqn) -> int:
    name = eqn.primitive.name
    if name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        return math.prod(eqn.outvars[0].aval.shape) * math.prod(eqn.invars[0].aval.shape[d] for d in contracted)
    if name == "conv_general_dilated":
        kernel, numbers = eqn.invars[1].aval.shape, eqn.params["dimension_numbers"]
        taps = math.prod(kernel) // kernel[numbers.rhs_spec[0]]  # of one output: the kernel of one group
        return math.prod(eqn.outvars[0].aval.shape) * taps
    return 0


def _bytes(aval) -> int:
    return math.prod(aval.shape) * aval.dtype.itemsize if jnp.issubdtype(aval.dtype, jnp.floating) else 0
