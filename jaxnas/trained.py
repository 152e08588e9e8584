"""The network that a final training has left, read from disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.flatten_util import ravel_pytree

from jaxnas.checkpoint import MOVE
from jaxnas.final import checkpoints, widened
from jaxnas.named_trial import named_trial
from jaxnas.outcome import Trial
from jaxnas.rng import key_for
from jaxnas.settings import describe


@dataclass(frozen=True)
class Trained:
    """A trained network: that of the first seed which did not diverge. (The best of several by its test score would be
    chosen on test data.)

    Attributes:
        architecture: as it was trained, widened.
        children: of the space, likewise; with ``input_shape``, ``classes``, ``envelope``, ``place``, ``describe``,
            ``cost``.
        network: in the architecture's own envelope, its trained parameters and statistics in it.
        genes: what it is called with: ``network(x, genes)`` gives logits of normalised images x; see
            `jaxnas.export.language` for text.
        data: what is recorded of the data it was trained on, as JSON values: "classes", and of images the "mean" and
            "std" of each channel in the units of the images, their "range", "dtype", "layout" and "class_names", and
            whether to "whiten" each image instead; of text its "vocabulary" and "unit".
        facts: the recorded result, a `FinalResult` as a dict.
    """

    architecture: Any
    children: Any
    network: nnx.Module
    genes: Any
    data: dict
    facts: dict


def load_trained(experiment, workdir: Path, trial: Trial | int) -> Trained:
    """What the final training of a trial has come to. No data is read.

    Args:
        experiment: the search's. Of ``final`` nothing counts: the training's own settings hold.
        workdir: the search's directory.
        trial: which one, or its number.

    Raises:
        ValueError: it has had no final training to the end, or that of another space, or its files are damaged.
    """
    trial = named_trial(workdir, trial)
    place = checkpoints(workdir, trial)
    stored = place.facts()
    command = f"python -m jaxnas final {workdir} --trial {trial.trial_id}"
    if stored is None:
        raise ValueError(f"trial {trial.trial_id} has no trained network in {workdir}: `{command}` trains it")
    result, data = stored["result"], stored["data"]
    if result is None:
        raise ValueError(
            f"the final training of trial {trial.trial_id} is not finished ({place.epochs()} epochs are done): "
            f"`{command}`, with the same settings, goes on"
        )
    known = stored["settings"]
    if (known["architecture"], known["space"]) != (trial.architecture, describe(experiment.space)):
        raise ValueError(f"{place.folder} holds a training of another architecture: {MOVE}")
    settings, first = result["settings"], [score is not None for score in result["test_scores"]].index(True)
    children = experiment.space.children(tuple(data["input_shape"]), data["classes"], settings["train"]["dtype"])
    architecture = experiment.space.decode(np.array(trial.tokens, np.int32))
    children, architecture = widened(children, architecture, settings["width"])
    data = data | {"whiten": bool((known["task"].get("augment") or {}).get("whiten"))}
    inside = children.envelope([architecture])
    genes, arrays = children.place(architecture, inside), place.arrays()
    network = _network(children, inside, genes, arrays["parameters"][first], arrays["statistics"][first])
    return Trained(architecture, children, network, genes, data, result)


def _network(children, inside, genes, parameters, statistics) -> nnx.Module:
    """The network with these rows of parameters and statistics in it."""
    abstract = nnx.eval_shape(lambda key: children.build(inside, genes, key), key_for(0, "shapes alone"))
    graph, *states = nnx.split(abstract, nnx.Param, nnx.BatchStat)
    filled = []
    for shapes, row in zip(states, (parameters, statistics), strict=True):
        zeros, unravel = ravel_pytree(jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes))
        if zeros.shape != row.shape:
            raise ValueError(
                f"{row.size:,} numbers are stored, {zeros.size:,} make the network of this version: {MOVE}"
            )
        filled.append(unravel(jax.numpy.asarray(row)))
    return nnx.merge(graph, *filled)
