"""Recurrent cells as JSON values, and what they compute, step by step in numpy and float64."""

import numpy as np

COMBINATIONS = {
    "add": lambda np, a, b: a + b,
    "multiply": lambda np, a, b: a * b,
    "max": lambda np, a, b: np.maximum(a, b),
}
ACTIVATIONS = {
    "identity": lambda np, v: v,
    "tanh": lambda np, v: np.tanh(v),
    "sigmoid": lambda np, v: 1 / (1 + np.exp(-v)),
    "relu": lambda np, v: np.where(v > 0, v, 0),  # whose slope is 0 at 0
    "sin": lambda np, v: np.sin(v),
}
"""Of numpy, or of jax.numpy."""


def described(nodes, inject, inject_at, memory_from, hidden=3, layers=2, tied=False, symbols=5) -> dict:
    base = (len(nodes) + 1) // 2
    return {
        "type": "recurrent", "base": base, "nodes": [list(node) for node in nodes], "inject": list(inject),
        "inject_at": inject_at, "memory_from": memory_from, "hidden": hidden, "layers": layers, "tied": tied,
        "symbols": symbols, "cell_parameters": 2 * base * hidden**2,
    }  # fmt: skip


EXAMPLE = described([("add", "tanh"), ("multiply", "relu"), ("multiply", "sigmoid")], ("add", "relu"), 0, 1)
"""Of section 3.4 of Zoph & Le 2017."""
STANDARD = {
    "type": "standard", "cell": "lstm", "hidden": 64, "layers": 2, "tied": True, "symbols": 1066,
    "cell_parameters": 33024,
}  # fmt: skip


def drawn(seed: int, base: int, **network) -> dict:
    """A random cell. At base 4 five seeds in a row have every combination and every activation, and of each of those
    one in the inject.
    """
    rng, functions = np.random.default_rng(seed), list(ACTIVATIONS)
    pair = lambda: (str(rng.choice(list(COMBINATIONS))), str(rng.choice(functions)))
    nodes, inject = [pair() for _ in range(2 * base - 1)], (list(COMBINATIONS)[seed % 3], functions[seed % 5])
    return described(nodes, inject, int(rng.integers(len(nodes))), int(rng.integers(len(nodes))), **network)


def weights_of(architecture: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """Noise, float32, by the names of an export."""
    rng, (H, V) = np.random.default_rng(seed), (architecture["hidden"], architecture["symbols"])
    noise = lambda *shape: rng.normal(size=shape).astype(np.float32)
    found = {"embedding": noise(V, H), "output.bias": noise(V)}
    found |= {} if architecture["tied"] else {"output.kernel": noise(H, V)}
    for layer in range(1, architecture["layers"] + 1):
        for name in ("input", "recurrent"):
            found[f"layers.{layer}.{name}"] = noise(H, architecture["base"] * H) / np.float32(np.sqrt(H))
    return found


def step(architecture: dict, x, c, h, input_weights, recurrent_weights, np=np):
    """(c_t, h_t) of one layer."""
    base, nodes = architecture["base"], architecture["nodes"]
    wx, uh = np.split(x @ input_weights, base, -1), np.split(h @ recurrent_weights, base, -1)
    below, values, before = list(zip(wx, uh, strict=True)), [], []
    while True:  # a level of the tree
        level = []
        for left, right in below:
            combination, activation = nodes[len(values)]
            before.append(COMBINATIONS[combination](np, left, right))
            value = ACTIVATIONS[activation](np, before[-1])
            if len(values) == architecture["inject_at"]:
                combination, activation = architecture["inject"]
                value = ACTIVATIONS[activation](np, COMBINATIONS[combination](np, value, c))
            values.append(value)
            level.append(value)
        if len(level) == 1:
            return before[architecture["memory_from"]], values[-1]
        below = list(zip(level[::2], level[1::2], strict=True))


def read(architecture: dict, weights: dict, symbols, np=np):
    """Logits ``[b, t, V]`` of int symbols ``[b, t]``, from a memory of zeros; in numpy of float64."""
    w = {name: np.asarray(value, float) for name, value in weights.items()}
    x = w["embedding"][symbols]
    for layer in range(1, architecture["layers"] + 1):
        c = h = np.zeros(x[:, 0].shape)
        rows = []
        for t in range(x.shape[1]):
            c, h = step(architecture, x[:, t], c, h, w[f"layers.{layer}.input"], w[f"layers.{layer}.recurrent"], np)
            rows.append(h)
        x = np.stack(rows, 1)
    kernel = w["embedding"].T if architecture["tied"] else w["output.kernel"]
    return x @ kernel + w["output.bias"]
