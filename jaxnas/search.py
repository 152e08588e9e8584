"""The search: propose, evaluate, update, round after round. The ledger is read before anything is trained."""

from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Int

from jaxnas.contracts import checked_metrics, checked_outcome, checked_state, checked_tokens, checked_update
from jaxnas.decisions import ABSENT
from jaxnas.evaluators import Closes, Evaluate, StopsEarly
from jaxnas.experiment import Experiment
from jaxnas.ledger import Ledger
from jaxnas.locks import locked
from jaxnas.numerics import pinned
from jaxnas.outcome import Outcome, Progress, Status, Trial
from jaxnas.record import begin, check_settings
from jaxnas.rewards import told
from jaxnas.rng import key_for
from jaxnas.spaces import present_columns
from jaxnas.stopping import Clock
from jaxnas.strategies import Prefers, Strategy, finite, is_jittable


@runtime_checkable
class Callback(Protocol):
    """Who is told how the search goes."""

    def progress(self, progress: Progress) -> None: ...

    def trials(self, trials: list[Trial]) -> None: ...

    def round_done(self, round: int, metrics: dict[str, float]) -> None: ...

    def note(self, line: str) -> None: ...


@runtime_checkable
class HearsOfData(Protocol):
    """A `Callback` that is also told, before the first round, what the ledger says of the data (`Batched.facts`)."""

    def about(self, facts: dict) -> None: ...


class Silent:
    """Tells nobody."""

    def progress(self, progress: Progress) -> None: ...

    def trials(self, trials: list[Trial]) -> None: ...

    def round_done(self, round: int, metrics: dict[str, float]) -> None: ...

    def note(self, line: str) -> None: ...


def search(experiment: Experiment, ledger: Ledger, callback: Callback, origin: dict | None = None) -> None:
    """Run the rounds that the ledger does not hold yet, and record whatever they depend on.

    The strategy's state is rebuilt by going through the finished rounds, so a resumed search is the unkilled one. The
    directory is held against other processes meanwhile.

    Args:
        experiment: what to search.
        ledger: of the search's directory, open for writing.
        callback: who is told.
        origin: where the experiment was read from, as JSON values; None: it was made in Python.

    Raises:
        ValueError: unusable data; a ledger of another experiment, of other data, or whose trials this experiment would
            not have proposed; another process works in the directory; a strategy whose state is no longer finite.
    """
    with locked(ledger.path.parent), pinned():
        clock = Clock(ledger)
        check_settings(experiment, ledger)
        trials = experiment.rounds * experiment.children
        evaluate = experiment.evaluator.bind(experiment.space, experiment.task, experiment.seed, trials)
        begin(experiment, ledger, evaluate, origin, callback.note)
        if isinstance(callback, HearsOfData):
            callback.about(ledger.facts().get("about", {}))
        if isinstance(evaluate, StopsEarly):
            evaluate.rank_by(experiment.reward)
        try:
            state, rounds, why = _rounds(experiment, ledger, evaluate, callback, clock)
        finally:
            ledger.settle()
            if isinstance(evaluate, Closes):
                evaluate.close()
        if isinstance(experiment.strategy, Prefers):
            favourite = experiment.strategy.most_likely(state)
            favourite = _existing(experiment, favourite, (rounds - 1) * experiment.children)
            ledger.record(most_likely={"rounds": rounds, "architecture": evaluate.describe(favourite)})
        ledger.record(finished=rounds, ran=clock.seconds, stopped={"rounds": rounds, "reason": why} if why else None)
        ledger.settle()


