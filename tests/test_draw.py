"""Drawings: every edge and every number of a network, in the terminal and in Graphviz's language."""

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from jaxnas.children import alone
from jaxnas.children.cell201.architecture import OPERATIONS, Cell
from jaxnas.cli import main
from jaxnas.ledger import Ledger
from jaxnas.outcome import Trial
from jaxnas.report import dot_text, draw, picture, pretty
from jaxnas.spaces import Cell201

KINDS = "convolution", "convolution", "convolution", "max_pool", "average_pool"
SIDES = 1, 3, 5, 7


def skip(seed: int, depth: int, density: float, rate: float | None = None) -> dict:
    """A network with random skips; the numbers in it are all different, so that none can stand for another."""
    rng = np.random.default_rng(seed)
    layers, read, serial = [], set(), iter(range(1001, 9999))
    for number in range(1, depth + 1):
        kind = str(rng.choice(KINDS))
        inputs = np.flatnonzero(rng.random(number) < density).tolist() or [0]
        read |= set(inputs)
        sides = {name: rng.choice(values, 2).tolist() for name, values in (("kernel", SIDES), ("stride", (1, 2, 3)))}
        conv = {"norm": bool(rng.random() < 0.7), "parameters": next(serial) if kind == "convolution" else 0}
        layers.append(
            {"type": kind, "inputs": inputs, "channels": next(serial), "map": [40, next(serial)]} | sides | conv
        )
    outputs = [number for number in range(1, depth + 1) if number not in read]
    found = {"type": "skip", "input": [32, 32, 3], "layers": layers, "outputs": outputs}
    return found | ({} if rate is None else {"learning_rate": rate})


def edges(architecture: dict) -> set[tuple[int, int]]:
    """(from, to); 0 is the image, the last number the classifier."""
    last = len(architecture["layers"]) + 1
    if architecture["type"] == "chain":
        return set(pairwise(range(last + 1)))
    found = {(j, i) for i, layer in enumerate(architecture["layers"], 1) for j in layer["inputs"]}
    return found | {(j, last) for j in architecture["outputs"]}


def traced(drawing: str) -> set[tuple[int, int]]:
    """The edges of a drawing, found as an eye does: from each arrow left along the line, at each joint up the lane."""
    lines = drawing.splitlines()
    lines = lines[:-2] if lines[-2] == "" else lines  # what stands below a drawing
    boxes, between = lines[::2], lines[1::2]
    at = lambda line, column: line[column] if 0 <= column < len(line) else " "
    trunk = next(line.index("1  ") for line in boxes[1:])
    found = {(i, i + 1) for i, line in enumerate(between) if at(line, trunk) in "│┤"}
    for number, line in enumerate(boxes):
        column = line.index(">") if ">" in line else 0
        while column and at(line, column - 1) in "─│┼┴├└":
            column -= 1
            if at(line, column) in "┼┴├└":
                found.add((climbed(lines, 2 * number, column, trunk), number))
            if at(line, column) in "├└":
                break
    return found


def climbed(lines: list[str], row: int, column: int, trunk: int) -> int:
    """The box in which a lane begins."""
    row -= 1
    while lines[row][column] != "┌":
        assert lines[row][column] in "│├┼", "a lane has a hole"
        row -= 1
    assert set(lines[row][column + 1 : trunk]) <= set("─│"), "a lane does not reach its box"
    assert lines[row][trunk] in "┤┘"
    return (row - 1) // 2


CHAIN = {
    "type": "chain", "input": [8, 8, 1],
    "layers": [
        {"kernel": [3, 5], "filters": 8, "stride": [1, 1], "pool": 2, "map": [4, 4], "parameters": 136},
        {"kernel": [1, 1], "filters": 4, "stride": [2, 1], "pool": 1, "map": [2, 4], "parameters": 40},
    ],
}  # fmt: skip
SKIPS = [skip(seed, 1 + seed % 20, (0.1, 0.3, 0.6, 1.0)[seed % 4]) for seed in range(120)]
DENSE = skip(1, 15, 0.6, rate=0.05)


