"""jaxnas: neural architecture search by reinforcement learning, on JAX.

A controller samples a batch of architectures; the children, all different, train together in one compiled program;
their validation scores become a policy gradient.

    import jaxnas

    experiment = jaxnas.Experiment(space=jaxnas.ChainCNN(), task=jaxnas.Digits())
    print(jaxnas.run(experiment, "runs/digits").best)
"""

from importlib import import_module
from typing import Any

_PLACES = {
    "Experiment": "experiment",
    "Final": "final",
    "Ledger": "ledger",
    "run": "running",
    **dict.fromkeys(["Adam", "Objective", "Population", "SGD", "SuccessiveHalving", "Table", "Train"], "evaluators"),
    **dict.fromkeys(["MLP", "Cell201", "ChainCNN", "Choices", "ModuleSpace"], "spaces"),
    **dict.fromkeys(["RecurrentCell", "SkipCNN", "StandardCell", "Tuned"], "spaces"),
    **dict.fromkeys(["Categorical", "Float", "Int"], "values"),
    **dict.fromkeys(["Digits", "Images", "Ratings", "Tabular", "Text", "TextClassification"], "tasks"),
    **dict.fromkeys(
        ["PPO", "Bayes", "Evolution", "LocalSearch", "Optuna", "QLearning", "QTuner", "Random", "Reinforce"],
        "strategies",
    ),
}
"""Public names, and the module of each. They are imported when they are asked for: a command starts without most of
them, and what has to be said to JAX before it is imported can still be said.
"""
_MODULES = ("elastic", "rewards")

__all__ = sorted((*_PLACES, *_MODULES))  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"jaxnas.{name}")
    if name in _PLACES:
        return getattr(import_module(f"jaxnas.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'jaxnas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
