"""Training a group of different children as one compiled program: the only place where children meet.

Letters: N children, B batch, E epochs.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from copy import copy
from dataclasses import field, replace
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from jaxnas.children import own_training
from jaxnas.evaluators import mesh
from jaxnas.evaluators.compiling import Program, build, stack
from jaxnas.evaluators.memory import check_fits
from jaxnas.evaluators.optimisers import SGD, Optimiser, named, of_child
from jaxnas.evaluators.programs import ChildState
from jaxnas.evaluators.scoring import Tally, check_score, held_out
from jaxnas.learners import Learner, Supervised
from jaxnas.ranges import Epochs, Range, Such
from jaxnas.rng import key_for
from jaxnas.settings import settings


@settings
class Train:
    """How every child is trained and scored.

    Attributes:
        epochs: passes over the training data.
        batch_size: examples a step; an incomplete last batch is left out, and others in the next epoch's order.
        optimiser: settings of the optimiser.
        best_of_last: the score is the best of the scores after so many last epochs (the paper's 5).
        dtype: "float32" means all of it. "tfloat32" lets the device round the factors in convolutions and matrix
            products (10 bits of fraction on GPUs). In "bfloat16" are these factors, the maps, and what is kept for the
            gradient; parameters, statistics, sums and logits stay float32. It is for accelerators with units for it.
    """

    epochs: Epochs = 10
    batch_size: Annotated[int, Range(1, 10**6)] = 64
    optimiser: Annotated[Optimiser, Such("SGD()")] = field(default_factory=SGD)
    best_of_last: Epochs = 5
    dtype: Literal["float32", "tfloat32", "bfloat16"] = "float32"


def trained_by(train: Train, own: Iterable[tuple[str, Any]], epochs: bool = True) -> Train:
    """The settings by which children are trained: the common ones with their own.

    Args:
        train: the common ones.
        own: `own_training` of their envelope.
        epochs: whether their number may be their own.
    """
    own = dict(own)
    if "optimiser" in own:
        own["optimiser"] = named(own["optimiser"], train.optimiser)
    if not epochs:
        own.pop("epochs", None)
    return replace(train, **own) if own else train


class Result(NamedTuple):
    """What N children have come to.

    curve: score after each epoch, NaN where a child failed, was not asked for or has not come to; seconds: of the whole
    group, compilation apart; states: on the devices where training is done, else on the host.
    """

    curve: Float[np.ndarray, "N E"]
    alive: Bool[np.ndarray, " N"]
    seconds: float
    states: ChildState

    def one(self, i: int) -> "Result":
        """The result of child i alone."""
        curve, alive, states = jax.tree.map(lambda a: a[i], (self.curve, self.alive, self.states))
        return Result(curve, alive, self.seconds, states)


class Trainer:
    """Trains groups on one data set, which lies on the device once. Keeps every program it has compiled.

    Args:
        children: how the architectures compute (`build`).
        task: loss, score and inputs.
        data: as the task read it.
        train: settings.
        seed: the experiment's. Initial weights depend on (seed, trial id), batches on (seed, epoch, step).
        devices: over how many local devices a group is spread; None: all.
        own_batches: further trainings of a trial have an order of batches and augmentation of their own, so
            that batches are made for each child; False: all children of a group share every batch.
        threads: a CPU device may use all cores for a loop; False: one thread a device, but for matrix products with
            long sums. A search has a device for each core already.
        budget: bytes of memory of a device; off CPU the compiler's word is held against it; None: only what happens.

    Raises:
        ValueError: less training data than a batch, or a score that is not defined for the held-out examples.
    """

    def __init__(
        self,
        children,
        task,
        data,
        train: Train,
        seed: int,
        devices: int | None = None,
        own_batches: bool = False,
        threads: bool = True,
        budget: int | None = None,
    ):
        self.children, self.task, self.train = children, task, train
        self.own_batches, self.threads, self.budget = own_batches, threads, budget
        self.steps = data.steps(train.batch_size)
        self.mesh = mesh.over_children(devices)
        self.platform = self.mesh.devices.flat[0].platform
        self.data = jax.device_put(data, mesh.replicated(self.mesh))
        self.root = jax.device_put(key_for(seed, "training"), mesh.replicated(self.mesh))
        self.programs: dict[tuple[Any, int], Program] = {}
        self.learners: dict[Any, Learner] = {}
        self.compiling: list[float] = []
        self._held = {train.batch_size: held_out(task, data, train.batch_size, len(data.held_out))}
        check_score(task, data, self._held[train.batch_size])

    @property
    def compile_seconds(self) -> float:
        """Of all programs."""
        return sum(self.compiling, 0.0)

    def of(self, inside) -> "Trainer":
        """The trainer by whose settings the children of an envelope are trained; data and programs are the same."""
        train = trained_by(self.train, own_training(inside))
        if train == self.train:
            return self
        other = copy(self)
        other.train, other.steps = train, self.data.steps(train.batch_size)
        return other

    def run(
        self,
        inside,
        genes: Sequence,
        trial_ids: Sequence[int | tuple[int, int]],
        on_epoch: Callable[[str, int], None] = lambda doing, epochs_done: None,
        scored: Collection[int] | None = None,
        live: Sequence[bool] | None = None,
        epochs: range | None = None,
        since: Sequence[Result] | None = None,
    ) -> Result:
        """Train one group, from scratch or from where its children were left.

        Args:
            inside: the envelope that all run in.
            genes: one child's genes each, N of them, a multiple of the number of devices.
            trial_ids: which trials they are, ``[N]``; (trial, seed) for a further training of a trial from
                other initial weights (and batches); those of seed 0 are the trial's own.
            on_epoch: told what begins and how many epochs are done.
            scored: after which epochs (from 0) to score the held-out data; None: after every one.
            live: False for places that are not to be computed, ``[N]``; None: all are.
            epochs: which ones; None: all.
            since: `Result.one` of each child, trained in this envelope up to these epochs; None: from scratch.

        Raises:
            DoesNotFitError: off CPU, where the compiler says that memory will not suffice.
        """
        program = self._program(inside, genes, on_epoch)
        epochs = range(self.train.epochs) if epochs is None else epochs
        live = np.ones(len(trial_ids), bool) if live is None else np.asarray(live)
        genes, begun = jax.device_put(stack(genes), mesh.along_children(self.mesh)), time.perf_counter()
        keys, root = self._keys(trial_ids), self._batch_keys(trial_ids)
        states, curve, alive = self._begin(program, genes, keys, live, since)
        for epoch in epochs:
            on_epoch("training", epoch)
            count = len(self.data.held_out) if scored is None or epoch in scored else 0
            states, totals = program.epoch(states, genes, keys, root, self.data, epoch, True, count)
            alive = alive & np.asarray(states.alive)
            if count:
                scores = self._scores(totals)
                alive = alive & np.isfinite(scores)
                curve[:, epoch] = np.where(alive, scores, np.nan)
        states = states if epochs.stop == self.train.epochs else jax.device_get(states)
        return Result(curve, alive, time.perf_counter() - begun, states)

    def score(self, inside, genes: Sequence, trial_ids: Sequence, result: Result, examples) -> Float[np.ndarray, " N"]:
        """The mean score of trained children on other examples; NaN where one failed.

        The program that trained them does it, with these examples, a part at a time, in place of the held-out ones: of
        text nothing is remembered from one part to the next.

        Args:
            inside: the envelope that they were trained in.
            genes: likewise.
            trial_ids: likewise.
            result: what `run` gave after the last epoch; its states are consumed.
            examples: of the same task, as its data has held-out ones; images are normalised as the training data is.
        """
        program, states, size = self.programs[inside, len(genes)], result.states, self.train.batch_size
        tally = Tally(self.task, self.data, size)
        keys, root, part = self._keys(trial_ids), self._batch_keys(trial_ids), len(self.data.held_out)
        genes = jax.device_put(stack(genes), mesh.along_children(self.mesh))
        for at in range(0, len(examples), part):
            rows = np.arange(at, at + part)
            count = np.count_nonzero(rows < len(examples))
            some = self._fixed(examples[np.minimum(rows, len(examples) - 1)])
            data = replace(self.data, held_out=some)
            states, totals = program.epoch(states, genes, keys, root, data, 0, False, int(count))
            tally.add(totals, int(count), held_out(self.task, data, size, int(count)))
        return np.where(result.alive, tally.scores(check=True), np.nan)

    def _scores(self, found) -> Float[np.ndarray, " N"]:
        """Of N children, from what the program gave for all held-out examples."""
        size, count = self.train.batch_size, len(self.data.held_out)
        if size not in self._held:
            self._held[size] = held_out(self.task, self.data, size, count)
        tally = Tally(self.task, self.data, size)
        tally.add(found, count, self._held[size])
        return tally.scores()

    def _begin(self, program: Program, genes, keys, live, since: Sequence[Result] | None):
        """States, curve and who is alive before the first of the epochs."""
        spread = mesh.along_children(self.mesh)
        if since is None:
            states = program.start(genes, keys, jax.device_put(live, spread))
            return states, np.full((len(live), self.train.epochs), np.nan), live
        states, alive = stack([result.states for result in since]), live & np.array([r.alive for r in since])
        curve = np.stack([result.curve for result in since])
        return jax.device_put(states._replace(alive=alive), spread), curve, alive

    def elsewhere(self, device: jax.Device) -> "Trainer":
        """The same for one device that need not be here: programs can be lowered and compiled, and none run."""
        other = copy(self)
        other.mesh, other.platform = mesh.of_one(device), device.platform
        other.programs, other.learners = {}, {}
        return other

    def learner(self, inside, genes) -> Learner:
        """How a child in an envelope learns; ``genes`` of any in it, for their shapes alone."""
        if inside not in self.learners:
            optimiser = of_child(self.train.optimiser, self.steps, self.train.epochs)
            self.learners[inside] = Supervised(self.children, inside, genes, self.task, optimiser)
        return self.learners[inside]

    def shapes(self, inside, genes: Sequence) -> ChildState:
        """What `Result.states` holds for such a group, as shapes."""
        learner = self.learner(inside, genes[0])
        learnt = jax.eval_shape(lambda g, key: learner.begin(g, key), genes[0], self.root)
        one = ChildState(learnt, jax.ShapeDtypeStruct((), bool))
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct((len(genes), *a.shape), a.dtype), one)

    def _fixed(self, values):
        """On every device."""
        return jax.device_put(values, mesh.replicated(self.mesh))

    def _keys(self, trial_ids: Sequence[int | tuple[int, int]]) -> jax.Array:
        """Of each child, ``[N]``: of its initial weights and of all that it draws."""
        return jax.device_put(jnp.stack([self._key(trial) for trial in trial_ids]), mesh.along_children(self.mesh))

    def _key(self, trial: int | tuple[int, int]) -> jax.Array:
        """Of one child."""
        number, seed = _and_seed(trial)
        return key_for(self.root, "child", number) if seed == 0 else key_for(self.root, "child again", number, seed)

    def _batch_keys(self, trial_ids: Sequence[int | tuple[int, int]]) -> jax.Array:
        """Of order and augmentation: the search's, or one a child, where that of seed 0 is the search's."""
        if not self.own_batches:
            return self.root
        seeds = [_and_seed(trial)[1] for trial in trial_ids]
        keys = jnp.stack([key_for(self.root, "batches again", seed) if seed else self.root for seed in seeds])
        return jax.device_put(keys, mesh.along_children(self.mesh))

    def _program(self, inside, genes, on_epoch) -> Program:
        """The compiled program of this envelope and group size; compiles it at the first call alone."""
        name = inside, len(genes)
        if name not in self.programs:
            on_epoch("compiling", 0)
            began = time.perf_counter()
            self.programs[name] = build(self, inside, genes)
            self.compiling.append(time.perf_counter() - began)
        if self.platform != "cpu":
            check_fits(self.programs[name].memory, self.budget)
        return self.programs[name]


def _and_seed(trial: int | tuple[int, int]) -> tuple[int, int]:
    return trial if isinstance(trial, tuple) else (trial, 0)
