"""The writer of network.py for networks with skips, held against loops over the cells of the maps."""

import numpy as np
import pytest
from exported import distance
from flax import nnx
from safetensors.numpy import save_file

from jaxnas.export import module
from jaxnas.export.seen import Seen

CLASSES, SEEN = 4, Seen(0, 255)


def layer(kind, inputs, kernel, stride, channels, size, parameters=0, norm=True):
    sides = {"kernel": list(kernel), "stride": list(stride), "map": list(size)}
    return {"type": kind, "inputs": inputs, "channels": channels, "norm": norm, "parameters": parameters} | sides


SKIP = {
    "type": "skip",
    "input": [11, 9, 2],
    "layers": [
        layer("convolution", [0], (3, 1), (1, 1), 4, (11, 9), 3 * 1 * 2 * 4 + 8),
        layer("max_pool", [0, 1], (3, 5), (2, 1), 6, (6, 9)),
        layer("convolution", [1, 2], (5, 2), (1, 2), 3, (11, 5), 5 * 2 * 10 * 3 + 3, norm=False),
        layer("average_pool", [2, 3], (2, 3), (1, 1), 9, (11, 9)),
        layer("convolution", [0, 3, 4], (7, 7), (3, 3), 5, (4, 3), 7 * 7 * 14 * 5 + 10),
        layer("convolution", [2], (1, 1), (1, 1), 2, (6, 9), 6 * 2 + 2, norm=False),
        layer("average_pool", [5], (7, 1), (1, 1), 5, (4, 3)),
    ],
    "outputs": [6, 7],
}
POOLS = {
    "type": "skip",
    "input": [5, 4, 3],
    "layers": [
        layer("max_pool", [0], (2, 4), (1, 3), 3, (5, 2)),
        layer("average_pool", [0, 1], (3, 3), (2, 2), 6, (3, 2)),
    ],
    "outputs": [2],
}


