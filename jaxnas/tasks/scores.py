"""What children are scored by, over the whole of the held-out examples. Higher is better: errors are negated.

Letters: M examples, K classes.
"""

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
import tyro
from jaxtyping import Float, Int

from jaxnas.outcome import Measure

FIRST = 10
"""Items of a ranking that count."""


class Score(NamedTuple):
    """What a score's name stands for.

    Attributes:
        measure: how it is read.
        of: (outputs, labels) of all held-out examples -> the score.
        check: raises ValueError where it is not defined for these labels of K classes; ``(labels, K)``.
    """

    measure: Measure
    of: Callable[[Any, Any], float]
    check: Callable[[np.ndarray, int], None] = lambda labels, classes: None


def accuracy(logits: Float[np.ndarray, "M K"], labels: Int[np.ndarray, " M"]) -> float:
    """Share of the examples whose greatest logit is the label's."""
    return float((logits.argmax(-1) == labels).mean())


def log_likelihood(logits: Float[np.ndarray, "M K"], labels: Int[np.ndarray, " M"]) -> float:
    """Minus the log loss, the mean cross-entropy in nats."""
    from scipy.special import log_softmax  # here and below: no other score has to wait for scipy

    return float(log_softmax(np.float64(logits), -1)[np.arange(len(labels)), labels].mean())


def f1(logits: Float[np.ndarray, "M K"], labels: Int[np.ndarray, " M"]) -> float:
    """The unweighted mean over classes (macro) of 2 TP / (2 TP + FP + FN), of classes that occur among labels or
    predictions.
    """
    found, classes = logits.argmax(-1), logits.shape[-1]
    count = lambda of: np.bincount(of, minlength=classes)
    hits, both = count(labels[found == labels]), count(found) + count(labels)
    return float((2 * hits[both > 0] / both[both > 0]).mean())


def auc(logits: Float[np.ndarray, "M K"], labels: Int[np.ndarray, " M"]) -> float:
    """Area under the ROC curve: of two classes of the second's probability, of more the unweighted mean of each class
    against the rest.

    References:
        Hand & Till, A Simple Generalisation of the Area Under the ROC Curve, 2001, section 2, equation 3
        (https://doi.org/10.1023/A:1010920819831): by ranks.
    """
    from scipy.special import logsumexp

    logits, classes = np.float64(logits), range(logits.shape[1])
    if len(classes) == 2:
        return _area(logits[:, 1] - logits[:, 0], labels == 1)
    # the order of the probabilities, which themselves are 1 for all of which a network is sure; sorted: ties stay ties
    odds = [logits[:, k] - logsumexp(np.sort(np.delete(logits, k, 1)), 1) for k in classes]
    return float(np.mean([_area(odds[k], labels == k) for k in classes]))


def _area(scores: np.ndarray, positive: np.ndarray) -> float:
    from scipy.stats import rankdata

    n, ranks = positive.sum(), rankdata(scores)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


def r2(found: Float[np.ndarray, " M"], labels: Float[np.ndarray, " M"]) -> float:
    """1 - sum of squared errors / sum of squared deviations of the labels from their mean."""
    return float(1 - ((found - labels) ** 2).sum() / ((labels - labels.mean()) ** 2).sum())


def rmse(found: Float[np.ndarray, " M"], labels: Float[np.ndarray, " M"]) -> float:
    """Minus the root of the mean squared error."""
    return -float(np.sqrt(((found - labels) ** 2).mean()))


def mae(found: Float[np.ndarray, " M"], labels: Float[np.ndarray, " M"]) -> float:
    """Minus the mean absolute error."""
    return -float(np.abs(found - labels).mean())


def ndcg(found: Float[np.ndarray, " M"], gains: Float[np.ndarray, " M"], groups: Int[np.ndarray, " M"]) -> float:
    """The mean over groups, such as users, of the discounted gains of the first ten in the order that was found over
    those in the best order. Groups without a gain do not count; equal predictions share their places.

    References:
        Jaervelin & Kekaelaeinen, Cumulated Gain-Based Evaluation of IR Techniques, 2002, section 2.3
        (https://doi.org/10.1145/582415.582418), with logarithms to the base of 2 and gains as they are; McSherry &
        Najork, Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied Scores, 2008
        (https://doi.org/10.1007/978-3-540-78646-7_38).
    """
    had, best = _gained(found, gains, groups), _gained(gains, gains, groups)
    return float((had[best > 0] / best[best > 0]).mean())


def _gained(by: np.ndarray, gains: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Discounted gains of each group's first ten, when sorted by the first argument."""
    order = np.lexsort((-by, groups))
    by, gains, groups = by[order], gains[order], groups[order]
    starts = np.flatnonzero(np.diff(groups, prepend=groups[:1] - 1))
    place = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    worth = np.where(place < FIRST, 1 / np.log2(place + 2), 0)
    ties = np.flatnonzero((np.diff(by, prepend=np.nan) != 0) | (place == 0))
    counts = np.diff(ties, append=len(order))
    shared = np.repeat(np.add.reduceat(worth, ties) / counts, counts)
    return np.add.reduceat(gains * shared, starts)


def _every_class(labels: np.ndarray, classes: int) -> None:
    missing = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
    if len(missing):
        raise ValueError(
            f"score='auc': none of the {len(labels)} held-out examples is of class {missing[0]}, so that its ROC curve "
            "is not defined: hold out more, or take score='f1' or 'accuracy'"
        )


def _not_constant(labels: np.ndarray, classes: int) -> None:
    del classes
    if labels.min() == labels.max():
        raise ValueError(
            f"score='r2': all {len(labels)} held-out targets are {labels[0]:g}, so that R2 is not defined: hold out "
            "more, or take score='rmse' or 'mae'"
        )


CLASSES = {
    "accuracy": Score(Measure.SCORE, accuracy),
    "f1": Score(Measure.F1, f1),
    "auc": Score(Measure.AUC, auc, _every_class),
    "log-loss": Score(Measure.LOG_LOSS, log_likelihood),
}
"""Of classifications."""
NUMBERS = {
    "r2": Score(Measure.R2, r2, _not_constant),
    "rmse": Score(Measure.RMSE, rmse),
    "mae": Score(Measure.MAE, mae),
}
"""Of regressions."""


def picked(names: Mapping[str, Any], none: str) -> tyro.constructors.PrimitiveConstructorSpec:
    """How the command line reads a score: by one of the names; ``none``: what None means."""

    def read(given: list[str]) -> str | None:
        if given[0] not in (*names, "None"):
            raise ValueError(f"{given[0]!r} is no score: give one of {', '.join(names)}, or None: {none}")
        return None if given[0] == "None" else given[0]

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join((*names, 'None'))}}}",
        instance_from_str=read,
        is_instance=lambda value: True,
        str_from_instance=lambda value: [value.__name__ if isinstance(value, FunctionType) else str(value)],
    )
