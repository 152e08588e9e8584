"""Export: four files that say the same, and run where there is no jaxnas."""

import ast
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exported import distance, logits, made_up, network_of, without_jaxnas
from plain import CHAINS, SPACE, live_numbers
from plain_cell201 import CELLS
from safetensors.numpy import load_file

from jaxnas.children import alone
from jaxnas.children.engines import Padded
from jaxnas.children.layers import BatchNorm
from jaxnas.children.skip.architecture import Skip, SkipLayer
from jaxnas.export import export
from jaxnas.export.bundle import appears
from jaxnas.spaces import Cell201, SkipCNN
from jaxnas.tasks import readers

REAL = Path(__file__).parents[2] / "shared" / "data"
COLOUR, GREY = SPACE.children((9, 7, 3), 5), SPACE.children((6, 5, 1), 5)
SKIPS = SkipCNN(
    layers=5, kernel_heights=(1, 3, 5), kernel_widths=(1, 3, 5), filters=(4, 6),
    types=("convolution", "max_pool", "average_pool"), norms=(True, False),
).children((8, 9, 2), 5)  # fmt: skip
MIXED = Skip(
    (
        SkipLayer("convolution", (0,), (3, 1), (1, 1), 6),
        SkipLayer("max_pool", (1,), (3, 5), (2, 1)),
        SkipLayer("convolution", (1, 2), (5, 3), (1, 2), 4, norm=False),
        SkipLayer("average_pool", (2,), (5, 3), (1, 1)),
        SkipLayer("convolution", (1, 3), (1, 5), (3, 2), 6),
    )
)
NETWORKS = {
    "strides": (COLOUR, CHAINS["strides"], 1e-5),
    "equal layers": (replace(GREY, norm=BatchNorm(0.8, 1e-2)), CHAINS["equal layers"], 1e-5),
    "bfloat16": (replace(COLOUR, dtype="bfloat16"), CHAINS["even kernels"], 5e-3),
    "skips": (SKIPS, MIXED, 1e-5),
    "cells": (Cell201(channels=4, cells=1).children((8, 8, 3), 5), CELLS["all of it"], 1e-5),
    "real images": (SPACE.children((28, 28, 1), 10), CHAINS["flat kernels"], 1e-5),
}
"""Children, one of them, and how far the exported files may be from the trained network."""
HERE = (REAL / "fashion-mnist").is_dir()
real = pytest.param("real images", marks=pytest.mark.skipif(not HERE, reason="Fashion-MNIST is not here"))
CHAINED = ["strides", "equal layers", "bfloat16"]
FILES = ["README.md", "architecture.json", "network.py", "network.stablehlo", "weights.safetensors"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """By name: folder, trained network, images, and the logits of the exported files in a process without jaxnas."""
    place, made = tmp_path_factory.mktemp("exported"), {}
    for seed, (name, (children, architecture, _)) in enumerate(NETWORKS.items()):
        trained, folder = made_up(children, architecture, seed), place / "deeper" / name
        if name != "real images":
            images = np.random.default_rng(seed).integers(0, 256, (7, *children.input_shape)).astype(np.float32)
        elif HERE:
            images = readers.opened(str(REAL / "fashion-mnist")).part("test")[0][:50, ..., None].astype(np.float32)
        else:
            continue
        assert export(trained, folder).out == folder
        made[name] = folder, trained, images
    found = without_jaxnas({folder: images for folder, _, images in made.values()})
    return {name: (folder, trained, images, found[folder]) for name, (folder, trained, images) in made.items()}


@pytest.mark.parametrize("name", [*CHAINED, "skips", "cells", real])
def test_program_and_module_give_the_networks_logits_without_jaxnas(exported, name):
    _, trained, images, found = exported[name]
    wanted = logits(trained, images)
    assert wanted.std() > 0.1
    for kind in ("program", "module"):
        for size in (1, len(images)):
            assert distance(found[f"{kind} {size}"], wanted[:size]) < NETWORKS[name][2], (kind, size)


@pytest.mark.parametrize("name", [*CHAINED, "skips", real])
def test_the_files_of_an_export(exported, name):
    folder, trained, _, _ = exported[name]
    assert sorted(path.name for path in folder.iterdir()) == FILES
    description = json.loads((folder / "architecture.json").read_text())
    assert description == trained.children.describe(trained.architecture) | {
        "images": {"range": [0, 255], "dtype": "uint8", "layout": "NHWC", "class_names": None}
    }
    weights = load_file(folder / "weights.safetensors")
    assert {str(array.dtype) for array in weights.values()} == {"float32"}
    statistics = ("mean", "variance", "std")
    learnt = sum(value.size for name, value in weights.items() if name.split(".")[-1] not in statistics)
    assert learnt == alone(trained.children, trained.architecture).parameters
    np.testing.assert_array_equal(weights["images.mean"], np.float32(trained.data["mean"]))
    assert b".py" not in (folder / "network.stablehlo").read_bytes()  # no paths of the machine that wrote it
    page = (folder / "README.md").read_text()
    assert "Trial 3" in page
    assert all(file in page for file in FILES[1:])


@pytest.mark.parametrize("name", CHAINED)
def test_the_module_is_code_that_a_person_would_write(exported, name):
    """A line a layer, no jaxnas, nothing read but the weights, no line too long."""
    folder, trained, _, _ = exported[name]
    text = (folder / "network.py").read_text()
    imports = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Import | ast.ImportFrom)]
    modules = {n.module if isinstance(n, ast.ImportFrom) else n.names[0].name for n in imports}
    assert modules == {"pathlib", "jax", "jax.numpy", "numpy", "flax", "safetensors.flax"}
    assert "json" not in text
    assert "@" not in text
    assert max(map(len, text.splitlines())) <= 120
    channels = trained.children.input_shape[2]
    for number, layer in enumerate(trained.architecture.layers, 1):
        assert f"self.layer{number} = Convolution({channels}, {layer.filters}, {layer.kernel}, {layer.stride}" in text
        channels = layer.filters
    norm = trained.children.norm
    assert f"momentum={norm.momentum}, epsilon={norm.epsilon}" in text


