"""The search: propose, evaluate, update, round after round. The ledger is read before anything is trained."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Int

from jaxnas.contracts import checked_metrics, checked_outcome, checked_state, checked_update
from jaxnas.evaluators import Closes, Evaluate, StopsEarly
from jaxnas.experiment import Experiment
from jaxnas.ledger import Ledger
from jaxnas.locks import locked
from jaxnas.numerics import pinned
from jaxnas.outcome import Outcome, Progress, Status, Trial
from jaxnas.proposing import Proposals
from jaxnas.record import begin, check_settings
from jaxnas.repeats import EXHAUSTED, copy_of
from jaxnas.rewards import Lessons, told
from jaxnas.rng import key_for
from jaxnas.starting import known
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
        tell = _Told(callback, Clock(ledger))
        check_settings(experiment, ledger)
        first = ledger.facts().get("started_from", []) if len(ledger) else known(experiment)
        trials = experiment.rounds * experiment.children
        evaluate = experiment.evaluator.bind(experiment.space, experiment.task, experiment.seed, trials)
        begin(experiment, ledger, evaluate, origin, callback.note)
        if isinstance(callback, HearsOfData):
            callback.about(ledger.facts().get("about", {}))
        if isinstance(evaluate, StopsEarly):
            evaluate.rank_by(experiment.reward)
        try:
            ledger.record(started_from=first)
            favourite, rounds, why = _rounds(experiment, ledger, evaluate, tell, first)
        finally:
            ledger.settle()
            if isinstance(evaluate, Closes):
                evaluate.close()
        if favourite is not None:
            ledger.record(most_likely={"rounds": rounds, "architecture": evaluate.describe(favourite)})
        ledger.record(
            finished=rounds, ran=tell.clock.seconds, stopped={"rounds": rounds, "reason": why} if why else None
        )
        ledger.settle()


def _rounds(experiment: Experiment, ledger: Ledger, evaluate: Evaluate, tell: "_Told", known: list):
    """Propose, evaluate, update; the tokens of the strategy's favourite at the end, None where it names none or has
    learnt of no round, after how many rounds that is, and why there are no more, "" where all are done.
    """
    strategy, n = experiment.strategy, experiment.children
    propose, update = _functions(strategy)
    proposals, lessons = Proposals(experiment, propose, known), Lessons(ledger.measure)
    state = checked_state(strategy, strategy.init(experiment.space.decisions, key_for(experiment.seed, "strategy")))
    learnt = False

    def favourite():
        prefers = learnt and isinstance(strategy, Prefers)
        return proposals.existing(strategy.most_likely(state)) if prefers else None

    for r in range(experiment.rounds):
        begun = bool(ledger.trials(range(r * n, (r + 1) * n)))
        why = experiment.stop.reason(ledger, r) if r and not begun else ""
        tokens = None if why else proposals.of_round(state, r)
        if why or not len(tokens):
            return favourite(), r, why or EXHAUSTED
        trials = _evaluated(experiment, ledger, evaluate, tell, r, tokens, proposals.copies(tokens, r))
        if len(tokens) < n:
            return favourite(), r + 1, EXHAUSTED
        rewards = np.array([t.reward for t in trials])
        lesson = lessons.of(rewards, np.array([t.ranked for t in trials]))
        if lesson is None:
            tell.callback.round_done(r, {"mean reward": float(rewards.mean())})
            continue
        state, metrics = update(state, tokens, np.float32(lesson))
        learnt = True
        if not finite(state):
            raise ValueError(_why_not_finite(strategy, r, rewards))
        tell.callback.round_done(r, checked_metrics(strategy, metrics))
    return favourite(), experiment.rounds, ""


class _Told(NamedTuple):
    """Who is told, and what the time is."""

    callback: Callback
    clock: Clock


def _evaluated(
    experiment: Experiment, ledger: Ledger, evaluate: Evaluate, tell: _Told, round: int, tokens, copies: dict[int, int]
) -> list[Trial]:
    """The trials of a round, once the ledger has all of it. ``copies``: its trials that are not
    evaluated, and those whose results they get.
    """
    first = round * experiment.children
    ids = range(first, first + len(tokens))
    done = {t.trial_id: t for t in ledger.trials(ids)}
    _check_same(done, tokens, first)
    own = [trial - first for trial in ids if trial not in copies]
    trial_ids, asked = np.array(ids)[own], tokens[own]
    there = {trial: done[trial] for trial in trial_ids.tolist() if trial in done}
    # what is there, an evaluator only takes note of
    for answer in evaluate(asked, trial_ids, there, tell.callback.progress) if own else ():
        rows, outcome = checked_outcome(evaluate, answer, len(own))
        told_of = told(experiment.reward, outcome)
        _keep(ledger, tell, _trials(round, trial_ids[rows], asked[rows], outcome, *told_of))
    _keep(ledger, tell, [copy_of(ledger.trial(copies[trial]), trial, round) for trial in copies if trial not in done])
    if len(done) < len(ids):
        ledger.settle()
    return ledger.trials(ids)


def _keep(ledger: Ledger, tell: _Told, trials: list[Trial]) -> None:
    if trials:
        ledger.append(trials, ran=tell.clock.seconds)
        tell.callback.trials(trials)


def first_proposal(experiment: Experiment) -> Int[np.ndarray, "N T"]:
    """The tokens of the first round."""
    state = experiment.strategy.init(experiment.space.decisions, key_for(experiment.seed, "strategy"))
    return Proposals(experiment, experiment.strategy.propose, known(experiment)).of_round(state, 0)


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
