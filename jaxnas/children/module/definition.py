"""What a user may give as a network, and what it is called with.

    an NNX class      Net(inputs, outputs, **values, rngs=rngs), then network(x)
    a Linen class     Net(**values), also with inputs and outputs where it has such fields
    two functions     parameters = init(key, inputs, outputs, **values), then apply(parameters, x, **values)

``inputs`` is the shape of one example: (height, width, channels) of an image, (symbols,) of text; ``outputs`` is the
number of classes or symbols. Where the call has an argument ``training`` or ``train`` (a Python bool) or
``deterministic`` (its contrary), or, of functions, ``key``, it gets it.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

FLAGS = {"training": True, "train": True, "deterministic": False}
"""Arguments that say whether this is training, and by which word."""


class Own(nnx.Module):
    """A user's network with one way to call it."""

    def run(self, x: Any, training: bool, key: jax.Array) -> Any:
        """Logits ``[B, K]``, of text ``[B, U, K]``."""
        raise NotImplementedError


class OwnModule(Own):
    """An NNX module."""

    def __init__(self, net: nnx.Module):
        self.net = net

    def run(self, x, training, key):
        return self.net(x, **_flags(type(self.net).__call__, training))


class OwnLinen(Own):
    """A Linen module and its variables."""

    def __init__(self, module: linen.Module, variables: Mapping[str, Any]):
        variables, self.module = dict(variables), module
        self.params = nnx.Param(variables.pop("params", {}))
        self.statistics = nnx.BatchStat(variables.pop("batch_stats", {}))
        self.others = nnx.Variable(variables)

    def run(self, x, training, key):
        changing = ["batch_stats", *self.others.get_value()] if training else []
        variables = {"params": self.params.get_value(), "batch_stats": self.statistics.get_value()}
        given = variables | self.others.get_value()
        flags = _flags(type(self.module).__call__, training)
        outputs, changed = self.module.apply(given, x, **flags, rngs=_streams(key), mutable=changing)
        if training:
            changed = dict(changed)
            self.statistics.set_value(changed.pop("batch_stats", {}))
            self.others.set_value(self.others.get_value() | changed)
        return outputs


class OwnFunctions(Own):
    """Parameters and the function that takes them."""

    def __init__(self, apply: Callable, parameters: Any, values: Mapping[str, Any]):
        self.apply, self.values = apply, nnx.data(_kept(values))
        self.params = nnx.Param(parameters)

    def run(self, x, training, key):
        values = {name: v[...] if isinstance(v, nnx.Variable) else v for name, v in self.values.items()}
        more = _flags(self.apply, training) | ({"key": key} if "key" in _arguments(self.apply) else {})
        return self.apply(self.params.get_value(), x, **values, **more)


def made(net: Any, inputs: tuple[int, ...], outputs: int, values: Mapping[str, Any], x: Any, key: jax.Array) -> Own:
    """A user's network with its initial weights; ``x`` is a batch that Linen may look at, ``key`` is consumed."""
    if isinstance(net, tuple):
        init, apply = net
        return OwnFunctions(apply, init(key, inputs, outputs, **values), values)
    if issubclass(net, linen.Module):
        place = {name: v for name, v in (("inputs", inputs), ("outputs", outputs)) if name in _fields(net)}
        module = net(**place, **values)
        return OwnLinen(module, module.init(_streams(key), x, **_flags(net.__call__, False)))
    return OwnModule(net(inputs, outputs, **values, rngs=nnx.Rngs(key)))


def check(net: Any, names: Collection[str]) -> None:
    """Raises ValueError where it is no network, lacks an argument for a value, or wants one that no value is for."""
    if isinstance(net, tuple):
        if len(net) != 2 or not all(map(callable, net)):
            raise ValueError(f"{net!r}: give two functions, (init, apply)")
        _check_arguments(net[0], names, ("key", "inputs", "outputs"), 3)
        _check_arguments(net[1], names, ("parameters", "x", "key", *FLAGS), 2)
    elif not isinstance(net, type) or not issubclass(net, nnx.Module | linen.Module):
        raise ValueError(f"{net!r}: give a class of Flax (nnx.Module or linen.Module) or two functions, (init, apply)")
    elif issubclass(net, linen.Module):
        _check_fields(net, names)
    else:
        _check_arguments(net, names, ("inputs", "outputs", "rngs"), 2)


def title(net: Any) -> str:
    """What it is called."""
    return net[1].__name__ if isinstance(net, tuple) else net.__name__


def _check_arguments(fn: Callable, names: Collection[str], given: Collection[str], first: int) -> None:
    """``given`` beside the values, of which so many go by their place."""
    kinds = inspect.Parameter
    parameters = list(inspect.signature(fn).parameters.values())
    named = [p for p in parameters[first:] if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    if not any(p.kind is kinds.VAR_KEYWORD for p in parameters):
        for name in names:
            if name not in [p.name for p in named]:
                has = ", ".join(p.name for p in parameters)
                raise ValueError(f"{fn.__name__} has no argument {name!r} for the value of this name: it has {has}")
        if "rngs" in given and "rngs" not in [p.name for p in named]:
            raise ValueError(f"{fn.__name__} has no argument 'rngs': its layers need one for their initial weights")
    for p in named:
        if p.default is kinds.empty and p.name not in (*names, *given):
            raise ValueError(f"{fn.__name__} wants {p.name!r}, which no value is for: add one, or give it a default")


def _check_fields(net: type, names: Collection[str]) -> None:
    has = _fields(net)
    for name in names:
        if name not in has:
            raise ValueError(
                f"{net.__name__} has no field {name!r} for the value of this name: it has {', '.join(has)}"
            )


def _fields(net: type) -> list[str]:
    """Of a Linen class, a user's own."""
    return [name for name in net.__dataclass_fields__ if name not in ("parent", "name")]


def _arguments(fn: Callable) -> Collection[str]:
    return inspect.signature(fn).parameters


def _flags(fn: Callable, training: bool) -> dict[str, bool]:
    return {name: training is straight for name, straight in FLAGS.items() if name in _arguments(fn)}


def _streams(key: jax.Array) -> dict[str, jax.Array]:
    """What Linen draws from."""
    return dict(zip(("params", "dropout", "default"), jax.random.split(key, 3), strict=True))


def _kept(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values that are arrays as variables, so that they are carried from step to step."""
    return {name: nnx.Variable(v) if isinstance(v, jax.Array) else v for name, v in values.items()}


def example(inputs: tuple[int, ...], text: bool) -> jax.Array:
    """A batch of two, of zeros."""
    return jnp.zeros((2, *inputs), jnp.int32 if text else jnp.float32)
