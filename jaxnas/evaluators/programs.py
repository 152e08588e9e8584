"""What is compiled for a group of N children in one envelope: a learner, mapped over them.

Children run *together*, under `jax.vmap`, where a single one would not fill the device; or *in turn*, each with a few
batches at a time, where it does, as on a CPU core, whose caches then hold one child alone.

Letters: N children, K batches made at a time.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.stages import Compiled, Lowered
from jaxtyping import Array, Bool

from jaxnas.children.engines import Padded
from jaxnas.evaluators import mesh
from jaxnas.evaluators.memory import memory_of
from jaxnas.learners import Traced
from jaxnas.numerics import products
from jaxnas.rng import key_for
from jaxnas.tasks.batches import Batch

LEVEL = "xla_backend_optimization_level"
"""On CPU code is optimised at LLVM's level 1, unless XLA_FLAGS name another: it compiles a third faster than at XLA's
default of 3 and runs as fast, because convolutions and matrix products are library calls."""
THREADS = "xla_cpu_multi_thread_eigen"
"""Whether a CPU device's loops and convolutions may be shared among the threads of XLA's pool."""
BATCHES_BYTES = 2**25
"""About how much memory the batches take that are made at a time: enough for many steps, little beside a child."""
BATCH_BYTES = 2**21
"""A larger batch is made alone, because each child would copy it from among the others: that takes longer than to fetch
the child from among its group once a step."""


class ChildState(NamedTuple):
    """All that training changes in one child. `alive` turns False for good at the first NaN or Inf."""

    learnt: Any
    alive: Bool[Array, ""]


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


class Functions:
    """The functions of one group, not compiled yet. All take the arrays of N children, ``keys`` among them, the keys
    ``[N]`` from which a child draws all of its own; and ``root``, the key of all batches ``[]``, or of each child's
    ``[N]`` where each has batches of its own.

    Args:
        trainer: settings, data, task, platform.
        learner: how one child in the envelope learns.
        in_turn: whether children run one after the other.
    """

    def __init__(self, trainer, learner, in_turn: bool):
        self.trainer, self.learner, self.in_turn = trainer, learner, in_turn
        self.own, self.size, self.steps = trainer.own_batches, trainer.train.batch_size, trainer.steps

    def start(self, genes, keys: Array, live: Bool[Array, " N"]) -> ChildState:
        """N untrained children. Places that are not ``live`` are never computed."""
        one = lambda child: ChildState(self.learner.begin(*child[:2]), child[2])
        return lax.map(one, (genes, keys, live))  # compiles twice as fast as vmap

    def train(self, states: ChildState, genes, keys: Array, root: Array, data, epoch: Array) -> ChildState:
        """One pass over the training data; ``epoch`` is its number, from 0. ``states`` are consumed."""

        def visit(state, carry, total, genes, key, number, batch):
            draw = key_for(key, "step", epoch, number)
            learnt, carry, finite = self.learner.train(state.learnt, carry, genes, batch, draw)
            return _frozen(state, learnt, finite), carry, total

        make = lambda root: self._training(data, root, epoch)
        return self._over(visit, make, np.arange(self.steps), None, states, genes, keys, root, data)[0]

    def score(self, states: ChildState, genes, keys: Array, root: Array, data, scored: Array) -> Array:
        """The sum of the scores of the first ``scored`` held-out examples, ``[N]``: NaN where a child has failed."""

        def visit(state, carry, total, genes, key, number, batch):
            carry, found = self.learner.score(state.learnt, carry, genes, batch, key_for(key, "score", number))
            return state, carry, total + found

        make = lambda root: self._held_out(data, scored)
        numbers = np.arange(data.visits(self.size, len(data.held_out)))
        states, _, totals = self._over(visit, make, numbers, None, states, genes, keys, root, data)
        return jnp.where(states.alive, totals, jnp.nan)

    def epoch(self, states, genes, keys: Array, root: Array, data, epoch: Array, trains: Array, scored: Array):
        """`train`, unless ``trains`` is False, and `score` through the same lines of the program, for learners that can
        be told by a traced flag which of the two to do.

        Returns:
            The states, and the sums of the scores.
        """
        steps = self.steps
        first, visits = jnp.where(trains, 0, steps), steps + data.visits(self.size, scored)

        def make(root):
            train, held_out = self._training(data, root, epoch), self._held_out(data, scored)
            return lambda number: lax.cond(number < steps, train, lambda n: held_out(n - steps), number)

        def visit(state, carry, total, genes, key, number, batch):
            forgotten = lambda new, old: jnp.where(number == steps, new, old)  # what training data it has seen
            carry = jax.tree.map(forgotten, self.learner.carry(self.size), carry)
            draw = key_for(key, "step", epoch, number)
            learnt, carry, found, finite = self.learner.either(state.learnt, carry, genes, batch, draw, number < steps)
            return _frozen(state, learnt, finite), carry, total + found

        numbers = np.arange(steps + data.visits(self.size, len(data.held_out)))
        states, _, totals = self._over(visit, make, numbers, (first, visits), states, genes, keys, root, data)
        return states, jnp.where(states.alive, totals, jnp.nan)

    def _training(self, data, root: Array, epoch: Array) -> Callable:
        """number -> the training batch of that number in the epoch's order."""
        order, inputs = data.order(key_for(root, "order", epoch), self.size), self.trainer.task.inputs

        def batch(number) -> Batch:
            found = data.training(order, number)
            key = key_for(root, "augment", epoch, number)
            return found._replace(examples=inputs(found.examples, data, key))

        return batch

    def _held_out(self, data, scored: Array) -> Callable:
        """number -> the held-out batch of that number; the first ``scored`` examples count."""

        def batch(number) -> Batch:
            found = data.scoring(number, self.size, scored)
            return found._replace(examples=self.trainer.task.inputs(found.examples, data))

        return batch

    def _shared(self, make: Callable) -> Callable:
        """``make`` of batches with what all children make of them together."""

        def of(root):
            batch = make(root)
            return lambda number: self.learner.share(batch(number))

        return of

    def _over(self, visit: Callable, make: Callable, numbers: np.ndarray, ends, states, genes, keys, root, data):
        """States, what is remembered and the sum of scores after the batches of these numbers; of ``ends`` (None: all)
        those from the first to before the second.
        """
        n = states.alive.shape[0]
        carry = jax.tree.map(lambda m: jnp.broadcast_to(m, (n, *m.shape)), self.learner.carry(self.size))
        begun = states, carry, jnp.zeros(n)
        if n > 1 and not self.own:
            make = self._shared(make)
        if self.in_turn:
            return self._one_by_one(visit, make, numbers, ends, begun, genes, keys, root, data)

        def child(begun, genes, key, root):
            batch = make(root)
            step = lambda carry, number: (visit(*carry, genes, key, number, batch(number)), None)
            return lax.scan(step, begun, jnp.asarray(numbers))[0]

        return jax.vmap(child, in_axes=(0, 0, 0, 0 if self.own else None))(begun, genes, keys, root)

    def _one_by_one(self, visit: Callable, make: Callable, numbers, ends, begun, genes, keys, root, data):
        """A child after the other, each with as many batches as `BATCHES_BYTES` hold; then the next batches."""
        first, last = ends or (0, len(numbers))

        def child(carry, genes, key, batches):
            def step(carry, one):
                number, batch = one
                go = (number >= first) & (number < last) & carry[0].alive
                return lax.cond(go, lambda c: visit(*c, genes, key, number, batch), lambda c: c, carry), None

            return lax.scan(step, carry, batches)[0]

        def some(carry, numbers):
            if self.own:
                of_its_own = lambda one: child(*one[:3], (numbers, lax.map(make(one[3]), numbers)))
                return lax.map(of_its_own, (carry, genes, keys, root)), None
            shared = numbers, lax.map(make(root), numbers)
            return lax.map(lambda one: child(*one, shared), (carry, genes, keys)), None

        batch = jax.eval_shape(lambda root: make(root)(0), root[0] if self.own else root)
        size = sum(part.size * part.dtype.itemsize for part in jax.tree.leaves(batch))
        return lax.scan(some, begun, _chunks(numbers, size))[0]


def _chunks(numbers: np.ndarray, size: int) -> Array:
    """The numbers of the batches, of so many bytes each, as they are made, a row at a time ``[rows, K]``; beyond the
    last there is none.
    """
    most = 1 if size > BATCH_BYTES else BATCHES_BYTES // size
    chunks = -(-len(numbers) // max(1, most))
    each = -(-len(numbers) // max(1, chunks))
    return jnp.arange(chunks * each).reshape(chunks, each)


def _frozen(state: ChildState, learnt, finite: Bool[Array, ""]) -> ChildState:
    """What was learnt, where a child has not failed; where it has, its last finite state."""
    alive = state.alive & finite
    return ChildState(jax.tree.map(lambda new, old: jnp.where(alive, new, old), learnt, state.learnt), alive)


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
    with products(trainer.train.dtype):
        return _lowered(trainer, _of_one(inside, len(genes), trainer), genes)


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
