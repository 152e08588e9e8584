"""Networks to export, and what runs the exported files where there is no jaxnas."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxnas.children import alone, unpadded
from jaxnas.children.chain.network import ChainChildren
from jaxnas.children.skip.network import SkipChildren
from jaxnas.export.inputs import ImageInputs
from jaxnas.rng import key_for
from jaxnas.trained import Trained

BLOCK = '''
import sys


class Blocked:
    """Finds no jaxnas, wherever it lies."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "jaxnas":
            raise ImportError("jaxnas is blocked")


sys.meta_path.insert(0, Blocked())
'''
RUN = """
import importlib.util
import pathlib
import sys

try:
    import jaxnas
except ImportError as error:
    assert str(error) == "jaxnas is blocked"
else:
    raise SystemExit("jaxnas could be imported")

import jax.export
import numpy as np

for folder in map(pathlib.Path, sys.argv[1:]):
    inputs, found = np.load(f"{folder}.inputs.npy"), {}
    program = jax.export.deserialize(bytearray((folder / "network.stablehlo").read_bytes()))
    spec = importlib.util.spec_from_file_location("network", folder / "network.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.load()
    for size in (1, len(inputs)):
        found[f"program {size}"], found[f"module {size}"] = program.call(inputs[:size]), network(inputs[:size])
    np.savez(f"{folder}.logits.npz", **found)
assert "jaxnas" not in sys.modules
"""


def without_jaxnas(folders: dict[Path, np.ndarray]) -> dict[Path, dict[str, np.ndarray]]:
    """Logits of exported programs and modules on images or symbols, from a process that cannot import jaxnas.

    "program 1" are those of the first of them by network.stablehlo, "module 1" by network.py; likewise of all.
    """
    place = next(iter(folders)).parent / "blocked"
    place.mkdir()
    (place / "sitecustomize.py").write_text(BLOCK)
    for folder, inputs in folders.items():
        np.save(f"{folder}.inputs.npy", inputs if inputs.dtype == np.int32 else np.float32(inputs))
    environment = os.environ | {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["XLA_FLAGS"] = "--xla_backend_optimization_level=0"  # what runs twice need not be fast
    command = [sys.executable, "-c", RUN, *map(str, folders)]
    done = subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return {folder: dict(np.load(f"{folder}.logits.npz")) for folder in folders}


def network_of(children: ChainChildren, inside, genes, seed: int) -> nnx.Module:
    """A network whose parameters and statistics are noise: scales of either sign, no mean of 0, no variance of 1."""
    rng = np.random.default_rng(seed)

    def fill(path, leaf):
        spread = np.prod(leaf.shape[-4:-1]) ** -0.5 if len(leaf.shape) > 2 else 1.0
        noise = (
            rng.uniform(0.5, 2, leaf.shape) if "variance" in jax.tree_util.keystr(path) else rng.normal(size=leaf.shape)
        )
        return jnp.asarray(noise * spread, jnp.float32)

    graph, shapes = nnx.split(nnx.eval_shape(lambda g: children.build(inside, g, key_for(0, "child")), genes))
    return nnx.merge(graph, jax.tree_util.tree_map_with_path(fill, shapes))


def skip_network_of(children: SkipChildren, inside, genes, seed: int) -> nnx.Module:
    """As `network_of`, with zeros where the network has nothing: its maps lie beside each other."""
    rng, channel = np.random.default_rng(seed), np.arange(inside.channels)
    filters = (channel < np.asarray(genes.layers.filters)[:, None]).astype(np.float32)
    live = channel < np.asarray(genes.blocks.live)[:, :, None]
    spread = np.asarray(genes.blocks.spread)[:, None, None] * live[:, 0, :, None] * live[:, 1, None, :]
    read = (channel < np.asarray(genes.channels)[1:, None]) * np.asarray(genes.layers.read)[:, None]
    norm = filters * np.asarray(genes.layers.norm)[:, None]
    inside_of = {"blocks": spread, "scale": norm, "bias": filters, "mean": norm, "dense": read[:, :, None]}
    network = nnx.eval_shape(lambda g: children.build(inside, g, key_for(0, "child")), genes)
    for name, mask in inside_of.items():
        variable = getattr(network, name)
        variable.set_value(jnp.asarray(rng.normal(size=variable.shape) * mask, jnp.float32))
    network.variance.set_value(jnp.asarray(rng.uniform(0.5, 2, filters.shape), jnp.float32))
    network.dense_bias.set_value(jnp.asarray(rng.normal(size=children.classes), jnp.float32))
    return network


def made_up(children: ChainChildren | SkipChildren, architecture, seed: int = 0) -> Trained:
    """What a final training could have left."""
    inside = unpadded(children, architecture)
    genes, channels, cost = children.place(architecture, inside), children.input_shape[2], alone(children, architecture)
    facts = {"trial_id": 3, "train_examples": 10, "test_examples": 5, "epochs": 2, "seconds": 1.0}
    facts |= {"test_score": 0.5, "test_std": None, "test_scores": [0.5]}
    facts |= {"parameters": cost.parameters, "multiply_adds": cost.multiply_adds}
    data = {"mean": np.linspace(90, 130, channels).tolist(), "std": np.linspace(50, 70, channels).tolist()}
    data |= {"range": [0, 255], "dtype": "uint8", "layout": "NHWC", "class_names": None}
    data |= {"input_shape": list(children.input_shape), "classes": children.classes}
    make = skip_network_of if isinstance(children, SkipChildren) else network_of
    network = make(children, inside, genes, seed)
    return Trained(architecture, children, network, genes, data, facts)


def logits(trained: Trained, images) -> np.ndarray:
    """Of the trained network itself."""
    mean, std = ImageInputs.of(trained.data).moments()
    x = (np.float32(images) - mean) / std
    return np.asarray(nnx.jit(lambda network, x: network(x, trained.genes, False)[0])(trained.network, x))


def distance(found, wanted) -> float:
    """The greatest difference, relative to the greatest number."""
    return float(np.abs(np.asarray(found) - wanted).max() / np.abs(wanted).max())
