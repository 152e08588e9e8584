"""What is compiled for a group of N children in one envelope: a learner, mapped over them.

Children run *together*, under `jax.vmap`, where a single one would not fill the device; or *in turn*, each with a few
batches at a time, where it does, as on a CPU core, whose caches then hold one child alone.

Letters: N children, K batches made at a time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool

from jaxnas.rng import key_for
from jaxnas.tasks.batches import Batch

BATCHES_BYTES = 2**25
"""About how much memory the batches take that are made at a time: enough for many steps, little beside a child."""
BATCH_BYTES = 2**21
"""A larger batch is made alone, because each child would copy it from among the others: that takes longer than to fetch
the child from among its group once a step."""


class ChildState(NamedTuple):
    """All that training changes in one child. `alive` turns False for good at the first NaN or Inf."""

    learnt: Any
    alive: Bool[Array, ""]


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
        """The sum of the scores of the first ``scored`` held-out examples, ``[N]``, or, where the learner scores the
        whole, outputs for all of them ``[N, V, B, K]``: NaN where a child has failed.
        """

        def visit(state, carry, total, genes, key, number, batch):
            carry, found = self.learner.score(state.learnt, carry, genes, batch, key_for(key, "score", number))
            return state, carry, self._added(total, found, number)

        make = lambda root: self._held_out(data, scored)
        numbers = np.arange(data.visits(self.size, len(data.held_out)))
        nothing = self._nothing(data, len(numbers))
        states, _, totals = self._over(visit, make, numbers, None, states, genes, keys, root, data, nothing)
        return _of_living(states, totals)

    def epoch(self, states, genes, keys: Array, root: Array, data, epoch: Array, trains: Array, scored: Array):
        """`train`, unless ``trains`` is False, and `score` through the same lines of the program, for learners that can
        be told by a traced flag which of the two to do.

        Returns:
            The states, and what `score` gives.
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
            return _frozen(state, learnt, finite), carry, self._added(total, found, jnp.maximum(number - steps, 0))

        numbers = np.arange(steps + data.visits(self.size, len(data.held_out)))
        nothing = self._nothing(data, len(numbers) - steps)
        states, _, totals = self._over(visit, make, numbers, (first, visits), states, genes, keys, root, data, nothing)
        return states, _of_living(states, totals)

    def _nothing(self, data, visits: int) -> Array:
        """What one child has scored in no batch."""
        if not self.learner.whole:
            return jnp.zeros(())
        labels = jax.eval_shape(lambda data: data.scoring(0, self.size, 0).labels, data)
        return jnp.zeros((visits, *labels.shape, data.classes))

    def _added(self, total: Array, found: Array, number: Array) -> Array:
        """What was scored with what was found in the batch of that number."""
        return lax.dynamic_update_index_in_dim(total, found, number, 0) if self.learner.whole else total + found

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

    def _over(
        self, visit: Callable, make: Callable, numbers: np.ndarray, ends, states, genes, keys, root, data, nothing=0.0
    ):
        """States, what is remembered and what was scored, from ``nothing`` on, after the batches of these numbers; of
        ``ends`` (None: all) those from the first to before the second.
        """
        n = states.alive.shape[0]
        begun = jax.tree.map(
            lambda m: jnp.broadcast_to(m, (n, *jnp.shape(m))), (self.learner.carry(self.size), jnp.float32(nothing))
        )
        begun = states, *begun
        if not self.own:  # even for one child, whose numbers are not to depend on how many there are on its device
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

        batch = jax.eval_shape(lambda root: make(root)(jnp.int32(0)), root[0] if self.own else root)
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


def _of_living(states: ChildState, totals: Array) -> Array:
    return jax.vmap(lambda alive, total: jnp.where(alive, total, jnp.nan))(states.alive, totals)


def _frozen(state: ChildState, learnt, finite: Bool[Array, ""]) -> ChildState:
    """What was learnt, where a child has not failed; where it has, its last finite state."""
    alive = state.alive & finite
    return ChildState(jax.tree.map(lambda new, old: jnp.where(alive, new, old), learnt, state.learnt), alive)