def test_the_lanes_hold_every_edge_and_no_other():
    for architecture in SKIPS:
        assert traced(draw(architecture)) == edges(architecture)


def test_a_line_holds_every_number_of_its_layer():
    for architecture in SKIPS:
        for number, (layer, line) in enumerate(
            zip(architecture["layers"], draw(architecture).splitlines()[2::2], strict=False), 1
        ):
            sides = " x ".join(map(str, layer["kernel"]))
            name = {"convolution": "conv", "max_pool": "max pool", "average_pool": "average pool"}[layer["type"]]
            assert re.search(rf"(^|\D){number}  {name} {sides}[, ]", line)
            assert " x ".join(map(str, (*layer["map"], layer["channels"]))) in line
            assert (f"stride {layer['stride'][0]} x {layer['stride'][1]}" in line) == (layer["stride"] != [1, 1])
            conv = layer["type"] == "convolution"
            assert (f" {layer['parameters']:,}" in line) == conv
            assert ("no norm" in line) == (conv and not layer["norm"])
            reads = ", ".join("image" if j == 0 else str(j) for j in layer["inputs"])
            assert line.endswith(f"reads {reads}") == (layer["inputs"] != [number - 1])


def cell(*operations: str, cells: int = 2) -> dict:
    space = Cell201(channels=4, cells=cells)
    return space.children((8, 8, 3), 10).describe(Cell(operations))


def test_a_cell_is_drawn_edge_by_edge():
    conv, pool, skipped = "nor_conv_3x3", "avg_pool_3x3", "skip_connect"
    architecture = cell(conv, skipped, pool, "none", "nor_conv_1x1", skipped)
    lines = draw(architecture).splitlines()
    words = [next(part for part in re.split("  +", line) if re.search("[a-z]", part)) for line in lines[:25:2]]
    assert words == [
        "image", "conv 3 x 3, no ReLU", "conv 3 x 3", "node 1", "average pool 3 x 3", "node 2, the sum", "conv 1 x 1",
        "node 3, the sum", "1 more such cell", "residual block, stride 2 x 2", "2 such cells",
        "residual block, stride 2 x 2", "2 such cells",
    ]  # fmt: skip
    read = {(1, 2), (2, 3), (3, 4), (1, 5), (4, 5), (3, 6), (5, 7), (6, 7)}
    assert traced(draw(architecture)) == read | {(0, 1)} | {(i, i + 1) for i in range(7, 13)}
    assert lines[-1] == pretty(architecture) == architecture["arch"]
    numbers = [int(n.replace(",", "")) for n in re.findall(r"  ([\d,]+)(?:   reads.*)?$", draw(architecture), re.M)]
    children = Cell201(channels=4, cells=2).children((8, 8, 3), 10)
    assert sum(numbers) + 32 + 170 == alone(children, Cell(tuple(architecture["operations"]))).parameters
    assert "node 1, zeros" in draw(cell("none", *[conv] * 5))


def test_the_drawings_of_a_cell_agree():
    rng = np.random.default_rng(0)
    for _ in range(60):
        architecture = cell(*(OPERATIONS[i] for i in rng.integers(0, 5, 6)), cells=int(rng.integers(1, 4)))
        assert traced(draw(architecture)) == nodes_and_edges(dot_text(architecture))[1]


def test_few_lanes_serve_many_skips():
    """Three skips of which no two overlap share a lane; so does one that begins where another ends."""
    layer = {"type": "convolution", "kernel": [3, 3], "stride": [1, 1], "channels": 8, "norm": True, "map": [8, 8]}
    inputs = [[0], [1], [1, 2], [3], [3, 4], [5], [5, 6]]
    layers = [layer | {"inputs": one, "parameters": 1} for one in inputs]
    drawing = draw({"type": "skip", "input": [8, 8, 3], "layers": layers, "outputs": [7]})
    assert {line.find("┌") for line in drawing.splitlines()} == {-1, 0}
    left = [line.split("conv")[0].rstrip() for line in drawing.splitlines()[3:7]]
    assert left == ["┌────┤", "│    2", "│    │", "└──> 3"]


