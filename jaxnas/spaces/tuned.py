"""Any space with settings of the training of its children beside: one search for both."""

from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from jaxtyping import Bool

from jaxnas.children.tuned import STATIC, TRACED, TunedArchitecture, TunedChildren, tuned
from jaxnas.decisions import Anchor, Choice, Decisions, Ordinal
from jaxnas.ranges import Range, Such
from jaxnas.spaces.contract import Restores, Space, present_columns
from jaxnas.spaces.named import NamedValues

SHARE = Range(0, 1, "[)")
RANGES = {
    "learning_rate": Range(0, 1e3, "(]"), "weight_decay": Range(0, 1e6), "momentum": SHARE, "beta1": SHARE,
    "beta2": SHARE, "clip": Range(0, 1e9, "(]"), "label_smoothing": SHARE, "batch_size": Range(1, 10**6),
    "epochs": Range(1, 100_000),
}  # fmt: skip
"""What a setting can be at all."""
OPTIMISERS = ("sgd", "adam")
WHOLE = ("batch_size", "epochs")


class Tuned(NamedValues):
    """A space and settings of the training that each child decides itself, in one search.

        space = Tuned(ChainCNN(), learning_rate=Float(1e-4, 1e-1, log=True), batch_size=Categorical(32, 128))

    Settings: ``learning_rate``, ``weight_decay``, ``momentum`` (of SGD), ``beta1``, ``beta2`` (of Adam), ``clip`` (norm
    of the gradient), ``label_smoothing``: numbers, traced, so that all share a program; ``batch_size``, ``epochs``,
    ``optimiser`` ("sgd" or "adam", with the other settings of `Train.optimiser` where it is of this kind, else of its
    defaults): a program each. Schedules apply to a rate as to the common one.

    In final training they hold as well, but for the epochs, which are `Final.train`'s.

    Raises:
        ValueError: no setting, an unknown one, or values that it cannot have.
    """

    own = (("space", Annotated[Space, Such("ChainCNN()")]),)

    def __new__(cls, space: Any = None, **values: Any) -> Any:
        return super().__new__(cls, space, **values)

    def __post_init__(self):
        named = self.values.values
        if isinstance(self.space, Tuned):
            raise ValueError("Tuned(Tuned(...)): give all settings to one Tuned")
        if not named:
            raise ValueError("Tuned: give one setting or more, as learning_rate=Float(1e-4, 1e-1, log=True)")
        for name, value in named.items():
            if name not in (*STATIC, *TRACED):
                raise ValueError(f"{name}: no setting of a training: give some of {', '.join((*TRACED, *STATIC))}")
            ends = (0, value.size - 1) if value.ordered else range(value.size)
            _check(name, [value.value(token) for token in ends])
        _ = self.decisions  # conditions are checked

    def traced(self, name: str) -> bool:
        """See `NamedValues`."""
        return name in TRACED

    @cached_property
    def decisions(self) -> Decisions:
        """The settings first, because a space may grow at its end."""
        own = self.values.decisions.made
        shift = len(own)
        return Decisions((*own, *(_shifted(d, shift) for d in self.space.decisions.made)))

    def decode(self, tokens) -> TunedArchitecture:
        """tokens ``[T]`` -> architecture and settings."""
        tokens, own = self.decisions.check(tokens), len(self.values.values)
        return TunedArchitecture(self.space.decode(tokens[own:]), self.values.decode(tokens[:own]))

    def encode(self, architecture: TunedArchitecture):
        """Architecture and settings -> tokens ``[T]``."""
        own = self.values.encode(architecture.training)
        return np.concatenate([own, np.asarray(self.space.encode(architecture.architecture), np.int32)])

    def restore(self, described: dict) -> TunedArchitecture:
        """See `Restores`. Raises ValueError where the wrapped space does not."""
        if not isinstance(self.space, Restores):
            raise ValueError(f"{type(self.space).__name__} does not read architectures: give lists of tokens")
        inside = {name: value for name, value in described.items() if name != "training"}
        return TunedArchitecture(self.space.restore(inside), described["training"])

    def present(self, trials: int) -> Bool[np.ndarray, " T"]:
        """See `Grows`."""
        return np.concatenate([np.ones(len(self.values.values), bool), present_columns(self.space, trials)])

    def children(self, input_shape: tuple[int, ...], classes: int, dtype: str = "float32") -> TunedChildren:
        """Those of the space, with settings of their training."""
        return tuned(self.space.children(input_shape, classes, dtype))


def _shifted(decision: Choice | Ordinal | Anchor, columns: int) -> Choice | Ordinal | Anchor:
    """The same so many columns further on."""
    return replace(decision, when=tuple((column + columns, tokens) for column, tokens in decision.when))


def _check(name: str, values: list) -> None:
    """Raises ValueError where a setting cannot have one of these."""
    for value in values:
        if name == "optimiser":
            if value not in OPTIMISERS:
                raise ValueError(f"optimiser: {value!r}: give some of {', '.join(map(repr, OPTIMISERS))}")
        elif isinstance(value, bool) or not isinstance(value, int if name in WHOLE else int | float):
            raise ValueError(f"{name}: {value!r}: give {'whole ' if name in WHOLE else ''}numbers")
        elif not RANGES[name].holds(value):
            raise ValueError(f"{name}: {value!r}: give numbers{RANGES[name]}")
