"""Language models of recurrent cells in plain loops, from the exported names of their weights: what the network of
`jaxnas.children.recurrent.network` is held against.
"""

from dataclasses import asdict

import jax.numpy as jnp
import numpy as np
import plain_cells


def step(cell, x, h, c, w, u):
    """(h_t, c_t) of a tree: rows of x, h and c ``[B, H]``, w and u ``[H, G * H]``."""
    c, h = plain_cells.step(asdict(cell) | {"base": cell.gates}, x, c, h, w, u, jnp)
    return h, c


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
