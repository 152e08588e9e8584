"""The page that lies beside the files of a user's own network and says how to use them."""

from jaxnas.export.own.takes import Takes
from jaxnas.export.page import filled

PAGE = """# A network found by jaxnas

{result}
{which}
```
{drawing}
```

{takes}

```python
from pathlib import Path

import jax.export
import numpy as np
{code}
network = jax.export.deserialize(bytearray(Path("network.stablehlo").read_bytes()))
outputs = network.call({call})
{then}
```

Written with jax {jax} and flax {flax}.

## network.stablehlo

The whole network with its weights, for any batch size, on {platforms}. It checks no values. Needs jax and flatbuffers.

## architecture.json

The values that the network was called with ("values"), those of its training ("training"), where they were searched,
and what it takes.

## weights.safetensors

Parameters and statistics, by the names that {names}{beside}.

```python
from safetensors.numpy import load_file

weights = load_file("weights.safetensors")
```
{last}"""
OWN = "\nThe class itself, `{network}`, is in the file of the search's configuration.\n"
LAYERS = """
Each hidden layer is `h = {activation}(h @ kernel + bias)`; the last one has no activation.
"""


def page(description: dict, facts: dict, takes: Takes) -> str:
    """The page; the first two arguments are those of `jaxnas.export.page.filled`."""
    own = "network" in description
    last = OWN.format(network=description["network"]) if own else LAYERS.format(**description)
    names = "the network's class has for them" if own else "tell their layers"
    code = f"\n{takes.code}" if takes.code else ""
    more = {"takes": takes.words, "code": code, "call": takes.call, "then": takes.then, "beside": takes.beside}
    return filled(PAGE, description, facts, **more, last=last, names=names)
