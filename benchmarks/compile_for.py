#!/usr/bin/env python3
"""Compile the programs of a group of children for an accelerator that is not here, and say what they would take.

    python benchmarks/compile_for.py h100 configs/digits.py --engine padded --children 256
    python benchmarks/compile_for.py v5e:2x2 --all

Settings of the config may follow, as for a search. With --all: a config of every family by each of its engines, and one
child alone; status 1 if any does not compile. Its images are random: a program knows only the shapes of its data.

In an environment of its own, beside jaxnas with jax of version V; there need be no accelerator and no CUDA library:

    h100: pip install --no-deps "jax-cuda13-plugin==V" "jax-cuda13-pjrt==V"
    TPUs, named by topology (v5e:2x2, v6e:2x2), of which one chip is taken: pip install "jax[tpu]==V"

What is compiled is what a search compiles (`lowered` in `jaxnas.evaluators.programs`), for one device. Columns: seconds
to trace and to compile start, train and score; GiB of the larger of the last two; executed / useful multiply-adds; what
a training step starts (`launches`; of one child where children run in turn; what comes between steps is shared out);
for TPUs the compiler's operations of train, each loop counted once, and its cycles. Nothing runs: this is no speed.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import workloads
from launches import launches
from targets import device

from jaxnas import setup
from jaxnas.evaluators import mesh
from jaxnas.evaluators.memory import memory_of
from jaxnas.evaluators.programs import compiled, in_turn, lowered
from jaxnas.evaluators.train import Trainer
from jaxnas.numerics import pinned

FAMILIES = {"digits": None, "zoph_small": (28, 28), "cell201_cifar10": (32, 32, 3), "shakespeare_cells": None}
"""A config of each family; the shape of its images where it does not bring data."""
COLUMNS = "config, engine, children, trace s, compile s, GiB, executed / useful, operations a step, conditionals, "
COLUMNS += "open loops, GFLOP, M cycles a step"


class Group:
    """``n`` children of an experiment in one program by an engine of this name ("auto": the first), on the target.

    Raises:
        ValueError: they cannot run so.
    """

    def __init__(self, found, engine: str, n: int, target):
        train, data = found.evaluator.train, found.task.search_data(found.seed)
        self.children = found.space.children(data.input_shape, data.classes, train.dtype)
        self.architectures = [found.space.decode(row) for row in workloads.sample(found, n)]
        self.trainer = Trainer(self.children, found.task, data, train, found.seed, devices=1)
        self.trainer.mesh, self.trainer.platform = jax.sharding.Mesh([target], (mesh.AXIS,)), target.platform
        self.inside = self._envelope(engine)

    def _envelope(self, name: str):
        """A search's; of several engines of the name, which differ in their classes, by the one of most branches."""
        own = [one for one in self.children.engines if name in ("auto", one.name)]
        if not own:
            raise ValueError(f"there are {', '.join(dict.fromkeys(one.name for one in self.children.engines))}")
        own = [replace(one, platform=self.trainer.platform) for one in (own[:1] if name == "auto" else own)]
        found = [self.children.envelope(self.architectures, engine, ()) for engine in own]
        return max(found, key=lambda inside: self.children.work(inside).branches)

    def columns(self) -> list[str]:
        """Those after the number of children."""
        began, n = time.perf_counter(), len(self.architectures)
        parts = lowered(self.trainer, self.inside, [self.children.place(a, self.inside) for a in self.architectures])
        traced = time.perf_counter()
        done = compiled(self.trainer, parts)
        seconds, train = (traced - began, time.perf_counter() - traced), done["train"]
        memory = max(memory_of(train), memory_of(done["score"])) / 2**30
        works = [self.children.work(self.inside, a) for a in self.architectures]
        ratio = sum(work.executed for work in works) / sum(work.multiply_adds for work in works)
        steps = self.trainer.steps * (n if in_turn(self.inside, self.trainer.platform) else 1)
        count, flops = launches(train.as_text()), (train.cost_analysis() or {}).get("flops")
        values = [f"{each:.1f}" for each in seconds] + [f"{memory:.2f}", f"{ratio:.2f}"]
        values += [f"{count[kind] / steps:,.0f}" for kind in ("operations", "conditionals", "open loops")]
        cycles = [f"{flops / 1e9:.3g}", f"{count['cycles'] / steps / 1e6:.3g}"] if count["cycles"] else []
        return values + cycles


def every(folder: Path, n: int, overrides: list[str]) -> Iterator[tuple[Path, list[str], str, int]]:
    """Config, its settings, engine and number of children of each group of --all."""
    for name, shape in FAMILIES.items():
        source, rng = [], np.random.default_rng(0)
        if shape is not None:
            source, x, y = [f"--task.source={folder / name}.npz"], rng.integers(0, 256, (3000, *shape)), np.arange(3000)
            np.savez(folder / name, x_train=x.astype(np.uint8), y_train=y % 10)
        groups = ("padded", n), ("branching", n), ("ragged", n), ("padded", 1)
        yield from ((workloads.CONFIGS / f"{name}.py", source + overrides, *group) for group in groups)


def compiles(config: Path, overrides: list[str], engine: str, n: int, target) -> bool:
    """Prints a group's line. An engine that refuses is no failure."""
    found, _ = setup.load(config, overrides)
    row, done = [config.stem, engine, str(n)], True
    try:
        group = Group(found, engine, n, target)
    except ValueError as error:
        line([*row, f"refused: {error}"])
        return True
    try:
        row += group.columns()
    except Exception as error:  # of any layer below
        done = False
        row.append(f"**{type(error).__name__}**: {str(error).partition(chr(10))[0]}")
    line(row)
    return done


def line(columns: list[str]) -> None:
    print("|", " | ".join(columns), "|", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("target")
    parser.add_argument("config", type=Path, nargs="?")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--children", type=int, default=8)
    options, overrides = parser.parse_known_args()
    if options.all == bool(options.config):
        parser.error("give a config or --all, and settings as --name=value")
    with pinned(), tempfile.TemporaryDirectory() as folder:
        target = device(options.target)
        line(COLUMNS.split(", "))
        line(["---"] * len(COLUMNS.split(", ")))
        groups = [(options.config, overrides, options.engine, options.children)]
        groups = every(Path(folder), options.children, overrides) if options.all else groups
        done = [compiles(*group, target) for group in groups]
    sys.exit(not all(done))


if __name__ == "__main__":
    main()
