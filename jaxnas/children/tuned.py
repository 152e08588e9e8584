"""Children of any family with settings of their training beside: learning rate, weight decay, batch size and others.

References:
    Bergstra & Bengio, Random Search for Hyper-Parameter Optimization, 2012: why they belong into the same search.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnas.children import Children, Exports, Network, OwnHyperparameters, Separates, Shares, Widens, Work
from jaxnas.children.engines import Engine
from jaxnas.children.normalised import BatchNormalised, Normalised
from jaxnas.values import Scalar

STATIC = ("batch_size", "epochs", "optimiser")
"""Settings of a training that make a program of their own."""
SMOOTHING = "label_smoothing"
TRACED = ("learning_rate", "weight_decay", "momentum", "beta1", "beta2", "clip", SMOOTHING)
"""Those of which all share one."""


class TunedArchitecture(NamedTuple):
    """An architecture and the settings of its training, by name."""

    architecture: Any
    training: Mapping[str, Scalar]


class TunedGenes(NamedTuple):
    """network: the genes of the network; hyperparameters: see `OwnHyperparameters`."""

    network: Any
    hyperparameters: dict[str, Any]


@dataclass(frozen=True)
class TunedEnvelope:
    """Attributes:
    network: the envelope of the networks.
    engine: theirs.
    training: see `OwnTraining`.
    traced: names of the settings that a child's genes have.
    """

    network: Any
    engine: Engine
    training: tuple[tuple[str, Scalar], ...]
    traced: tuple[str, ...]

    @property
    def inside(self) -> Any:
        """That of the networks, with this engine."""
        return replace(self.network, engine=self.engine)


class TunedNetwork(Network):
    """A network that is called with its own part of the genes."""

    def __init__(self, network: Network):
        self.network = network

    @property
    def traced_training(self) -> bool:
        """That of the network."""
        return self.network.traced_training

    def __call__(self, x, genes, training, carry, key):
        return self.network(x, genes.network, training, carry, key)

    def carry(self, batch: int):
        return self.network.carry(batch)


@dataclass(frozen=True)
class TunedChildren:
    """Children of another space with settings of their training; made by `tuned`. See `Children`."""

    of: Any

    @property
    def engines(self) -> Sequence[Engine]:
        """Those of the networks."""
        return self.of.engines

    def training_of(self, architecture: TunedArchitecture) -> tuple[tuple[tuple[str, Scalar], ...], tuple[str, ...]]:
        """Its static settings, and the names of the traced ones."""
        return _static(architecture), _traced(architecture)

    def program_key(self, architecture: TunedArchitecture) -> Hashable:
        """See `Separates`."""
        own = self.of.program_key(architecture.architecture) if isinstance(self.of, Separates) else None
        return own, self.training_of(architecture)

    def envelope(self, architectures: Sequence[TunedArchitecture], engine: Engine, known: Collection | None = None):
        """See `Children`."""
        common = self.training_of(architectures[0])
        if any(self.training_of(one) != common for one in architectures):
            return None
        alike = [e.network for e in known if (e.training, e.traced) == common] if known is not None else None
        network = self.of.envelope([one.architecture for one in architectures], engine, alike)
        return None if network is None else TunedEnvelope(network, network.engine, *common)

    def place(self, architecture: TunedArchitecture, envelope: TunedEnvelope) -> TunedGenes:
        """See `Children`. What the networks decide of their training themselves goes along."""
        if self.training_of(architecture) != (envelope.training, envelope.traced):
            raise ValueError(f"{architecture.training} does not run in the program of {dict(envelope.training)}")
        genes = self.of.place(architecture.architecture, envelope.inside)
        own = genes.hyperparameters if isinstance(genes, OwnHyperparameters) else {}
        mine = {name: np.float32(architecture.training[name]) for name in envelope.traced}
        twice = own.keys() & mine.keys()
        if twice:
            raise ValueError(f"{twice.pop()!r} is decided by the space and by Tuned: leave it out of one of them")
        return TunedGenes(genes, dict(own) | mine)

    def build(self, envelope: TunedEnvelope, genes: TunedGenes, key: jax.Array) -> TunedNetwork:
        """See `Children`."""
        return TunedNetwork(self.of.build(envelope.inside, genes.network, key))

    def work(self, envelope: TunedEnvelope, architecture: TunedArchitecture | None = None) -> Work:
        """See `Children`."""
        return self.of.work(envelope.inside, None if architecture is None else architecture.architecture)

    def describe(self, architecture: TunedArchitecture) -> dict:
        """That of the network, with "training" beside."""
        return self.of.describe(architecture.architecture) | {"training": dict(architecture.training)}


class _Shares:
    def share(self, envelope: TunedEnvelope, x: Any) -> Any:
        """See `Shares`."""
        return self.of.share(envelope.inside, x)


class _Widens:
    def widened(self, factor: float) -> Children:
        """See `Widens`."""
        return tuned(self.of.widened(factor))

    def widen(self, architecture: TunedArchitecture, factor: float) -> TunedArchitecture:
        """See `Widens`."""
        return architecture._replace(architecture=self.of.widen(architecture.architecture, factor))


class _Exports:
    @property
    def dtype(self) -> str:
        """See `Exports`."""
        return self.of.dtype

    @property
    def norm(self) -> Any:
        """See `Exports`."""
        return self.of.norm

    def weights(self, network: TunedNetwork, architecture: TunedArchitecture) -> dict[str, np.ndarray]:
        """See `Exports`."""
        return self.of.weights(network.network, architecture.architecture)


class _BatchNormalised:
    def least_normalised(self, architecture: TunedArchitecture | None = None) -> Normalised | None:
        """See `BatchNormalised`."""
        return self.of.least_normalised(None if architecture is None else architecture.architecture)


OPTIONAL = {Shares: _Shares, Widens: _Widens, Exports: _Exports, BatchNormalised: _BatchNormalised}
"""What only some children can do, and how tuned ones do it."""


def tuned(children: Children) -> TunedChildren:
    """These with settings of their training; they can do what these can."""
    return _class(tuple(mixin for protocol, mixin in OPTIONAL.items() if isinstance(children, protocol)))(children)


@lru_cache
def _class(mixins: tuple[type, ...]) -> type[TunedChildren]:
    return type("TunedChildren", (*mixins, TunedChildren), {})


def _static(architecture: TunedArchitecture) -> tuple[tuple[str, Scalar], ...]:
    return tuple((name, architecture.training[name]) for name in STATIC if name in architecture.training)


def _traced(architecture: TunedArchitecture) -> tuple[str, ...]:
    return tuple(name for name in TRACED if name in architecture.training)
