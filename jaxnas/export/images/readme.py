"""The page that lies beside the files of an image network and says how to use them."""

from jaxnas.export.page import filled
from jaxnas.export.seen import Seen

PAGE = """# A network found by jaxnas

{result}
{which}
```
{drawing}
```

Images are `[b, {height}, {width}, {channels}]`: batch, height, width and channels ({layout}). Their values are
{range}, as in the {dtype} images that this network has learnt from; other scales, such as {other}, give other
answers. Both programs {normal} images by themselves. Logits are float32 `[b, {classes}]`. {names}

```python
import numpy as np
from network import CLASS_NAMES, load

network = load()
logits = network(images)  # it checks shape and values of numpy arrays
labels = np.argmax(logits, axis=-1)
print(labels if CLASS_NAMES is None else [CLASS_NAMES[label] for label in labels])
```

Written with jax {jax} and flax {flax}.

## architecture.json

The layers as above. `map` is height and width of what leaves a layer. `images` says what was trained on: range, type,
layout and class names.

## weights.safetensors

Parameters, running statistics of batch normalisation (`mean`, `variance`), and mean and standard deviation of the
training images' channels (`images.mean`, `images.std`). Kernels are `[height, width, channels, filters]`.

```python
from safetensors.numpy import load_file

weights = load_file("weights.safetensors")
```

## network.stablehlo

The whole network with its weights, for any batch size, on {platforms}. It takes float32 and checks no values.
Needs jax and flatbuffers.

```python
import jax.export
import numpy as np

network = jax.export.deserialize(bytearray(open("network.stablehlo", "rb").read()))
logits = network.call(np.float32(images))
```

## network.py

The same as a Flax NNX module, used above, to read, change or train further. Needs jax, flax and safetensors.
"""


def readme(description: dict, facts: dict, classes: int, seen: Seen) -> str:
    """The page, in Markdown.

    Args:
        description: of the architecture, as the ledger has it.
        facts: the recorded final training.
        classes: how many labels there are.
        seen: the images that were trained on.
    """
    height, width, channels = description["input"]
    sizes = {"height": height, "width": width, "channels": channels, "classes": classes}
    normal = "whiten" if seen.whiten else "normalise"
    about = {"range": seen.range, "dtype": seen.dtype, "other": seen.other, "layout": seen.layout, "names": seen.names}
    return filled(PAGE, description, facts, normal=normal, **sizes, **about)
