"""Recurrent cells as formulas, in short, and as a picture: each says all of the cell."""

import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from plain_cells import ACTIVATIONS, EXAMPLE, STANDARD, described, drawn, step

from jaxnas.outcome import Trial
from jaxnas.report import dot_text, draw, picture, pretty, trial_table

CELLS = [EXAMPLE, *(drawn(seed, 2 ** (seed % 5)) for seed in range(50))]
"""Of base 1 to 16."""


def test_the_papers_example_is_drawn_as_the_paper_has_it():
    assert draw(EXAMPLE).splitlines() == [
        "a0 = tanh(W0 x + U0 h)",
        "a0 <- relu(a0 + c)       cell inject",
        "a1 = relu(W1 x * U1 h)   c' = W1 x * U1 h",
        "a2 = sigmoid(a0 * a1)    h' = a2",
        "",
        "2 layers of 3, 36 parameters each; 5 symbols, embedding and output apart",
    ]
    assert pretty(EXAMPLE) == "+tanh *relu | *sig c+relu>0 1>c"


def evaluated(lines: list[str], wx, uh, c):
    """(c_t, h_t), by the formulas of a drawing."""
    names = {"max": np.maximum, "c": c} | {name: partial(function, np) for name, function in ACTIVATIONS.items()}
    names |= {f"W{i}": value for i, value in enumerate(wx)} | {f"U{i}": value for i, value in enumerate(uh)}
    for line in lines:
        formula, *remarks = re.split(" {3,}|, (?=h')", re.sub("([WU]\\d+) [xh]", r"\1", line).replace("<-", "="))
        exec(formula, names)
        for name, value in re.findall("([ch])' = (.*)", "\n".join(remarks)):
            names[f"new_{name}"] = eval(value, names)
    return names["new_c"], names["new_h"]


def test_the_formulas_compute_the_cell():
    for cell in CELLS:
        rng = np.random.default_rng(0)
        wx, uh, c = rng.normal(size=(cell["base"], 7)), rng.normal(size=(cell["base"], 7)), rng.normal(size=7)
        # each leaf's numbers lie beside each other, and the matrices are the identity
        wide = cell | {"hidden": 7 * cell["base"]}
        one = np.eye(7 * cell["base"])
        wanted = step(wide, wx.ravel(), c, uh.ravel(), one, one)
        found = evaluated(draw(cell).split("\n\n")[0].splitlines(), wx, uh, c)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def parsed(line: str) -> tuple:
    """Nodes, inject and the two indices from the short form."""
    sign, code = {"+": "add", "*": "multiply", "^": "max"}, {"id": "identity", "sig": "sigmoid"}
    pair = lambda word: (sign[word[0]], code.get(word[1:], word[1:]))
    *words, inject, memory = line.replace("| ", "").split()
    inject, at = inject[1:].split(">")
    return [pair(word) for word in words], pair(inject), int(at), int(memory.removesuffix(">c"))


def test_the_short_form_says_all_of_the_cell():
    for cell in CELLS:
        assert described(*parsed(pretty(cell))) == cell
        levels = [len(level.split()) for level in pretty(cell).split(" c")[0].split("|")]
        assert levels == [cell["base"] >> level for level in range(len(levels))]
    longest = described([("max", "tanh")] * 15, ("max", "tanh"), 10, 10)
    assert len(pretty(longest)) <= 110


def test_a_list_of_trials_has_a_column_for_cells():
    table = trial_table([Trial(0, 0, (0,), EXAMPLE, "ok", 0.5, 0.5, (0.5,), 10, 20, 1.5, 1)], "")
    assert (table.columns[-1].header, list(table.columns[-1].cells)) == ("cell", [pretty(EXAMPLE)])


def test_ordinary_cells_have_their_name():
    tied = "2 layers of 64, 33,024 parameters each; 1,066 symbols, one matrix for embedding and output"
    assert draw(STANDARD) == f"LSTM\n\n{tied}"
    assert pretty(STANDARD) == "LSTM, 2 of 64"
    assert pretty(STANDARD | {"cell": "gru", "layers": 1}) == "GRU, 1 of 64"
    assert "\n1 layer of 64," in draw(STANDARD | {"layers": 1})
    with pytest.raises(ValueError, match="type 'standard' has no picture: only 'chain'.* and 'recurrent' have one"):
        dot_text(STANDARD)


def edges(cell: dict) -> set[tuple[str, str]]:
    """Of the picture of a cell, by the names in it."""
    base, last = cell["base"], len(cell["nodes"]) - 1
    value = lambda i: "inject" if i == cell["inject_at"] else f"n{i}"
    found = {(source, f"n{i}") for i in range(base) for source in "xh"}
    found |= {(value(2 * (i - base) + side), f"n{i}") for i in range(base, last + 1) for side in (0, 1)}
    found |= {(f"n{cell['inject_at']}", "inject"), ("c", "inject")}
    return found | {(f"n{cell['memory_from']}", "c1"), (value(last), "h1")}


def test_graphviz_is_told_every_edge_and_every_function():
    for cell in CELLS:
        text = dot_text(cell)
        assert set(re.findall(r"^  (\w+)(?::n)? -> (\w+)", text, re.M)) == edges(cell)
        labels = dict(re.findall(r"^  (\w+) \[label=<<B>\w+</B>  (.*)>, fill", text, re.M))
        named = {f"n{i}": pair for i, pair in enumerate(cell["nodes"])} | {"inject": cell["inject"]}
        sign = {"add": "+", "multiply": "×", "max": "max"}
        assert labels == {name: f"{sign[one]}<BR/>{other}" for name, (one, other) in named.items()}
        before = cell["nodes"][cell["memory_from"]][1]
        assert (f'label=" before\\n {before}"' in text) == (before != "identity")


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed: no `dot` on the PATH")
@pytest.mark.parametrize("cell", [EXAMPLE, drawn(3, 8)], ids=["base 2", "base 8"])
def test_graphviz_draws_the_root_above_its_leaves(cell, tmp_path: Path):
    picture(cell, "trial 7", tmp_path / "cell.svg")
    svg = (tmp_path / "cell.svg").read_text().replace("&#45;", "-")
    boxes = re.findall(r'<title>(\w+)</title>\n<(?:path|ellipse)[^>]*(?:cy="|d="M)(\S+)', svg)
    height = {name: float(at.split(",")[-1].rstrip('"').split("C")[0]) for name, at in boxes}
    assert {name for name, _ in edges(cell)} | {"h1", "c1"} == set(height)
    assert set(re.findall(r"<title>(\w+)(?::n)?-&gt;(\w+)(?::s)?</title>\n<path", svg)) >= edges(cell)
    assert all(height[low] > height[high] for low, high in edges(cell))  # SVG counts downwards
