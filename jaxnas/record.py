"""What a ledger says of its search, and what is held against it before anything is added.

Facts: ``configuration``, ``seed``, ``measure``, ``numerics``; ``data``: fingerprints, and ``about``: what else is said
of the data; ``versions``, ``device``, ``flags``, ``git_revision``; ``origin``: config file and command line, null where
the experiment was made in Python; ``ran``: seconds, all starts together; ``finished``: rounds, and ``stopped``: why
there are no more, null where all are done; ``started_from``: the tokens that ``start_from`` named;
``most_likely``; ``final:TRIAL``.
"""

import itertools
from collections.abc import Callable

from jaxnas import fingerprint
from jaxnas.evaluators import Measured, Reads
from jaxnas.experiment import Experiment, describe, differences
from jaxnas.ledger import Ledger
from jaxnas.machine import machine, moved
from jaxnas.numerics import NUMERICS, check_numerics
from jaxnas.repeats import EXHAUSTED
from jaxnas.rewards import Checks
from jaxnas.tasks import measure_of, notes_of


def check_settings(experiment: Experiment, ledger: Ledger) -> None:
    """Raises ValueError where a ledger holds trials of another experiment, or of other numerics."""
    if not len(ledger):
        return  # before the first trial nothing is lost by another configuration
    ledger.check()
    check_numerics(ledger.facts().get("numerics", 1), ledger.path.parent)
    check_same(experiment, ledger)


def check_same(experiment: Experiment, ledger: Ledger) -> None:
    """Raises ValueError where a ledger is of another experiment."""
    changed, workdir = differences(ledger.facts()["configuration"], describe(experiment)), ledger.path.parent
    if changed:
        lines = "\n  ".join(changed)
        raise ValueError(f"{workdir} holds another experiment:\n  {lines}\ngive another directory, or the old settings")


def begin(experiment: Experiment, ledger: Ledger, evaluate, origin: dict | None, note: Callable[[str], None]) -> None:
    """Record what runs here, or refuse it.

    Args:
        experiment: its rounds and the settings of ``final`` may have changed since: the newest hold.
        ledger: of the directory.
        evaluate: what `Evaluator.bind` gave.
        origin: the config file and the command line; None: there is neither.
        note: told what differs and does no harm, and how data was taken.

    Raises:
        ValueError: the ledger holds trials of another experiment, of other data or of other numerics; a limit that no
            score can come to.
    """
    check_settings(experiment, ledger)
    facts, here = ledger.facts(), machine()
    data, about = (evaluate.fingerprint(), evaluate.about()) if isinstance(evaluate, Reads) else ({}, {})
    if len(ledger):
        fingerprint.check(facts.get("data", {}), data, ledger.path.parent)
        for line in moved(facts, here):
            note(line)
        if origin and facts.get("origin") and origin["source"] != facts["origin"]["source"]:
            note("The config's text has changed: its settings are the same, what its functions do is not looked at.")
    else:
        ledger.record(seed=experiment.seed, numerics=NUMERICS, data=data, about=about, **here)
    for line in notes_of(evaluate):
        note(line)
    measure = evaluate.measure if isinstance(evaluate, Measured) else measure_of(experiment.task)
    if isinstance(experiment.reward, Checks):
        experiment.reward.check(measure)
    experiment.stop.check(measure)
    configuration = describe(experiment)
    configuration["rounds"] = max(experiment.rounds, -(-len(ledger) // experiment.children))  # of all that lie there
    ledger.record(configuration=configuration, measure=measure)
    if origin is not None or "origin" not in facts:
        ledger.record(origin=origin)


def is_finished(experiment: Experiment, ledger: Ledger) -> bool:
    """Whether there is nothing to do: the end of the last round was recorded."""
    return why_finished(experiment, ledger) != ""


def why_finished(experiment: Experiment, ledger: Ledger) -> str:
    """Why there is nothing to do, in words; "": there is something."""
    rounds, done = ledger.facts().get("finished", 0), len(ledger)
    if done >= experiment.rounds * experiment.children and rounds >= experiment.rounds:
        return "all rounds are done. More rounds continue it: --rounds N"
    if experiment.repeats == "forbid" and (ledger.facts().get("stopped") or {}).get("reason") == EXHAUSTED:
        return EXHAUSTED
    why = experiment.stop.reason(ledger, rounds) if rounds and done == rounds * experiment.children else ""
    return f"{why}. Another limit continues it" if why else ""


def record_final(ledger: Ledger, result: dict) -> None:
    """As fact ``final:TRIAL``; one of other settings, whose files the user has moved away, stays, as
    ``final:TRIAL:N``.
    """
    name, facts = f"final:{result['trial_id']}", ledger.facts()
    former = facts.get(name)
    if former is not None and former != result and former["test_score"] is not None:
        number = next(n for n in itertools.count(1) if f"{name}:{n}" not in facts)
        ledger.record(**{f"{name}:{number}": former})
    if former != result:
        ledger.record(**{name: result})
