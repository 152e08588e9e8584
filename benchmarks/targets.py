#!/usr/bin/env python3
"""Compile the programs of a group of children for an accelerator that is not here, and say what they would take.

    python benchmarks/targets.py h100 configs/digits.py --engine padded --children 256
    python benchmarks/targets.py v5e --all

Settings of the config may follow, as for a search. With --all: a config of every family by each of its engines, and one
child alone; status 1 if any does not compile. Its images are random: a program knows only the shapes of its data.

The compilers: pip install "jaxnas[target-cuda]" or "jaxnas[target-tpu]"; no accelerator is needed.

What is compiled is what a search compiles, for one device: `python -m jaxnas plan CONFIG --for TARGET` is this for the
first round of a search. Columns: seconds to trace and to compile start, train and score; GiB of the larger of the last
two; executed / useful multiply-adds; what a training step starts (of one child where children run in turn; what comes
between steps is shared out); for TPUs the compiler's cycles a step of all children. "cuBLAS": it compiles only with all
products left to that, because XLA makes a kernel of its own that needs timing. Nothing runs: this is no speed.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import workloads

from jaxnas import setup
from jaxnas.evaluators.train import Trainer
from jaxnas.numerics import pinned
from jaxnas.targets import TARGETS, check_installed, environment
from jaxnas.targets.compiled import of_group
from jaxnas.targets.devices import device

FAMILIES = {"digits": None, "zoph_small": (28, 28), "cell201_cifar10": (32, 32, 3), "shakespeare_cells": None}
"""A config of each family; the shape of its images where it does not bring data."""
COLUMNS = "config, engine, children, trace s, compile s, GiB, executed / useful, operations a step, conditionals, "
COLUMNS += "open loops, M cycles a step"


def columns(found, engine: str, n: int, target: jax.Device) -> tuple[list[str], bool]:
    """Those after the number of children, and whether ``n`` of an experiment's compile by an engine of this name
    ("auto": the first).

    Raises:
        ValueError: they cannot run so.
    """
    train, data = found.evaluator.train, found.task.search_data(found.seed)
    children = found.space.children(data.input_shape, data.classes, train.dtype)
    architectures = [found.space.decode(row) for row in workloads.sample(found, n)]
    trainer = Trainer(children, found.task, data, train, found.seed, devices=1).elsewhere(target)
    done = of_group(trainer, envelope(children, architectures, engine, target.platform), architectures)
    if done.failure:
        return [f"**{done.failure}**"], False
    values = (
        f"{done.trace_seconds:.1f}",
        f"{done.compile_seconds:.1f}" + (" (cuBLAS)" if done.by_library else ""),
        f"{done.memory / 2**30:.2f}",
        f"{done.ratio:.2f}",
    )
    counts = [f"{each:,.0f}" for each in (done.operations, done.conditionals, done.open_loops)]
    return [*values, *counts, *([f"{done.cycles / 1e6:.3g}"] if done.cycles else [])], True


def envelope(children, architectures: list, name: str, platform: str):
    """A search's; of several engines of the name, which differ in their classes, by the one of most branches."""
    own = [one for one in children.engines if name in ("auto", one.name)]
    if not own:
        raise ValueError(f"there are {', '.join(dict.fromkeys(one.name for one in children.engines))}")
    own = [replace(one, platform=platform) for one in (own[:1] if name == "auto" else own)]
    found = [children.envelope(architectures, engine, ()) for engine in own]
    return max(found, key=lambda inside: children.work(inside).branches)


def every(folder: Path, n: int, overrides: list[str]) -> Iterator[tuple[Path, list[str], str, int]]:
    """Config, its settings, engine and number of children of each group of --all."""
    for name, shape in FAMILIES.items():
        source, rng = [], np.random.default_rng(0)
        if shape is not None:
            source, x, y = [f"--task.source={folder / name}.npz"], rng.integers(0, 256, (3000, *shape)), np.arange(3000)
            np.savez(folder / name, x_train=x.astype(np.uint8), y_train=y % 10)
        groups = ("padded", n), ("branching", n), ("ragged", n), ("padded", 1)
        yield from ((workloads.CONFIGS / f"{name}.py", source + overrides, *group) for group in groups)


def compiles(config: Path, overrides: list[str], engine: str, n: int, target: jax.Device) -> bool:
    """Prints a group's line. An engine that refuses is no failure."""
    found, _ = setup.load(config, overrides)
    try:
        row, done = columns(found, engine, n, target)
    except ValueError as error:
        row, done = [f"refused: {error}"], True
    line([config.stem, engine, str(n), *row])
    return done


def line(columns: list[str]) -> None:
    print("|", " | ".join(columns), "|", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("config", type=Path, nargs="?")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--children", type=int, default=8)
    options, overrides = parser.parse_known_args()
    if options.all == bool(options.config):
        parser.error("give a config or --all, and settings as --name=value")
    check_installed(TARGETS[options.target])
    wanted = environment(TARGETS[options.target], deterministic=True)
    if not wanted.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], wanted)  # JAX has read another environment
    with pinned(), tempfile.TemporaryDirectory() as folder:
        target = device(TARGETS[options.target])
        line(COLUMNS.split(", "))
        line(["---"] * len(COLUMNS.split(", ")))
        groups = [(options.config, overrides, options.engine, options.children)]
        groups = every(Path(folder), options.children, overrides) if options.all else groups
        done = [compiles(*group, target) for group in groups]
    sys.exit(not all(done))


if __name__ == "__main__":
    main()
