"""Training a group of different children as one compiled program: the only place where children meet.

Letters: N children, B batch, E epochs.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxnas.evaluators import mesh
from jaxnas.rng import key_for


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with Nesterov momentum; the defaults are those of Zoph & Le, section 4.1.

    Attributes:
        learning_rate: at the start.
        momentum: in [0, 1).
        weight_decay: added to the gradient, times the parameter; all parameters decay.
        schedule: "cosine" brings the rate to 0 at the last step (https://arxiv.org/abs/1608.03983);
            "constant" keeps it.
    """

    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """The optax optimiser for a training of so many steps."""
        rate = (
            optax.cosine_decay_schedule(self.learning_rate, steps) if self.schedule == "cosine" else self.learning_rate
        )
        sgd = optax.sgd(rate, self.momentum, nesterov=True)
        return optax.chain(optax.add_decayed_weights(self.weight_decay), sgd)


@dataclass(frozen=True)
class Train:
    """How every child is trained and scored.

    Attributes:
        epochs: passes over the training data.
        batch_size: examples a step; an incomplete last batch is left out, and others in the next epoch's order.
        optimiser: settings of the optimiser.
        best_of_last: the score is the best of the scores after so many last epochs (the paper's 5).
    """

    epochs: int = 10
    batch_size: int = 64
    optimiser: SGD = field(default_factory=SGD)
    best_of_last: int = 5

    def __post_init__(self):
        for name in ("epochs", "batch_size", "best_of_last"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give 1 or more")


class ChildState(NamedTuple):
    """All that training changes in one child. `alive` turns False for good at the first NaN or Inf."""

    parameters: nnx.State
    statistics: nnx.State
    optimiser: optax.OptState
    alive: Bool[Array, ""]


@dataclass(frozen=True)
class Program:
    """The compiled functions of one (envelope, group size): start, one epoch, and the sum of the held-out scores."""

    start: Callable
    epoch: Callable
    evaluate: Callable


class Result(NamedTuple):
    """curve: score after each epoch, NaN where it failed or was not asked for; seconds: of the whole group."""

    curve: Float[np.ndarray, "N E"]
    alive: Bool[np.ndarray, " N"]
    seconds: float
    states: ChildState


class Trainer:
    """Trains groups on one data set, which lies on the device once. Keeps every program it has compiled.

    Args:
        children: how the architectures compute (`build`).
        task: loss, score and inputs.
        data: as the task read it.
        train: settings.
        seed: the experiment's. Initial weights depend on (seed, trial id), batches on (seed, epoch, step).
        devices: over how many local devices a group is spread; None: all.

    Raises:
        ValueError: fewer training examples than a batch.
    """

    def __init__(self, children, task, data, train: Train, seed: int, devices: int | None = None):
        if len(data.train) < train.batch_size:
            raise ValueError(
                f"batch_size={train.batch_size}, but there are only {len(data.train)} training examples: lower it"
            )
        self.children, self.task, self.train = children, task, train
        self.steps = len(data.train) // train.batch_size
        self.optimiser = train.optimiser.transformation(self.steps * train.epochs)
        self.mesh = mesh.over_children(devices)
        self.data = jax.device_put(data, mesh.replicated(self.mesh))
        self.root = key_for(seed, "training")
        self.programs: dict[tuple[Any, int], Program] = {}
        self.compile_seconds = 0.0

    def run(
        self,
        inside,
        genes: Sequence,
        trial_ids: Sequence[int],
        on_epoch: Callable[[str, int], None] = lambda doing, epochs_done: None,
        scored: Collection[int] | None = None,
    ) -> Result:
        """Train one group from scratch.

        Args:
            inside: the envelope that all run in.
            genes: one child's genes each, N of them, a multiple of the number of devices.
            trial_ids: which trials they are, ``[N]``.
            on_epoch: told what begins and how many epochs are done.
            scored: after which epochs (from 0) to score the held-out data; None: after every one.
        """
        program = self._program(inside, genes, on_epoch)
        spread = mesh.along_children(self.mesh)
        genes = jax.device_put(_stack(genes), spread)
        keys = jnp.stack([key_for(self.root, "child", i) for i in trial_ids])
        began, curve = time.perf_counter(), np.full((len(trial_ids), self.train.epochs), np.nan)
        states, alive = program.start(genes, jax.device_put(keys, spread)), np.ones(len(trial_ids), bool)
        for epoch in range(self.train.epochs):
            on_epoch("training", epoch)
            states = program.epoch(states, genes, self.data, self.root, np.int32(epoch))
            if scored is None or epoch in scored:
                total = np.asarray(program.evaluate(states, genes, self.data), np.float64)
                alive &= np.asarray(states.alive) & np.isfinite(total)
                curve[:, epoch] = np.where(alive, total / len(self.data.held_out), np.nan)
        return Result(curve, alive & np.asarray(states.alive), time.perf_counter() - began, states)

    def _program(self, inside, genes, on_epoch) -> Program:
        """The compiled program of this envelope and group size; compiles it at the first call alone."""
        name = inside, len(genes)
        if name not in self.programs:
            on_epoch("compiling", 0)
            began = time.perf_counter()
            self.programs[name] = self._compile(inside, genes)
            self.compile_seconds += time.perf_counter() - began
        return self.programs[name]

    def _compile(self, inside, genes) -> Program:
        one = ChildFunctions(self, inside, genes[0])
        n = len(genes)
        spread = mesh.along_children(self.mesh)

        def start_all(genes, keys):  # a loop, because it compiles twice as fast as vmap
            return lax.map(lambda child: one.start(*child), (genes, keys))

        keys = jax.eval_shape(lambda: jax.random.split(self.root, n))
        states = mesh.shapes(jax.eval_shape(start_all, _stack(genes), keys), spread)
        stacked, keys = mesh.shapes(_stack(genes), spread), mesh.shapes(keys, spread)
        start = jax.jit(mesh.sharded(start_all, self.mesh, spread=2))
        epoch = jax.jit(mesh.sharded(one.epoch, self.mesh, spread=2), donate_argnums=0)
        evaluate = jax.jit(mesh.sharded(one.evaluate, self.mesh, spread=2))
        return Program(
            start.lower(stacked, keys).compile(),
            epoch.lower(states, stacked, self.data, self.root, np.int32(0)).compile(),
            evaluate.lower(states, stacked, self.data).compile(),
        )


class ChildFunctions:
    """The functions of one child in one envelope, and their like for a whole group.

    Args:
        trainer: children, task, settings and data.
        inside: the envelope.
        genes: of any child in it, for their shapes alone.
    """

    def __init__(self, trainer: Trainer, inside, genes):
        self.trainer, self.inside = trainer, inside
        abstract = nnx.eval_shape(lambda g, key: trainer.children.build(inside, g, key), genes, trainer.root)
        self.graph = nnx.graphdef(abstract)

    def start(self, genes, key: Array) -> ChildState:
        """The untrained child; ``key`` is consumed."""
        net = self.trainer.children.build(self.inside, genes, key)
        _, parameters, statistics = nnx.split(net, nnx.Param, nnx.BatchStat)
        return ChildState(parameters, statistics, self.trainer.optimiser.init(parameters), jnp.bool_(True))

    def step(self, state: ChildState, genes, x, labels) -> ChildState:
        """One optimiser step on one batch. A child that fails keeps its last finite state for ever."""

        def loss(parameters):
            net = nnx.merge(self.graph, parameters, state.statistics, copy=True)  # its statistics move
            losses = self.trainer.task.loss(net(x, genes, training=True), labels)
            return losses.mean(), nnx.state(net, nnx.BatchStat)

        (value, statistics), gradients = jax.value_and_grad(loss, has_aux=True)(state.parameters)
        updates, optimiser = self.trainer.optimiser.update(gradients, state.optimiser, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
        alive = state.alive & jnp.isfinite(value) & _all_finite((parameters, statistics))
        new = ChildState(parameters, statistics, optimiser, alive)
        return jax.tree.map(lambda a, b: jnp.where(alive, a, b), new, state)._replace(alive=alive)

    def epoch(self, states: ChildState, genes, data, root: Array, epoch: Array) -> ChildState:
        """One pass over the training data for N children; each step's batch is made once and shared by all."""
        size = self.trainer.train.batch_size
        order = jax.random.permutation(key_for(root, "order", epoch), len(data.train))
        batches = order[: self.trainer.steps * size].reshape(-1, size)

        def step(states, at):
            number, rows = at
            batch = data.train[rows]
            x = self.trainer.task.inputs(batch.images, data, key_for(root, "augment", epoch, number))
            return jax.vmap(self.step, in_axes=(0, 0, None, None))(states, genes, x, batch.labels), None

        return lax.scan(step, states, (jnp.arange(self.trainer.steps), batches))[0]

    def evaluate(self, states: ChildState, genes, data) -> Float[Array, " N"]:
        """Sum of the scores of all held-out examples, for each of N children; NaN where an output is not finite."""
        size = self.trainer.train.batch_size
        count = len(data.held_out)
        rows = jnp.arange(-(-count // size) * size).reshape(-1, size)

        def total(state, genes, x, labels, weights):
            net = nnx.merge(self.graph, state.parameters, state.statistics)
            outputs = net(x, genes)
            scores = jnp.where(jnp.isfinite(outputs).all(), self.trainer.task.score(outputs, labels), jnp.nan)
            return (scores * weights).sum()

        def batch(totals, rows):
            examples = data.held_out[jnp.minimum(rows, count - 1)]
            x = self.trainer.task.inputs(examples.images, data)
            shared = (None, None, None)
            return totals + jax.vmap(total, in_axes=(0, 0, *shared))(
                states, genes, x, examples.labels, rows < count
            ), None

        return lax.scan(batch, jnp.zeros(states.alive.shape), rows)[0]


def _stack(trees: Sequence):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _all_finite(tree) -> Bool[Array, ""]:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()
