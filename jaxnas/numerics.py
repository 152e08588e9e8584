"""Which numbers this version computes."""

from contextlib import AbstractContextManager, ExitStack

import jax
import jax.numpy as jnp

NUMERICS = 4
"""It rises whenever the same settings, data and seed give other numbers than before: a search, a final training or a
table that was begun under another is not continued.

1: up to the first public tables. 2: validation data drawn class by class; the last, shorter chunk of a text is learnt
from; the seeds of a final training have an order of batches of their own. 3: what a child draws in training, such as
dropout, comes from a key of its own at each step; gradients of batch normalisation add in another order in cells and
networks with skips; threads of XLA's pool. 4: forms of small convolutions, and taps that first layers share.
"""


ALL_ROUNDED = {"xla_allow_excess_precision": False}
"""Compiler options under which XLA rounds to bfloat16 wherever that is written. Otherwise it leaves out what it can,
in each program something else, and two programs of one network agree to three digits only."""


def pinned() -> ExitStack:
    """Inside (it is a context), JAX has the number types and promotions that jaxnas is written for, whatever the
    environment or the caller says: float32 and int32, shapes broadcast by rank, products of float32 in float32.
    """
    stack = ExitStack()
    types = jax.enable_x64(False), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard")
    for one in (*types, products("float32")):
        stack.enter_context(one)
    return stack


PRODUCTS = {"float32": "highest", "tfloat32": "tensorfloat32", "bfloat16": "bfloat16"}
"""By the type of the factors, what JAX calls the precision of a product: without it float32 is rounded to 10 bits of
fraction on GPUs (TF32) and 7 on TPUs. On CPU none of it changes anything."""


def products(dtype: str) -> AbstractContextManager:
    """Inside, whatever is traced multiplies matrices, and convolves, with factors of this type.

    Args:
        dtype: "float32", which means float32; "tfloat32": float32 whose factors the device may round, to TF32 on GPUs,
            to three products of bfloat16 on TPUs; "bfloat16": `factors` are of that type, what is left in float32 the
            device multiplies in its fastest way.

    Raises:
        ValueError: another type.
    """
    return jax.default_matmul_precision(PRODUCTS[_known(dtype)])


def factors(dtype: str) -> jnp.dtype:
    """The type of the arrays that are multiplied, and of maps, where a setting says ``dtype``. Raises ValueError as
    `products`.
    """
    return jnp.dtype("bfloat16" if _known(dtype) == "bfloat16" else "float32")


def _known(dtype: str) -> str:
    if dtype not in PRODUCTS:
        raise ValueError(f"dtype={dtype!r}: give one of {', '.join(PRODUCTS)}")
    return dtype


def check_numerics(recorded: int, where: object) -> None:
    """Raises ValueError where ``where`` was begun under other numerics."""
    if recorded != NUMERICS:
        raise ValueError(
            f"{where} was begun by a version of jaxnas that computes other numbers (numerics {recorded}, here "
            f"{NUMERICS}): go on with that version, or begin anew in another directory"
        )
