"""From a file to files: tables, ratings and texts through search, final training, predictions and export."""

import csv
import os
import re

import numpy as np
import pytest

import jaxnas
from jaxnas.tasks import scores

DRAW = np.random.default_rng(5)
TEXTS = [(f"a {word} thing it {verb}", word) for word in ("good", "bad") for verb in ("is", "was") for _ in range(20)]


def prices() -> list[dict]:
    """Houses, some cells of which are missing."""
    rows = []
    for i in range(120):
        size, town = DRAW.integers(50, 200), DRAW.choice(["Bern", "Oslo", "Rome"])
        price = 1000.0 * size + 20_000 * len(town) * (town == "Rome")
        rows.append(
            {
                "size": "" if DRAW.random() < 0.1 else str(size),
                "town": str(town),
                "sold": f"{17 * 10**11 + i}",
                "price": f"{price:g}",
            }
        )
    return rows


def ratings() -> list[dict]:
    return [{"user": f"u{u}", "item": f"i{i}", "rating": str((u + i) % 4)} for u in range(12) for i in range(10)]


def texts() -> list[dict]:
    return [{"text": text, "label": label} for text, label in TEXTS]


KINDS = {
    "table": (prices, lambda file: jaxnas.Tabular(file, regression=True, score="rmse")),
    "pair": (ratings, lambda file: jaxnas.Ratings(file, score="mae")),
    "passage": (texts, lambda file: jaxnas.TextClassification(file, length=6, score="f1")),
}


@pytest.fixture(scope="module", params=KINDS)
def found(request, tmp_path_factory):
    """A finished search with a final training; the task; rows of the file."""
    make, task_of = KINDS[request.param]
    folder, rows = tmp_path_factory.mktemp(request.param), make()
    with (folder / "data.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    task, train = task_of(str(folder / "data.csv")), jaxnas.Train(epochs=2, batch_size=16)
    experiment = jaxnas.Experiment(
        jaxnas.MLP(layers=(1,), widths=(4,), activations=("tanh",), dropout=(0.0,)), task, jaxnas.Random(),
        evaluator=jaxnas.Population(train), final=jaxnas.Final(train), rounds=1, children=2,
    )  # fmt: skip
    found = jaxnas.run(experiment, folder / "run", quiet=True)
    found.final(quiet=True)
    return request.param, found, task, rows


def asked(kind: str, task, rows) -> tuple[list, np.ndarray]:
    """The test rows as a user has them, and what is right: found by the task's own order of the file."""
    _, kept = task._parts()[:2]
    rows = [rows[line - 2] for line in kept.lines]
    if kind == "table":
        return [{name: row[name] for name in ("size", "town", "sold")} for row in rows], np.float64(
            [r["price"] for r in rows]
        )
    if kind == "pair":
        return [[row["user"], row["item"]] for row in rows], np.float64([row["rating"] for row in rows])
    return [row["text"] for row in rows], np.array([["bad", "good"].index(row["label"]) for row in rows])


def test_predictions_of_the_test_rows_have_the_test_score(found):
    """Independent of the programs that scored it: raw cells in, numbers or probabilities out."""
    kind, found, task, rows = found
    x, right = asked(kind, task, rows)
    said = found.predict(x)
    of = {"table": scores.rmse, "pair": scores.mae, "passage": scores.f1}[kind]
    assert said.shape == ((len(x), 2) if kind == "passage" else (len(x),))
    final = found.final(quiet=True)
    assert of(said, right) == pytest.approx(final["test_score"], rel=1e-4)
    assert final["test_examples"] == len(x)


def test_the_page_of_an_export_is_enough_to_use_it(found, tmp_path, monkeypatch):
    """Law 14: its own lines, with the user's rows, say what `predict` says."""
    kind, found, task, rows = found
    x, _ = asked(kind, task, rows)
    if kind == "table":
        x = [
            *x,
            {"size": 70, "town": "Paris", "sold": 17 * 10**11},
            {"size": None, "town": "", "sold": "NA"},
        ]  # unknown and missing
    found.export(tmp_path / "out")
    [code, *_] = re.findall(r"```python\n(.*?)```", (tmp_path / "out" / "README.md").read_text(), re.DOTALL)
    names = {"table" if kind == "table" else "wanted" if kind == "pair" else "texts": x}
    monkeypatch.chdir(tmp_path / "out")
    exec(code, names)
    outputs, said = np.asarray(names["outputs"]), found.predict(x)
    if kind == "passage":
        np.testing.assert_allclose(np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True), said, rtol=1e-4)
        assert names["labels"].tolist() == said.argmax(1).tolist()
    else:
        np.testing.assert_allclose(names["values"], said, rtol=1e-4)
    assert {"architecture.json", "weights.safetensors"} < set(os.listdir())


def test_what_the_network_does_not_take_is_refused(found):
    kind, found, _, _ = found
    bad, words = {
        "table": ([[1.0, "Rome"]], "this network takes the columns size, town, sold"),
        "pair": ([["u1"]], r"takes pairs \[M, 2\]"),
        "passage": ([3], "takes a list of texts"),
    }[kind]
    with pytest.raises(ValueError, match=words):
        found.predict(bad)
