"""jaxnas: neural architecture search by reinforcement learning, on JAX.

A controller samples a batch of architectures; the children, all different, train together in one compiled program;
their validation scores become a policy gradient.

    import jaxnas

    experiment = jaxnas.Experiment(space=jaxnas.ChainCNN(), task=jaxnas.Digits())
    print(jaxnas.run(experiment, "runs/digits").best)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the table below once more, for who reads types (a test holds them together)
    from jaxnas import elastic as elastic
    from jaxnas import rewards as rewards
    from jaxnas.evaluators import SGD as SGD
    from jaxnas.evaluators import Adam as Adam
    from jaxnas.evaluators import Objective as Objective
    from jaxnas.evaluators import Population as Population
    from jaxnas.evaluators import SuccessiveHalving as SuccessiveHalving
    from jaxnas.evaluators import Table as Table
    from jaxnas.evaluators import Train as Train
    from jaxnas.experiment import Experiment as Experiment
    from jaxnas.final import Final as Final
    from jaxnas.found import Found as Found
    from jaxnas.ledger import Ledger as Ledger
    from jaxnas.outcome import Trial as Trial
    from jaxnas.rewards import Accuracy as Accuracy
    from jaxnas.rewards import CubedAccuracy as CubedAccuracy
    from jaxnas.rewards import Perplexity as Perplexity
    from jaxnas.running import run as run
    from jaxnas.spaces import MLP as MLP
    from jaxnas.spaces import Cell201 as Cell201
    from jaxnas.spaces import ChainCNN as ChainCNN
    from jaxnas.spaces import Choices as Choices
    from jaxnas.spaces import Dropout as Dropout
    from jaxnas.spaces import Growth as Growth
    from jaxnas.spaces import LanguageModel as LanguageModel
    from jaxnas.spaces import ModuleSpace as ModuleSpace
    from jaxnas.spaces import RecurrentCell as RecurrentCell
    from jaxnas.spaces import SkipCNN as SkipCNN
    from jaxnas.spaces import StandardCell as StandardCell
    from jaxnas.spaces import Tuned as Tuned
    from jaxnas.strategies import PPO as PPO
    from jaxnas.strategies import Bayes as Bayes
    from jaxnas.strategies import Evolution as Evolution
    from jaxnas.strategies import LocalSearch as LocalSearch
    from jaxnas.strategies import Optuna as Optuna
    from jaxnas.strategies import QLearning as QLearning
    from jaxnas.strategies import QTuner as QTuner
    from jaxnas.strategies import Random as Random
    from jaxnas.strategies import Reinforce as Reinforce
    from jaxnas.tasks import Augment as Augment
    from jaxnas.tasks import Digits as Digits
    from jaxnas.tasks import Images as Images
    from jaxnas.tasks import Ratings as Ratings
    from jaxnas.tasks import Tabular as Tabular
    from jaxnas.tasks import Text as Text
    from jaxnas.tasks import TextClassification as TextClassification
    from jaxnas.tuning import tune as tune
    from jaxnas.values import Categorical as Categorical
    from jaxnas.values import Float as Float
    from jaxnas.values import Int as Int

    __version__: str

_PLACES = {
    "Experiment": "experiment",
    "Final": "final",
    "Found": "found",
    "Ledger": "ledger",
    "Trial": "outcome",
    "run": "running",
    "tune": "tuning",
    **dict.fromkeys(["Adam", "Objective", "Population", "SGD", "SuccessiveHalving", "Table", "Train"], "evaluators"),
    **dict.fromkeys(["Accuracy", "CubedAccuracy", "Perplexity"], "rewards"),
    **dict.fromkeys(["MLP", "Cell201", "ChainCNN", "Choices", "ModuleSpace"], "spaces"),
    **dict.fromkeys(["RecurrentCell", "SkipCNN", "StandardCell", "Tuned"], "spaces"),
    **dict.fromkeys(["Dropout", "Growth", "LanguageModel"], "spaces"),
    **dict.fromkeys(["Categorical", "Float", "Int"], "values"),
    **dict.fromkeys(["Augment", "Digits", "Images", "Ratings", "Tabular", "Text", "TextClassification"], "tasks"),
    **dict.fromkeys(
        ["PPO", "Bayes", "Evolution", "LocalSearch", "Optuna", "QLearning", "QTuner", "Random", "Reinforce"],
        "strategies",
    ),
}
"""Public names, and the module of each. They are imported when they are asked for: a command starts without most of
them, and what has to be said to JAX before it is imported can still be said.
"""
_MODULES = ("elastic", "rewards")

__all__ = sorted((*_PLACES, *_MODULES, "__version__"))  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"jaxnas.{name}")
    if name in _PLACES:
        return getattr(import_module(f"jaxnas.{_PLACES[name]}"), name)
    if name == "__version__":
        return import_module("jaxnas.version").version()
    raise AttributeError(f"module 'jaxnas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
