"""The page that lies beside the files of an image network and says how to use them."""

from jaxnas.export.page import filled

PAGE = """# A network found by jaxnas

{result}
{which}
```
{drawing}
```

Images are float32 `[b, {height}, {width}, {channels}]` in grey levels 0..255; both programs normalise them. Logits are
float32 `[b, {classes}]`. Written with jax {jax} and flax {flax}.

## architecture.json

The layers as above. `map` is height and width of what leaves a layer.

## weights.safetensors

Parameters, running statistics of batch normalisation (`mean`, `variance`), and mean and standard deviation of the
training images' channels (`images.mean`, `images.std`). Kernels are `[height, width, channels, filters]`.

```python
from safetensors.numpy import load_file

weights = load_file("weights.safetensors")
```

## network.stablehlo

The whole network with its weights, for any batch size, on {platforms}. Needs jax and flatbuffers.

```python
import jax.export

network = jax.export.deserialize(bytearray(open("network.stablehlo", "rb").read()))
logits = network.call(images)
```

## network.py

The same as a Flax NNX module, to read, change or train further. Needs jax, flax and safetensors.

```python
from network import load

logits = load()(images)
```
"""


def readme(description: dict, facts: dict, classes: int) -> str:
    """The page, in Markdown.

    Args:
        description: of the architecture, as the ledger has it.
        facts: the recorded final training.
        classes: how many labels there are.
    """
    height, width, channels = description["input"]
    return filled(PAGE, description, facts, height=height, width=width, channels=channels, classes=classes)
