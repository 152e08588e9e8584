"""The workloads of the benchmarks: a seeded sample of a config's space, its data without augmentation, its training."""

import dataclasses
import json
import os
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import setup
from jaxnas.experiment import Experiment
from jaxnas.machine import machine as this_machine
from jaxnas.tasks.classification import Augment

CONFIGS = Path(__file__).parent.parent / "configs"


def arguments(parser) -> None:
    """What every benchmark on a workload can be told."""
    parser.add_argument(
        "workload",
        choices=["digits", "fashion_mnist", "cifar10", "zoph_small", "cell201_cifar10"],
        help="a config in configs/",
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="FIELD=VALUE", help="as on the command line: space.channels=8"
    )
    parser.add_argument("--source", help="the data of all but digits, as for --task.source")
    parser.add_argument("--limit", type=int, help="use only so many images")
    parser.add_argument("--epochs", type=int, help="default: the config's")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="of jaxnas' convolutions")
    parser.add_argument("--engine", default="auto", choices=["auto", "padded", "branching", "ragged"])
    parser.add_argument("--seed", type=int, default=0)


def experiment(options) -> Experiment:
    """The config's experiment on this workload."""
    told = {"--task.source": options.source, "--task.limit": options.limit}
    overrides = [f"{name}={value}" for name, value in told.items() if value is not None]
    overrides += [f"--{told}" for told in options.set]
    found, _ = setup.load(CONFIGS / f"{options.workload}.py", overrides)
    train = dataclasses.replace(found.evaluator.train, dtype=options.dtype)
    if options.epochs is not None:
        train = dataclasses.replace(train, epochs=options.epochs)
    evaluator = dataclasses.replace(found.evaluator, train=train, engine=options.engine)
    task = dataclasses.replace(found.task, augment=Augment())
    return dataclasses.replace(found, task=task, evaluator=evaluator, seed=options.seed)


def sample(found: Experiment, children: int) -> np.ndarray:
    """Uniformly drawn tokens ``[children, T]``: the same ones first, whatever their number."""
    rng = np.random.default_rng(found.seed)
    decisions = found.space.decisions
    rows = [rng.integers(0, decisions.sizes) for _ in range(children)]
    return np.asarray(decisions.without_absent(np.array(rows)), np.int32)


def write(found: Experiment, tokens: np.ndarray, path: Path) -> None:
    """The workload as a file for frameworks that know nothing of jaxnas."""
    data, train = found.task.search_data(found.seed), found.evaluator.train
    spec = found.space.children(data.input_shape, data.classes)
    settings = dataclasses.asdict(train) | dataclasses.asdict(train.optimiser) | {"classes": data.classes}
    settings["architectures"] = [spec.describe(found.space.decode(row)) for row in tokens]
    images = lambda part: np.asarray(found.task.inputs(part.images, data))
    labels = lambda part: np.asarray(part.labels).astype(np.int64)
    arrays = {"x": images(data.train), "y": labels(data.train)}
    arrays |= {"held_x": images(data.held_out), "held_y": labels(data.held_out)}
    np.savez(path, settings=json.dumps(settings), **arrays)


def matrix_peak(dtype: str) -> float:
    """Operations a second of the best of some large matrix products on all local devices' cores, in 1e9."""
    best, size = 0.0, 2048 if jax.default_backend() == "cpu" else 8192
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    for _ in range(8):
        began = time.perf_counter()
        product(a).block_until_ready()
        best = max(best, 2 * size**3 / (time.perf_counter() - began) / 1e9)
    return best


def machine() -> str:
    """One line about where this runs."""
    facts = this_machine()
    versions = ", ".join(f"{name} {facts['versions'][name]}" for name in ("python", "jax", "flax"))
    device = facts["device"]
    return f"{os.cpu_count()} CPU cores; JAX devices: {device['count']} x {device['kind']}; {versions}"
