"""Law 1 for cells: the tight network is Flax's, a padded one is the same, by either engine. And what is counted."""

import csv
import gzip
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from plain import jit, products
from plain_cell201 import CELLS, PlainCellNet, live_numbers, load, numbers, padding_is_zero
from steps import CLASSES, Trained, assert_same, backward, train

from jaxnas.children import alone
from jaxnas.children.cell201.architecture import Cell, envelope
from jaxnas.children.cell201.edges import ConvParameters, Form, conv_norm
from jaxnas.children.engines import Padded, Ragged
from jaxnas.children.layers import Statistics
from jaxnas.rng import key_for
from jaxnas.spaces import Cell201

KEY = key_for(7, "child")
CHILDREN = Cell201(channels=4, cells=1).children((8, 12, 3), CLASSES)
BRANCHING = CHILDREN.engines[1]
in_turn = lambda fn: lambda *stacked: jax.lax.map(lambda one: fn(*one), stacked)
stack = lambda trees: jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
BACKWARD = jit(backward, static_argnums=0)  # whether it trains is traced
START = jit(
    lambda children, inside, genes: nnx.split(children.build(inside, genes, KEY), nnx.Param, nnx.BatchStat)[1:],
    static_argnums=(0, 1),
)


def graph_of(children, inside, genes):
    return nnx.graphdef(nnx.eval_shape(lambda g: children.build(inside, g, KEY), genes))


def read(cell, graph, found) -> Trained:
    parameters, gradients, statistics, *rest = found
    net, tree = (nnx.merge(graph, p, statistics) for p in (parameters, gradients))
    return Trained(live_numbers(net, cell), live_numbers(tree, cell), *rest, padding_is_zero(net, cell))


@cache
def tight(children, cell) -> Trained:
    inside = envelope([cell])
    genes = children.place(cell, inside)
    graph = graph_of(children, inside, genes)
    run = lambda parameters, statistics, *rest: BACKWARD(graph, parameters, statistics, (genes,), *rest)
    return read(cell, graph, train(children, run, *START(children, inside, genes)))


def plain(children, cell) -> Trained:
    """The same training by Flax, from the same weights."""
    inside = envelope([cell])
    genes = children.place(cell, inside)
    untrained = nnx.merge(graph_of(children, inside, genes), *START(children, inside, genes))
    net = load(PlainCellNet(cell, children), live_numbers(untrained, cell))
    graph, *values = nnx.split(net, nnx.Param, nnx.BatchStat)
    learn = jit(lambda p, s, x, y: backward(graph, p, s, (), x, y, True))
    score = jit(lambda p, s, x: nnx.merge(graph, p, s)(x))
    run = lambda p, s, x, y, training: learn(p, s, x, y) if training else [score(p, s, x)]
    parameters, gradients, statistics, *rest = train(children, run, *values)
    net, tree = (nnx.merge(graph, p, statistics) for p in (parameters, gradients))
    return Trained(numbers(net), numbers(tree), *rest, True)


TWICE = Cell201(channels=4, cells=2).children((8, 8, 1), CLASSES)


@pytest.mark.parametrize(("children", "name"), [(TWICE, "all of it"), (CHILDREN, "nothing"), (CHILDREN, "a dead end")])
def test_the_tight_envelope_is_the_ordinary_network(children, name):
    right = plain(children, CELLS[name])
    learnt = [v for n, v in right.numbers.items() if n.split()[0] not in ("mean", "variance")]
    assert sum(v.size for v in learnt) == alone(children, CELLS[name]).parameters
    assert right.losses[0] != right.losses[-1]
    assert_same(tight(children, CELLS[name]), right)


def test_a_cell_of_nothing_learns_the_bias_alone():
    found = tight(CHILDREN, CELLS["nothing"])
    np.testing.assert_array_equal(found.logits, np.broadcast_to(found.numbers["dense_bias"], found.logits.shape))
    assert np.isfinite(found.losses).all()


WAYS = {
    "padded": (CHILDREN.envelope([], Padded(), ()), jax.vmap),
    "by patches": (CHILDREN.envelope([], Padded(platform="gpu"), ()), jax.vmap),
    "plain": (CHILDREN.envelope([], Padded(plain=True, platform="gpu"), ()), jax.vmap),
    "branching": (replace(envelope(CELLS.values()), engine=BRANCHING), in_turn),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_children_of_a_group_are_what_they_are_alone(way, monkeypatch):
    (inside, each), cells = WAYS[way], list(CELLS.values())
    right = [tight(CHILDREN, cell) for cell in cells]
    if way == "by patches":  # as on other devices, where XLA's convolution is never called
        monkeypatch.setattr(jax.lax, "conv_general_dilated", None)
    genes = [CHILDREN.place(cell, inside) for cell in cells]
    graph = graph_of(CHILDREN, inside, genes[0])
    one = lambda *rest: lambda parameters, statistics, genes: backward(graph, parameters, statistics, (genes,), *rest)
    run = jit(lambda *values_and_rest: each(one(*values_and_rest[3:]))(*values_and_rest[:3]))
    untrained = stack([START(CHILDREN, inside, g) for g in genes])
    found = train(CHILDREN, lambda p, s, *rest: run(p, s, stack(genes), *rest), *untrained)
    for i, cell in enumerate(cells):
        assert_same(read(cell, graph, jax.tree.map(lambda a, i=i: a[i], found)), right[i])


def test_bfloat16_rounds_factors_and_maps():
    """The result is that of rounded factors in float32, rounded; the gradients are those of float32 to two digits."""
    rng = np.random.default_rng(0)
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    short = lambda a: a.astype(jnp.bfloat16).astype(jnp.float32)
    x, values = short(normal(4, 6, 8, 3)), ConvParameters(short(normal(3, 3, 3, 7)), normal(7), normal(7))
    running, weights = Statistics(jnp.zeros(7), jnp.ones(7)), normal(4, 3, 4, 7)

    @partial(jit, static_argnums=0)
    def run(dtype, x, values):
        form = Form(jnp.dtype(dtype), 1e-5, stride=2)
        loss = lambda x, values: (conv_norm(form, x, values, running, True)[0] * weights).sum()
        return conv_norm(form, x, values, running, True)[0], jax.grad(loss, (0, 1))(x, values)

    (found, gradients), (right, exact) = run("bfloat16", x, values), run("float32", x, values)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(np.float32), right, atol=2**-7 * np.abs(right).max())
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(exact), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=0.03 * np.abs(b).max())
    assert (gradients[1].kernel != exact[1].kernel).all()


