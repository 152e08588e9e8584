"""Networks of elastic layers, as a user would write them, and a training that knows nothing of sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jaxnas import elastic

CLASSES, LIMIT = 3, {"width": 6, "depth": 2}


class Mlp(nnx.Module):
    """Examples ``[B, 5]``. A sigmoid is 1/2 where its argument is 0: what follows it must cut the padding."""

    shape = (5,)

    def __init__(self, *, width, depth, dropout, rngs):
        self.first = elastic.Linear(5, width, rngs=rngs)
        self.blocks = nnx.List([])
        for i in range(elastic.most(depth)):
            layers = elastic.LayerNorm(width, rngs=rngs), elastic.Linear(width, width, rngs=rngs), nnx.sigmoid
            self.blocks.append(elastic.Skippable(nnx.Sequential(*layers), i < depth))
        self.dropout = elastic.Dropout(dropout, rngs=rngs)
        self.wide = elastic.Linear(width, width * 2 + 1, use_bias=False, rngs=rngs)
        self.last = elastic.Linear(width * 2 + 1, CLASSES, rngs=rngs)

    def __call__(self, x):
        x = nnx.sigmoid(self.first(x))
        for block in self.blocks:
            x = block(x)
        return self.last(nnx.sigmoid(self.wide(self.dropout(x))))


class Block(nnx.Module):
    def __init__(self, width, rngs):
        self.conv = elastic.Conv(width, width, (3, 1), use_bias=False, rngs=rngs)
        self.norm = elastic.BatchNorm(width, momentum=0.8, rngs=rngs)

    def __call__(self, x):
        return nnx.sigmoid(self.norm(self.conv(x)))


class Cnn(nnx.Module):
    """Maps ``[B, 5, 4, 2]``; the depth lies in an attribute, to be used in the call."""

    shape = (5, 4, 2)

    def __init__(self, *, width, depth, dropout, rngs):
        self.first = elastic.Conv(2, width, (3, 3), rngs=rngs)
        self.blocks = nnx.List([elastic.Skippable(Block(width, rngs), i < depth) for i in range(elastic.most(depth))])
        self.down = elastic.Conv(width, width + 1, (2, 3), (2, 1), "VALID", rngs=rngs)
        self.norm = elastic.BatchNorm(width + 1, rngs=rngs)
        self.dropout = elastic.Dropout(dropout, broadcast_dims=(1, 2), rngs=rngs)
        self.last = elastic.Linear((width + 1) * 4, CLASSES, rngs=rngs)
        self.depth = depth

    def __call__(self, x):
        x = nnx.sigmoid(self.first(x))
        for block in self.blocks:
            x = block(x)
        x = self.dropout(nnx.sigmoid(self.norm(self.down(x))))
        return self.last(elastic.flatten(x)) / (1 + self.depth)


class Text(nnx.Module):
    """Symbols ``[B, 4]`` below 7; logits are products with the embeddings."""

    shape = (4,)

    def __init__(self, *, width, depth, dropout, rngs):
        self.embed = elastic.Embed(7, width, rngs=rngs)
        self.norm = elastic.LayerNorm(width, use_bias=False, rngs=rngs)
        blocks = [
            nnx.Sequential(elastic.Linear(width, width, rngs=rngs), nnx.sigmoid) for _ in range(elastic.most(depth))
        ]
        self.blocks = nnx.List([elastic.Skippable(block, i < depth) for i, block in enumerate(blocks)])
        self.dropout = elastic.Dropout(dropout, rngs=rngs)

    def __call__(self, x):
        x = nnx.tanh(self.norm(self.embed(x)))
        for block in self.blocks:
            x = block(x)
        return self.embed.attend(self.dropout(x).mean(1))[:, :CLASSES]


NETS = {"mlp": Mlp, "cnn": Cnn, "text": Text}


def sized(width, depth) -> dict:
    """Numbers, traced or not, as the sizes that `ModuleSpace` makes of them."""
    values = {"width": width, "depth": depth}
    return {name: elastic.Size(value, LIMIT[name], name) for name, value in values.items()}


def batch(kind: str, size: int = 8) -> tuple[jax.Array, jax.Array]:
    """Examples and labels."""
    key, shape = jax.random.key(11), (size, *NETS[kind].shape)
    x = jax.random.randint(key, shape, 0, 7) if kind == "text" else jax.random.normal(key, shape)
    return x, jnp.arange(size) % CLASSES


def loss(net: nnx.Module, x, y) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(net(x), y).mean()


def train(net: nnx.Module, x, y, steps: int = 4) -> nnx.Module:
    """SGD with momentum and decay of weights, under a clip that looks at all gradients together."""
    net.train()
    graph, parameters, rest = nnx.split(net, nnx.Param, ...)
    optimiser = optax.chain(
        optax.clip_by_global_norm(0.5), optax.add_decayed_weights(0.01), optax.sgd(0.5, momentum=0.9)
    )

    def value(parameters, rest):
        net = nnx.merge(graph, parameters, rest, copy=True)
        return loss(net, x, y), nnx.state(net, nnx.Not(nnx.Param))

    def step(carry, _):
        parameters, rest, state = carry
        (error, rest), gradient = jax.value_and_grad(value, has_aux=True)(parameters, rest)
        updates, state = optimiser.update(gradient, state, parameters)
        return (optax.apply_updates(parameters, updates), rest, state), error

    carry = parameters, rest, optimiser.init(parameters)
    (parameters, rest, _), _ = jax.lax.scan(step, carry, length=steps)
    return nnx.merge(graph, parameters, rest, copy=True)


def blank(kind: str, width: int, depth: int) -> nnx.Module:
    """The exact network, all zeros: its numbers are to come from elsewhere."""

    def zeros(leaf):
        key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return jax.random.key(0) if key else jnp.asarray(np.zeros(leaf.shape, leaf.dtype))

    make = lambda: NETS[kind](width=width, depth=depth, dropout=0.0, rngs=nnx.Rngs(0))
    graph, state = nnx.split(nnx.eval_shape(make))
    return nnx.merge(graph, jax.tree.map(zeros, state))


def live(kind: str, width: int, depth: int) -> dict[tuple, np.ndarray]:
    """Of each parameter of the padded network, which numbers the exact one has; by the shapes of both."""
    shapes = lambda *sides: nnx.to_flat_state(nnx.state(blank(kind, *sides), nnx.Param))
    found = {path: np.zeros(variable.shape, bool) for path, variable in shapes(*LIMIT.values())}
    for path, variable in shapes(width, depth):
        found[path][tuple(map(slice, variable.shape))] = True
    return found


def numbers(net: nnx.Module) -> dict[tuple, jax.Array]:
    """Parameters and statistics by path."""
    state = nnx.to_flat_state(nnx.state(net, nnx.Any(nnx.Param, nnx.BatchStat)))
    return {path: variable[...] for path, variable in state}