def test_a_network_with_skips_in_one_line():
    layer = {"type": "convolution", "kernel": [3, 5], "stride": [1, 1], "channels": 8, "norm": True, "inputs": [0]}
    pool = layer | {"type": "max_pool", "inputs": [0, 1], "stride": [2, 1]}
    last = layer | {"type": "average_pool", "inputs": [0]}
    layers = [layer, pool, layer | {"norm": False, "inputs": [2]}, last]
    architecture = {"type": "skip", "input": [8, 8, 3], "layers": layers, "outputs": [3, 4], "learning_rate": 0.05}
    assert pretty(architecture) == "3x5:8 max3x5s2x1<0,1 3x5:8- avg3x5<0 >3,4 @0.05"


def test_the_learning_rate_of_a_child_is_shown():
    assert draw(DENSE).endswith("\n\nlearning rate 0.05")
    assert traced(draw(DENSE)) == edges(DENSE)


def nodes_and_edges(text: str) -> tuple[dict[int, str], set[tuple[int, int]]]:
    """Of Graphviz's language: labels by number, and the edges."""
    nodes = {int(number): label for number, label in re.findall(r"^  n(\d+) \[label=<(.*)>, fillcolor", text, re.M)}
    lines = re.findall(r"^  n(\d+) -> n(\d+) \[(.*)\];$", text, re.M)
    return nodes, {(int(a), int(b)) for a, b, _ in lines}


def test_graphviz_is_told_every_edge_and_number():
    for architecture in [*SKIPS, CHAIN, DENSE]:
        nodes, seen = nodes_and_edges(dot_text(architecture))
        assert seen == edges(architecture)
        assert sorted(nodes) == list(range(len(architecture["layers"]) + 2))
        for number, layer in enumerate(architecture["layers"], 1):
            channels = layer.get("channels") or layer["filters"]
            conv = layer.get("type", "convolution") == "convolution"
            wanted = [" x ".join(map(str, layer["kernel"])), " x ".join(map(str, (*layer["map"], channels)))]
            wanted += [f"{layer['parameters']:,} parameters", f"{channels} filters"] if conv else []
            wanted += [f"stride {layer['stride'][0]} x {layer['stride'][1]}"] if layer["stride"] != [1, 1] else []
            wanted += [f"max pool {layer['pool']}"] if layer.get("pool", 1) > 1 else []
            assert all(one in nodes[number] for one in wanted), (nodes[number], wanted)


def placed(text: str) -> tuple[dict[int, tuple], dict[tuple[int, int], tuple]]:
    """Left, right, top and bottom of each box; of each edge its points, the arrow's tip last."""
    found = re.findall(r'^  n(\d+) \[.*pos="0,(.*)", width=(.*), height=(.*)\];$', text, re.M)
    middle = lambda y, w, h: (-36 * w, 36 * w, y + 36 * h, y - 36 * h)
    rectangles = {int(number): middle(*map(float, numbers)) for number, *numbers in found}
    lines = re.findall(r'^  n(\d+) -> n(\d+) \[.*pos="e,(\S+) (.*)"\];$', text, re.M)
    pair = lambda words: tuple(map(float, words.split(",")))
    return rectangles, {(int(a), int(b)): (*map(pair, points.split()), pair(tip)) for a, b, tip, points in lines}


def test_a_picture_is_not_tangled():
    """Boxes lie apart, and so do lanes and the arrows into a box; a line begins and ends at its boxes."""
    for architecture in SKIPS:
        rectangles, lines = placed(dot_text(architecture))
        assert set(lines) == edges(architecture)
        assert all(rectangles[i][3] > rectangles[i + 1][2] + 10 for i in range(len(rectangles) - 1))
        lanes, tips = {}, {}
        for (a, b), (*points, tip) in lines.items():
            assert len(points) % 3 == 1
            tips.setdefault(b, []).append(tip[1])
            if b == a + 1:
                ends = (0, 0, rectangles[a][3], rectangles[b][2])
                assert (points[0][0], tip[0], points[0][1], tip[1]) == pytest.approx(ends, abs=0.1)
                continue
            for (left, _, top, bottom), (x, y) in ((rectangles[a], points[0]), (rectangles[b], tip)):
                assert x == pytest.approx(left, abs=0.1)
                assert bottom < y < top
            x, ys = min(x for x, _ in points), [y for _, y in points]
            assert x < rectangles[b][0] - 15
            lane = lanes.setdefault((a, x), [max(ys), min(ys)])
            lane[1] = min(lane[1], *ys)
        for heights in tips.values():
            assert all(high - low > 3 for high, low in pairwise(sorted(heights, reverse=True)))
        for (a, x), (top, bottom) in lanes.items():
            others = [lane for (b, at), lane in lanes.items() if b != a and abs(at - x) < 5]
            assert all(top < low or bottom > high for high, low in others)


needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed: no `dot` on the PATH")


@needs_dot
@pytest.mark.parametrize("architecture", [CHAIN, DENSE], ids=["chain", "dense skips"])
def test_graphviz_draws_it(architecture, tmp_path):
    picture(architecture, "trial 7: a < b & c\n12 parameters", tmp_path / "net.svg")
    svg = (tmp_path / "net.svg").read_text()
    assert "trial 7: a &lt; b &amp; c" in svg.replace("&#160;", " ")
    assert ">12 parameters<" in svg
    drawn = re.findall(r"<title>n(\d+)&#45;&gt;n(\d+)</title>\n<path", svg)
    assert {(int(a), int(b)) for a, b in drawn} == edges(architecture)
    for layer in architecture["layers"]:
        assert " x ".join(map(str, layer["kernel"])) in svg
        assert f"{layer['parameters']:,}" in svg or not layer["parameters"]
    assert [path.name for path in tmp_path.iterdir()] == ["net.svg"]


@needs_dot
def test_a_png_has_its_pixels(tmp_path):
    picture(CHAIN, "", tmp_path / "net.PNG")
    raw = (tmp_path / "net.PNG").read_bytes()
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    assert min(int.from_bytes(raw[at : at + 4], "big") for at in (16, 20)) > 100


@needs_dot
def test_graphviz_reads_all_of_them():
    """Several networks in one file, of 1 to 16 layers."""
    text = "".join(dot_text(one, "title") for one in SKIPS[:40:5])
    done = subprocess.run(["dot", "-Kneato", "-n2", "-Tplain"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(re.findall("^graph ", done.stdout, re.M)) == 8


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A directory with a ledger of one trial, and a PATH without Graphviz."""
    (tmp_path / "run").mkdir()
    ledger = Ledger(tmp_path / "run", write=True)
    ledger.record(configuration={"children": 1, "rounds": 1})
    ledger.append([Trial(0, 0, (0,), DENSE, "ok", 0.5, 0.5, (0.25, 0.5), 33_000, 44_000_000, 1.5, 1)])
    (tmp_path / "there.svg").write_text("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_show_draws_in_the_terminal(place, capsys):
    assert main(["show", "run", "0"]) == 0
    out = capsys.readouterr().out
    assert draw(DENSE) in out
    assert "validation score 0.5000, 33,000 parameters, 44,000,000 multiply-adds" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("0", "--out", "new.svg"), "apt-get install graphviz"),
        (("0", "--out", "new.jpg"), "--out new.jpg: give a name that ends in .svg or .png"),
        (("0", "--out", "there.svg"), "there.svg exists, and nothing is overwritten"),
        (("1", "--out", "new.svg"), "there is no trial 1"),
    ],
)
def test_a_mistake_draws_nothing(place, arguments, message, capsys):
    assert main(["show", "run", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert (place / "there.svg").read_text() == "mine"
    assert not (place / "new.svg").exists()


def test_a_failing_dot_says_so(place, capsys):
    (place / "dot").write_text("#!/bin/sh\necho no layout >&2\nexit 1\n")
    (place / "dot").chmod(0o755)
    assert main(["show", "run", "0", "--out", "new.svg"]) == 2
    assert "drew nothing (no layout)" in capsys.readouterr().err
    assert not (place / "new.svg").exists()
