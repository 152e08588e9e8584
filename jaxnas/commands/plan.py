"""``python -m jaxnas plan``."""

import time

from jaxnas import report, setup
from jaxnas.evaluators import Plans
from jaxnas.search import first_proposal


def run(options, overrides: list[str]) -> int:
    """Show how the first round would be trained."""
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
