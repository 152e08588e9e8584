"""The page that lies beside the files of a user's own network and says how to use them."""

from jaxnas.export.page import filled
from jaxnas.export.seen import Seen

PAGE = """# A network found by jaxnas

{result}
{which}
```
{drawing}
```

{takes}

```python
import jax.export
import numpy as np

network = jax.export.deserialize(bytearray(open("network.stablehlo", "rb").read()))
logits = network.call({call})
labels = np.argmax(logits, axis=-1)
```

Written with jax {jax} and flax {flax}.

## network.stablehlo

The whole network with its weights, for any batch size, on {platforms}. It checks no values. Needs jax and flatbuffers.

## architecture.json

The values that the network was called with ("values"), those of its training ("training"), where they were searched,
and what it takes.

## weights.safetensors

Parameters and statistics, by the names that the network's class has for them{more}.

```python
from safetensors.numpy import load_file

weights = load_file("weights.safetensors")
```

The class itself, `{network}`, is in the file of the search's configuration.
"""
IMAGES = """Images are float32 `[b, {shape}]`: batch, height, width and channels ({layout}). Their values are {range},
as in the {dtype} images that this network has learnt from; other scales, such as {other}, give other answers. The
program {does} images by itself. Logits are float32 `[b, {classes}]`. {names}"""
TEXT = """Texts are int32 `[b, {shape}]`: numbers of symbols, from 0 to {last}, in the order of "vocabulary" in
architecture.json. Logits are float32 `[b, {shape}, {classes}]`: of what follows each symbol."""


def image_page(description: dict, facts: dict, classes: int, shape: tuple[int, ...], seen: Seen) -> str:
    """Of a network for images of this shape; the other arguments as in `jaxnas.export.page.filled`."""
    does = "whitens" if seen.whiten else "normalises"
    takes = IMAGES.format(
        shape=_sizes(shape), layout=seen.layout, range=seen.range, dtype=seen.dtype, other=seen.other, does=does,
        classes=classes, names=seen.names,
    )  # fmt: skip
    more = ", and mean and standard deviation of the training images' channels (`images.mean`, `images.std`)"
    return _page(description, facts, takes=takes, call="np.float32(images)", more=more)


def text_page(description: dict, facts: dict, symbols: int, shape: tuple[int, ...]) -> str:
    """Of a network for texts of this length; the other arguments as in `jaxnas.export.page.filled`."""
    takes = TEXT.format(shape=_sizes(shape), last=symbols - 1, classes=symbols)
    return _page(description, facts, takes=takes, call="np.int32(texts)", more="")


def _page(description: dict, facts: dict, **more: str) -> str:
    return filled(PAGE, description, facts, network=description["network"], **more)


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
