"""Export of LSTM and GRU: held against the trained network, and against Flax's own cells."""

import jax.numpy as jnp
import numpy as np
import pytest
from exported import distance, network_of
from flax import nnx

from jaxnas.children import unpadded
from jaxnas.export import export
from jaxnas.spaces import StandardCell
from jaxnas.spaces.recurrent import LanguageModel
from jaxnas.trained import Trained

SYMBOLS = ("<unk>", *"bcde\n\"`{'@")
WIDE = 6


def trained(cell: str, dtype: str = "float32", tied: bool = False) -> Trained:
    """A network of two layers whose numbers, biases too, are noise."""
    space = StandardCell(cell, LanguageModel(hidden=WIDE, layers=2, tied=tied))
    children, architecture = space.children((5,), len(SYMBOLS), dtype), space.decode(np.zeros(1, np.int32))
    inside = unpadded(children, architecture)
    network = network_of(children, inside, (), 3)
    facts = {"trial_id": 0, "train_examples": 10, "test_examples": 5, "epochs": 2, "seconds": 1.0}
    facts |= {"test_score": -2.5, "test_std": 0.1, "test_scores": [None, -2.5, -2.0], "measure": "bits a character"}
    facts |= {"settings": {"train": {"batch_size": 4}}, "parameters": 100, "multiply_adds": 200}
    data = {"input_shape": [5], "classes": len(SYMBOLS), "vocabulary": list(SYMBOLS), "unit": "characters"}
    return Trained(architecture, children, network, (), data, facts)


def loaded(folder) -> dict:
    names = {"__name__": "network", "__file__": str(folder / "network.py")}
    exec(compile((folder / "network.py").read_text(), names["__file__"], "exec"), names)
    return names


def by_flax(cell: str, weights: dict, symbols: np.ndarray) -> np.ndarray:
    """Logits by layers of nnx.LSTMCell or nnx.GRUCell, whose gates come in another order."""
    kind, names = {"lstm": (nnx.LSTMCell, "ifgo"), "gru": (nnx.GRUCell, "rzn")}[cell]
    x = weights["embedding"][symbols]
    for number in (1, 2):
        own = {
            name: np.split(weights[f"layers.{number}.{name}"], len(names), -1)
            for name in ("input", "recurrent", "bias")
        }
        made = kind(WIDE, WIDE, rngs=nnx.Rngs(0))
        if cell == "lstm":
            for i, gate in enumerate(names):
                getattr(made, "if_" if gate == "f" else f"i{gate}").kernel.set_value(jnp.asarray(own["input"][i]))
                getattr(made, f"h{gate}").kernel.set_value(jnp.asarray(own["recurrent"][i]))
                getattr(made, f"h{gate}").bias.set_value(jnp.asarray(own["bias"][i]))
        else:
            made.dense_i.kernel.set_value(jnp.asarray(weights[f"layers.{number}.input"]))
            made.dense_i.bias.set_value(jnp.asarray(weights[f"layers.{number}.bias"]))
            made.dense_h.kernel.set_value(jnp.asarray(weights[f"layers.{number}.recurrent"]))
        x = nnx.RNN(made)(x)
    kernel = weights["embedding"].T if "output.kernel" not in weights else weights["output.kernel"]
    return np.asarray(x @ kernel + weights["output.bias"])


@pytest.mark.parametrize(("cell", "tied"), [("lstm", False), ("lstm", True), ("gru", False)])
def test_an_ordinary_cell_is_exported_and_is_that_of_flax(cell, tied, tmp_path):
    """`export` itself holds program and module against the trained network."""
    own = trained(cell, tied=tied)
    assert export(own, tmp_path / "out").difference < 1e-5
    symbols = np.random.default_rng(0).integers(0, len(SYMBOLS), (3, 9)).astype(np.int32)
    names = loaded(tmp_path / "out")
    found = np.asarray(names["load"]()(symbols))
    weights = own.children.weights(own.network, own.architecture)
    assert found.std((0, 1)).min() > 0.02
    assert distance(found, by_flax(cell, weights, symbols)) < 1e-5
    theirs = {"lstm": nnx.LSTMCell, "gru": nnx.GRUCell}[cell](3, 8, rngs=nnx.Rngs(0))
    ours = names["Cell"](3, 8, rngs=nnx.Rngs(0))
    shapes = lambda carry: [(c.shape, str(c.dtype)) for c in (carry if isinstance(carry, tuple) else (carry,))]
    assert shapes(ours.initialize_carry((2, 3))) == shapes(theirs.initialize_carry((2, 3), nnx.Rngs(0)))
    page, parameters = (tmp_path / "out" / "README.md").read_text(), sum(value.size for value in weights.values())
    assert "with test score -2.5000 (3.6067 bits a character)" in page  # of seed 2, in the measure's unit
    assert f"and {parameters:,} parameters" in (tmp_path / "out" / "network.py").read_text()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_reduced_factors(cell, tmp_path):
    """Rounding to bfloat16 is found in the export too."""
    own = trained(cell, "bfloat16")
    assert export(own, tmp_path / "out").difference < 5e-3
    symbols = np.zeros((1, 4), np.int32)
    found = loaded(tmp_path / "out")["load"]()(symbols)
    assert distance(found, by_flax(cell, own.children.weights(own.network, own.architecture), symbols)) > 1e-5
