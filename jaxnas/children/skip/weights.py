"""The numbers of a network with skip connections as ordinary layers have them, put together from its blocks."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jaxnas.children.engines.convolution import reach
from jaxnas.children.skip.architecture import MapShape, Skip, map_shapes
from jaxnas.children.skip.genes import SkipGenes


def weights(network, architecture: Skip, genes: SkipGenes, input_shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Parameters and statistics of the unpadded network by name, float32.

    Args:
        network: a `SkipNet` of this architecture, in the envelope of ``genes``; its arrays are concrete.
        architecture: what it computes.
        genes: where it lies.
        input_shape: (height, width, channels) of an image.

    Returns:
        As `ChainChildren.weights`; a convolution without normalisation has "kernel" and "bias" alone, a pooling none.
    """
    at, found = map_shapes(architecture, input_shape), {}
    for i, layer in enumerate(architecture.layers):
        if layer.kind != "convolution":
            continue
        found[f"layers.{i + 1}.kernel"] = _kernel(np.asarray(network.blocks[...]), architecture, genes, at, i)
        for name in ("scale", "bias", "mean", "variance") if layer.norm else ("bias",):
            found[f"layers.{i + 1}.{name}"] = np.asarray(getattr(network, name)[...])[i, : layer.filters]
    dense = np.asarray(network.dense[...])
    found["classifier.kernel"] = np.concatenate([dense[j - 1, : at[j].channels] for j in architecture.outputs])
    found["classifier.bias"] = np.asarray(network.dense_bias[...])
    return found


def _kernel(
    blocks: Float[np.ndarray, "N C C"], architecture: Skip, genes: SkipGenes, at: Sequence[MapShape], index: int
) -> Float[np.ndarray, "KH KW C2 F"]:
    """The kernel of one layer."""
    layer, own = architecture.layers[index], at[index + 1]
    kernel, begin, channels = np.zeros((*layer.kernel, own.channels_in, layer.filters), np.float32), {}, 0
    for j in layer.inputs:
        begin[j] = channels
        channels += at[j].channels
    mine = (genes.blocks.layer == index) & (genes.blocks.live[:, 1] > 0)
    for n in np.flatnonzero(mine):
        source = int(genes.blocks.source[n])
        row, column = (int(genes.blocks.offset[n][axis]) + reach(layer.kernel[axis])[0] for axis in (0, 1))
        live = at[source].channels
        kernel[row, column, begin[source] : begin[source] + live] = blocks[n, :live, : layer.filters]
    return kernel
