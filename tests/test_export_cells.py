"""Export of recurrent cells: a plain Flax cell and a language model, held against loops over time in numpy."""

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import plain_cells
import pytest
from exported import BLOCK, distance, without_jaxnas
from flax import nnx
from plain_cells import EXAMPLE, STANDARD, described, drawn, weights_of
from safetensors.numpy import load_file, save_file

from jaxnas.children import Network
from jaxnas.export import cell_module, export
from jaxnas.trained import Trained

WORDS = ["<unk>", "the", "<eos>", '"', "fox", "x", "é"]
TEXT = 'the fox " x\nunknown words\n\né x\n'
"""Thirteen words."""
CELLS = {
    "example": EXAMPLE | {"hidden": 16, "layers": 1, "symbols": 7, "cell_parameters": 4 * 16 * 16},
    "tied": drawn(14, 4, hidden=8, layers=1, tied=True, symbols=7),
    "three layers": drawn(0, 8, hidden=4, layers=3, symbols=7),
}
STREAMS = 3
SEEDS = [*range(6), 21, *range(7, 10), 25, 26, *range(12, 15)]
"""Of cells whose output is not 0 for ever."""


@dataclass(frozen=True)
class Children:
    """What an export asks of the children of a space."""

    dtype: str = "float32"
    norm: None = None

    def describe(self, architecture: dict) -> dict:
        return architecture

    def weights(self, network, architecture: dict) -> dict[str, np.ndarray]:
        return {name: np.asarray(value) for name, value in network.weights.get_value().items()}


class Loops(Network):
    """A language model as `plain_cells` reads; what it remembers is counted, not used."""

    def __init__(self, architecture: dict, weights: dict[str, np.ndarray]):
        self.architecture, self.weights = nnx.static(architecture), nnx.Param(weights)

    def carry(self, batch: int):
        return jnp.zeros((batch, 2))

    def __call__(self, symbols, genes, training, carry, key):
        assert not training
        weights = {name: jnp.asarray(value) for name, value in self.weights.get_value().items()}
        return plain_cells.read(self.architecture, weights, symbols, jnp), carry + 1


def made_up(architecture: dict, children: Children | None = None, unit: str = "characters") -> Trained:
    """What a final training could have left."""
    facts = {"trial_id": 3, "train_examples": 10, "test_examples": 5, "epochs": 2, "seconds": 1.0, "test_score": -2.5}
    facts |= {"measure": "bits a character", "settings": {"train": {"batch_size": STREAMS}}}
    facts |= {"test_std": None, "test_scores": [-2.5], "parameters": 100, "multiply_adds": 200}
    vocabulary = WORDS[: architecture["symbols"]]
    data = {"input_shape": [20], "classes": len(vocabulary), "train": 10, "held_out": 5, "vocabulary": vocabulary}
    network = Loops(architecture, weights_of(architecture)) if architecture["type"] == "recurrent" else nnx.Module()
    return Trained(architecture, children or Children(), network, (), data | {"unit": unit}, facts)


