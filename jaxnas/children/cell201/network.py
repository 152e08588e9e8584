"""The network of NAS-Bench-201 around one cell. Written for ONE child inside its envelope.

References:
    Dong & Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search, 2020, section 2.1
    (https://arxiv.org/abs/2001.00326).

Letters: B batch, H W height and width of the image, C channels, L classes.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jaxnas.children import Network, Work, layers
from jaxnas.children.cell201 import architecture as cell201
from jaxnas.children.cell201.architecture import (
    EDGES,
    OPERATIONS,
    SIDES,
    STAGES,
    Cell,
    CellEnvelope,
    CellGenes,
    Skeleton,
)
from jaxnas.children.cell201.layers import ConvNorm, Drawn, Reduction, Stage, form_of
from jaxnas.children.cost import HELD, more
from jaxnas.children.engines import Branching, Engine, Padded, Ragged, convolution
from jaxnas.children.engines.shared import Shared
from jaxnas.children.layers import BatchNorm, Statistics, Training
from jaxnas.children.normalised import Normalised
from jaxnas.numerics import factors
from jaxnas.rng import key_for

WORKING = 6
"""The planner reckons with four times a network's maps. Here these are the nodes of all cells, three a cell, and the
maps of so many cells more for what is being computed, by `memory_analysis` of compiled programs."""
COMPILED = 160
"""What compiles a network of cells, in branches of a chain: it takes nearly twice as long as a chain of 4 layers
(`docs/performance.md`)."""


@dataclass(frozen=True)
class CellChildren:
    """The networks of one space on one task: what they have in common, and all that a trainer asks of them.

    Attributes:
        input_shape: (height, width, channels) of an image.
        classes: how many labels there are.
        channels: of the first stage (the paper's C).
        cells: of each stage (N).
        norm: settings of batch normalisation.
        dtype: of maps, what is kept for the gradient among them, and of a convolution's operands: "float32" or
            "bfloat16". Sums within a layer, statistics, features and parameters are float32.

    Raises:
        ValueError: images whose sides are not multiples of 4.
    """

    input_shape: tuple[int, int, int]
    classes: int
    channels: int
    cells: int
    norm: BatchNorm = field(default_factory=BatchNorm)
    dtype: str = "float32"

    def __post_init__(self):
        _ = self.skeleton

    @property
    def skeleton(self) -> Skeleton:
        """The network around the cells."""
        return Skeleton(self.input_shape, self.classes, self.channels, self.cells)

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Padded; or with a branch for each operation."""
        return Padded(), Branching(tuple((side, side) for side in SIDES.values()), (self.channels,))

    def envelope(
        self, architectures: Sequence[Cell], engine: Engine, known: Collection[CellEnvelope] | None = None
    ) -> CellEnvelope:
        """The smallest that holds them all; in a search that of the whole space: one program serves it.

        Raises:
            ValueError: an engine that cannot run cells.
        """
        if isinstance(engine, Ragged):
            raise ValueError(
                "engine 'ragged' has no kernel for the poolings and identities of cells: take 'branching' or 'padded'"
            )
        if known is None:
            return replace(cell201.envelope(architectures), engine=engine)
        return CellEnvelope((OPERATIONS,) * len(EDGES), engine)

    def work(self, envelope: CellEnvelope, architecture: Cell | None = None) -> Work:
        """Of a network in an envelope, its stem, residual blocks and dense layer included; of an envelope alone, of the
        cell that takes most of it.
        """
        largest = [max(edge, key=lambda o: SIDES.get(o, 0)) for edge in envelope.operations]
        own = largest if architecture is None else architecture.operations
        executed = self._executed(own if envelope.engine.in_turn else largest, envelope.engine.platform)
        cost = self.skeleton.cost(own)
        maps = sum(math.prod((*size, channels)) for size, channels in map(self.skeleton.stage, range(STAGES)))
        held = HELD * 4 * maps * (self.cells + WORKING)
        return Work(cost.multiply_adds, executed, cost.parameters, held, COMPILED)

    def _executed(self, operations: Sequence[str], platform: str) -> int:
        count = lambda size, shape, by: convolution.multiply_adds(size, (*shape.kernel, *shape[1:]), by, platform)
        found = self.skeleton.convolutions(operations)
        dense = self.skeleton.stage(STAGES - 1)[1] * self.classes
        return dense + sum(times * count(size, shape, stride) for size, shape, stride, times in found)

    def least_normalised(self, architecture: Cell | None = None) -> Normalised:
        """That of the residual block before the last stage: every network has it."""
        return Normalised(f"the residual block before stage {STAGES}", self.skeleton.stage(STAGES - 1)[0])

    def widened(self, factor: float) -> "CellChildren":
        """The networks with so many times the channels, and other initial weights: what `widen` gives."""
        return replace(self, channels=more(self.channels, factor))

    def widen(self, architecture: Cell, factor: float) -> Cell:
        """The cell itself, which has no widths of its own."""
        return architecture

    def place(self, architecture: Cell, inside: CellEnvelope) -> CellGenes:
        """The arrays that place one cell in an envelope. Raises ValueError where it does not fit."""
        return cell201.place(architecture, inside)

    def build(self, inside: CellEnvelope, genes: CellGenes, key: jax.Array) -> "CellNet":
        """The padded network of one cell with its initial weights; ``key`` is consumed."""
        return CellNet(inside, self, genes, key)

    def share(self, inside: CellEnvelope, x: Float[Array, "B H W C"]) -> Array | Shared:
        """What the stems make of the images of a batch together."""
        return inside.engine.share(x.astype(factors(self.dtype)), self.skeleton.entering(0)[0].kernel, (1, 1))

    def describe(self, architecture: Cell) -> dict:
        """The network as JSON values, for the ledger and for drawings."""
        return cell201.description(architecture, self.skeleton)

    def weights(self, network: "CellNet", architecture: Cell) -> dict[str, np.ndarray]:
        """Parameters and statistics of the unpadded network by name, float32, for export.

        Args:
            network: of this cell, in any envelope that holds it; its arrays are concrete.
            architecture: the cell.

        Returns:
            "NAME.kernel" ``[K, K, C, F]``, "NAME.scale", ".bias", ".mean", ".variance" ``[F]`` of "stem",
            "block2.first", "block2.second" (the residual block before stage 2), "stage1.cell1.edge01" (from node 0 to
            node 1); "block2.shortcut.kernel"; "norm.scale", ... of the last normalisation; "classifier.kernel"
            ``[F, L]``, "classifier.bias" ``[L]``.
        """
        found = {"norm.scale": network.scale, "norm.bias": network.bias, "norm.mean": network.mean}
        found |= {"norm.variance": network.variance, **network.stem.arrays("stem")}
        found |= {"classifier.kernel": network.dense, "classifier.bias": network.dense_bias}
        for number, block in enumerate(network.reductions, 2):
            found |= block.first.arrays(f"block{number}.first") | block.second.arrays(f"block{number}.second")
            found[f"block{number}.shortcut.kernel"] = block.shortcut
        found = {name: np.asarray(value[...]) for name, value in found.items()}
        for number, stage in enumerate(network.stages, 1):
            found |= stage.weights(architecture, f"stage{number}")
        return found


class CellNet(Network):
    """The padded network of ONE child inside an envelope; in the cell's own envelope, the ordinary network.

    ``key`` is consumed: all weights, and the bias of the dense layer, are uniform within sqrt(1 / fan in) of the child
    itself, which is PyTorch's default and so the benchmark's.
    """

    traced_training = True

    def __init__(self, inside: CellEnvelope, spec: CellChildren, genes: CellGenes, key: jax.Array):
        drawn, features = Drawn(inside, spec, key), spec.skeleton.stage(STAGES - 1)[1]
        self.stem = ConvNorm(drawn.kernel(0, 0, 3, spec.input_shape[2], spec.channels), spec)
        self.stages = nnx.List([Stage(n, inside, spec, genes, drawn) for n in range(STAGES)])
        self.reductions = nnx.List([Reduction(n, inside, spec, drawn) for n in range(1, STAGES)])
        self.scale, self.bias = nnx.Param(jnp.ones(features)), nnx.Param(jnp.zeros(features))
        self.mean, self.variance = nnx.BatchStat(jnp.zeros(features)), nnx.BatchStat(jnp.ones(features))
        shape = features + 1, spec.classes
        dense = jax.random.uniform(key_for(key, "dense"), shape, minval=-1, maxval=1) / math.sqrt(features)
        self.dense, self.dense_bias = nnx.Param(dense[:-1]), nnx.Param(dense[-1])
        self.stem_form, self.norm = form_of(inside, spec, image=True), spec.norm

    def __call__(
        self, x: Float[Array, "B H W C"] | Shared, genes: CellGenes, training: Training, carry=(), key=None
    ) -> tuple[Float[Array, "B L"], tuple]:
        """Logits; nothing is remembered. In training, batch statistics normalise and the running ones move."""
        genes = jax.tree.map(jnp.asarray, genes)
        x = self.stages[0](self.stem(self.stem_form, x, training), genes, training)
        for reduction, stage in zip(self.reductions, self.stages[1:], strict=True):
            x = stage(reduction(x, training), genes, training)
        running = Statistics(self.mean[...], self.variance[...])
        x, used = layers.normalise(x, self.scale[...], self.bias[...], running, training, epsilon=self.norm.epsilon)
        self.mean[...], self.variance[...] = layers.moved(running, used, training, self.norm.momentum)
        return layers.global_average(x, None) @ self.dense[...] + self.dense_bias[...], carry
