"""The programs of a group: lowered for a trainer's devices, which may not be here, and compiled."""

import gc
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Compiled, Lowered

from jaxnas.children.engines import Padded
from jaxnas.evaluators import mesh
from jaxnas.evaluators.memory import memory_of
from jaxnas.evaluators.programs import Functions
from jaxnas.learners import Traced
from jaxnas.numerics import products

LEVEL = "xla_backend_optimization_level"
"""On CPU code is optimised at LLVM's level 1, unless XLA_FLAGS name another: it compiles a third faster than at XLA's
default of 3 and runs as fast, because convolutions and matrix products are library calls."""
THREADS = "xla_cpu_multi_thread_eigen"
"""Whether a CPU device's loops and convolutions may be shared among the threads of XLA's pool."""


@dataclass(frozen=True)
class Program:
    """The compiled functions of one (envelope, group size).

    start: see `Functions`. epoch: the function (states, genes, keys, root, data, epoch, trains, scored) -> states, sums
    of scores ``[N]``, NaN where a child has failed; states are consumed, ``trains`` and ``scored`` are plain numbers.
    memory: bytes on one device that an epoch takes, see `memory_of`.
    """

    start: Callable
    epoch: Callable
    memory: int


def build(trainer, inside, genes: Sequence) -> Program:
    """Compile for an envelope and as many children as there are genes."""
    parts, fixed = compiled(trainer, lowered(trainer, inside, genes)), mesh.replicated(trainer.mesh)
    start = parts.pop("start")
    run = _both(parts["epoch"], fixed) if "epoch" in parts else _one_after_the_other(fixed=fixed, **parts)
    return Program(start, run, max(memory_of(part) for part in parts.values()))


def compiled(trainer, parts: Mapping[str, Lowered]) -> dict[str, Compiled]:
    """The parts of a program, at the same time."""
    options = _options(trainer.platform, trainer.threads)
    with ThreadPoolExecutor(len(parts)) as pool:
        return dict(zip(parts, pool.map(lambda part: part.compile(options), parts.values()), strict=True))


def lowered(trainer, inside, genes: Sequence) -> dict[str, Lowered]:
    """What is `compiled` for a group, by the names in `Functions`: "start", and "epoch" or both "train" and "score".

    Nothing runs, and of the trainer's arrays the shapes are asked alone: its mesh may be of devices that are not here.
    """
    with products(trainer.train.dtype), _uncollected():
        return _lowered(trainer, _of_one(inside, len(genes), trainer), genes)


@contextmanager
def _uncollected():
    """Without Python's garbage collector, which a trace's many small objects would call for a fourth of its time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _of_one(inside, n: int, trainer):
    """The envelope of a child that has a device to itself: off CPU the libraries there know its convolutions best."""
    if n > trainer.mesh.size or trainer.platform == "cpu" or not isinstance(inside.engine, Padded):
        return inside
    return replace(inside, engine=replace(inside.engine, plain=True))


def _lowered(trainer, inside, genes: Sequence) -> dict[str, Lowered]:
    learner, n = trainer.learner(inside, genes[0]), len(genes)
    functions = Functions(trainer, learner, in_turn(inside, trainer.platform))
    spread, fixed = mesh.along_children(trainer.mesh), mesh.replicated(trainer.mesh)
    keys = jax.eval_shape(lambda key: jax.random.split(key, n), trainer.root)
    genes, keys, live = mesh.shapes((stack(genes), keys, np.zeros(n, bool)), spread)
    states = mesh.shapes(jax.eval_shape(functions.start, genes, keys, live), spread)
    root, data, number, flag = mesh.shapes((trainer.root, trainer.data, np.int32(0), np.bool_(True)), fixed)
    root, by = (keys, 4) if trainer.own_batches else (root, 3)
    common = states, genes, keys, root, data

    def lower(fn: Callable, by: int, *shapes, donate: tuple[int, ...] = ()) -> Lowered:
        program = jax.jit(mesh.sharded(fn, trainer.mesh, spread=by), donate_argnums=donate, out_shardings=spread)
        return program.lower(*shapes)

    start = lower(functions.start, 3, genes, keys, live)
    if isinstance(learner, Traced) and learner.traced and functions.in_turn and trainer.platform == "cpu":
        return {"start": start, "epoch": lower(functions.epoch, by, *common, number, flag, number, donate=(0,))}
    train = lower(functions.train, by, *common, number, donate=(0,))
    return {"start": start, "train": train, "score": lower(functions.score, by, *common, number)}


def _both(epoch: Callable, fixed) -> Callable:
    """`Program.epoch` of one program that does both."""

    def run(states, genes, keys, root, data, number: int, trains: bool, scored: int):
        when = jax.device_put((np.int32(number), np.bool_(trains), np.int32(scored)), fixed)
        return epoch(states, genes, keys, root, data, *when)

    return run


def _one_after_the_other(train: Callable, score: Callable, fixed) -> Callable:
    """`Program.epoch` of two programs; the second is left out where nothing is to be scored."""

    def run(states, genes, keys, root, data, number: int, trains: bool, scored: int):
        number, count = jax.device_put((np.int32(number), np.int32(scored)), fixed)
        if trains:
            states = train(states, genes, keys, root, data, number)
        if not scored:
            return states, jnp.where(states.alive, 0.0, jnp.nan)
        return states, score(states, genes, keys, root, data, count)

    return run


def in_turn(inside, platform: str) -> bool:
    """Whether the children of an envelope run one after the other, not under `jax.vmap`."""
    return platform == "cpu" or inside.engine.in_turn


def _options(platform: str, threads: bool) -> dict[str, int | bool]:
    """For the compiler, on CPU."""
    if platform != "cpu":
        return {}
    level = {} if LEVEL in os.environ.get("XLA_FLAGS", "") else {LEVEL: 1}
    return level if threads else level | {THREADS: False}


def stack(trees: Sequence):
    """Many children's arrays as one array each, children in front."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
