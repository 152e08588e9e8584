"""A table of 156 small chains, some shallow, some deep: scores that rise smoothly, noise, costs."""

import itertools

import numpy as np

from jaxnas.evaluators import Table
from jaxnas.spaces import ChainCNN

SPACE = ChainCNN(layers=2, depths=(1, 2), kernel_heights=(1, 3), kernel_widths=(1, 3), filters=(4, 8, 16))
NAMES = ("tokens", "early", "valid", "test", "seconds")


def everything(decisions=SPACE.decisions) -> np.ndarray:
    """All different tokens of a space, in ascending order."""
    raw = np.array(list(itertools.product(*(range(size) for size in decisions.sizes))))
    return np.unique(np.asarray(decisions.without_absent(raw)), axis=0)


def columns(seed=0) -> dict[str, np.ndarray]:
    """Scores from 0 to 1 rise with every token; costs from 1 to 3 seconds."""
    tokens, rng = everything(), np.random.default_rng(seed)
    height = np.maximum(tokens, 0).sum(1) / SPACE.decisions.sizes.sum()
    early, valid, test = (np.round((height + rng.normal(0, 0.02, len(tokens))).clip(0, 1), 4) for _ in range(3))
    words = np.array([" ".join(map(str, row)) for row in tokens.tolist()])
    return dict(zip(NAMES, (words, early, valid, test, np.round(1 + 2 * rng.random(len(tokens)), 3)), strict=True))


def write_csv(path, table=None, opened=open) -> Table:
    """The evaluator of a file made of these columns."""
    table = table or columns()
    with opened(path, "wt") as file:
        file.write(",".join(table) + "\n")
        file.writelines(",".join(map(str, row)) + "\n" for row in zip(*table.values(), strict=True))
    return evaluator(path)


def evaluator(path) -> Table:
    return Table(str(path), score="early")
