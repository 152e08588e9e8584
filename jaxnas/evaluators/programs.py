"""What is compiled for a group of N children in one envelope: their start, and one epoch with its scores.

Letters: N children, B batch, K batches made at a time, P parameters of the envelope, S its statistics.
"""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from jaxnas.evaluators import mesh
from jaxnas.rng import key_for

LEVEL = "xla_backend_optimization_level"
"""On CPU code is optimised at LLVM's level 1, unless XLA_FLAGS name another: it compiles a third faster than at XLA's
default of 3 and runs as fast, because convolutions and matrix products are library calls."""
THREADS = "xla_cpu_multi_thread_eigen"
"""Whether a CPU device's loops and convolutions may be shared among the threads of XLA's pool."""
BATCHES_BYTES = 2**25
"""About how much memory the batches take that are made at a time: enough for many steps, little beside a child."""


class ChildState(NamedTuple):
    """All that training changes in one child. `alive` turns False for good at the first NaN or Inf.

    Parameters ``[P]`` and statistics ``[S]`` lie in one row each: an optimiser step is then one operation, not one for
    each of the network's arrays, which a third of the time of a small child went into, and half of the compilation.
    """

    parameters: Float[Array, " P"]
    statistics: Float[Array, " S"]
    optimiser: optax.OptState
    alive: Bool[Array, ""]


@dataclass(frozen=True)
class Program:
    """The compiled functions of one (envelope, group size); see the functions of that name in `Functions`.

    memory: bytes on one device that an epoch takes beside its arguments, as the compiler says.
    """

    start: Callable
    epoch: Callable
    memory: int