def texts(architecture: dict, *shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, architecture["symbols"], shape).astype(np.int32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """By name: folder, texts, and the logits of the exported files in a process without jaxnas."""
    place = tmp_path_factory.mktemp("exported")
    made = {name: (place / name, texts(cell, 3, 11)) for name, cell in CELLS.items()}
    for name, (folder, _) in made.items():
        assert export(made_up(CELLS[name], unit="words"), folder).difference < 1e-5
    found = without_jaxnas(dict(made.values()))
    return {name: (folder, symbols, found[folder]) for name, (folder, symbols) in made.items()}


@pytest.mark.parametrize("name", CELLS)
def test_program_and_module_give_the_logits_of_the_formulas_without_jaxnas(exported, name):
    _, symbols, found = exported[name]
    wanted = plain_cells.read(CELLS[name], weights_of(CELLS[name]), symbols)
    assert wanted.std((0, 1)).min() > 0.05
    for kind in ("program", "module"):
        for size in (1, len(symbols)):
            assert distance(found[f"{kind} {size}"], wanted[:size]) < 1e-5, (kind, size)


@pytest.mark.parametrize("name", CELLS)
def test_the_files_of_an_export(exported, name):
    folder, cell = exported[name][0], CELLS[name]
    files = ["README.md", "architecture.json", "network.py", "network.stablehlo", "weights.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == files
    description = json.loads((folder / "architecture.json").read_text())
    assert description == cell | {"vocabulary": WORDS[: cell["symbols"]], "unit": "words"}
    weights = load_file(folder / "weights.safetensors")
    assert {name: value.tolist() for name, value in weights.items()} == {
        name: value.tolist() for name, value in weights_of(cell).items()
    }
    assert b".py" not in (folder / "network.stablehlo").read_bytes()  # no paths of the machine that wrote it
    text = (folder / "network.py").read_text()
    assert f"and {sum(value.size for value in weights.values()):,} parameters" in text
    imported = {node.module.split(".")[0] for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert imported == {"pathlib", "flax", "safetensors"}
    assert max(map(len, text.splitlines())) <= 120


def names_of(text: str, place: Path) -> dict:
    """What a module defines."""
    (place / "network.py").write_text(text)
    names = {"__name__": "network", "__file__": str(place / "network.py")}
    exec(compile(text, names["__file__"], "exec"), names)
    return names


def cell_of(architecture: dict, weights: dict[str, np.ndarray], place: Path, **sizes) -> nnx.RNNCellBase:
    """Its written cell with the weights of the first layer."""
    H = architecture["hidden"]
    cell = names_of(cell_module(architecture), place)["Cell"](sizes.get("in_features", H), H, rngs=nnx.Rngs(0))
    cell.input.kernel.set_value(jnp.asarray(weights["layers.1.input"]))
    cell.recurrent.kernel.set_value(jnp.asarray(weights["layers.1.recurrent"]))
    return cell


def test_the_papers_example_in_numbers(tmp_path):
    """One unit; W0, W1 = 0.5, 2 and U0, U1 = 1, -3; x = 1, h = 0.25, c = -0.5:

    a0 = tanh(0.5 + 0.25) = 0.635149, then relu(0.635149 - 0.5) = 0.135149
    c' = 2 * -0.75 = -1.5,  a1 = relu(-1.5) = 0,  h' = sigmoid(0.135149 * 0) = 0.5
    """
    weights = {"layers.1.input": np.float32([[0.5, 2.0]]), "layers.1.recurrent": np.float32([[1.0, -3.0]])}
    cell = cell_of(EXAMPLE | {"hidden": 1}, weights, tmp_path)
    one = lambda value: jnp.full((1, 1), value)
    (c, h), out = cell((one(-0.5), one(0.25)), one(1.0))
    np.testing.assert_allclose((c[0, 0], h[0, 0], out[0, 0]), (-1.5, 0.5, 0.5), rtol=1e-6)
    # with h = -0.25: a0 = tanh(0.25) = 0.244919, relu(0.244919 + 1) = 1.244919; c' = a1 = 1.5; h' = 0.866155
    (c, h), _ = cell((one(1.0), one(-0.25)), one(1.0))
    np.testing.assert_allclose((c[0, 0], h[0, 0]), (1.5, 0.866155), rtol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_function_in_a_layer_of_ones_own(seed, tmp_path):
    """`nnx.RNN` over the written cell, against a loop over time; inputs are narrower than the cell."""
    architecture = drawn(seed, 4, hidden=6)
    weights = weights_of(architecture) | {"layers.1.input": weights_of(architecture)["layers.1.input"][:5]}
    rng = np.random.default_rng(seed)
    inputs, c, h = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 7, 5), (2, 6), (2, 6)))
    layer = nnx.RNN(cell_of(architecture, weights, tmp_path, in_features=5), return_carry=True)
    (last_c, last_h), outputs = layer(inputs, initial_carry=(c, h))
    c, h, found = c.astype(float), h.astype(float), np.asarray(outputs)
    assert found.std((0, 1)).mean() > 0.04
    for t in range(7):
        kernels = weights["layers.1.input"], weights["layers.1.recurrent"]
        c, h = plain_cells.step(architecture, inputs[:, t].astype(float), c, h, *kernels)
        np.testing.assert_allclose(found[:, t], h, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(last_c, c, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(last_h, found[:, -1])


def test_the_cells_of_the_test_above_have_every_function():
    pairs = [drawn(seed, 4) for seed in SEEDS]
    assert len({tuple(cell["inject"]) for cell in pairs}) == 15
    assert len({tuple(node) for cell in pairs for node in cell["nodes"]}) == 15


def test_the_cell_stands_where_an_lstm_stands(tmp_path):
    """Carry, feature axes, and a layer that begins by itself, backwards too."""
    Cell = names_of(cell_module(CELLS["tied"]), tmp_path)["Cell"]
    ours, theirs = Cell(3, 8, rngs=nnx.Rngs(0)), nnx.LSTMCell(3, 8, rngs=nnx.Rngs(0))
    shapes = lambda carry: jax.tree.map(lambda a: (a.shape, str(a.dtype)), carry)
    assert shapes(ours.initialize_carry((2, 3), nnx.Rngs(0))) == shapes(theirs.initialize_carry((2, 3), nnx.Rngs(0)))
    assert ours.num_feature_axes == theirs.num_feature_axes
    inputs = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    both = nnx.Bidirectional(nnx.RNN(ours), nnx.RNN(theirs))(inputs)
    assert both.shape == (2, 5, 16)
    carry = ours.initialize_carry((2, 3))
    for t in range(5):
        carry, h = ours(carry, inputs[:, t])
        np.testing.assert_allclose(both[:, t, :8], h, rtol=1e-5, atol=1e-6)
    assert cell_count(ours) == CELLS["tied"]["base"] * (3 * 8 + 8 * 8)


def cell_count(module: nnx.Module) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))


def test_a_text_may_be_read_in_pieces(tmp_path):
    cell = CELLS["three layers"]
    names = names_of(cell_module(cell), tmp_path)
    save_file(weights_of(cell), tmp_path / "weights.safetensors")
    network, symbols = names["load"](), texts(cell, 2, 9)
    assert cell_count(network) == sum(value.size for value in weights_of(cell).values())
    carries, first = network.read(symbols[:, :4])
    carries, second = network.read(symbols[:, 4:5], carries)
    _, third = network.read(symbols[:, 5:], carries)
    np.testing.assert_allclose(np.concatenate([first, second, third], 1), network(symbols), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["example", "tied"])
def test_the_sums_of_reduced_factors_stay_float32(name, tmp_path):
    save_file(weights_of(CELLS[name]), tmp_path / "weights.safetensors")
    symbols = texts(CELLS[name], 3, 4)
    found = names_of(cell_module(CELLS[name], "bfloat16"), tmp_path)["load"]()(symbols)
    assert str(found.dtype) == "float32"
    assert 1e-5 < distance(found, plain_cells.read(CELLS[name], weights_of(CELLS[name]), symbols)) < 3e-2


RUN = """
import pathlib

import jax
import jax.numpy as jnp

inputs, given, shown = jnp.ones((2, 5, 32)), jnp.array([[0, 1, 2, 3]]), []
names = {"inputs": inputs, "symbols": given, "print": shown.append}
for block in pathlib.Path("README.md").read_text().split("```python")[1:]:
    exec(block.split("```")[0], names)
    if "outputs" in names:
        assert names.pop("outputs").shape == (2, 5, 128)
    if "step" in names:  # the draws are those of the network that reads the text as a whole
        network, text = names["network"], jnp.array([names.pop("text")])
        del names["step"]
        draw = lambda step: jax.random.categorical(jax.random.key(step), network(text)[0, step])
        assert text.shape == (1, 201)
        assert [int(draw(step)) for step in (0, 1, 50, 199)] == [int(text[0, step + 1]) for step in (0, 1, 50, 199)]
        assert shown[:1] == [" ".join(names["vocabulary"][symbol] for symbol in text[0])]
        logits = network(given)
    if "score" in names:
        print(names.pop("score"), shown[1])
        names["symbols"] = given
assert abs(names["logits"] - logits).max() < 1e-5
"""


def test_the_page_is_true(exported, tmp_path):
    """All its code runs where there is no jaxnas, and does what the page says."""
    (tmp_path / "sitecustomize.py").write_text(BLOCK)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    folder = tmp_path / "out"
    shutil.copytree(exported["three layers"][0], folder)
    (folder / "test.txt").write_text(TEXT)
    environment["PYTHONPATH"] += os.pathsep + str(folder)
    done = subprocess.run([sys.executable, "-c", RUN], env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (folder / "README.md").read_text()
    assert "Trial 3" in page
    assert "a14 = " in page
    score, shown = done.stdout.split(maxsplit=1)
    words = [
        WORDS.index(word) if word in WORDS else 0 for line in TEXT.splitlines() for word in [*line.split(), "<eos>"]
    ]
    assert float(score) == pytest.approx(mean_log_probability(CELLS["three layers"], np.array(words)), rel=1e-4)
    assert shown.strip() == f"perplexity {np.exp(-float(score)):.5g}"


def mean_log_probability(cell: dict, symbols: np.ndarray) -> float:
    """Of all symbols but the first, in nats; the text is read in `STREAMS` parts, each from an empty memory."""
    before, after, logs = symbols[:-1], symbols[1:], []
    for part in np.array_split(np.arange(len(before)), STREAMS):  # of a length that can be shared out evenly
        logits = plain_cells.read(cell, weights_of(cell), before[part][None])[0]
        peak = logits.max(-1, keepdims=True)
        every = logits - peak - np.log(np.exp(logits - peak).sum(-1, keepdims=True))
        logs.append(every[np.arange(len(part)), after[part]])
    return float(np.concatenate(logs).mean())


def test_an_export_that_does_not_agree_leaves_nothing(tmp_path):
    class Swapped(Children):
        def weights(self, network, architecture):
            found = super().weights(network, architecture)
            return found | {"layers.1.input": found["layers.2.input"]}

    with pytest.raises(RuntimeError, match="differ by .* from the trained network: nothing kept"):
        export(made_up(CELLS["three layers"], Swapped(), "words"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused(tmp_path):
    trained = made_up(CELLS["tied"])
    with pytest.raises(ValueError, match="type 'tree' cannot be exported: only chain, skip, .*module, mlp can"):
        export(replace(trained, architecture={"type": "tree"}), tmp_path / "out")
    with pytest.raises(ValueError, match="activation 'gelu' has no formula to write: only identity, tanh"):
        cell_module(described([("add", "gelu")], ("add", "tanh"), 0, 0))
    with pytest.raises(ValueError, match="combination 'minus' has no formula to write: only add, multiply, max"):
        cell_module(described([("add", "tanh")], ("minus", "tanh"), 0, 0))
    with pytest.raises(ValueError, match="type 'rnn' cannot be written: only recurrent, lstm, gru can"):
        cell_module(STANDARD | {"cell": "rnn"})
    assert list(tmp_path.iterdir()) == []
