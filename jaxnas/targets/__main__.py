"""The process that compiles: what `jaxnas.targets.process` starts. Its arguments come, and its answer goes, as JSON."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from jaxnas import setup
from jaxnas.evaluators.population import PopulationEvaluator
from jaxnas.numerics import pinned
from jaxnas.search import first_proposal
from jaxnas.targets import TARGETS
from jaxnas.targets.compiled import first_round
from jaxnas.targets.devices import device
from jaxnas.targets.process import REFUSED


def main(answer: Path, config: Path, overrides: list[str], target: str, budget: int) -> None:
    """Writes a line into ``answer`` for each program, or why there is none."""
    try:
        _compile(answer, config, overrides, target, budget)
    except ValueError as error:
        answer.write_text(json.dumps({REFUSED: str(error)}))


def _compile(answer: Path, config: Path, overrides: list[str], target: str, budget: int) -> None:
    experiment, _ = setup.load(config, overrides)
    with pinned():
        evaluate = experiment.evaluator.bind(experiment.space, experiment.task, experiment.seed, experiment.children)
        assert isinstance(evaluate, PopulationEvaluator), "asked before this process was started"
        architectures = [experiment.space.decode(row) for row in first_proposal(experiment)]
        with answer.open("a") as file:
            for one in first_round(evaluate, architectures, device(TARGETS[target]), budget):
                print(json.dumps(asdict(one)), file=file, flush=True)


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    main(Path(asked.pop("answer")), Path(asked.pop("config")), **asked)
