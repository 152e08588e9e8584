"""Parts of labelled examples in which every class has its share.

Letters: M examples, K classes.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Int

from jaxnas.rng import key_for
from jaxnas.tasks.classification import Data, Examples, assemble

TEST_SEED = 1611_01578
"""Test data is the same in every experiment, so what draws it does not depend on the user's seed."""


def split_validation(
    examples: Examples, fraction: float, seed: int, classes: int, class_names: tuple[str, ...] = ()
) -> Data:
    """Training and validation data, drawn by ``seed`` class by class.

    Args:
        examples: all data that may be learnt from.
        fraction: the validation data's share of it, in (0, 1).
        seed: the experiment's; the same seed gives the same split.
        classes: how many labels there are.
        class_names: of each, or none.

    Raises:
        ValueError: a class would be missing from one of the two.
    """
    train, held_out = split(examples, fraction, key_for(seed, "split"), classes, "validation", class_names)
    return assemble(train, held_out, classes, class_names)


def split(
    examples: Any, fraction: float, key: jax.Array, classes: int, name: str, class_names: Sequence[str] = ()
) -> tuple[Any, Any]:
    """Two parts, the second with this share of each class, in the order that ``key`` draws (it is consumed).

    Raises:
        ValueError: a class would be missing from one of the two; ``name``: of the second, and of its setting.
    """
    size = round(len(examples) * fraction)
    counts = np.bincount(examples.labels, minlength=classes)
    if not classes <= size <= len(examples) - classes:
        raise ValueError(
            f"{name}={fraction} of {len(examples)} examples is {size}: training and {name} need at least one example "
            f"of each of the {classes} classes: give another share or more data"
        )
    few = np.flatnonzero(counts < 2)
    if len(few):
        called = repr(class_names[few[0]]) if class_names else few[0]
        raise ValueError(
            f"class {called} has {counts[few[0]]} of the {len(examples)} examples, and training and {name} need at "
            "least one each: give more examples of it, or leave the class out"
        )
    order = np.asarray(jax.random.permutation(key, len(examples)))
    second = first_of_each(examples.labels[order], shares(counts, size, counts - 1))
    return examples[order[~second]], examples[order[second]]


def split_freely(examples: Any, fraction: float, key: jax.Array, name: str) -> tuple[Any, Any]:
    """Likewise of examples without classes. Raises ValueError where one of the parts would be empty."""
    size = round(len(examples) * fraction)
    if not 2 <= size <= len(examples) - 2:
        raise ValueError(
            f"{name}={fraction} of {len(examples)} examples is {size}: training and {name} need at least two each: "
            "give another share or more data"
        )
    order = np.asarray(jax.random.permutation(key, len(examples)))
    return examples[order[size:]], examples[order[:size]]


def drawn(examples: Any, limit: int) -> Any:
    """So many examples without classes, the same in every experiment, in their order."""
    order = np.asarray(jax.random.permutation(key_for(TEST_SEED, "limit"), len(examples)))
    return examples[np.sort(order[:limit])]


def limited(examples: Any, limit: int, classes: int) -> Any:
    """So many examples, the first of each class, in their order. Raises ValueError where a class would be missing."""
    if limit < classes:
        raise ValueError(f"limit={limit}: there are {classes} classes, and each needs an example: give more")
    counts = np.bincount(examples.labels, minlength=classes)
    limit = min(limit, len(examples))
    return examples[np.flatnonzero(first_of_each(examples.labels, shares(counts, limit, counts)))]


def shares(counts: Int[np.ndarray, " K"], size: int, most: Int[np.ndarray, " K"]) -> Int[np.ndarray, " K"]:
    """How many of each class make a part of ``size``: its share, rounded by the largest remainders, but 1 at least and
    ``most`` at most.
    """
    exact = counts * (size / counts.sum())
    found = np.clip(np.floor(exact).astype(np.int64), 1, most)
    while found.sum() != size:
        step = 1 if found.sum() < size else -1
        free = found < most if step > 0 else found > 1
        found[np.where(free, step * (exact - found), -np.inf).argmax()] += step
    return found


def first_of_each(labels: Int[np.ndarray, " M"], counts: Int[np.ndarray, " K"]) -> Bool[np.ndarray, " M"]:
    """Which rows are among the first so many of their class."""
    order = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=len(counts)))[:-1]])
    rank = np.empty(len(labels), np.int64)
    rank[order] = np.arange(len(labels)) - starts[labels[order]]
    return rank < counts[labels]
