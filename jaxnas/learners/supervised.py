"""Supervised learning of ONE child: a step of its optimiser by the mean loss of a batch, or the scores of one.

Letters: B batch, U labels of an example of text, P parameters.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxnas.children import Children, OwnHyperparameters, Shares
from jaxnas.learners.variables import Kept, Variables
from jaxnas.tasks import losses, scores_whole, smooths, without_smoothing
from jaxnas.tasks.batches import Batch

SMOOTHING = "label_smoothing"
"""What a child decides of the loss, not of its optimiser."""


class Learnt(NamedTuple):
    """What a child knows: its network, and the state of its optimiser."""

    network: Kept
    optimiser: optax.OptState


class Supervised:
    """How the children of one envelope learn a task.

    Args:
        children: what they are.
        envelope: in which they run.
        genes: of any child in it, for their shapes alone.
        task: loss and score.
        optimiser: the optax optimiser of a child from its own hyper-parameters, by name; none: that of the settings.

    Raises:
        ValueError: a network that cannot be carried from step to step, or whose layers cannot take a traced flag;
            labels to be smoothed where there are none.
    """

    def __init__(self, children: Children, envelope, genes, task, optimiser: Callable):
        self.children, self.envelope, self.task, self._optimiser = children, envelope, task, optimiser
        abstract = nnx.eval_shape(lambda genes, key: children.build(envelope, genes, key), genes, jax.random.key(0))
        self.variables, self._abstract = Variables(abstract), abstract
        self.traced = abstract.traced_training
        self._sharp = without_smoothing(task) if SMOOTHING in _own(genes) else task
        self.whole = scores_whole(task)
        if SMOOTHING in _own(genes) and not smooths(task):
            raise ValueError(
                "label_smoothing is decided by each child, but the task's loss is no cross-entropy of classes: leave "
                "it out of Tuned"
            )
        stock = [type(m).__name__ for _, m in nnx.iter_modules(abstract) if isinstance(m, nnx.BatchNorm | nnx.Dropout)]
        if self.traced and stock:
            raise ValueError(
                f"{type(abstract).__name__} says traced_training = True, but its nnx.{stock[0]} has to be told by a "
                "Python bool whether it trains: leave traced_training at False"
            )

    def begin(self, genes, key: Array) -> Learnt:
        """An untrained child; ``key`` is consumed."""
        kept = self.variables.apart(self.children.build(self.envelope, genes, key))
        return Learnt(kept, self.optimiser(genes).init(kept.parameters))

    def carry(self, size: int) -> Any:
        """What a network remembers before the first batch."""
        return self._abstract.carry(size)

    def share(self, batch: Batch) -> Batch:
        """See `jaxnas.learners.Learner`."""
        if not isinstance(self.children, Shares):
            return batch
        return batch._replace(examples=self.children.share(self.envelope, batch.examples))

    def optimiser(self, genes) -> optax.GradientTransformation:
        """A child's: settings that it decides itself take the place of the common ones."""
        return self._optimiser({name: value for name, value in _own(genes).items() if name != SMOOTHING})

    def _losses(self, outputs, labels, genes) -> Float[Array, "*B"]:
        """Of each label; a child's own smoothing takes the place of the task's."""
        if SMOOTHING not in _own(genes):
            return self.task.losses(outputs, labels)
        share = _own(genes)[SMOOTHING]
        return (1 - share) * self._sharp.losses(outputs, labels) + share * losses.uniform(outputs)

    def train(self, state: Learnt, carry, genes, batch: Batch, key: Array):
        """One optimiser step; see `jaxnas.learners.Learner`."""
        value, pull, (_, carry, kept) = self._pulled(state, carry, genes, batch, key, True)
        state, finite = self._learn(state, genes, value, pull, kept)
        return state, carry, finite

    def score(self, state: Learnt, carry, genes, batch: Batch, key: Array):
        """The scores of a batch, summed, or outputs; see `jaxnas.learners.Learner`."""
        _, (outputs, carry, _) = self._loss(state, carry, genes, batch, key, False)(state.network.parameters)
        return carry, self._scores(outputs, batch)

    def either(self, state: Learnt, carry, genes, batch: Batch, key: Array, training: Bool[Array, ""]):
        """Both through the same lines: the network is what takes long to compile; see `jaxnas.learners.Traced`."""
        value, pull, (outputs, carry, kept) = self._pulled(state, carry, genes, batch, key, training)
        nothing = jnp.zeros(outputs.shape if self.whole else (), jnp.float32)
        learn = lambda: (*self._learn(state, genes, value, pull, kept), nothing)
        score = lambda: (state, jnp.bool_(True), self._scores(outputs, batch))
        state, finite, total = lax.cond(training, learn, score)
        return state, carry, total, finite

    def kept(self, state: Learnt) -> Learnt:
        """What is worth keeping when nothing more is to be learnt."""
        return state._replace(optimiser=())

    def _loss(self, state: Learnt, carry, genes, batch: Batch, key: Array, training: bool | Array) -> Callable:
        """parameters -> mean loss of the labels that count; outputs, what is remembered, what is kept."""

        def loss(parameters: Float[Array, " P"]):
            network = self.variables.together(state.network._replace(parameters=parameters), key)
            if isinstance(training, bool):
                network.train() if training else network.eval()  # stock layers have attributes for it
            outputs, remembered = network(batch.examples, genes, training, carry, key)
            found = self._losses(outputs, batch.labels, genes)
            if found.shape != batch.labels.shape:
                raise ValueError(
                    f"the loss gave an array of shape {found.shape} for {len(batch.labels)} labels: one number "
                    "for each is needed, not their mean"
                )
            counts = batch.weights.astype(found.dtype)
            mean = jnp.where(counts > 0, found * counts, 0).sum() / counts.sum()
            return mean, (outputs, remembered, self.variables.apart(network))

        return loss

    def _pulled(self, state: Learnt, *rest):
        """Loss, the function that gives its gradient, and the rest."""
        return jax.vjp(self._loss(state, *rest), state.network.parameters, has_aux=True)

    def _learn(self, state: Learnt, genes, value, pull: Callable, kept: Kept) -> tuple[Learnt, Bool[Array, ""]]:
        """An optimiser step, and whether loss, parameters and statistics are finite after it."""
        own = state.network.parameters
        updates, optimiser = self.optimiser(genes).update(*pull(1.0), state.optimiser, own)
        network = kept._replace(parameters=optax.apply_updates(own, updates))
        finite = jnp.isfinite(value) & jnp.isfinite(network.parameters).all() & jnp.isfinite(network.statistics).all()
        return Learnt(network, optimiser), finite

    def _scores(self, outputs, batch: Batch) -> Float[Array, "*B"]:
        if self.whole:
            return outputs.astype(jnp.float32)
        finite = jnp.isfinite(outputs).all(-1) | (batch.weights == 0)  # what fills the last batch harms nobody
        scores = jnp.where(finite.all(), self.task.scores(outputs, batch.labels), jnp.nan)
        return jnp.where(batch.weights > 0, scores * batch.weights, 0).sum()


def _own(genes) -> Mapping[str, Any]:
    """What a child decides itself of its training."""
    return genes.hyperparameters if isinstance(genes, OwnHyperparameters) else {}
