#!/usr/bin/env python3
"""What it costs that children differ, and how speed grows with their number.

    python benchmarks/difference.py digits
    python benchmarks/difference.py fashion_mnist --source fashion_mnist.npz --limit 6000

Price of difference: N children of four architectures, all in one program of the engine that the planner takes, against
the mean of four groups of N copies, each group in the ordinary, unpadded program of its architecture: the same work.
Growth: images a second of 1, 4, 16, ... different children in one program. Compilation apart; medians of --repeats.
"""

import argparse
import statistics

import numpy as np
import workloads

from jaxnas import setup
from jaxnas.children import unpadded
from jaxnas.evaluators.groups import Group
from jaxnas.evaluators.train import Trainer

KINDS = 4


def seconds(trainer: Trainer, group: Group, architectures: list, repeats: int) -> float:
    """Training time of a group, compilation apart."""
    genes = [trainer.children.place(architectures[row], group.inside) for row in group.filled]
    run = lambda: trainer.run(group.inside, genes, group.filled, live=group.live)
    return statistics.median(run().seconds for _ in range(repeats))


def price(evaluate, architectures: list, n: int, repeats: int) -> tuple[float, float]:
    """Seconds of n children of four architectures together, and of n copies of one, on average."""
    planner, children, trainer = evaluate.planner, evaluate.children, evaluate.trainer
    mixed = [architectures[i % KINDS] for i in range(n)]
    groups = planner.plan(mixed).groups
    together = sum(seconds(trainer, group, mixed, repeats) for group in groups)
    alone = []
    for architecture in architectures[:KINDS]:
        copies, inside = [architecture] * n, unpadded(children, architecture)
        alone.append(seconds(trainer, planner.group(range(n), inside, n, copies), copies, repeats))
    return together, statistics.mean(alone)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    workloads.arguments(parser)
    parser.add_argument("--children", type=int, default=16, help="N of the price of difference; a multiple of 4")
    parser.add_argument("--most", type=int, default=256, help="the greatest number of the growth")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    setup.use_all_cores()
    found = workloads.experiment(options)
    evaluate = found.evaluator.bind(found.space, found.task, found.seed, options.most)
    trainer, train = evaluate.trainer, found.evaluator.train
    architectures = [found.space.decode(row) for row in workloads.sample(found, options.most)]
    print(workloads.machine())
    together, alone = price(evaluate, architectures, options.children, options.repeats)
    print(f"{options.workload}, {options.children} children of {KINDS} architectures: {together:.2f} s")
    print(f"as many copies of one of them: {alone:.2f} s on average")
    print(f"price of difference: {together / alone:.2f}")
    print(f"{'children':>8} {'images/s':>9} {'useful GFLOP/s':>15}")
    n = 1
    while n <= options.most:
        groups = evaluate.planner.plan(architectures[:n]).groups
        took = sum(seconds(trainer, group, architectures, options.repeats) for group in groups)
        speed = n * trainer.steps * train.batch_size * train.epochs / took
        work = 6 * np.mean([alone(evaluate.children, a).multiply_adds for a in architectures[:n]])
        print(f"{n:8} {speed:9,.0f} {speed * work / 1e9:15.1f}", flush=True)
        n *= 4


if __name__ == "__main__":
    main()