def test_weights_are_cut_out_of_any_envelope():
    chain = CHAINS["strides"]
    inside = COLOUR.envelope(list(CHAINS.values())[:2] + [chain], Padded())
    genes = COLOUR.place(chain, inside)
    network = network_of(COLOUR, inside, genes, 5)
    found, wanted = COLOUR.weights(network, chain), live_numbers(network, chain, 3)
    names = {"dense": "classifier.kernel", "dense_bias": "classifier.bias"}
    for name, value in wanted.items():
        kind, _, number = name.partition(" ")
        key = names.get(name) or f"layers.{int(number) + 1}.{kind}"
        np.testing.assert_array_equal(found.pop(key), value)
    assert found == {}


def test_an_export_that_does_not_agree_leaves_nothing(tmp_path):
    """Weights under wrong names: the module is another function, which is found out before the directory appears."""

    class Swapped(type(GREY)):
        def weights(self, network, architecture):
            found = super().weights(network, architecture)
            return found | {"layers.1.mean": found["layers.1.bias"], "layers.1.bias": found["layers.1.mean"]}

    children = Swapped(**{name: getattr(GREY, name) for name in GREY.__dataclass_fields__})
    with pytest.raises(RuntimeError, match="differ by .* from the trained network: nothing kept"):
        export(made_up(children, CHAINS["shallow"]), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_appears_whole_or_not_at_all(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), appears(out) as partial:  # noqa: PT012
        (partial / "file").write_text("half")
        assert not out.exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="out exists"), appears(out):  # noqa: PT012
        out.mkdir()  # by another process, meanwhile
        (out / "theirs").write_text("kept")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]
    (tmp_path / "a file").write_text("")
    with pytest.raises(ValueError, match="cannot be made"), appears(tmp_path / "a file" / "out"):
        pass
    with appears(tmp_path / "new" / "out") as partial:
        (partial / "file").write_text("whole")
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["out", "file"]
