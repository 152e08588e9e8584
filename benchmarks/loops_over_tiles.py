#!/usr/bin/env python3
"""What classes of channels cost and bring in networks with skip connections: compilation, padding, speed.

    python benchmarks/loops_over_tiles.py zoph_small --source fashion_mnist.npz

One row for each set of classes that the planner chooses among: seconds to compile, pairs of classes, executed / useful
work, images a second in training (compilation apart), useful GFLOP/s (the children's own multiply-adds x 2 x 3), and
executed multiply-adds a second and device (times 3: forward and two gradients), of which `SPEED` and `Rates` tell the
planner.
"""

import argparse

import numpy as np
import workloads

from jaxnas import setup
from jaxnas.children import alone
from jaxnas.evaluators.plan import TRAINING
from jaxnas.evaluators.train import Trainer

ROW = "{:24} {:>6} {:>10} {:>10} {:>9} {:>8} {:>12}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    workloads.arguments(parser)
    parser.add_argument("--children", type=int, default=8)
    options = parser.parse_args()
    setup.use_all_cores()
    found = workloads.experiment(options)
    train, data = found.evaluator.train, found.task.search_data(found.seed)
    children = found.space.children(data.input_shape, data.classes, train.dtype)
    networks = [found.space.decode(row) for row in workloads.sample(found, options.children)]
    evaluate = found.evaluator.bind(found.space, found.task, found.seed, options.children)
    print(workloads.machine())
    print(ROW.format("classes", "pairs", "compile s", "exec./use.", "images/s", "GFLOP/s", "G exec./s"))
    for engine in evaluate.planner.engines:
        if not engine.in_turn:
            continue
        trainer = Trainer(children, found.task, data, train, found.seed)
        inside = children.envelope(networks, engine, ())
        group = evaluate.planner.group(range(len(networks)), inside, len(networks), networks)
        genes = [children.place(networks[row], inside) for row in group.filled]
        result = trainer.run(inside, genes, group.filled, live=group.live)
        images = len(networks) * trainer.steps * train.batch_size * train.epochs
        useful = np.mean([alone(children, a).multiply_adds for a in networks])
        executed = np.mean([children.work(inside, a).executed for a in networks])
        speed, devices = images / result.seconds, trainer.mesh.devices.size
        numbers = f"{trainer.compile_seconds:.1f}", f"{executed / useful:.2f}", f"{speed:,.0f}"
        rates = f"{6 * useful * speed / 1e9:.1f}", f"{TRAINING * executed * speed / devices / 1e9:.2f}"
        names = ", ".join(map(str, engine.filters))
        print(ROW.format(names, len(inside.pairs), *numbers, *rates), flush=True)


if __name__ == "__main__":
    main()
