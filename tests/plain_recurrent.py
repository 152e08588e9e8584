"""Language models of recurrent cells in plain loops, from the exported names of their weights: what the network of
`jaxnas.children.recurrent_net` is held against.
"""

import jax.numpy as jnp
import numpy as np

COMBINE = {"add": lambda a, b: a + b, "multiply": lambda a, b: a * b, "max": jnp.maximum}
ACTIVATE = {
    "identity": lambda x: x,
    "tanh": jnp.tanh,
    "sigmoid": lambda x: 1 / (1 + jnp.exp(-x)),
    "relu": lambda x: jnp.where(x > 0, x, 0.0),
    "sin": jnp.sin,
}


def step(cell, x, h, c, w, u):
    """One time step of a tree, as section 3.4 tells it: rows of x, h and c ``[B, H]``, w and u ``[H, G * H]``."""
    leaves, units = cell.gates, x.shape[1]
    values, before = {}, {}
    for number in range(2 * leaves - 1):
        if number < leaves:
            columns = slice(number * units, (number + 1) * units)
            pair = x @ w[:, columns], h @ u[:, columns]
        else:
            pair = values[2 * (number - leaves)], values[2 * (number - leaves) + 1]
        combination, activation = cell.nodes[number]
        before[number] = COMBINE[combination](*pair)
        values[number] = ACTIVATE[activation](before[number])
        if number == cell.inject_at:
            combination, activation = cell.inject
            values[number] = ACTIVATE[activation](COMBINE[combination](values[number], c))
    return values[2 * leaves - 2], before[cell.memory_from]


def logits(cell, weights, symbols, layers, tied=False, memory=None):
    """``[B, U, V]`` and (h, c) ``[L, B, H]`` of symbols ``[B, U]``, step by step, layer by layer."""
    streams, units = len(symbols), weights["embedding"].shape[1]
    nothing = [jnp.zeros((streams, units)) for _ in range(layers)]
    hs, cs = (nothing, list(nothing)) if memory is None else (list(memory[0]), list(memory[1]))
    kernel, said = weights["embedding"].T if tied else weights["output.kernel"], []
    for t in range(symbols.shape[1]):
        x = weights["embedding"][symbols[:, t]]
        for i in range(layers):
            w, u = weights[f"layers.{i + 1}.input"], weights[f"layers.{i + 1}.recurrent"]
            hs[i], cs[i] = step(cell, x, hs[i], cs[i], w, u)
            x = hs[i]
        said.append(x @ kernel + weights["output.bias"])
    return jnp.stack(said, 1), (jnp.stack(hs), jnp.stack(cs))


def nats(said, labels):
    """Cross-entropy ``[B, U]`` of logits ``[B, U, V]``, in float64."""
    said = np.asarray(said, np.float64)
    top = said.max(-1, keepdims=True)
    total = top[..., 0] + np.log(np.exp(said - top).sum(-1))
    return total - np.take_along_axis(said, np.asarray(labels)[..., None], -1)[..., 0]
