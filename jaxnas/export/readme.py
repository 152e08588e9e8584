"""The page that lies beside exported files and says how to use them."""

from jaxnas.report import draw, final_lines

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


def readme(description: dict, facts: dict, classes: int, jax: str, flax: str, platforms: tuple[str, ...]) -> str:
    """The page, in Markdown.

    Args:
        description: of the architecture, as the ledger has it.
        facts: the recorded final training.
        classes: how many labels there are.
        jax: the version that wrote the files.
        flax: likewise.
        platforms: on which the artifact runs.
    """
    height, width, channels = description["input"]
    scores = facts["test_scores"]
    first = next(i for i, score in enumerate(scores) if score is not None)
    which = f"\nThese files hold the network of seed {first + 1}, with test score {scores[first]:.4f}.\n"
    return PAGE.format(
        result=final_lines(facts),
        which=which if len(scores) > 1 else "",
        drawing=draw(description),
        height=height,
        width=width,
        channels=channels,
        classes=classes,
        jax=jax,
        flax=flax,
        platforms=", ".join(platforms),
    )
