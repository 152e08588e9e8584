"""The layers of NAS-Bench-201's network, written for ONE child inside its envelope, and their initial weights.

``spec`` is a `CellChildren`. Letters: B batch, H W height and width of the map, C channels in, F filters, K kernel
side, N cells of a stage.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jaxnas.children.cell201.architecture import EDGES, OPERATIONS, SIDES, STAGES, Cell, CellEnvelope, CellGenes
from jaxnas.children.cell201.edges import ConvParameters, Form, cell, conv_norm
from jaxnas.children.engines import Padded
from jaxnas.children.engines.convolution import centre
from jaxnas.children.engines.shared import Shared
from jaxnas.children.layers import Statistics, Training, moved
from jaxnas.numerics import factors
from jaxnas.rng import key_for

FIXED = 3
"""Layers of a residual block."""


def form_of(inside: CellEnvelope, spec, stride: int = 1, image: bool = False) -> Form:
    """How a convolution is computed; see `Form`."""
    engine = inside.engine
    plain = isinstance(engine, Padded) and engine.by_library
    return Form(factors(spec.dtype), spec.norm.epsilon, stride, image, engine.platform, plain)


class Drawn:
    """Random numbers for the weights: of each layer in the widest shape of the space, from a key of its own, so that a
    child begins with the same numbers in any company.

    A stage's layers are counted: the residual block before it (of the first stage the stem), then edge by edge.
    """

    def __init__(self, inside: CellEnvelope, spec, key: jax.Array):
        edges = [FIXED + c * len(EDGES) + e for c in range(spec.cells) for e, side in enumerate(inside.sides) if side]
        layers = [(number, place) for number in range(STAGES) for place in (*range(FIXED if number else 1), *edges)]
        widest = spec.skeleton.stage(STAGES - 1)[1]
        shape = 3, 3, max(spec.input_shape[2], widest), widest
        draw = lambda ids: jax.random.uniform(key_for(key, "layer", *ids), shape, minval=-1, maxval=1)
        self.rows, self.blocks = {ids: row for row, ids in enumerate(layers)}, jax.lax.map(draw, jnp.array(layers))

    def block(self, stage: int, place: int, side: int, channels: int, filters: int) -> Float[Array, "K K C F"]:
        """Uniform in [-1, 1): the part of a layer's numbers that an envelope uses."""
        return centre(self.blocks[self.rows[stage, place]], (side, side, channels, filters))

    def kernel(self, stage: int, place: int, side: int, channels: int, filters: int) -> Float[Array, "K K C F"]:
        """Initial weights of a layer that all cells have."""
        return self.block(stage, place, side, channels, filters) / (side * math.sqrt(channels))


class ConvNorm(nnx.Module):
    """Convolution without bias, and batch normalisation; leading axes of the kernel are the layers of a loop."""

    def __init__(self, kernel: Float[Array, "*N K K C F"], spec):
        self.kernel = nnx.Param(kernel)
        shape = (*kernel.shape[:-4], kernel.shape[-1])
        self.scale, self.bias = nnx.Param(jnp.ones(shape)), nnx.Param(jnp.zeros(shape))
        self.mean, self.variance = nnx.BatchStat(jnp.zeros(shape)), nnx.BatchStat(jnp.ones(shape))
        self.momentum = spec.norm.momentum

    @property
    def values(self) -> ConvParameters:
        return ConvParameters(self.kernel[...], self.scale[...], self.bias[...])

    @property
    def running(self) -> Statistics:
        return Statistics(self.mean[...], self.variance[...])

    def move(self, used: Statistics, training: Training) -> None:
        """The running statistics, in training towards those of a batch."""
        self.mean[...], self.variance[...] = moved(self.running, used, training, self.momentum)

    def arrays(self, name: str) -> dict[str, nnx.Variable]:
        """Parameters and statistics by name."""
        return {f"{name}.{part}": getattr(self, part) for part in ("kernel", "scale", "bias", "mean", "variance")}

    def __call__(
        self, form: Form, x: Float[Array, "B H W C"] | Shared, training: Training
    ) -> Float[Array, "B H2 W2 F"]:
        z, used = conv_norm(form, x, self.values, self.running, training)
        self.move(used, training)
        return z