# Counts.


def test_counts_by_hand():
    children = Cell201().children((32, 32, 3), 10)
    nothing, full = alone(children, Cell(("none",) * 6)), alone(children, Cell(("nor_conv_3x3",) * 6))
    stem, blocks = 32 * 32 * 27 * 16, (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32) * 256 + (9 * 32 + 9 * 64 + 32) * 64 * 64
    assert nothing.multiply_adds == stem + blocks + 640
    assert nothing.parameters == 73_306
    assert full.multiply_adds - nothing.multiply_adds == 6 * 5 * 9 * (16 * 16 * 1024 + 32 * 32 * 256 + 64 * 64 * 64)
    assert full.parameters - nothing.parameters == 6 * 243_040


TABLE = Path(__file__).parents[2] / "shared" / "data" / "nas" / "nasbench201.csv.gz"


@pytest.mark.skipif(not TABLE.exists(), reason="the table of NAS-Bench-201 is not here")
def test_counts_are_those_of_the_table():
    """15,625 cells on three data sets: operations of all, parameters of all but 150, which have those of another cell
    in the table, with one convolution more or less.
    """
    with gzip.open(TABLE, "rt") as file:
        rows = list(csv.DictReader(file))
    space, others, cost = Cell201(), set(), cache(lambda children, cell: alone(children, cell))
    cells = [Cell(tuple(sorted(space.parse(row["arch"]).operations))) for row in rows]  # the order does not count
    for side, classes, name in ((32, 10, "c10"), (32, 100, "c100"), (16, 120, "in16")):
        children = space.children((side, side, 3), classes)
        for row, cell in zip(rows, cells, strict=True):
            own, theirs = (
                cost(children, cell),
                {n: round(float(row[f"{n}_m_{name}"]) * 1e6) for n in ("flops", "params")},
            )
            assert own.multiply_adds + rest(cell, side) == theirs["flops"]
            if own.parameters != theirs["params"]:
                others.add((row["arch"], abs(own.parameters - theirs["params"])))
    assert len(rows) == 15_625
    assert len({arch for arch, _ in others}) == 150
    assert {difference for _, difference in others} == {28_000, 243_040}


def rest(cell: Cell, side: int) -> int:
    """What the benchmark counts beside multiply-adds: 2 for a number that is normalised, 1 for one that goes through
    ReLU, k * k for one that comes out of a pooling of side k, (s + 1)**2 a channel for the average over the last map.
    """
    cells = [16 * side**2 >> stage for stage in range(3)]
    convolutions = sum(operation.startswith("nor_conv") for operation in cell.operations)
    in_cells = 5 * sum(cells) * (3 * convolutions + 9 * cell.operations.count("avg_pool_3x3"))
    blocks = sum(before + 2 * after + after + 2 * after + 4 * before // 4 for before, after in pairwise(cells))
    return in_cells + 2 * cells[0] + blocks + 3 * cells[2] + 64 * (side // 4 + 1) ** 2


@pytest.mark.parametrize("name", CELLS)
def test_executed_work_is_that_of_the_program(name):
    cell, space = CELLS[name], Cell201(channels=4, cells=2)
    children = space.children((12, 16, 3), CLASSES)
    for inside in (envelope([cell]), children.envelope([], Padded(), ())):
        genes = children.place(cell, inside)
        graph, state = nnx.split(nnx.eval_shape(lambda g, i=inside: children.build(i, g, KEY), genes))
        program = jax.make_jaxpr(lambda state, x, g=graph, own=genes: nnx.merge(g, state)(x, own, False)[0])
        x = jax.ShapeDtypeStruct((1, *children.input_shape), np.float32)
        assert children.work(inside, cell).executed == products(program(state, x).jaxpr)
    exact = alone(children, cell).multiply_adds
    off_cpu = lambda engine: children.envelope([cell], replace(engine, platform="gpu"), ())  # without blocks of outputs
    assert children.work(replace(envelope([cell]), engine=Padded(platform="gpu")), cell).executed == exact
    assert children.work(off_cpu(BRANCHING), cell).executed == exact
    assert children.work(off_cpu(Padded()), cell).executed > exact


# What is refused.


@pytest.mark.parametrize("bad", [{"channels": 0}, {"cells": 0}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValueError, match="=0: give a whole number from 1"):
        Cell201(**bad)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        CHILDREN.place(CELLS["all of it"], envelope([CELLS["nothing"]]))
    with pytest.raises(ValueError, match="'ragged' has no kernel for"):
        CHILDREN.envelope(list(CELLS.values()), Ragged(), ())
    with pytest.raises(ValueError, match="images of 8 x 6 pixels: .* multiples of 4"):
        Cell201().children((8, 6, 3), 10)
