"""Law 1 for cells: the tight network is Flax's, a padded one is the same, by either engine; counts are the table's."""

import csv
import gzip
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from plain import jit
from plain_cell201 import CELLS, PlainCellNet, live_numbers, load, numbers, padding_is_zero
from steps import CLASSES, Trained, assert_same, backward, train

from jaxnas.children.cell201 import Cell, envelope
from jaxnas.children.engines import Padded, Ragged
from jaxnas.rng import key_for
from jaxnas.spaces import Cell201

KEY = key_for(7, "child")
CHILDREN = Cell201(channels=4, cells=1).children((8, 12, 3), CLASSES)
BRANCHING = CHILDREN.branching((4,))
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
    run = jit(lambda p, s, x, y, training: backward(graph, p, s, (), x, y, training), static_argnums=4)
    parameters, gradients, statistics, *rest = train(children, run, *values)
    net, tree = (nnx.merge(graph, p, statistics) for p in (parameters, gradients))
    return Trained(numbers(net), numbers(tree), *rest, True)


@pytest.mark.parametrize("name", CELLS)
def test_the_tight_envelope_is_the_ordinary_network(name):
    right = plain(CHILDREN, CELLS[name])
    learnt = [v for n, v in right.numbers.items() if n.split()[0] not in ("mean", "variance")]
    assert sum(v.size for v in learnt) == CHILDREN.cost(CELLS[name]).parameters
    assert right.losses[0] != right.losses[-1]
    assert_same(tight(CHILDREN, CELLS[name]), right)


def test_repeated_cells_are_a_loop_and_the_ordinary_network():
    children, cell = Cell201(channels=4, cells=2).children((8, 8, 1), CLASSES), CELLS["all of it"]
    assert_same(tight(children, cell), plain(children, cell))


WAYS = {
    "padded, in turn": (Padded(), in_turn),
    "padded, together": (Padded(), jax.vmap),
    "branching": (BRANCHING, in_turn),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_children_of_a_group_are_what_they_are_alone(way):
    engine, each = WAYS[way]
    cells, inside = list(CELLS.values()), CHILDREN.whole(engine)
    genes = [CHILDREN.place(cell, inside) for cell in cells]
    graph = graph_of(CHILDREN, inside, genes[0])
    one = lambda *rest: lambda parameters, statistics, genes: backward(graph, parameters, statistics, (genes,), *rest)
    run = jit(lambda *values_and_rest: each(one(*values_and_rest[3:]))(*values_and_rest[:3]))
    untrained = stack([START(CHILDREN, inside, g) for g in genes])
    found = train(CHILDREN, lambda p, s, *rest: run(p, s, stack(genes), *rest), *untrained)
    for i, cell in enumerate(cells):
        assert_same(read(cell, graph, jax.tree.map(lambda a, i=i: a[i], found)), tight(CHILDREN, cell))
