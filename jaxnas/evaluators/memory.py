"""How much memory there is for a group, and what is said where it does not suffice."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import jax

SHARE = 0.8
"""Of an accelerator's memory that a group may take."""


class DoesNotFitError(Exception):
    """A group is larger than the memory for it."""


@contextmanager
def fitting() -> Iterator[None]:
    """Inside, what XLA says where memory is exhausted is raised as `DoesNotFitError`."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise DoesNotFitError(str(error).partition("\n")[0]) from error


def check_fits(needed: int, budget: int | None) -> None:
    """Raises DoesNotFitError where a program needs more bytes than the budget; None: there is none."""
    if budget is not None and needed > budget:
        raise DoesNotFitError(f"{needed / 2**30:.2f} GiB are needed, and there are {budget / 2**30:.2f}")


def memory_of(compiled) -> int:
    """Bytes on one device that a program takes as the compiler has laid it out, its arguments included."""
    found = compiled.memory_analysis()
    given = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    return int(found.temp_size_in_bytes + given)


def budget(devices: Sequence[jax.Device]) -> int:
    """Bytes on one device for a group: `SHARE` of its own memory, or a CPU device's share of half the computer's."""
    stats = devices[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return int(SHARE * stats["bytes_limit"])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 // len(devices)
