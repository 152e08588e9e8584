"""``python -m jaxnas plan``."""

import difflib
import time

from jaxnas import report, setup
from jaxnas.commands.status import FAILED
from jaxnas.evaluators import Plans, Population
from jaxnas.evaluators.memory import SHARE
from jaxnas.search import first_proposal
from jaxnas.targets import TARGETS, Target, check_installed
from jaxnas.targets.process import compile_first_round


def run(options, overrides: list[str]) -> int:
    """Show how the first round would be trained, here or on a device that is not here."""
    if options.target is None and options.memory is not None:
        raise ValueError(f"--memory {options.memory:g} is of a device that is not here: name it, --for h100")
    return _here(options, overrides) if options.target is None else _there(options, overrides)


def _here(options, overrides: list[str]) -> int:
    setup.start()
    experiment, _ = setup.load(options.config, overrides)
    setup.use(experiment)
    trials = experiment.rounds * experiment.children
    evaluate = experiment.evaluator.bind(experiment.space, experiment.task, experiment.seed, trials)
    if not isinstance(evaluate, Plans):
        raise ValueError(f"{type(experiment.evaluator).__name__} trains nothing: there is no plan to show")
    print(f"Planning a round of {experiment.children} children.", flush=True)
    tokens = first_proposal(experiment)
    began = time.perf_counter()
    plan = evaluate.plan(tokens)
    report.print_plan(report.console(), plan, time.perf_counter() - began)
    return 0


def _there(options, overrides: list[str]) -> int:
    target = _target(options.target)
    experiment, _ = setup.load(options.config, overrides)
    if not isinstance(experiment.evaluator, Population):
        raise ValueError(f"{type(experiment.evaluator).__name__} trains nothing: there is no program to compile")
    budget = _budget(options.memory, experiment.evaluator.memory, target)
    check_installed(target)
    print(f"Compiling the first round of {experiment.children} children for one {target.title}.", flush=True)
    found = compile_first_round(options.config, overrides, options.target, budget, experiment.deterministic)
    report.console(width=120).print(report.target_table(found, budget))
    print("\n".join(report.target_lines(found, target, budget)))
    return FAILED if any(one.hopeless(budget) for one in found) else 0


def _target(name: str) -> Target:
    if name not in TARGETS:
        near = difflib.get_close_matches(name.lower(), TARGETS, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"--for {name}: {hint}There are {', '.join(TARGETS)}")
    return TARGETS[name]


def _budget(asked: float | None, settings: float | None, target: Target) -> int:
    """Bytes for a group: what is asked for, else the experiment's setting, else `SHARE` of the device's memory."""
    gib = settings if asked is None else asked
    if gib is None:
        return int(SHARE * target.memory)
    if not 0 < gib * 2**30 <= target.memory:
        most = target.memory / 2**30
        raise ValueError(f"{gib:g} GiB of memory: one {target.title} has {most:.3g}, give more than 0 and at most that")
    return int(gib * 2**30)
