"""What the program of an exported network takes and gives, in words and for a test of it, by kind of inputs."""

from typing import Any, NamedTuple

import numpy as np

from jaxnas.export.inputs import ImageInputs, TextInputs
from jaxnas.export.rows import PairInputs, PassageInputs, TableInputs
from jaxnas.trained import Trained

PROBES = 16
"""Inputs of noise on which the program is held against the trained network."""
LABELS = "labels = np.argmax(outputs, axis=-1)"
NUMBERS = "values = outputs[:, 0]"
ROWS = """import json
import re

columns = json.loads(Path("architecture.json").read_text())["columns"]


def number(column, cell):  # NaN where it is unknown or missing
    text = re.sub(r"^([+-]?\\d+)\\.0$", r"\\1", str(cell).strip())  # a whole number has no point
    if column["values"]:
        return column["values"].index(text) if text in column["values"] else np.nan
    try:
        return float(text) - column["offset"]
    except ValueError:
        return np.nan


rows = np.float32([[number(column, row[column["name"]]) for column in columns] for row in table])  # of dictionaries
"""


class Takes(NamedTuple):
    """words: of inputs and outputs; code: that makes inputs; call: their name in it; then: what to do with outputs;
    facts: for architecture.json; weights: beside those of the network, and ``beside`` in words; probes: inputs.
    """

    words: str
    code: str
    call: str
    then: str
    facts: dict[str, Any]
    probes: np.ndarray
    weights: dict[str, np.ndarray] = {}
    beside: str = ""


def takes(trained: Trained, inputs: Any) -> Takes:
    """Of a trained network."""
    return OF[type(inputs)](trained, inputs)


def _images(trained: Trained, inputs: ImageInputs) -> Takes:
    seen, shape = inputs.seen, inputs.shape
    does = "whitens" if seen.whiten else "normalises"
    words = (
        f"Images are float32 `[b, {_sizes(shape)}]`: batch, height, width and channels ({seen.layout}). Their values "
        f"are {seen.range},\nas in the {seen.dtype} images that this network has learnt from; other scales, such as "
        f"{seen.other}, give other answers. The\nprogram {does} images by itself. Outputs are logits, float32 "
        f"`[b, {trained.data['classes']}]`. {seen.names}"
    )
    mean, std = inputs.moments()
    return Takes(
        words,
        "",
        "np.float32(images)",
        LABELS,
        {"images": seen.facts(), "input": list(shape)},
        seen.noise((PROBES, *shape)),
        {"images.mean": mean, "images.std": std},
        ", and mean and standard deviation of the training images' channels (`images.mean`, `images.std`)",
    )


def _texts(trained: Trained, inputs: TextInputs) -> Takes:
    data, size = trained.data, trained.data["classes"]
    steps = data["input_shape"][0]
    words = (
        f'Texts are int32 `[b, {steps}]`: numbers of symbols, from 0 to {size - 1}, in the order of "vocabulary" in\n'
        f"architecture.json. Outputs are logits, float32 `[b, {steps}, {size}]`: of what follows each symbol."
    )
    probes = _draw().integers(0, size, (PROBES, steps)).astype(np.int32)
    return Takes(words, "", "np.int32(texts)", LABELS, _named(data, "vocabulary", "unit"), probes)


def _table(trained: Trained, inputs: TableInputs) -> Takes:
    data, columns = trained.data, inputs.columns
    words = (
        f'Rows are float32 `[b, {len(columns)}]`: cells in the order of "columns" in architecture.json; of a category '
        'the place\nof its value among "values", of a number what it is above its "offset", and NaN where a value is '
        f'unknown or missing. The\nprogram standardises by itself. What is told is "{data["target"]}". {_outputs(data)}'
    )
    code = ROWS
    probes = [
        _draw().integers(0, len(c.values), PROBES) if c.values else c.mean + c.std * _draw().normal(size=PROBES)
        for c in columns
    ]
    probes = np.stack(probes, 1).astype(np.float32)
    facts = _named(data, "columns", "target", "class_names")
    return Takes(words, code, "rows", NUMBERS if inputs.target else LABELS, facts, probes)


def _pairs(trained: Trained, inputs: PairInputs) -> Takes:
    words = (
        'Pairs are int32 `[b, 2]`: a user and an item by their places in "users" and "items" of architecture.json, '
        "from 1 on;\n0 is one that the network has not learnt from. Outputs are ratings, float32 `[b, 1]`."
    )
    code = """import json

known = json.loads(Path("architecture.json").read_text())
place = lambda names, name: names.index(name) + 1 if name in names else 0
pairs = np.int32([[place(known["users"], user), place(known["items"], item)] for user, item in wanted])
"""
    sizes = len(inputs.users) + 1, len(inputs.items) + 1
    probes = np.stack([_draw().integers(0, size, PROBES) for size in sizes], 1).astype(np.int32)
    return Takes(words, code, "pairs", NUMBERS, _named(trained.data, "users", "items"), probes)


def _passages(trained: Trained, inputs: PassageInputs) -> Takes:
    words = (
        f'Texts are int32 `[b, {inputs.length}]`: {inputs.unit} by their places in "vocabulary" of architecture.json, '
        f"0 behind the end of a text,\n1 for those that are not there. {_outputs(trained.data)}"
    )
    symbols = "list(text)" if inputs.unit == "characters" else """re.findall(r"\\w+(?:'\\w+)*", text.lower())"""
    code = f"""import json
import re

places = {{symbol: i for i, symbol in enumerate(json.loads(Path("architecture.json").read_text())["vocabulary"])}}
symbols = np.zeros((len(texts), {inputs.length}), np.int32)
for row, text in zip(symbols, texts):
    found = {symbols}[:{inputs.length}]
    row[: len(found)] = [places.get(symbol, 1) for symbol in found]
"""
    probes = _draw().integers(0, len(inputs.vocabulary), (PROBES, inputs.length)).astype(np.int32)
    facts = _named(trained.data, "vocabulary", "unit", "class_names")
    return Takes(words, code.replace("\\\\", "\\"), "symbols", LABELS, facts, probes)


OF = {
    ImageInputs: _images,
    TextInputs: _texts,
    TableInputs: _table,
    PairInputs: _pairs,
    PassageInputs: _passages,
}


def _outputs(data: dict) -> str:
    if not data["class_names"]:
        return "Outputs are float32 `[b, 1]`, in its own unit."
    names = ", ".join(data["class_names"])
    return f"Outputs are logits, float32 `[b, {data['classes']}]`. The classes are, in their order, {names}."


def _named(data: dict, *names: str) -> dict[str, Any]:
    return {name: data[name] for name in names}


def _draw() -> np.random.Generator:
    return np.random.default_rng(0)


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
