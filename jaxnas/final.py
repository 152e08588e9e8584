"""Final training: the chosen architecture from scratch on all training data, then the test score, once."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np

from jaxnas.evaluators.train import Train, Trainer
from jaxnas.outcome import Trial


@dataclass(frozen=True)
class Final:
    """How the winner is trained; nothing of it changes the search.

    Attributes:
        train: epochs, batch size and optimiser; `best_of_last` is not used, the test score is that of the last epoch.
    """

    train: Train = field(default_factory=lambda: Train(epochs=30))


@dataclass(frozen=True)
class FinalResult:
    """test_score: in [0, 1], None where training diverged; test_examples: how many; seconds: of training;
    settings: the `Final` it came from.
    """

    trial_id: int
    status: str
    test_score: float | None
    test_examples: int
    train_examples: int
    epochs: int
    settings: dict
    parameters: int
    multiply_adds: int
    seconds: float


def train_final(experiment, trial: Trial, on_epoch: Callable[[str, int], None]) -> dict:
    """Train a trial's architecture in its own tight envelope: the ordinary, unpadded network.

    Args:
        experiment: the search's; its ``final`` settings hold.
        trial: which architecture; its id and the seed give the initial weights.
        on_epoch: told what begins and how many epochs are done.

    Returns:
        `FinalResult` as a dict. The test data is scored after the last epoch, once.
    """
    data = experiment.task.final_data(experiment.seed)
    children = experiment.space.children(data.input_shape, data.classes, experiment.final.train.dtype)
    architecture = experiment.space.decode(np.array(trial.tokens, np.int32))
    inside = children.envelope([architecture])
    train = experiment.final.train
    trainer = Trainer(children, experiment.task, data, train, experiment.seed, devices=1)
    genes = [children.place(architecture, inside)]
    result = trainer.run(inside, genes, [trial.trial_id], on_epoch, scored={train.epochs - 1})
    alive, cost = bool(result.alive[0]), children.cost(architecture)
    return asdict(
        FinalResult(
            trial_id=trial.trial_id,
            status="ok" if alive else "diverged",
            test_score=float(result.curve[0, -1]) if alive else None,
            test_examples=len(data.held_out),
            train_examples=len(data.train),
            epochs=train.epochs,
            settings=asdict(experiment.final),
            parameters=cost.parameters,
            multiply_adds=cost.multiply_adds,
            seconds=result.seconds,
        )
    )
