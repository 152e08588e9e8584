"""How far the modelled seconds of a table are from measured ones.

    python benchmarks/table_speed.py CONFIG [N]

trains N architectures (default 128) of a config's space: all in one round, as `python -m jaxnas tabulate` does, which
gives the speed to be put into `--speed`; then some of them one after the other, which shows how well multiply-adds
alone tell the time of a training. Compilation is left out, as in a ledger.
"""

import sys
from pathlib import Path

import jax
import numpy as np
from scipy.stats import spearmanr

from jaxnas import setup
from jaxnas.tabulate import architectures

ALONE = 24


def seconds(evaluate, tokens) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and multiply-adds of a training of each of them, as a share of their group's."""
    found = np.zeros((2, len(tokens)))
    for rows, outcome in evaluate(tokens, np.arange(len(tokens))):
        found[:, rows] = outcome.seconds, outcome.multiply_adds
    return found


def main(config: str, count: int) -> None:
    experiment, _ = setup.load(Path(config), [])
    tokens = architectures(experiment.space.decisions, count, experiment.seed)
    bind = lambda: experiment.evaluator.bind(experiment.space, experiment.task, experiment.seed, count)
    together = bind()
    measured, work = seconds(together, tokens)
    work = 3 * work * together.images
    print(f"{count} together: {measured.sum():.2f} s, {work.sum() / measured.sum():.3g} multiply-adds a second")
    devices, alone = jax.local_device_count(), bind()
    some = tokens[np.linspace(0, count - 1, ALONE).astype(int)]
    seconds(alone, np.repeat(some[:1], devices, axis=0))  # the first run of a program is slower
    each = np.array([seconds(alone, np.repeat(one[None], devices, axis=0)).sum(1) for one in some])
    measured, work = each[:, 0] / devices, 3 * each[:, 1] / devices * alone.images
    rank = spearmanr(measured, work).statistic
    print(
        f"{ALONE} one by one: {measured.min():.3f} to {measured.max():.3f} s where multiply-adds differ by a factor of"
    )
    print(f"{work.max() / work.min():.1f}; Spearman's rank correlation of the two {rank:.2f}")


setup.use_all_cores()
setup.keep_programs()
main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 128)
