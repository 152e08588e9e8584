"""The children of a user's own network: an architecture is a dictionary of values.

Letters: B batch, K classes.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxnas.children import Work
from jaxnas.children.engines import Engine, Padded
from jaxnas.children.module.cost import count
from jaxnas.children.module.definition import example, made, title
from jaxnas.children.module.network import PYTHON_NUMBER, ModuleNetwork, weights
from jaxnas.elastic import Size
from jaxnas.inputs import Inputs
from jaxnas.values import Categorical, Float, Int, Scalar, Value


@dataclass(frozen=True)
class ModuleEnvelope:
    """What children must have in common to share a program.

    Attributes:
        engine: how they run.
        static: values that the network gets as Python's, by name.
        traced: names of those that it gets as arrays.
        types: of the static ones: 1, 1.0 and True are equal, and not the same to a network.
    """

    engine: Engine
    static: tuple[tuple[str, Scalar], ...]
    traced: tuple[str, ...]
    types: tuple[str, ...] = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "types", tuple(type(value).__name__ for _, value in self.static))


@dataclass(frozen=True)
class ModuleChildren:
    """Children that are calls of one user's network.

    Attributes:
        net: see `jaxnas.children.module.definition`.
        values: what it is called with, by name.
        input_shape: of one example, and what its numbers are.
        classes: outputs: labels or symbols, 1 of a regression.
        dtype: of factors, as `Train.dtype` has it.
        engines: one: a user's network computes as it says.
    """

    net: Any
    values: tuple[tuple[str, Value], ...]
    input_shape: Inputs
    classes: int
    dtype: str = "float32"
    engines: tuple[Engine, ...] = (Padded(),)
    norm: None = None

    def envelope(
        self, architectures: Sequence[Mapping[str, Scalar]], engine: Engine, known: Collection | None = None
    ) -> ModuleEnvelope | None:
        """See `Children`. By itself an architecture gets all its values as Python's: the ordinary network."""
        alone = known is None and len(architectures) == 1
        found = {self._apart(one, engine, alone) for one in architectures}
        return found.pop() if len(found) == 1 else None

    def _apart(self, architecture: Mapping[str, Scalar], engine: Engine, alone: bool) -> ModuleEnvelope:
        there = [(name, value) for name, value in self.values if name in architecture]
        static = tuple((name, architecture[name]) for name, value in there if value.static or alone)
        return ModuleEnvelope(engine, static, tuple(name for name, value in there if not (value.static or alone)))

    def place(self, architecture: Mapping[str, Scalar], envelope: ModuleEnvelope) -> dict[str, np.ndarray]:
        """The traced values, each ``[]``."""
        if self._apart(architecture, envelope.engine, not envelope.traced) != envelope:
            raise ValueError(f"{dict(architecture)} does not run in the program of {dict(envelope.static)}")
        types = dict(self.values)
        return {name: _number(types[name], architecture[name]) for name in envelope.traced}

    def build(self, envelope: ModuleEnvelope, genes: Mapping[str, Any], key: Any) -> ModuleNetwork:
        """See `Children`."""
        types = dict(self.values)
        values = dict(envelope.static) | {name: _traced(name, types[name], genes[name]) for name in envelope.traced}
        x = example(self.input_shape)
        return ModuleNetwork(made(self.net, self.input_shape, self.classes, values, x, key))

    def work(self, envelope: ModuleEnvelope, architecture: Mapping[str, Scalar] | None = None) -> Work:
        """See `Children`. Products and convolutions are counted in what is traced, for one example."""
        whole = _counted(self, self._with_traced_floats(envelope))
        if architecture is None:
            return whole
        types = dict(self.values)
        sizes = tuple((n, architecture[n]) for n in envelope.traced if not isinstance(types[n], Float))
        if not sizes:
            return whole
        exact = self._apart(architecture, envelope.engine, alone=True)
        own = _counted(self, self._with_traced_floats(exact))
        return replace(whole, multiply_adds=own.multiply_adds, parameters=own.parameters)

    def _with_traced_floats(self, envelope: ModuleEnvelope) -> ModuleEnvelope:
        """The same as arrays what changes no count, so that children that differ in it are counted once."""
        types = dict(self.values)
        free = [name for name, _ in envelope.static if isinstance(types[name], Float) and not types[name].static]
        static = tuple((name, value) for name, value in envelope.static if name not in free)
        return replace(envelope, static=static, traced=(*envelope.traced, *free))

    def describe(self, architecture: Mapping[str, Scalar]) -> dict:
        """See `Children`."""
        return {"type": "module", "network": title(self.net), "values": dict(architecture)}

    def weights(self, network: ModuleNetwork, architecture: Any) -> dict[str, np.ndarray]:
        """See `Exports`: by the names that the user's network has for them."""
        found = {name.split(".", 2)[-1]: np.asarray(leaf) for name, leaf in weights(network).items()}
        return {name: leaf for name, leaf in found.items() if jnp.issubdtype(leaf.dtype, jnp.number)}

    def check(self, envelope: ModuleEnvelope) -> None:
        """Whether the network can be called as the children of an envelope are.

        Raises:
            ValueError: a traced value that is used as a Python number, or outputs that are no logits.
        """
        try:
            found = _outputs(self, envelope)
        except PYTHON_NUMBER as error:
            used = _used_as_numbers(self, envelope)
            if not used:
                raise  # a fault of the user's own, which the traceback shows
            raise ValueError(
                f"{title(self.net)} uses {used[0]} as a Python number, but it is traced, so that all children share "
                f"a program ({_first_line(error)}): {_remedy(used[0], dict(self.values)[used[0]])}"
            ) from error
        x = example(self.input_shape)
        every = self.input_shape.every
        wanted = (*(x.shape if every else x.shape[:1]), self.classes)
        had = found.shape if isinstance(found, jax.ShapeDtypeStruct) else type(found).__name__
        if had != wanted:
            raise ValueError(
                f"{title(self.net)} gives {had} for inputs of {x.shape}: it has to give outputs of {wanted}, "
                f"{self.classes} for each {'symbol' if every else 'example'}"
            )


