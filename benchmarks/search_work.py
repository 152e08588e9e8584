#!/usr/bin/env python3
"""How much work a whole search is: the children's own multiply-adds, from 256 random networks at each depth.

    python benchmarks/search_work.py configs/zoph_cifar10.py --task.source cifar10.npz

Operations count a multiply-add as 2 and training as 3 times the forward pass. A controller that has learnt proposes
other networks than a random one: take it for the order of magnitude. Nothing is trained.
"""

import argparse
from pathlib import Path

import numpy as np

from jaxnas import setup
from jaxnas.children import alone
from jaxnas.decisions import ABSENT
from jaxnas.rng import key_for
from jaxnas.spaces import present_columns
from jaxnas.strategies import Random

SAMPLES = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    options, overrides = parser.parse_known_args()
    found, _ = setup.load(options.config, overrides)
    space, train, data = found.space, found.evaluator.train, found.task.search_data(found.seed)
    children = space.children(data.input_shape, data.classes)
    state = Random().init(space.decisions, key_for(found.seed, "strategy"))
    tokens = np.asarray(Random().propose(state, key_for(found.seed, "propose"), SAMPLES))
    rounds = {}
    for r in range(found.rounds):
        columns = present_columns(space, r * found.children)
        rounds.setdefault(columns.tobytes(), [columns, 0])[1] += 1
    images, total = len(data.train) // train.batch_size * train.batch_size * train.epochs, 0.0
    print(f"{'trials':>8} {'M multiply-adds':>16} {'M parameters':>13}")
    for columns, count in rounds.values():
        costs = [alone(children, space.decode(np.where(columns, row, ABSENT))) for row in tokens]
        work, size = (np.mean([getattr(c, name) for c in costs]) for name in ("multiply_adds", "parameters"))
        print(f"{count * found.children:8,} {work / 1e6:16,.1f} {size / 1e6:13,.2f}")
        total += 6 * work * images * count * found.children
    print(f"{found.rounds * found.children:,} children x {images:,} images: {total:.2e} operations,")
    print(f"{total / 1e13 / 3600:,.0f} hours at 10e12 useful operations a second")


if __name__ == "__main__":
    main()