class Functions:
    """The functions of one group, not compiled yet.

    Children run *together*, under `jax.vmap`, where a single one would not fill the device; or *in turn*, each with
    a few batches at a time, where it does, as on a CPU core, whose caches then hold one child alone.

    Args:
        trainer: children, task, settings and data.
        inside: the envelope.
        genes: of any child in it, for their shapes alone.
    """

    def __init__(self, trainer, inside, genes):
        self.trainer, self.inside, self.in_turn = trainer, inside, in_turn(inside)
        abstract = nnx.eval_shape(lambda g, key: trainer.children.build(inside, g, key), genes, trainer.root)
        self.graph, parameters, statistics = nnx.split(abstract, nnx.Param, nnx.BatchStat)
        self.parameters, self.statistics = _unravel(parameters), _unravel(statistics)

    def network(self, state: ChildState) -> nnx.Module:
        """One child's network, with its parameters and statistics in it."""
        return nnx.merge(self.graph, self.parameters(state.parameters), self.statistics(state.statistics))

    def start(self, genes, keys: Array, live: Bool[Array, " N"]) -> ChildState:
        """N untrained children; ``keys`` ``[N]`` are consumed. Places that are not ``live`` are never computed."""

        def one(genes, key, live):
            net = self.trainer.children.build(self.inside, genes, key)
            _, parameters, statistics = nnx.split(net, nnx.Param, nnx.BatchStat)
            parameters = ravel_pytree(parameters)[0]
            optimiser = self.trainer.optimiser.init(parameters)
            return ChildState(parameters, ravel_pytree(statistics)[0], optimiser, live)

        return lax.map(lambda child: one(*child), (genes, keys, live))  # compiles twice as fast as vmap

    def epoch(self, states: ChildState, genes, root: Array, data, epoch: Array, trains: Array, scored: Array):
        """One pass over the training data and the first of the held-out examples, for N children.

        Each batch is made once and shared by all, or made for each child by a key of its own. Training and scoring go
        through the same lines of the program, because the network is what takes long to compile.

        Args:
            states: of all children; consumed.
            genes: likewise.
            root: the key of all batches ``[]``; with the trainer's ``own_batches`` one a child ``[N]``.
            data: what to learn from, and what is held out.
            epoch: its number, from 0.
            trains: False: nothing is trained, the children are only scored.
            scored: on so many held-out examples.

        Returns:
            The states, and the sum of the scores of these examples, ``[N]``: NaN where a child failed.
        """
        steps, size = self.trainer.steps, self.trainer.train.batch_size
        make = lambda root: self._batches(data, root, epoch, scored)
        first, visits = jnp.where(trains, 0, steps), steps + data.visits(size, scored)

        def child(carry, genes, batches):
            def visit(carry, batch):
                go = (batch[0] >= first) & (batch[0] < visits)
                go = go & carry[0].alive if self.in_turn else go
                return lax.cond(go, lambda c: self._visit(*c, genes, *batch), lambda c: c, carry), None

            return lax.scan(visit, carry, batches)[0]

        def of_its_own(carry, genes, root, numbers):
            return child(carry, genes, (numbers, *lax.map(make(root), numbers)))

        def some(carry, numbers):
            if self.trainer.own_batches:
                return self._each(lambda *one: of_its_own(*one, numbers))(carry, genes, root), None
            shared = (numbers, *lax.map(make(root), numbers))
            return self._each(lambda *one: child(*one, shared))(carry, genes), None

        n = states.alive.shape[0]
        memory = jax.tree.map(lambda m: jnp.zeros((n, *m.shape), m.dtype), self.trainer.children.memory(size))
        states, _, totals = lax.scan(some, (states, memory, jnp.zeros(n)), self._chunks(data, n))[0]
        return states, jnp.where(states.alive, totals, jnp.nan)

    def _batches(self, data, root: Array, epoch: Array, scored: Array) -> Callable:
        """number -> inputs, labels, weights: first the training steps in the epoch's order, then the held-out examples,
        of which the first ``scored`` count.
        """
        size, steps, inputs = self.trainer.train.batch_size, self.trainer.steps, self.trainer.task.inputs
        order = data.order(key_for(root, "order", epoch), size)

        def train(number):
            batch = data.training(order, number)
            key = key_for(root, "augment", epoch, number)
            return batch._replace(examples=inputs(batch.examples, data, key))

        def held_out(number):
            batch = data.scoring(number - steps, size, scored)
            return batch._replace(examples=inputs(batch.examples, data))

        return lambda number: lax.cond(number < steps, train, held_out, number)

    def _visit(self, state: ChildState, memory, total, genes, number, x, labels, weights):
        """One optimiser step by the mean loss of the labels that count, or the scores of held-out examples. A child
        that fails keeps its last finite state.

        ``memory`` is what the network remembers of the batch before; it knows nothing before the first one, and of the
        training data nothing where the held-out data begins.
        """
        training = number < self.trainer.steps
        memory = jax.tree.map(lambda m: jnp.where(number == self.trainer.steps, 0, m), memory)

        def loss(parameters):
            net = self.network(state._replace(parameters=parameters))
            outputs, remembered = net(x, genes, training, memory) if memory else (net(x, genes, training), memory)
            losses = self.trainer.task.loss(outputs, labels)
            counts = weights.astype(losses.dtype)
            mean = jnp.where(counts > 0, losses * counts, 0).sum() / counts.sum()
            return mean, (outputs, remembered, ravel_pytree(nnx.state(net, nnx.BatchStat))[0])

        value, pull, (outputs, remembered, statistics) = jax.vjp(loss, state.parameters, has_aux=True)

        def learn():
            updates, optimiser = self.trainer.optimiser.update(*pull(1.0), state.optimiser, state.parameters)
            parameters = optax.apply_updates(state.parameters, self._at_own_rate(updates, genes))
            finite = jnp.isfinite(value) & jnp.isfinite(parameters).all() & jnp.isfinite(statistics).all()
            alive = state.alive & finite
            new = ChildState(parameters, statistics, optimiser, alive)
            return jax.tree.map(lambda a, b: jnp.where(alive, a, b), new, state)._replace(alive=alive), total

        def score():
            finite = jnp.isfinite(outputs).all(-1) | (weights == 0)  # what fills the last batch harms nobody
            scores = jnp.where(finite.all(), self.trainer.task.score(outputs, labels), jnp.nan)
            return state, total + jnp.where(weights > 0, scores * weights, 0).sum()

        state, total = lax.cond(training, learn, score)
        return state, remembered, total

    def _at_own_rate(self, updates, genes):
        """Scaled where a child's genes name a learning rate of its own (NaN: that of the settings)."""
        common = getattr(self.trainer.train.optimiser, "learning_rate", None)  # a user's own optimiser may have none
        if common is None or not hasattr(genes, "learning_rate"):
            return updates
        share = genes.learning_rate / common
        return jnp.where(jnp.isnan(share), 1.0, share) * updates

    def _each(self, fn: Callable) -> Callable:
        """``fn`` of one child over all of them."""
        return (lambda *stacked: lax.map(lambda one: fn(*one), stacked)) if self.in_turn else jax.vmap(fn)

    def _chunks(self, data, n: int) -> Array:
        """The numbers of the batches as they are made, a row at a time ``[rows, K]``; the last may be none.

        There are n children here, whose own batches are made at the same time where they run together.
        """
        size = self.trainer.train.batch_size
        steps = self.trainer.steps + data.visits(size, len(data.held_out))
        copies = n if self.trainer.own_batches and not self.in_turn else 1
        batch = 4 * size * math.prod(data.input_shape) * copies
        chunks = -(-steps // max(1, BATCHES_BYTES // batch))
        each = -(-steps // chunks)
        return jnp.arange(chunks * each).reshape(chunks, each)


def in_turn(inside, platform: str | None = None) -> bool:
    """Whether the children of an envelope run one after the other, not under `jax.vmap`; None: on this platform."""
    return (platform or jax.default_backend()) == "cpu" or inside.engine.in_turn


def build(trainer, inside, genes: Sequence) -> Program:
    """Compile for an envelope and as many children as there are genes; the two parts at the same time."""
    functions, n = Functions(trainer, inside, genes[0]), len(genes)
    spread, fixed = mesh.along_children(trainer.mesh), mesh.replicated(trainer.mesh)
    keys = jax.eval_shape(lambda: jax.random.split(trainer.root, n))
    begin = mesh.shapes((stack(genes), keys, np.zeros(n, bool)), spread)
    states = mesh.shapes(jax.eval_shape(functions.start, *begin), spread)
    when = mesh.shapes((np.int32(0), np.bool_(True), np.int32(0)), fixed)
    sharded = lambda fn, by: mesh.sharded(fn, trainer.mesh, spread=by)
    root = begin[1] if trainer.own_batches else trainer.root
    epoch = jax.jit(sharded(functions.epoch, 3 if trainer.own_batches else 2), donate_argnums=0, out_shardings=spread)
    lowered = (
        epoch.lower(states, begin[0], root, trainer.data, *when),
        jax.jit(sharded(functions.start, 3), out_shardings=spread).lower(*begin),
    )
    options = _options(trainer.threads)
    with ThreadPoolExecutor(len(lowered)) as pool:
        epoch, start = pool.map(lambda part: part.compile(options), lowered)
    return Program(start, epoch, int(epoch.memory_analysis().temp_size_in_bytes))


def _options(threads: bool) -> dict[str, int | bool]:
    """For the compiler, on CPU."""
    if jax.default_backend() != "cpu":
        return {}
    level = {} if LEVEL in os.environ.get("XLA_FLAGS", "") else {LEVEL: 1}
    return level if threads else level | {THREADS: False}


def stack(trees: Sequence):
    """Many children's arrays as one array each, children in front."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _unravel(tree) -> Callable:
    """The function that takes one row of numbers apart into arrays of the tree's shapes."""
    found = []

    def ravel(tree):
        row, unravel = ravel_pytree(tree)
        found.append(unravel)
        return row

    jax.eval_shape(ravel, tree)
    return found[0]
