"""A network's ``training``: a Python bool traces nothing for the other case, and gives what a traced one gives."""

import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from plain import CHAINS, SPACE, jit
from plain_cell201 import CELLS
from plain_skip import NETWORKS

from jaxnas.children.engines import Padded
from jaxnas.children.layers import Statistics, moved
from jaxnas.children.recurrent.network import Dropout
from jaxnas.rng import key_for
from jaxnas.spaces import Cell201, LanguageModel, RecurrentCell, SkipCNN

KEY, CLASSES, BATCH = key_for(7, "child"), 5, 4
SKIPS = SkipCNN(
    layers=5, kernel_heights=(1, 3, 5), kernel_widths=(1, 2, 3), filters=(4, 6),
    types=("convolution", "max_pool", "average_pool"), norms=(True, False),
)  # fmt: skip
TEXT = RecurrentCell(4, model=LanguageModel(hidden=5, layers=2, dropout=Dropout(0.3, 0.2, 0.1)))
SYMBOLS = np.random.default_rng(1).integers(0, CLASSES, (BATCH, 6))
FAMILIES = {
    "chain": (SPACE.children((9, 7, 3), CLASSES), CHAINS["strides"]),
    "skip": (SKIPS.children((9, 7, 3), CLASSES), NETWORKS["poolings"]),
    "cell201": (Cell201(channels=4, cells=1).children((8, 8, 3), CLASSES), CELLS["all of it"]),
    "recurrent": (TEXT.children((6,), CLASSES), TEXT.decode(np.zeros(len(TEXT.decisions), np.int32))),
}


@cache
def child(family):
    """A padded child as a function (parameters, genes, training) -> loss, (outputs, statistics); its parameters and
    its genes.
    """
    children, architecture = FAMILIES[family]
    inside = children.envelope([architecture], Padded(), ())
    genes = children.place(architecture, inside)
    build = lambda genes: nnx.split(children.build(inside, genes, KEY), nnx.Param, nnx.BatchStat)
    graph = nnx.graphdef(nnx.eval_shape(lambda genes: nnx.merge(*build(genes)), genes))
    parameters, statistics = jit(lambda genes: build(genes)[1:])(genes)
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(SYMBOLS), SYMBOLS
    if family != "recurrent":
        x = jnp.asarray(rng.normal(size=(BATCH, *children.input_shape)), jnp.float32)
        y = rng.integers(0, CLASSES, BATCH)

    def loss(parameters, genes, training):
        net = nnx.merge(graph, parameters, statistics, copy=True)
        outputs = net(x, genes, training, net.carry(BATCH), KEY)
        value = optax.softmax_cross_entropy_with_integer_labels(outputs[0], y).mean()
        return value, (outputs, nnx.state(net, nnx.BatchStat))

    return loss, parameters, genes


@pytest.mark.parametrize("family", FAMILIES)
def test_a_python_bool_gives_what_a_traced_one_gives(family):
    """Outputs, statistics and gradients."""
    loss, parameters, genes = child(family)
    traced = jit(jax.value_and_grad(loss, has_aux=True))
    results = []
    for training in (True, False):
        known = jit(jax.value_and_grad(lambda p, g, t=training: loss(p, g, t), has_aux=True))
        results.append(jax.tree.leaves(known(parameters, genes)))
        expected = jax.tree.leaves(traced(parameters, genes, training))
        for a, b in zip(results[-1], expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(0.02, np.abs(b).max()))
    assert not np.allclose(*(found[0] for found in results)), "training changes nothing here"


def primitives(program) -> list[str]:
    """The names of all primitives in a program, those of inner programs included, from its text."""
    return re.findall(r" = (\w+)[\[ ]", str(program))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_python_bool_leaves_no_conditional(family, training):
    """Neither forward nor backward, in children side by side (whose genes' own conditionals are selections)."""
    loss, parameters, genes = child(family)
    stacked = jax.tree.map(lambda a: np.stack([a, a]), genes)
    step = jax.grad(lambda p, g: loss(p, g, training)[0])
    program = jax.make_jaxpr(jax.vmap(step, (None, 0)))(parameters, stacked)
    assert "cond" not in primitives(program)
    traced = jax.make_jaxpr(jax.vmap(jax.grad(lambda p, g, t: loss(p, g, t)[0]), (None, 0, None)))
    if family in ("chain", "cell201"):
        assert "cond" in primitives(traced(parameters, stacked, training)), "the check sees nothing"


@pytest.mark.parametrize("family", FAMILIES)
def test_scoring_takes_no_statistics(family):
    """Fewer sums over maps than in training, and none of dropout's random bits."""
    loss, parameters, genes = child(family)
    names = {}
    for training in (True, False):
        program = jax.make_jaxpr(lambda p, g, t=training: loss(p, g, t)[1])(parameters, genes)
        names[training] = primitives(program)
    if family == "recurrent":
        assert not {"random_bits", "threefry2x32"} & {*names[False]}
        assert {"random_bits", "threefry2x32"} & {*names[True]}
        return
    sums = {training: found.count("reduce_sum") for training, found in names.items()}
    assert sums[True] - sums[False] >= 2, sums
    assert not [name for name in ("square", "integer_pow") if name in names[False]]


def test_the_running_average_by_hand():
    running, used = Statistics(jnp.array([1.0, 0]), jnp.array([2.0, 1])), Statistics(jnp.zeros(2), jnp.full(2, 4.0))
    assert moved(running, used, False, 0.75) is running
    for training in (True, jnp.asarray(True)):
        found = moved(running, used, training, 0.75)
        np.testing.assert_allclose(found.mean, [0.75, 0])
        np.testing.assert_allclose(found.variance, [2.5, 1.75])
