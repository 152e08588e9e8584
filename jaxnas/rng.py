"""Random keys: all that a search draws begins with `key_for`, so that every number has one known origin."""

import zlib

import jax


def key_for(root, purpose: str, *ids) -> jax.Array:
    """The key of one use: a function of its arguments alone, so it is the same after a resume or a regrouping.

    Args:
        root: the experiment's seed, an int in [0, 2**31), or a key made by this function.
        purpose: what the key is for, such as "propose" or "order"; different purposes give independent keys.
        *ids: non-negative integers (they may be traced) that tell the uses of one purpose apart.

    Returns:
        A typed threefry key of shape ``[]``; use it once.
    """
    key = root if isinstance(root, jax.Array) else jax.random.key(root, impl="threefry2x32")
    key = jax.random.fold_in(key, zlib.crc32(purpose.encode()))
    for one in ids:
        key = jax.random.fold_in(key, one)
    return key
