"""Whether the settings that children decide of their training go together, before the first of them is trained."""

import numpy as np

from jaxnas.children.normalised import check_normalised
from jaxnas.children.tuned import SMOOTHING, TunedChildren
from jaxnas.evaluators.halving import SuccessiveHalving
from jaxnas.evaluators.optimisers import Adjusts
from jaxnas.evaluators.train import Train, trained_by

SAMPLES = 1024
"""Architectures that are looked at: each combination of static settings is among them, unless there are hundreds."""


def check_trainings(space, children, data, train: Train, halving: SuccessiveHalving) -> None:
    """Look at what training random architectures of a space would have.

    Args:
        space: whose children they are.
        children: of any kind; only of tuned ones there is something to look at.
        data: what they learn from.
        train: the common settings.
        halving: early stopping.

    Raises:
        ValueError: a setting that the optimiser beside it does not have, more examples in a batch than there are,
            early stopping of children that do not train equally long, or a batch normalisation of single numbers.
    """
    if not isinstance(children, TunedChildren):
        return check_normalised(children, train.batch_size)
    draw = np.random.default_rng(0)
    tokens = draw.integers(0, space.decisions.sizes, (SAMPLES, len(space.decisions))).astype(np.int32)
    found = {children.training_of(space.decode(row)) for row in space.decisions.without_absent(tokens)}
    for static, traced in sorted(found, key=repr):
        own = trained_by(train, static)
        data.steps(own.batch_size)
        check_normalised(children, own.batch_size)
        known = own.optimiser.own() if isinstance(own.optimiser, Adjusts) else ()
        wrong = [name for name in traced if name not in (*known, SMOOTHING)]
        if wrong:
            raise ValueError(
                f"{wrong[0]} is decided beside the optimiser {type(own.optimiser).__name__}, which can be told "
                f'{", ".join(known) or "nothing"}: give it when=("optimiser", ...), or leave it out'
            )
        if own.epochs != train.epochs and halving.rungs:
            raise ValueError(
                f"rungs={halving.rungs}: early stopping compares children after the same epochs, and the space "
                "decides how many there are: leave one of the two out"
            )
    return None