def _rounds(experiment: Experiment, ledger: Ledger, evaluate: Evaluate, callback: Callback, clock: Clock):
    """Propose, evaluate, update; the strategy's state at the end, after how many rounds, and why there are no more, ""
    where all are done.
    """
    strategy, seed, n = experiment.strategy, experiment.seed, experiment.children
    propose, update = _functions(strategy)
    decisions, measure = experiment.space.decisions, ledger.measure
    state = checked_state(strategy, strategy.init(decisions, key_for(seed, "strategy")))
    for r in range(experiment.rounds):
        ids = range(r * n, (r + 1) * n)
        trial_ids, done = np.array(ids), {t.trial_id: t for t in ledger.trials(ids)}
        why = experiment.stop.reason(ledger, r) if r and not done else ""
        if why:
            return state, r, why
        tokens = checked_tokens(strategy, decisions, propose(state, key_for(seed, "propose", r), n=n), n)
        tokens = _existing(experiment, tokens, r * n)
        _check_same(done, tokens, r * n)
        for answer in evaluate(tokens, trial_ids, done, callback.progress):  # what is done, it only takes note of
            rows, outcome = checked_outcome(evaluate, answer, n)
            trials = _trials(r, trial_ids[rows], tokens[rows], outcome, *told(experiment.reward, outcome, measure))
            ledger.append(trials, ran=clock.seconds)
            callback.trials(trials)
        if len(done) < n:
            ledger.settle()
        rewards = np.array([t.reward for t in ledger.trials(ids)])
        state, metrics = update(state, tokens, np.float32(rewards))
        if not finite(state):
            raise ValueError(_why_not_finite(strategy, r, rewards))
        callback.round_done(r, checked_metrics(strategy, metrics))
    return state, experiment.rounds, ""


def first_proposal(experiment: Experiment) -> Int[np.ndarray, "N T"]:
    """The tokens of the first round."""
    strategy, seed = experiment.strategy, experiment.seed
    state = strategy.init(experiment.space.decisions, key_for(seed, "strategy"))
    tokens = strategy.propose(state, key_for(seed, "propose", 0), n=experiment.children)
    return _existing(experiment, checked_tokens(strategy, experiment.space.decisions, tokens, experiment.children), 0)


def _why_not_finite(strategy: Strategy, round: int, rewards: np.ndarray) -> str:
    return (
        f"the state of {type(strategy).__name__} is no longer finite after round {round}, whose rewards lie between "
        f"{rewards.min():.4g} and {rewards.max():.4g}: what is recorded is good, but this strategy cannot go on from "
        f"there. Begin anew in another directory with tamer settings ({strategy}) or rewards"
    )


def _functions(strategy: Strategy):
    """``propose`` and ``update``, compiled unless the strategy cannot be."""
    update = lambda state, tokens, rewards: checked_update(strategy, strategy.update(state, tokens, rewards))
    if not is_jittable(strategy):
        return strategy.propose, update
    return jax.jit(strategy.propose, static_argnames="n"), jax.jit(update)


def _existing(experiment: Experiment, tokens, trials: int) -> Int[np.ndarray, "*N T"]:
    """Tokens without those decisions that a growing space does not have yet, after so many trials.

    They come last, and no earlier decision depends on them: this is a sample of the policy over those that exist.
    """
    return np.where(present_columns(experiment.space, trials), tokens, ABSENT).astype(np.int32)


def _check_same(done: dict[int, Trial], tokens, first: int) -> None:
    """Raises ValueError where the ledger's tokens are not those proposed, as on another machine or version."""
    for trial in done.values():
        if trial.tokens != tuple(tokens[trial.trial_id - first].tolist()):
            raise ValueError(
                f"trial {trial.trial_id} of the ledger has tokens {list(trial.tokens)}, but this machine proposes "
                f"{tokens[trial.trial_id - first].tolist()}: continue it with the versions and device that began it"
            )


def _trials(round: int, trial_ids, tokens, outcome: Outcome, rewards, infeasible) -> list[Trial]:
    """The rows of a group as the ledger keeps them: NaN becomes None."""
    status = np.where(infeasible, Status.INFEASIBLE, outcome.status)
    plain = lambda number: None if np.isnan(number) else float(number)
    return [
        Trial(
            int(trial_ids[i]),
            round,
            tuple(tokens[i].tolist()),
            outcome.architectures[i],
            Status(status[i]).label,
            plain(outcome.score[i]),
            float(rewards[i]),
            tuple(map(plain, outcome.curve[i])),
            int(outcome.parameters[i]),
            int(outcome.multiply_adds[i]),
            float(outcome.seconds[i]),
            int(outcome.places[i]),
            dict(outcome.figures[i]) if outcome.figures else {},
            outcome.reasons[i] if outcome.reasons else "",
        )
        for i in range(len(trial_ids))
    ]