def weights_of(architecture, seed=0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    noise = lambda *shape: rng.normal(size=shape).astype(np.float32)
    depths = [architecture["input"][2], *(one["channels"] for one in architecture["layers"])]
    found = {"images.mean": 100 + noise(depths[0]), "images.std": 60 + noise(depths[0])}
    for i, one in enumerate(architecture["layers"], 1):
        if one["type"] == "convolution":
            entering = sum(depths[j] for j in one["inputs"])
            spread = np.sqrt(1 / (one["kernel"][0] * one["kernel"][1] * entering))
            names = ("scale", "bias", "mean") if one["norm"] else ("bias",)
            found[f"layers.{i}.kernel"] = noise(*one["kernel"], entering, depths[i]) * np.float32(spread)
            found |= {f"layers.{i}.{name}": noise(depths[i]) for name in names}
            found |= {f"layers.{i}.variance": noise(depths[i]) ** 2 + 0.5} if one["norm"] else {}
    features = sum(depths[j] for j in architecture["outputs"])
    return found | {"classifier.kernel": noise(features, CLASSES), "classifier.bias": noise(CLASSES)}


def joined(maps):
    """Concatenated in depth in the upper left of zeros."""
    height, width = max(m.shape[1] for m in maps), max(m.shape[2] for m in maps)
    whole = np.zeros((len(maps[0]), height, width, sum(m.shape[3] for m in maps)))
    done = 0
    for m in maps:
        whole[:, : m.shape[1], : m.shape[2], done : done + m.shape[3]] = m
        done += m.shape[3]
    return whole


def under(x, kernel, stride, see):
    """What ``see(cells, kernel rows, kernel columns)`` makes of the cells under the kernel, at each place of x."""
    spans = []
    for axis in (0, 1):
        starts = range(-((kernel[axis] - 1) // 2), x.shape[axis + 1] - (kernel[axis] - 1) // 2, stride[axis])
        ends = [(max(0, s), min(x.shape[axis + 1], s + kernel[axis]), s) for s in starts]
        spans.append([(slice(a, b), slice(a - s, b - s)) for a, b, s in ends])
    rows = [[see(x[:, r, c], kr, kc) for c, kc in spans[1]] for r, kr in spans[0]]
    return np.stack([np.stack(row, 1) for row in rows], 1)


def plain(architecture, weights, images):
    """Logits, in float64."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    maps = [(images - w["images.mean"]) / w["images.std"]]
    for i, one in enumerate(architecture["layers"], 1):
        x = joined([maps[j] for j in one["inputs"]])
        see = {"max_pool": lambda cells, *_: cells.max((1, 2)), "average_pool": lambda cells, *_: cells.mean((1, 2))}
        kernel = w.get(f"layers.{i}.kernel")
        see["convolution"] = lambda cells, r, c, kernel=kernel: np.einsum("bhwc,hwcf->bf", cells, kernel[r, c])
        x = under(x, one["kernel"], one["stride"], see[one["type"]])
        if one["type"] == "convolution":
            if one["norm"]:
                x = (x - w[f"layers.{i}.mean"]) / np.sqrt(w[f"layers.{i}.variance"] + 1e-5) * w[f"layers.{i}.scale"]
            x = np.maximum(x + w[f"layers.{i}.bias"], 0)
        assert x.shape[1:] == (*one["map"], one["channels"])
        maps.append(x)
    features = joined([maps[j] for j in architecture["outputs"]]).mean((1, 2))
    return features @ w["classifier.kernel"] + w["classifier.bias"]


def written(architecture, place, **settings) -> dict:
    """The names that the written module defines."""
    path = place / "network.py"
    path.write_text(module(architecture, CLASSES, SEEN, **settings))
    names = {"__name__": "network", "__file__": str(path)}
    exec(compile(path.read_text(), str(path), "exec"), names)
    return names


@pytest.mark.parametrize("architecture", [SKIP, POOLS], ids=["everything", "pooling alone"])
def test_the_module_is_the_network_cell_by_cell(architecture, tmp_path):
    weights = weights_of(architecture)
    save_file(weights, tmp_path / "weights.safetensors")
    names = written(architecture, tmp_path)
    images = np.random.default_rng(1).integers(0, 256, (3, *architecture["input"])).astype(np.float32)
    found, wanted = names["load"]()(images), plain(architecture, weights, images)
    assert wanted.std() > 0.05
    assert distance(found, wanted) < 1e-5


def test_the_module_counts_its_parameters(tmp_path):
    names = written(SKIP, tmp_path)
    network = nnx.eval_shape(lambda: names["Network"](nnx.Rngs(0)))
    count = sum(p.size for p in nnx.to_flat_state(nnx.state(network, nnx.Param)).leaves)
    assert count == 32 + 303 + 3440 + 14 + (7 + 1) * CLASSES
    assert f"of 7 layers and {count:,} parameters" in names["__doc__"]


def test_sums_of_reduced_factors_stay_float32(tmp_path):
    save_file(weights_of(SKIP), tmp_path / "weights.safetensors")
    images = np.random.default_rng(1).integers(0, 256, (3, *SKIP["input"])).astype(np.float32)
    found = written(SKIP, tmp_path, dtype="bfloat16")["load"]()(images)
    assert str(found.dtype) == "float32"
    assert 1e-6 < distance(found, plain(SKIP, weights_of(SKIP), images)) < 1e-2


def test_a_deep_dense_network_keeps_its_lines_short(tmp_path):
    many = [layer("convolution", list(range(i)), (3, 3), (1, 1), 48, (8, 8)) for i in range(1, 41)]
    text = module({"type": "skip", "input": [8, 8, 3], "layers": many, "outputs": list(range(1, 41))}, 10, SEEN)
    compile(text, "network.py", "exec")
    assert max(map(len, text.splitlines())) <= 120
    assert "self.layer40 = Convolution(1875, 48, (3, 3), (1, 1), rngs)" in text  # 3 + 39 * 48
    assert "self.classifier = nnx.Linear(1920, 10, rngs=rngs)" in text


def test_a_strange_type_is_refused():
    with pytest.raises(ValueError, match="type 'tree' cannot be written as a module: only chain and skip"):
        module({"type": "tree"}, CLASSES, SEEN)
