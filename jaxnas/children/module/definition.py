"""What a user may give as a network, and what it is called with.

    an NNX class      Net(inputs, outputs, **values, rngs=rngs), then network(x)
    a Linen class     Net(**values), also with inputs and outputs where it has such fields
    two functions     parameters = init(key, inputs, outputs, **values), then apply(parameters, x, **values)

``inputs`` is the shape of one example, a tuple that knows what its numbers are (`jaxnas.inputs.Inputs`): (height,
width, channels) of an image, (features,) of a table, (symbols,) of text, (2,) of a user and an item; ``inputs.values``
says how many symbols, or users and items, there are. ``outputs`` is the number of classes or symbols, 1 of a
regression. Where the call has an argument ``training`` or ``train`` (a Python bool) or ``deterministic`` (its
contrary), or, of functions, ``key``, it gets it.
"""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx
from jax import lax

from jaxnas.elastic import convolve
from jaxnas.inputs import Inputs

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
        for _, module in nnx.iter_modules(net):
            for name, value in list(vars(module).items()):
                if isinstance(value, jax.core.Tracer):  # ``self.scale = scale``: NNX knows arrays alone for data
                    setattr(module, name, nnx.data(value))
            if isinstance(module, nnx.Conv) and module.conv_general_dilated is lax.conv_general_dilated:
                module.conv_general_dilated = convolve  # the same, with a derivative that is fast on CPU

    def run(self, x, training, key):
        return self.net(x, **_flags(type(self.net).__call__, training))


class WithValues(Own):
    """A network that is told its values at every call; those that are arrays are kept as variables."""

    def __init__(self, values: Mapping[str, Any]):
        self.values = nnx.data({n: nnx.Variable(v) if isinstance(v, jax.Array) else v for n, v in values.items()})

    @property
    def given(self) -> dict[str, Any]:
        """The values."""
        return {name: v[...] if isinstance(v, nnx.Variable) else v for name, v in self.values.items()}


class OwnLinen(WithValues):
    """A Linen module, made anew at each call, and its variables."""

    def __init__(self, net: type[linen.Module], place: Mapping[str, Any], values: Mapping[str, Any], x, key: jax.Array):
        super().__init__(values)
        self.net, self.place = net, nnx.static(tuple(place.items()))
        variables = dict(self.module.init(_streams(key), x, **_flags(net.__call__, False)))
        self.params = nnx.Param(variables.pop("params", {}))
        self.statistics = nnx.BatchStat(variables.pop("batch_stats", {}))
        self.others = nnx.Variable(variables)

    @property
    def module(self) -> linen.Module:
        """With the values as they are."""
        return self.net(**dict(self.place), **self.given)

    def run(self, x, training, key):
        others = self.others.get_value()
        changing = ["batch_stats", *others] if training else []
        variables = {"params": self.params.get_value(), "batch_stats": self.statistics.get_value(), **others}
        flags = _flags(self.net.__call__, training)
        outputs, changed = self.module.apply(variables, x, **flags, rngs=_streams(key), mutable=changing)
        if training:
            changed = dict(changed)
            self.statistics.set_value(changed.pop("batch_stats", {}))
            self.others.set_value(others | changed)
        return outputs


class OwnFunctions(WithValues):
    """Parameters and the function that takes them."""

    def __init__(self, apply: Callable, parameters: Any, values: Mapping[str, Any]):
        super().__init__(values)
        self.apply, self.params = apply, nnx.Param(parameters)

    def run(self, x, training, key):
        more = _flags(self.apply, training) | ({"key": key} if "key" in _named(self.apply) else {})
        return self.apply(self.params.get_value(), x, **self.given, **more)


def made(net: Any, inputs: Inputs, outputs: int, values: Mapping[str, Any], x: Any, key: jax.Array) -> Own:
    """A user's network with its initial weights; ``x`` is a batch that Linen may look at, ``key`` is consumed."""
    if isinstance(net, tuple):
        init, apply = net
        return OwnFunctions(apply, init(key, inputs, outputs, **values), values)
    if issubclass(net, linen.Module):
        place = {name: v for name, v in (("inputs", inputs), ("outputs", outputs)) if name in _fields(net)}
        return OwnLinen(net, place, values, x, key)
    return OwnModule(net(inputs, outputs, **values, rngs=nnx.Rngs(key)))


def check(net: Any, names: Collection[str]) -> None:
    """Raises ValueError where it is no network, lacks an argument for a value, or wants one that no value is for."""
    if isinstance(net, tuple):
        if len(net) != 2 or not all(map(callable, net)):
            raise ValueError(f"{net!r}: give two functions, (init, apply)")
        init, apply = net
        _check_arguments(init.__name__, _arguments(init)[3:], names)
        _check_arguments(apply.__name__, _arguments(apply)[2:], names, ("key", *FLAGS))
    elif not isinstance(net, type) or not issubclass(net, nnx.Module | linen.Module):
        raise ValueError(f"{net!r}: give a class of Flax (nnx.Module or linen.Module) or two functions, (init, apply)")
    elif issubclass(net, linen.Module):
        for name in names:
            if name not in _fields(net):
                has = ", ".join(_fields(net))
                raise ValueError(f"{net.__name__} has no field {name!r} for the value of this name: it has {has}")
    else:
        _check_arguments(net.__name__, _arguments(net.__init__)[3:], (*names, "rngs"))  # after self, inputs, outputs


def title(net: Any) -> str:
    """What it is called."""
    return net[1].__name__ if isinstance(net, tuple) else net.__name__


def _check_arguments(
    title: str, arguments: Sequence[inspect.Parameter], names: Collection[str], given: Collection[str] = ()
) -> None:
    """``names`` have to be among the arguments; of those without a default none may be left, but what is ``given``."""
    kinds = inspect.Parameter
    named = {p.name: p for p in arguments if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)}
    if not any(p.kind is kinds.VAR_KEYWORD for p in arguments):
        for name in names:
            if name not in named:
                why = "whose layers need it for their weights" if name == "rngs" else "for the value of this name"
                raise ValueError(f"{title} has no argument {name!r} {why}: it has {', '.join(named) or 'none'}")
    for name, parameter in named.items():
        if parameter.default is kinds.empty and name not in (*names, *given):
            raise ValueError(f"{title} wants {name!r}, which no value is for: add one, or give it a default")


def _fields(net: type) -> list[str]:
    """Of a Linen class, a user's own."""
    return [name for name in net.__dataclass_fields__ if name not in ("parent", "name")]


def _arguments(fn: Callable) -> list[inspect.Parameter]:
    return list(inspect.signature(fn).parameters.values())


def _named(fn: Callable) -> Collection[str]:
    return inspect.signature(fn).parameters


def _flags(fn: Callable, training: bool) -> dict[str, bool]:
    return {name: training is straight for name, straight in FLAGS.items() if name in _named(fn)}


def _streams(key: jax.Array) -> dict[str, jax.Array]:
    """What Linen draws from."""
    return dict(zip(("params", "dropout", "default"), jax.random.split(key, 3), strict=True))


def example(inputs: Inputs) -> jax.Array:
    """A batch of two, of zeros."""
    return jnp.zeros((2, *inputs), jnp.int32 if inputs.whole_numbers else jnp.float32)
