"""The samplers of Optuna, asked and told.

References:
    Akiba et al., Optuna: A Next-generation Hyperparameter Optimization Framework, 2019
    (https://arxiv.org/abs/1907.10902); "tpe": Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011;
    "cmaes": Hansen, The CMA Evolution Strategy: A Tutorial, 2016 (https://arxiv.org/abs/1604.00772); "gp": Optuna's
    `GPSampler` (https://optuna.readthedocs.io).

Letters: N samples, T decisions, M trials so far.
"""

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxnas.decisions import ABSENT, Choice, Decisions, Ordinal, Rewards, Tokens
from jaxnas.ranges import Range
from jaxnas.settings import settings

PACKAGES = {"tpe": ("optuna",), "gp": ("optuna", "scipy", "torch"), "cmaes": ("optuna", "cmaes")}


@partial(jax.tree_util.register_dataclass, data_fields=["tokens", "rewards"], meta_fields=["decisions"])
@dataclass(frozen=True)
class OptunaState:
    """The history, as numpy arrays. tokens: int32 ``[M, T]``; rewards: float32 ``[M]``."""

    tokens: Any
    rewards: Any
    decisions: Decisions


@settings
class Optuna:
    """A sampler of Optuna, with its settings as Optuna has them.

    It is not compiled (``jittable`` is False). At each proposal a study is made from the history, with a sampler seeded
    by the key: the work of a proposal grows with the number of trials.

    Ordinals are integer parameters. Every other column of tokens is a categorical one to "tpe" and "gp"; "cmaes", which
    knows no such ones, sees an integer there: values should be listed in an order that means something. "tpe" is
    not told of absent decisions. The other two need every parameter in every trial: they propose values for absent
    ones too, which are dropped, and in the history uniform ones stand for them.

    Children of a round are asked for one after the other, before any is told. "tpe" (by its constant liar) and "gp"
    lean away from those already asked for, but may repeat one; those of "cmaes" are draws from one distribution, as in
    its generations. Of few values "tpe" finds the best whatever the key is: it draws 24 candidates a decision.
    For "cmaes" the history is told trial by trial, as its generations of 4 + 3 log(T) trials; it is the proposals that
    trials held which it is told of, rounded to integers.

    Attributes:
        sampler: "tpe", "gp" or "cmaes".
        startup: random trials before the sampler takes over; None: its own number ("tpe" and "gp": 10, "cmaes": 1).

    Raises:
        ValueError: another sampler, no random trial; at `init`, packages that are not installed.
    """

    jittable: ClassVar[bool] = False

    sampler: str = "tpe"
    startup: Annotated[int, Range(1, 10**6)] | None = None

    def __post_init__(self):
        if self.sampler not in PACKAGES:
            raise ValueError(f"sampler={self.sampler!r}: give one of {', '.join(PACKAGES)}")

    def init(self, decisions: Decisions, key: jax.Array) -> OptunaState:
        """No history; ``key`` is not used. Raises ValueError where a package is missing."""
        del key
        missing = [package for package in PACKAGES[self.sampler] if importlib.util.find_spec(package) is None]
        if missing:
            remedy = 'pip install "jaxnas[optuna]"' + (" scipy torch" if self.sampler == "gp" else "")
            raise ValueError(f"Optuna(sampler={self.sampler!r}) needs {' and '.join(missing)}: {remedy}")
        return OptunaState(np.zeros((0, len(decisions)), np.int32), np.zeros(0, np.float32), decisions)

    def propose(self, state: OptunaState, key: jax.Array, n: int) -> Int[Array, "N T"]:
        """n trials asked for; ``key`` is consumed."""
        import optuna

        with _quiet(optuna):
            study = optuna.create_study(direction="maximize", sampler=self._seeded(optuna, int(jax.random.bits(key))))
            for number, (tokens, reward) in enumerate(zip(state.tokens, state.rewards.tolist(), strict=True)):
                self._tell(optuna, study, self._parameters(state.decisions, number, tokens), reward, state.decisions)
            asked = [self._ask(study.ask(), state.decisions) for _ in range(n)]
        return state.decisions.without_absent(jnp.array(asked, jnp.int32))

    def update(self, state: OptunaState, tokens: Tokens, rewards: Rewards):
        """The history grows. Metrics: "mean reward"."""
        tokens, rewards = np.asarray(tokens, np.int32), np.asarray(rewards, np.float32)
        history = np.concatenate([state.tokens, tokens]), np.concatenate([state.rewards, rewards])
        return OptunaState(*history, state.decisions), {"mean reward": rewards.mean()}

    def most_likely(self, state: OptunaState) -> Int[np.ndarray, " T"]:
        """The best trial so far."""
        return state.tokens[state.rewards.argmax()]

    def _seeded(self, optuna, seed: int):
        startup = {} if self.startup is None else {"n_startup_trials": self.startup}
        if self.sampler == "tpe":
            return optuna.samplers.TPESampler(seed=seed, constant_liar=True, **startup)
        samplers = {"gp": "GPSampler", "cmaes": "CmaEsSampler"}
        return getattr(optuna.samplers, samplers[self.sampler])(seed=seed, **startup)

    def _parameters(self, decisions: Decisions, number: int, tokens: Int[np.ndarray, " T"]) -> dict[str, int]:
        """A trial's, by column."""
        if self.sampler != "tpe":
            tokens = np.where(tokens < 0, np.random.default_rng(number).integers(decisions.sizes), tokens)
        return {str(t): token for t, token in enumerate(tokens.tolist()) if token >= 0}

    def _tell(self, optuna, study, parameters: dict[str, int], reward: float, decisions: Decisions) -> None:
        """One trial of the history."""
        if self.sampler == "cmaes":  # its state lies in attributes of trials, which it writes where it is asked itself
            study.enqueue_trial(parameters)
            trial = study.ask()
            _ = trial.relative_params  # so it is; what it answers gives way to what is enqueued
            self._ask(trial, decisions)
            study.tell(trial, reward)
        else:
            kinds = {t: _distribution(optuna, decisions.choices[int(t)]) for t in parameters}
            study.add_trial(optuna.trial.create_trial(params=parameters, distributions=kinds, value=reward))

    def _ask(self, trial, decisions: Decisions) -> list[int]:
        """A trial's tokens; absent decisions are -1 for "tpe", and have some value for the others."""
        tokens = []
        for t, choice in enumerate(decisions.choices):
            if self.sampler == "tpe" and not all(tokens[column] in allowed for column, allowed in choice.when):
                tokens.append(ABSENT)
            elif self.sampler == "cmaes" or isinstance(choice, Ordinal):
                tokens.append(trial.suggest_int(str(t), 0, choice.size - 1))
            else:
                tokens.append(trial.suggest_categorical(str(t), range(choice.size)))
        return tokens


def _distribution(optuna, decision: Choice | Ordinal):
    """What "tpe" and "gp" are told that a column is."""
    if isinstance(decision, Ordinal):
        return optuna.distributions.IntDistribution(0, decision.size - 1)
    return optuna.distributions.CategoricalDistribution(range(decision.size))


@contextlib.contextmanager
def _quiet(optuna) -> Iterator[None]:
    """Optuna without a line for each study."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(level, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
