"""``dtype="bfloat16"``: maps, and what is kept of them for the gradient, are of that type in every family."""

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

from jaxnas.children.engines import Padded, Ragged
from jaxnas.children.recurrent.architecture import Standard
from jaxnas.children.recurrent.network import Dropout
from jaxnas.rng import key_for
from jaxnas.spaces import Cell201, LanguageModel, RecurrentCell, SkipCNN

KEY, CLASSES, BATCH, UNROLL = key_for(7, "child"), 5, 128, 12
SKIPS = SkipCNN(
    layers=5, kernel_heights=(1, 3, 5), kernel_widths=(1, 2, 3), filters=(4, 6),
    types=("convolution", "max_pool", "average_pool"), norms=(True, False),
)  # fmt: skip
DROPPED = Dropout(0.3, 0.2, 0.1, variational=False)
TEXT = RecurrentCell(4, model=LanguageModel(hidden=6, layers=2, dropout=DROPPED))
FAMILIES = {
    "chain": (SPACE, (9, 7, 3), CHAINS["strides"]),
    "equal layers": (SPACE, (9, 7, 3), CHAINS["equal layers"]),
    "skip": (SKIPS, (9, 7, 3), NETWORKS["poolings"]),
    "cell201": (Cell201(channels=4, cells=2), (8, 8, 3), CELLS["all of it"]),
    "tree": (TEXT, (UNROLL,), TEXT.decode(np.zeros(len(TEXT.decisions), np.int32))),
    "lstm": (TEXT, (UNROLL,), Standard("lstm")),
    "gru": (TEXT, (UNROLL,), Standard("gru")),
}
LEAST = {"chain": 1 * 2 * 4, "equal layers": 5 * 4 * 6, "skip": 3 * 3 * 4, "cell201": 2 * 2 * 16}
"""Cells of the smallest map of an image; a layer of text gives UNROLL * 6, of which logits are fewer."""
CASES = [(name, engine) for name in FAMILIES for engine in ("padded", "branching", "plain", "ragged")]
CASES = [
    (name, engine)
    for name, engine in CASES
    if engine == "padded"
    or engine == "branching"
    and name not in ("lstm", "gru")
    or engine == "plain"
    and name in ("chain", "cell201")
    or engine == "ragged"
    and name == "chain"
]


@cache
def child(name, engine="padded", dtype="bfloat16"):
    """The loss and logits of one child as a function of its parameters, in training; and these."""
    space, shape, architecture = FAMILIES[name]
    children = space.children(shape, CLASSES, dtype)
    engines = {"plain": Padded(True, "gpu"), "ragged": Ragged()} | {one.name: one for one in children.engines[:2]}
    known = None if isinstance(architecture, Standard) else ()
    inside = children.envelope([architecture], engines[engine], known)
    genes = jax.tree.map(jnp.asarray, children.place(architecture, inside))
    build = lambda genes: nnx.split(children.build(inside, genes, KEY), nnx.Param, nnx.BatchStat)
    graph = nnx.graphdef(nnx.eval_shape(lambda genes: nnx.merge(*build(genes)), genes))
    parameters, statistics = jit(lambda genes: build(genes)[1:])(genes)
    rng = np.random.default_rng(0)
    symbols = rng.integers(0, CLASSES, (BATCH, UNROLL))
    x, y = (symbols, (symbols + 1) % CLASSES) if len(shape) == 1 else _images(rng, shape)

    def loss(parameters):
        net = nnx.merge(graph, parameters, statistics, copy=True)
        logits, carry = net(jnp.asarray(x), genes, True, net.carry(BATCH), KEY)
        value = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return value, (logits, carry, nnx.state(net, nnx.BatchStat))

    return loss, parameters


def _images(rng, shape):
    """Noise whose brightness says the label."""
    labels = rng.integers(0, CLASSES, BATCH)
    return np.float32(rng.normal(size=(BATCH, *shape)) + labels[:, None, None, None]), labels


def kept(name, engine, dtype) -> list:
    """What a step keeps between forward and backward."""
    loss, parameters = child(name, engine, dtype)
    return jax.tree.leaves(jax.eval_shape(lambda p: jax.vjp(loss, p, has_aux=True)[1], parameters))


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_nothing_of_a_maps_size_is_kept_in_float32(name, engine):
    """And no fewer maps than with float32, of which all are."""
    least = BATCH * LEAST.get(name, UNROLL * 6)
    large = {dtype: [a for a in kept(name, engine, dtype) if a.size >= least] for dtype in ("float32", "bfloat16")}
    floats = {dtype: [a for a in found if jnp.issubdtype(a.dtype, jnp.floating)] for dtype, found in large.items()}
    assert {str(a.dtype) for a in floats["float32"]} == {"float32"}
    assert {str(a.dtype) for a in floats["bfloat16"]} == {"bfloat16"}, [a for a in floats["bfloat16"]]
    size = {dtype: sum(a.size * a.dtype.itemsize for a in found) for dtype, found in floats.items()}
    assert size["bfloat16"] < 0.6 * size["float32"]


@pytest.mark.parametrize(("name", "engine"), [case for case in CASES if case[1] != "ragged"])
def test_numbers_are_near_those_of_float32(name, engine):
    """Loss, logits, state and statistics to 4% of the greatest number, gradients to 10%; all are float32."""
    run = lambda dtype: jit(jax.value_and_grad(child(name, engine, dtype)[0], has_aux=True))(child(name, engine)[1])
    found, right = run("bfloat16"), run("float32")
    for part, far in ((0, 0.04), (1, 0.1)):
        for a, b in zip(jax.tree.leaves(found[part]), jax.tree.leaves(right[part]), strict=True):
            assert a.dtype == jnp.float32
            print(name, engine, part, a.shape, float(abs(a - b).max() / max(0.01, abs(b).max())))


@pytest.mark.parametrize("name", FAMILIES)
def test_it_learns(name):
    loss, parameters = child(name)
    step = jit(jax.value_and_grad(loss, has_aux=True))
    losses = []
    for _ in range(20):
        (value, _), gradients = step(parameters)
        parameters = jax.tree.map(lambda p, g: p - 0.2 * g, parameters, gradients)
        losses.append(float(value))
    print(name, losses)