def _used_as_numbers(children: ModuleChildren, envelope: ModuleEnvelope) -> list[str]:
    """Of the traced values those that cannot be; none where the network does not run with ordinary values, either."""
    types = dict(children.values)
    plain = {name: types[name].value(types[name].size // 2) for name in envelope.traced}

    def runs(*traced: str) -> bool:
        static = (*envelope.static, *((name, value) for name, value in plain.items() if name not in traced))
        try:
            _outputs(children, replace(envelope, static=static, traced=traced))
        except PYTHON_NUMBER:
            return False
        return True

    return [name for name in envelope.traced if not runs(name)] if runs() else []


def _remedy(name: str, value: Value) -> str:
    kind = type(value).__name__
    layers = "take jaxnas.elastic.Dropout in place of nnx.Dropout, or " if isinstance(value, Float) else ""
    layers = "take layers of jaxnas.elastic, or " if isinstance(value, Int) else layers
    return f"{layers}say {name}={kind}(..., static=True): a program for each {name} then"


def _number(value: Value, given: Scalar) -> np.ndarray:
    """A traced value as an array: whole where all its values are."""
    whole = isinstance(value, Int) or (isinstance(value, Categorical) and all(type(v) is int for v in value.values))
    return np.asarray(given, np.int32 if whole else np.float32)


def _traced(name: str, value: Value, gene: jax.typing.ArrayLike) -> Any:
    """What the network gets."""
    gene = jnp.asarray(gene)
    return Size(gene, value.levels[-1], name) if isinstance(value, Int) else gene


def _abstract(children: ModuleChildren, envelope: ModuleEnvelope) -> dict[str, np.ndarray]:
    types = dict(children.values)
    return {name: _number(types[name], types[name].value(0)) for name in envelope.traced}


def _outputs(children: ModuleChildren, envelope: ModuleEnvelope) -> Any:
    """The shapes of what a batch of two gives, in training."""

    def forward(genes, key):
        network = children.build(envelope, genes, key)
        network.train()
        hash(nnx.graphdef(network))  # a traced value where NNX looks for none, as in a list: TypeError
        return network(example(children.input_shape), genes, True, (), key)[0]

    return jax.eval_shape(forward, _abstract(children, envelope), jax.random.key(0))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:120]


@lru_cache(4096)
def _counted(children: ModuleChildren, envelope: ModuleEnvelope) -> Work:
    """What a network takes in an envelope, for one example."""
    children.check(envelope)
    genes, x = _abstract(children, envelope), example(children.input_shape)
    build = lambda genes, key: children.build(envelope, genes, key)
    abstract = nnx.eval_shape(build, genes, jax.random.key(0))
    abstract.eval()
    graph, state = nnx.split(abstract)
    forward = lambda state, key: nnx.merge(graph, state)(x, genes, False, (), key)[0]
    found = count(jax.make_jaxpr(forward)(state, jax.random.key(0)).jaxpr)
    examples = x.size if children.input_shape.every else len(x)
    return Work(
        multiply_adds=found.multiply_adds // examples,
        executed=found.multiply_adds // examples,
        parameters=sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(abstract, nnx.Param))),
        held_bytes=found.made_bytes // examples,
        branches=len(jax.tree.leaves(state)),
    )
