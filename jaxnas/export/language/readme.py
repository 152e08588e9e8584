"""The page that lies beside the files of a language model and says how to use them."""

from jaxnas.export.page import filled

PAGE = """# {title}

{result}
{which}
```
{drawing}
```

{legend}Written with jax {jax} and flax {flax}.

## The cell in a model of your own

`network.py` has it as a Flax NNX cell, to be used where `nnx.{like}` could be, with sizes of your own and new
weights. Needs jax, flax and safetensors.

```python
from flax import nnx
from network import Cell

layer = nnx.RNN(Cell(in_features=32, hidden_features=128, rngs=nnx.Rngs(0)))
outputs = layer(inputs)  # float32 [b, t, 32] -> [b, t, 128]
```

## The language model

A text is int32 `[b, t]`: places of {unit} in the list `vocabulary`, which is in `architecture.json`. Logits are
float32 `[b, t, {symbols}]`, of the symbol after each. To write text, read a symbol, draw the next, and hand on what
the layers remember:

```python
import json
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx
from network import load

network, vocabulary = load(), json.loads(Path("architecture.json").read_text())["vocabulary"]
carries, logits = network.read(jnp.array([[0]]))  # any beginning, here the first symbol of the vocabulary
read, text = nnx.jit(lambda network, symbols, carries: network.read(symbols, carries)), [0]
for step in range(200):
    text.append(int(jax.random.categorical(jax.random.key(step), logits[0, -1])))
    carries, logits = read(network, jnp.array([text[-1:]]), carries)
print({join!r}.join(vocabulary[symbol] for symbol in text))
```

To score a text, write it as symbols. The test text was read in {streams} parts, each from an empty memory:

```python
import numpy as np

places = {{symbol: place for place, symbol in enumerate(vocabulary)}}
text = {split}
symbols = np.array([places.get(symbol, places.get("<unk>")) for symbol in text])


def log_probability(symbols, parts):  # the mean of all symbols but the first, in nats
    size, total = -(-(len(symbols) - 1) // parts), 0.0
    for first in range(0, len(symbols) - 1, size):
        part = symbols[first : first + size + 1]
        logs = jax.nn.log_softmax(network(part[None, :-1]))
        total += float(jnp.take_along_axis(logs, part[None, 1:, None], axis=-1).sum())
    return total / (len(symbols) - 1)


score = log_probability(symbols, parts={streams})
{shown}
```

## weights.safetensors

All float32: `embedding` [{symbols}, {hidden}], {output} and `output.bias`.
{columns} Further layers have the same.

## network.stablehlo

The whole network with its weights, for any number of texts of any length, which it reads from an empty memory; runs
on {platforms}. Needs jax and flatbuffers.

```python
import jax.export

network = jax.export.deserialize(bytearray(open("network.stablehlo", "rb").read()))
logits = network.call(symbols)
```
"""
FOUND = """x is what enters the cell, h what it gave at the step before, c its memory; W and U are weights, and a
prime marks what is new. """
LEAVES = """`layers.1.input` and `layers.1.recurrent` hold the matrices of all leaves of the first layer beside each
other: W0 and U0 are columns 0 to {last}."""
GATES = """`layers.1.input`, `layers.1.recurrent` and `layers.1.bias` hold the gates of the first layer beside
each other, in the order {gates}: the first is columns 0 to {last}."""
ORDER = {"lstm": "input, forget, new memory, output", "gru": "reset, update, new output"}
JOIN = {"characters": "", "words": " "}
"""What stands between two symbols of a text, by its unit."""
SPLIT = {
    "characters": 'open("test.txt", encoding="utf-8-sig", newline="").read().replace("\\r\\n", "\\n")',
    "words": """[]
for line in open("test.txt", encoding="utf-8-sig"):
    text += [*(word for word in line.split() if word != "<eos>"), "<eos>"]""",
}
"""A text as symbols, by its unit."""
SHOWN = {
    "characters": 'print(f"{-score / np.log(2):.4f} bits a character")',
    "words": 'print(f"perplexity {np.exp(-score):.5g}")',
}


def readme(description: dict, facts: dict, unit: str) -> str:
    """The page, in Markdown.

    Args:
        description: of the architecture, as the ledger has it.
        facts: the recorded final training.
        unit: "characters" or "words".
    """
    hidden, symbols = description["hidden"], description["symbols"]
    output = (
        "which is the matrix of the output too," if description["tied"] else f"`output.kernel` [{hidden}, {symbols}]"
    )
    streams = facts["settings"]["train"]["batch_size"]
    text = {"unit": unit, "join": JOIN[unit], "split": SPLIT[unit], "shown": SHOWN[unit], "streams": streams}
    sizes = {"hidden": hidden, "symbols": symbols}
    return filled(PAGE, description, facts, output=output, **text, **sizes, **_of_cell(description, hidden - 1))


def _of_cell(description: dict, last: int) -> dict[str, str]:
    """What only a found cell, or only an ordinary one, has."""
    if description["type"] == "recurrent":
        columns = LEAVES.format(last=last)
        return {"title": "A recurrent cell found by jaxnas", "legend": FOUND, "like": "LSTMCell", "columns": columns}
    name = description["cell"]
    columns, title = (
        GATES.format(gates=ORDER[name], last=last),
        f"A language model of {name.upper()}, trained by jaxnas",
    )
    return {"title": title, "legend": "", "like": f"{name.upper()}Cell", "columns": columns}
