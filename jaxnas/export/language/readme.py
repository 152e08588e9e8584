"""The page that lies beside the files of a language model and says how to use them."""

from jaxnas.export.page import filled

PAGE = """# A recurrent cell found by jaxnas

{result}
{which}
```
{drawing}
```

x is what enters the cell, h what it gave at the step before, c its memory; W and U are weights, and a prime marks what
is new. Written with jax {jax} and flax {flax}.

## The cell in a model of your own

`network.py` has it as a Flax NNX cell, to be used where `nnx.LSTMCell` could be, with sizes of your own and new
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

## weights.safetensors

All float32: `embedding` [{symbols}, {hidden}], {output} and `output.bias`.
`layers.1.input` and `layers.1.recurrent` hold the matrices of all leaves of the first layer beside each other: W0 and
U0 are columns 0 to {last}. Further layers have the same.

## network.stablehlo

The whole network with its weights, for any number of texts of any length, which it reads from an empty memory; runs
on {platforms}. Needs jax and flatbuffers.

```python
import jax.export

network = jax.export.deserialize(bytearray(open("network.stablehlo", "rb").read()))
logits = network.call(symbols)
```
"""
JOIN = {"characters": "", "words": " "}
"""What stands between two symbols of a text, by its unit."""


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
    sizes = {"hidden": hidden, "symbols": symbols, "last": hidden - 1}
    return filled(PAGE, description, facts, unit=unit, join=JOIN[unit], output=output, **sizes)