class Reduction(nnx.Module):
    """The residual block between two stages: two convolutions, the first of stride 2; beside them 2x2 average pooling
    and a 1x1 convolution.
    """

    def __init__(self, number: int, inside: CellEnvelope, spec, drawn: "Drawn"):
        channels, filters = (spec.skeleton.stage(n)[1] for n in (number - 1, number))
        self.first = ConvNorm(drawn.kernel(number, 0, 3, channels, filters), spec)
        self.second = ConvNorm(drawn.kernel(number, 1, 3, filters, filters), spec)
        self.shortcut = nnx.Param(drawn.kernel(number, 2, 1, channels, filters))
        self.forms = form_of(inside, spec, 2), form_of(inside, spec)

    def __call__(self, x: Float[Array, "B H W C"], training: Training) -> Float[Array, "B H/2 W/2 F"]:
        b, h, w, c = x.shape
        pooled = x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))  # which JAX sums in float32
        form = self.forms[1]
        one = Padded(form.plain, form.platform)
        shortcut = one.conv(pooled, self.shortcut[...], 0, (1, 1), False, form.dtype)
        z = self.second(form, self.first(self.forms[0], x, training), training)
        return z + shortcut


class Stage(nnx.Module):
    """The cells of a stage: one cell, again and again with weights of its own. They run as a loop, so that they are
    compiled once.
    """

    def __init__(self, number: int, inside: CellEnvelope, spec, genes: CellGenes, drawn: "Drawn"):
        self.inside, self.cells, self.form = inside, spec.cells, form_of(inside, spec)
        self.numbers = tuple(e for e, side in enumerate(inside.sides) if side)
        self.edges, channels = nnx.List([]), spec.skeleton.stage(number)[1]
        for e in self.numbers:
            places = [FIXED + cell * len(EDGES) + e for cell in range(spec.cells)]
            kernels = jnp.stack([drawn.block(number, place, inside.sides[e], channels, channels) for place in places])
            spread = genes.spread[e] / math.sqrt(channels)
            edge = ConvNorm(kernels * _taps(genes, e, inside.sides[e]) * spread, spec)
            edge.scale[...] *= jnp.where(genes.spread[e] == 0, 0.0, 1.0)
            self.edges.append(edge)

    def __call__(self, x: Float[Array, "B H W C"], genes: CellGenes, training: Training) -> Float[Array, "B H W C"]:
        def by_edge(parts):
            found = dict(zip(self.numbers, parts, strict=True))
            return [found.get(e) for e in range(len(EDGES))]

        def one(x, layer):
            return cell(self.inside, self.form, x, *map(by_edge, layer), genes.operations, training)

        layers = [edge.values for edge in self.edges], [edge.running for edge in self.edges]
        x, used = jax.lax.scan(one, x, layers, length=self.cells)
        for edge, e in zip(self.edges, self.numbers, strict=True):
            edge.move(used[e], training)
        return x

    def weights(self, architecture: Cell, name: str) -> dict[str, np.ndarray]:
        """The live part of all parameters and statistics by name, counted from cell 1."""
        found = {}
        for edge, e in zip(self.edges, self.numbers, strict=True):
            side = SIDES.get(architecture.operations[e])
            for number in range(self.cells if side else 0):
                here = f"{name}.cell{number + 1}.edge{EDGES[e][0]}{EDGES[e][1]}"
                found |= {part: np.asarray(value[...])[number] for part, value in edge.arrays(here).items()}
                found[f"{here}.kernel"] = centre(found[f"{here}.kernel"], (side, side))
        return found


def _taps(genes: CellGenes, edge: int, side: int) -> Float[Array, "K K 1 1"]:
    """1 for the taps of an edge's own kernel."""
    middle = np.zeros((side, side, 1, 1), np.float32)
    middle[side // 2, side // 2] = 1
    return jnp.where(genes.operations[edge] == OPERATIONS.index("nor_conv_3x3"), 1.0, middle)
