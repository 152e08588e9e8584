"""The network that a final training has left, read from disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from jaxnas.checkpoint import MOVE, Checkpoints
from jaxnas.children import Children, Network, unpadded, widened
from jaxnas.evaluators.programs import ChildState
from jaxnas.final import NOTHING, checkpoints
from jaxnas.inputs import Inputs
from jaxnas.learners import Learnt
from jaxnas.learners.variables import Variables
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
        children: `Children` of the space, likewise.
        network: in the architecture's own envelope, its trained parameters and statistics in it.
        genes: what it is called with, see `Network`.
        data: what is recorded of the data it was trained on, as JSON values: "classes", and of images the "mean" and
            "std" of each channel in the units of the images, their "range", "dtype", "layout" and "class_names", and
            whether to "whiten" each image instead; of text its "vocabulary" and "unit".
        facts: the recorded result, a `FinalResult` as a dict.
    """

    architecture: Any
    children: Any
    network: Network
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
        ValueError: there is no task, it has had no final training to the end, or that of another space, or its files
            are damaged.
    """
    if experiment.task is None:
        raise ValueError(NOTHING)
    trial = named_trial(workdir, trial)
    kept = checkpoints(workdir, trial)
    stored = kept.facts()
    command = f"python -m jaxnas final {workdir} --trial {trial.trial_id}"
    if stored is None:
        raise ValueError(
            f"trial {trial.trial_id} has no trained network in {workdir}: `{command}`, or from Python "
            f"found.final({trial.trial_id}), trains it"
        )
    result, data = stored["result"], stored["data"]
    if result is None:
        raise ValueError(
            f"the final training of trial {trial.trial_id} is not finished ({kept.epochs()} epochs are done): "
            f"`{command}`, with the same settings, goes on"
        )
    known = stored["settings"]
    if (known["architecture"], known["space"]) != (trial.architecture, describe(experiment.space)):
        raise ValueError(f"{kept.folder} holds a training of another architecture: {MOVE}")
    settings, first = result["settings"], [score is not None for score in result["test_scores"]]
    children = experiment.space.children(Inputs.of_facts(data), data["classes"], settings["train"]["dtype"])
    architecture = experiment.space.decode(np.array(trial.tokens, np.int32))
    children, architecture = widened(children, architecture, settings["width"])
    data = data | {"whiten": bool((known["task"].get("augment") or {}).get("whiten"))}
    inside = unpadded(children, architecture)
    genes = children.place(architecture, inside)
    network = _network(children, inside, genes, kept, len(first), first.index(True))
    return Trained(architecture, children, network, genes, data, result)


def _network(children: Children, inside, genes, stored: Checkpoints, seeds: int, one: int) -> Network:
    """The network of one of the seeds, as the checkpoint has it. Raises ValueError where it has another."""
    build = lambda genes, key: children.build(inside, genes, key)
    variables = Variables(nnx.eval_shape(build, genes, jax.random.key(0)))
    kept = jax.eval_shape(lambda *given: variables.apart(build(*given)), genes, jax.random.key(0))
    each = ChildState(Learnt(kept, ()), jax.ShapeDtypeStruct((), bool))
    found = stored.restore(jax.tree.map(lambda a: jax.ShapeDtypeStruct((seeds, *a.shape), a.dtype), each))
    own = jax.tree.map(lambda a: jax.numpy.asarray(a[one]), found.learnt.network)
    network = variables.together(own, key_for(0, "nothing is drawn"))
    network.eval()
    return network
