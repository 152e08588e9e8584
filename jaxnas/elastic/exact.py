"""From a padded network to the exact one."""

from collections.abc import Iterable
from typing import Any

import jax
from flax import nnx

from jaxnas.elastic.size import Extent
from jaxnas.elastic.skippable import Skippable

KEPT = nnx.Param, nnx.BatchStat


def cut(padded: nnx.Module | nnx.State, exact: nnx.Module) -> nnx.Module:
    """Gives the exact network the leading parts of the padded network's parameters and statistics.

    Args:
        padded: a network that was built with sizes, or all its state.
        exact: the same network built with whole numbers; it is changed.

    Returns:
        ``exact``. On all inputs it gives what the padded network gives.

    Raises:
        ValueError: a variable that only one of them has, where layers that are left out (`Skippable`) do not count; or
            one that is larger in the exact network.
    """
    state = nnx.state(padded) if isinstance(padded, nnx.Module) else padded
    have = _by_path(state, KEPT)
    want = _by_path(nnx.state(exact), KEPT)
    present = _outside(have, _left_out(state)) ^ _outside(want, _left_out(nnx.state(exact)) + _left_out_for_good(exact))
    if strange := (want.keys() - have.keys()) | present:
        names = ", ".join(sorted(".".join(map(str, path)) for path in strange))
        raise ValueError(
            f"{names}: only one of the networks has it; build both by the same class and with the same values, and "
            "give all of the padded network's state"
        )
    leading = {
        path: variable.replace(_leading(have[path][...], variable[...], path)) for path, variable in want.items()
    }
    nnx.update(exact, nnx.from_flat_state(leading))
    return exact


def _left_out(state: nnx.State) -> list[tuple]:
    """Where layers are that an array says are left out."""
    extents = _by_path(state, (Extent,)).items()
    return [path[:-1] for path, extent in extents if path[-1] == "present" and not extent[...]]


def _left_out_for_good(net: nnx.Module) -> list[tuple]:
    """Where layers are that a bool says are left out."""
    return [path for path, one in nnx.iter_modules(net) if isinstance(one, Skippable) and one.present is False]


def _outside(paths: Iterable[tuple], places: list[tuple]) -> set[tuple]:
    """The paths that lead into none of the places."""
    return {path for path in paths if not any(path[: len(place)] == place for place in places)}


def _by_path(state: nnx.State, kinds: tuple[type, ...]) -> dict[tuple, Any]:
    return {path: variable for path, variable in nnx.to_flat_state(state) if isinstance(variable, kinds)}


def _leading(large: jax.Array, small: jax.Array, path: tuple) -> jax.Array:
    """The part of ``large`` of the other's shape."""
    if large.ndim != small.ndim or any(a < b for a, b in zip(large.shape, small.shape, strict=True)):
        name = ".".join(map(str, path))
        raise ValueError(f"{name}: padded {list(large.shape)} cannot be cut to {list(small.shape)}")
    return large[tuple(slice(side) for side in small.shape)]
