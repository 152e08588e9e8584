"""How what the programs give for held-out examples becomes scores.

Letters: N children, V visits, B batch, M examples that count, K classes.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxnas.tasks import Batch, Batched, Task, scores_whole

MOST_BYTES = 2**30
"""Outputs of one child that a score over the whole may want."""


class Tally:
    """What N children have done on held-out examples, a part after the other.

    Args:
        task: what scores are.
        data: the data of the training; only its held-out part may be another in the parts.
        size: of a batch.
    """

    def __init__(self, task: Task, data: Batched, size: int):
        self.task, self.data, self.size = task, data, size
        self._found: list[np.ndarray] = []
        self._held: list[Batch] = []
        self._counts: list[int] = []

    def add(self, found, count: int, held: Batch | None) -> None:
        """What a program gave: sums of scores ``[N]``, or outputs ``[N, V, B, K]`` with the examples they are of."""
        found = np.asarray(found)
        self._counts.append(count)
        self._found.append(np.float64(found) if held is None else _counted(found, held))
        if held is not None:
            self._held.append(_counted_only(held))

    def scores(self, check: bool = False) -> Float[np.ndarray, " N"]:
        """Of all parts; NaN where a child has failed.

        Args:
            check: whether nobody has looked yet if the score is defined for these labels.

        Raises:
            ValueError: it is not.
        """
        if not self._held:
            sums = np.sum(self._found, 0)
            return np.where(np.isfinite(sums), sums / sum(self._counts), np.nan)
        outputs = np.concatenate(self._found, 1)
        held = Batch(*(np.concatenate(parts) for parts in zip(*self._held, strict=True)))
        if check:
            self.task.check_score(held, self.data)
        return np.array([self._score(one, held) for one in outputs])

    def _score(self, outputs, held: Batch) -> float:
        return self.task.whole_score(outputs, held, self.data) if np.isfinite(outputs).all() else np.nan


def kept_bytes(task: Task, data: Batched) -> int:
    """Of one child's outputs for all held-out examples; 0 where scores are means.

    Raises:
        ValueError: more than `MOST_BYTES`.
    """
    if not scores_whole(task):
        return 0
    labels = len(data.held_out)
    needed = 4 * labels * data.classes
    if needed > MOST_BYTES:
        raise ValueError(
            f"score={task.score!r} wants all outputs for {labels:,} labels at once, {needed / 2**30:.1f} GiB a child: "
            "hold out less, or leave the score at None"
        )
    return needed


def held_out(task: Task, data: Batched, size: int, count: int) -> Batch | None:
    """The held-out examples, of which the first ``count`` count, batch by batch as programs visit them,
    ``[V, B, ...]``, numpy arrays; None where a task's scores are means.
    """
    if not scores_whole(task):
        return None
    visits = int(data.visits(size, len(data.held_out)))  # of which a program has room for all, however few it makes
    return jax.device_get(_visited(data, size, count, visits))


def check_score(task: Task, data: Batched, held: Batch | None) -> None:
    """Raises ValueError where a score is not defined for the held-out examples, or its outputs are too many."""
    kept_bytes(task, data)
    if held is not None:
        task.check_score(_counted_only(held), data)


@partial(jax.jit, static_argnums=(1, 2, 3))
def _visited(data: Batched, size: int, count: int, visits: int) -> Batch:
    return jax.vmap(lambda number: data.scoring(number, size, count))(jnp.arange(visits))


def _counted(outputs, held: Batch) -> Float[np.ndarray, "N M K"]:
    return outputs[:, held.weights > 0]


def _counted_only(held: Batch) -> Batch:
    return Batch(*(part[held.weights > 0] for part in held))
