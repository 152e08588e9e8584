"""The search: propose, evaluate, update, round after round. The ledger is read before anything is trained."""

from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Int

from jaxnas.decisions import ABSENT
from jaxnas.experiment import Experiment
from jaxnas.ledger import Ledger
from jaxnas.outcome import Outcome, Progress, Status, Trial
from jaxnas.rng import key_for
from jaxnas.strategies import Strategy


@runtime_checkable
class Watch(Protocol):
    """Who is told how the search goes."""

    def progress(self, progress: Progress) -> None: ...

    def trials(self, trials: list[Trial]) -> None: ...

    def round_done(self, round: int, metrics: dict[str, float]) -> None: ...


class Silent:
    """Tells nobody."""

    def progress(self, progress: Progress) -> None: ...

    def trials(self, trials: list[Trial]) -> None: ...

    def round_done(self, round: int, metrics: dict[str, float]) -> None: ...


def search(experiment: Experiment, ledger: Ledger, watch: Watch) -> None:
    """Run the rounds that the ledger does not hold yet.

    The strategy's state is rebuilt by going through the finished rounds, so a resumed search is the unkilled one.

    Raises:
        ValueError: unusable data, or a ledger whose trials this experiment would not have proposed.
    """
    strategy, seed, n = experiment.strategy, experiment.seed, experiment.children
    evaluate = experiment.evaluator.bind(experiment.space, experiment.task, seed, experiment.rounds * n)
    propose, update = _functions(strategy)
    state = strategy.init(experiment.space.decisions, key_for(seed, "strategy"))
    for r in range(experiment.rounds):
        tokens = _existing(experiment, propose(state, key_for(seed, "propose", r), n=n), r * n)
        trial_ids = np.arange(r * n, (r + 1) * n)
        done = {t.trial_id: t for t in ledger.trials(round=r)}
        _check_same(done, tokens, r * n)
        for rows, outcome in evaluate(tokens, trial_ids, done, watch.progress):  # what is done, it only takes note of
            rewards = _finite(experiment.reward(outcome), len(rows))
            trials = _trials(r, trial_ids[rows], tokens[rows], outcome, rewards)
            ledger.append(trials)
            watch.trials(trials)
        rewards = np.array([t.reward for t in ledger.trials(round=r)])
        state, metrics = update(state, tokens, np.float32(rewards))
        watch.round_done(r, {name: float(value) for name, value in metrics.items()})
    if hasattr(strategy, "most_likely"):
        favourite = _existing(experiment, strategy.most_likely(state), (experiment.rounds - 1) * n)
        ledger.record(most_likely={"rounds": experiment.rounds, "architecture": evaluate.describe(favourite)})


def first_proposal(experiment: Experiment) -> Int[np.ndarray, "N T"]:
    """The tokens of the first round."""
    strategy, seed = experiment.strategy, experiment.seed
    state = strategy.init(experiment.space.decisions, key_for(seed, "strategy"))
    tokens = strategy.propose(state, key_for(seed, "propose", 0), n=experiment.children)
    return _existing(experiment, tokens, 0)


def _functions(strategy: Strategy):
    """``propose`` and ``update``, compiled unless the strategy cannot be."""
    if not getattr(strategy, "jittable", True):
        return strategy.propose, strategy.update
    return jax.jit(strategy.propose, static_argnames="n"), jax.jit(strategy.update)


def _existing(experiment: Experiment, tokens, trials: int) -> Int[np.ndarray, "*N T"]:
    """Tokens without those decisions that a growing space does not have yet, after so many trials.

    They come last, and no earlier decision depends on them: this is a sample of the policy over those that exist.
    """
    tokens, present = np.asarray(tokens), getattr(experiment.space, "present", None)
    return tokens if present is None else np.where(present(trials), tokens, ABSENT).astype(np.int32)


def _check_same(done: dict[int, Trial], tokens, first: int) -> None:
    """Raises ValueError where the ledger's tokens are not those proposed, as on another machine or version."""
    for trial in done.values():
        if trial.tokens != tuple(tokens[trial.trial_id - first].tolist()):
            raise ValueError(
                f"trial {trial.trial_id} of the ledger has tokens {list(trial.tokens)}, but this machine proposes "
                f"{tokens[trial.trial_id - first].tolist()}: continue it with the versions and device that began it"
            )


def _finite(rewards, n: int) -> np.ndarray:
    """Raises ValueError where a reward does not give one finite number a child."""
    rewards = np.asarray(rewards, np.float64)
    if rewards.shape != (n,) or not np.isfinite(rewards).all():
        raise ValueError(f"the reward gave {rewards} for {n} children: one finite number each is needed")
    return rewards


def _trials(round: int, trial_ids, tokens, outcome: Outcome, rewards) -> list[Trial]:
    """The rows of a group as the ledger keeps them: NaN becomes None."""
    plain = lambda number: None if np.isnan(number) else float(number)
    return [
        Trial(
            int(trial_ids[i]),
            round,
            tuple(tokens[i].tolist()),
            outcome.architectures[i],
            Status(outcome.status[i]).label,
            plain(outcome.score[i]),
            float(rewards[i]),
            tuple(map(plain, outcome.curve[i])),
            int(outcome.parameters[i]),
            int(outcome.multiply_adds[i]),
            float(outcome.seconds[i]),
            int(outcome.places[i]),
        )
        for i in range(len(trial_ids))
    ]
