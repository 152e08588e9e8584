"""Law 13: a training step of every family lowers for GPUs and TPUs, which are not here, by every engine it has; and
nothing in it is slow there, or of no certain order.
"""

import re
from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest
from steps import CLASSES

from jaxnas.children.engines import Engine, Padded, Ragged
from jaxnas.evaluators.optimisers import SGD, of_child
from jaxnas.learners import Supervised
from jaxnas.numerics import pinned
from jaxnas.rng import key_for
from jaxnas.spaces import Cell201, ChainCNN, LanguageModel, RecurrentCell, SkipCNN
from jaxnas.tasks import Batch, Digits, Text

BATCH, UNROLL, SYMBOLS = 4, 6, 50
SPACES = {
    "ChainCNN": ChainCNN(
        layers=3, depths=(2, 3), filters=(4, 8), stride_heights=(1, 2), stride_widths=(1, 2), pool_after=(1,)
    ),
    "SkipCNN": SkipCNN(layers=3, types=("convolution", "max_pool", "average_pool"), filters=(4, 8)),
    "Cell201": Cell201(channels=4, cells=1),
    "RecurrentCell": RecurrentCell(4, model=LanguageModel(hidden=8)),
}
TARGETS = {"cuda": "gpu", "tpu": "tpu"}
"""What lowering calls a platform, and what its devices do."""


@dataclass(frozen=True)
class Family:
    """The children of a space, and what one of them learns from."""

    space: object
    task: object
    children: object

    def architectures(self) -> list:
        rng = np.random.default_rng(0)
        tokens = np.array([rng.integers(0, self.space.decisions.sizes) for _ in range(2)], np.int32)
        return [self.space.decode(np.asarray(row)) for row in self.space.decisions.without_absent(tokens)]

    def batch(self) -> Batch:
        if isinstance(self.task, Text):
            symbols = np.zeros((BATCH, UNROLL), np.int32)
            return Batch(symbols, symbols, np.ones((BATCH, UNROLL), bool))
        images = np.zeros((BATCH, *self.children.input_shape), np.float32)
        return Batch(images, np.zeros(BATCH, np.int32), np.ones(BATCH, np.float32))


def family(name: str) -> Family:
    space = SPACES[name]
    if name == "RecurrentCell":
        return Family(space, Text(), space.children((UNROLL,), SYMBOLS))
    return Family(space, Digits(), space.children((8, 8, 1 if name == "ChainCNN" else 3), CLASSES))


def lowered(own: Family, engine: Engine, target: str) -> str:
    """The program of a training step of two children, for a device that is not here."""
    architectures = own.architectures()
    inside = own.children.envelope(architectures, engine, ())
    genes = jax.tree.map(lambda *rows: np.stack(rows), *[own.children.place(a, inside) for a in architectures])
    one = jax.tree.map(lambda rows: rows[0], genes)
    learner = Supervised(own.children, inside, one, own.task, of_child(SGD(clip=1.0), 10, 1))
    keys = jax.random.split(key_for(0, "children"), 2)
    states, batch = jax.eval_shape(jax.vmap(learner.begin), genes, keys), own.batch()
    carry = jax.tree.map(lambda m: np.zeros((2, *m.shape), m.dtype), learner.carry(BATCH))

    def together(states, carry, genes, keys, batch):
        batch = learner.share(batch)
        step = lambda state, carry, genes, key: learner.train(state, carry, genes, batch, key)
        each = (lambda *all: jax.lax.map(lambda one: step(*one), all)) if engine.in_turn else jax.vmap(step)
        return each(states, carry, genes, keys)

    with pinned(), _devices(target):
        traced = jax.jit(together).trace(states, carry, genes, keys, batch)
        return traced.lower(lowering_platforms=(target,)).as_text()


def _devices(target: str):
    """Pallas asks what it lowers for; jax 0.11 would look for a real one."""
    kind = {"cuda": ("NVIDIA H200", 132, "gpu"), "tpu": ("TPU v5e", 1, "tpu")}[target]
    mesh = jax.sharding.AbstractMesh((1,), ("children",), abstract_device=jax.sharding.AbstractDevice(*kind))
    return jax.sharding.use_abstract_mesh(mesh)


def scatters(text: str) -> list[str]:
    """The attributes of each."""
    found = re.findall(r'"stablehlo\.scatter".*?<\{(.*?)\}>', text)
    assert len(found) == text.count('stablehlo.scatter"')
    return found


CASES = [(name, engine, target) for name in SPACES for engine in ("padded", "branching") for target in TARGETS]
CASES += [("ChainCNN", "plain", target) for target in TARGETS] + [("Cell201", "plain", target) for target in TARGETS]


@pytest.mark.parametrize("name", SPACES)
def test_no_engine_of_a_family_is_left_out(name):
    """Ragged has tests of its own: it has one target and one family."""
    tried = {engine for family, engine, _ in CASES if family == name} | ({"ragged"} if name == "ChainCNN" else set())
    assert {one.name for one in family(name).children.engines} <= tried


@pytest.mark.parametrize(("name", "engine", "target"), CASES)
def test_a_step_lowers_and_nothing_in_it_is_slow_or_of_no_certain_order(name, engine, target):
    own = family(name)
    engines = {one.name: one for one in own.children.engines} | {"plain": Padded(plain=True)}
    text = lowered(own, replace(engines[engine], platform=TARGETS[target]), target)
    assert "stablehlo.select_and_scatter" not in text
    assert all("unique_indices = true" in one for one in scatters(text)), scatters(text)
    assert ("stablehlo.convolution" in text) == (engine == "plain")  # patches are products
    assert "callback" not in text
    products = re.findall(r"stablehlo\.(?:dot_general|convolution).*", text)
    assert products
    assert all("HIGHEST" in one for one in products)


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")  # jax 0.11
def test_ragged_lowers_to_kernels_and_never_to_the_interpreter():
    text = lowered(family("ChainCNN"), Ragged("gpu"), "cuda")
    kernels = re.findall(r'name = "(\w+_kernel)"', text)  # of two convolutions: equal layers are a loop
    assert (kernels.count("_correlate_kernel"), kernels.count("_weight_kernel")) == (4, 2)
    assert text.count("stablehlo.custom_call") == len(kernels)
    assert "stablehlo.select_and_scatter" not in text
    assert all("unique_indices = true" in one for one in scatters(text))


@pytest.mark.parametrize("name", ["SkipCNN", "Cell201", "RecurrentCell"])
def test_other_families_have_no_ragged_engine(name):
    own = family(name)
    with pytest.raises(ValueError, match="engine 'ragged' has (no|a) kernel for"):
        own.children.envelope(own.architectures(), Ragged("gpu"), ())
