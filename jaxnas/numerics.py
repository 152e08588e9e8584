"""Which numbers this version computes."""

from contextlib import ExitStack

import jax

NUMERICS = 2
"""It rises whenever the same settings, data and seed give other numbers than before: a search, a final training or a
table that was begun under another is not continued.

1: up to the first public tables. 2: validation data drawn class by class; the last, shorter chunk of a text is learnt
from; the seeds of a final training have an order of batches of their own.
"""


def pinned() -> ExitStack:
    """Inside (it is a context), JAX has the number types and promotions that jaxnas is written for, whatever the
    environment or the caller says: float32 and int32, shapes broadcast by rank.
    """
    stack = ExitStack()
    for one in (jax.enable_x64(False), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard")):
        stack.enter_context(one)
    return stack


def check_numerics(recorded: int, where: object) -> None:
    """Raises ValueError where ``where`` was begun under other numerics."""
    if recorded != NUMERICS:
        raise ValueError(
            f"{where} was begun by a version of jaxnas that computes other numbers (numerics {recorded}, here "
            f"{NUMERICS}): go on with that version, or begin anew in another directory"
        )
