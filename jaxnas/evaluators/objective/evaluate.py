"""The function that `Objective.bind` gives.

Letters: N children, T decisions.
"""

import contextlib
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from jaxnas.evaluators.objective.here import Here
from jaxnas.evaluators.objective.named import class_name
from jaxnas.evaluators.objective.workers import Workers
from jaxnas.outcome import Measure, Outcome, Progress, Status, Trial
from jaxnas.plain import shown
from jaxnas.rng import key_for
from jaxnas.settings import describe


class ObjectiveEvaluator:
    """Asks a function; see `jaxnas.evaluators.Objective`. It holds processes from the first call until `close`."""

    measure = Measure.NUMBER

    def __init__(self, objective, space, seed: int):
        self.objective, self.space, self.seed = objective, space, seed
        fn, processes = objective.fn, objective.processes
        self._workers = Workers(fn, processes, objective.timeout) if processes else Here(fn)
        self._caught = {class_name(kind) for kind in objective.catch}

    def __call__(
        self,
        tokens: Int[np.ndarray, "N T"],
        trial_ids: Int[np.ndarray, " N"],
        finished: Mapping[int, Trial] | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Iterator[tuple[list[int], Outcome]]:
        """Ask of those that are not finished, each as soon as it is done.

        Raises:
            ValueError: the function cannot be loaded, returned no score, or raised what is not caught.
        """
        rows = [row for row, trial in enumerate(trial_ids) if int(trial) not in (finished or {})]
        if not rows:
            return
        seeds = seeds_of(self.seed, trial_ids)
        calls = [(row, self._call(tokens[row], seeds[row])) for row in rows]
        tell = lambda done: on_progress(Progress("evaluating", len(rows), done, len(rows), 0, 0.0))
        tell(0)
        with contextlib.closing(self._workers.answers(calls)) as answers:
            for done, (row, answer) in enumerate(answers, 1):
                tell(done)
                yield [row], self._outcome(int(trial_ids[row]), tokens[row], answer)

    def close(self) -> None:
        """End the processes."""
        self._workers.close()

    def describe(self, tokens: Int[np.ndarray, " T"]) -> dict:
        """The values, or the architecture by its fields."""
        decoded = self.space.decode(tokens)
        described = describe(decoded)
        if isinstance(described, dict) and not isinstance(decoded, Mapping):
            return described
        return {"type": "values", "values": described}

    def _call(self, tokens: Int[np.ndarray, " T"], seed: int) -> bytes:
        values = self.space.decode(tokens)
        try:
            return pickle.dumps(((values, seed)[: self.objective.fn.arguments], seed))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(f"{shown(values)} cannot be sent to a worker ({error}): decode to plain values") from error

    def _outcome(self, trial: int, tokens: Int[np.ndarray, " T"], answer: dict) -> Outcome:
        reason = self._reason(trial, tokens, answer)
        score = np.array([np.nan if reason else answer["score"]])
        none = np.zeros(1, np.int64)
        return Outcome(
            status=np.array([Status.FAILED if reason else Status.OK], np.int32),
            score=score,
            curve=np.zeros((1, 0)),
            seconds=np.array([answer["seconds"]]),
            places=none + 1,
            parameters=none,
            multiply_adds=none,
            architectures=(self.describe(tokens),),
            figures=({} if reason else answer["figures"],),
            reasons=(reason,),
        )

    def _reason(self, trial: int, tokens: Int[np.ndarray, " T"], answer: dict) -> str:
        """Why a child has failed; "" where it has not. Raises ValueError for what stops the search."""
        what: Any = f"trial {trial}, {shown(self.space.decode(tokens))}: {self.objective.fn.name}"
        match answer["kind"]:
            case "scored":
                return ""
            case "failed":
                return answer["reason"]
            case "raised" if not self._caught.isdisjoint(answer["kinds"]):
                return answer["words"]
            case "raised":
                raise ValueError(
                    f"{what} raised {answer['words']} ({answer['where']}), which catch does not name: mend it, and the "
                    "same command goes on"
                )
            case _:
                raise ValueError(
                    f"{what} {answer['words']}: it must return a number, as float(x) or a 0-d array, or a dict of "
                    'numbers, {"score": ..., "other": ...}'
                )


def seeds_of(seed: int, trial_ids: Int[np.ndarray, " N"]) -> list[int]:
    """What each trial's call is given, from 0 to 2**31 - 1: a function of the experiment's seed and the trial alone."""
    bits = jax.vmap(lambda trial: jax.random.bits(key_for(seed, "objective", trial), dtype=jnp.uint32))
    return (np.asarray(bits(jnp.asarray(trial_ids, jnp.uint32))) >> 1).tolist()
