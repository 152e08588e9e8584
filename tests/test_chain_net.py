"""Law 1: a padded child is the same child, by any engine; in its tight envelope it is the ordinary network."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from plain import CHAINS, SIDES, SPACE, PlainChain, jit, live_numbers, load, numbers, padding_is_zero
from steps import CLASSES, Trained, assert_same, backward, train

from jaxnas.children.chain.architecture import Chain, ConvLayer, envelope
from jaxnas.children.chain.network import ChainChildren
from jaxnas.children.engines import Branching, Padded, Ragged
from jaxnas.rng import key_for

KEY = key_for(7, "child")
COLOUR, GREY = SPACE.children((9, 7, 3), CLASSES), SPACE.children((6, 5, 1), CLASSES)
in_turn = lambda fn: lambda *stacked: jax.lax.map(lambda one: fn(*one), stacked)
stack = lambda trees: jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
WAYS = {
    "padded, in turn": (Padded(), in_turn),
    "padded, together": (Padded(), jax.vmap),
    "padded, by patches": (Padded(platform="gpu"), jax.vmap),
    "padded, plain": (Padded(plain=True, platform="gpu"), jax.vmap),
    "branching": (Branching(SIDES, (4, 6)), in_turn),
    "ragged": (Ragged(), jax.vmap),
}


@pytest.fixture(autouse=True, scope="module")
def drawn_once():
    """The same initial weights as ever; drawing them takes long to compile, and here once will do."""
    drawn = {children: np.asarray(children.draw(KEY)) for children in (COLOUR, GREY)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChainChildren, "draw", lambda children, key: jnp.asarray(drawn[children]))
        yield


@partial(jit, static_argnums=(0, 1))
def start(children, inside, genes):
    """Parameters and statistics of the untrained child."""
    return nnx.split(children.build(inside, genes, KEY), nnx.Param, nnx.BatchStat)[1:]


def graph_of(children, inside, genes):
    return nnx.graphdef(nnx.eval_shape(lambda g: children.build(inside, g, KEY), genes))


def read(children, chain, graph, found) -> Trained:
    """``found`` by `train` as the child's own numbers."""
    parameters, gradients, statistics, *rest = found
    net, tree = (nnx.merge(graph, p, statistics) for p in (parameters, gradients))
    live = partial(live_numbers, chain=chain, channels=children.input_shape[2])
    return Trained(live(net), live(tree), *rest, padding_is_zero(net, chain))


BACKWARD = jit(backward, static_argnums=0)  # whether it trains is traced


@cache
def alone(children, chain, inside) -> Trained:
    genes = children.place(chain, inside)
    graph = graph_of(children, inside, genes)
    run = lambda parameters, statistics, *rest: BACKWARD(graph, parameters, statistics, (genes,), *rest)
    return read(children, chain, graph, train(children, run, *start(children, inside, genes)))


def tight(children, chain) -> Trained:
    return alone(children, chain, envelope([chain]))


@cache
def program(way):
    """Envelope, graph, and the one compiled program for a group of children of any chains."""
    engine, each = WAYS[way]
    inside = replace(COLOUR.full, engine=engine)
    graph = graph_of(COLOUR, inside, COLOUR.place(CHAINS["shallow"], inside))
    one = lambda *rest: lambda parameters, statistics, genes: backward(graph, parameters, statistics, (genes,), *rest)
    return inside, graph, jit(lambda *values_and_rest: each(one(*values_and_rest[3:]))(*values_and_rest[:3]))


def together(chains, way) -> list[Trained]:
    """The chains as one group in the full envelope."""
    (inside, graph, run), full = program(way), replace(COLOUR.full, engine=Padded())
    genes = stack([COLOUR.place(chain, inside) for chain in chains])
    untrained = stack([start(COLOUR, full, COLOUR.place(chain, full)) for chain in chains])
    found = train(COLOUR, lambda parameters, statistics, *rest: run(parameters, statistics, genes, *rest), *untrained)
    return [read(COLOUR, c, graph, jax.tree.map(lambda a, i=i: a[i], found)) for i, c in enumerate(chains)]


EACH = [pytest.param(COLOUR, chain, id=name) for name, chain in CHAINS.items()]


@pytest.mark.parametrize(("children", "chain"), [*EACH, pytest.param(GREY, CHAINS["strides"], id="grey")])
def test_the_tight_envelope_is_the_ordinary_network(children, chain):
    channels, inside = children.input_shape[2], envelope([chain])
    genes = children.place(chain, inside)
    untrained = nnx.merge(graph_of(children, inside, genes), *start(children, inside, genes))
    plain = load(PlainChain(chain, channels, CLASSES), live_numbers(untrained, chain, channels))
    graph, *values = nnx.split(plain, nnx.Param, nnx.BatchStat)
    run = jit(lambda p, s, x, y, training: backward(graph, p, s, (), x, y, training), static_argnums=4)
    parameters, gradients, statistics, *rest = train(children, run, *values)
    net, tree = (nnx.merge(graph, p, statistics) for p in (parameters, gradients))
    right = Trained(numbers(net), numbers(tree), *rest, True)
    assert right.losses[0] != right.losses[-1]
    assert_same(tight(children, chain), right)


@pytest.mark.parametrize(("children", "chain"), EACH)
def test_a_padded_child_is_the_same_child(children, chain):
    """In a joint envelope: with chains whose maps differ, or with those where all maps are of one size."""
    strides = lambda c: any(layer.stride != (1, 1) for layer in c.layers)
    inside = envelope([c for c in CHAINS.values() if strides(c) == strides(chain)])
    assert inside.maps_differ == strides(chain)
    assert_same(alone(children, chain, inside), tight(children, chain))


@pytest.mark.parametrize(("children", "chain"), EACH)
def test_a_child_whose_filters_are_rounded_up_is_the_same_child(children, chain):
    assert_same(alone(children, chain, replace(children.full, engine=Branching(SIDES, (6,)))), tight(children, chain))


def test_a_child_on_images_of_one_channel_is_the_same_child():
    """The first convolution is a product with a band, in one form for all chains; the others branch."""
    chain, inside = CHAINS["strides"], replace(GREY.full, engine=Branching(((3, 3), (5, 5)), (6,)))
    assert_same(alone(GREY, chain, inside), tight(GREY, chain))


@pytest.mark.parametrize("way", WAYS)
def test_the_children_of_a_group_are_what_they_are_alone(way, monkeypatch):
    right = [tight(COLOUR, chain) for chain in CHAINS.values()]
    if way.endswith("patches"):  # as on other devices, where XLA's convolution is never called
        monkeypatch.setattr(jax.lax, "conv_general_dilated", None)
    for one, expected in zip(together(list(CHAINS.values()), way), right, strict=True):
        assert_same(one, expected)


def test_engines_agree_on_any_chains():
    rng = np.random.default_rng(0)

    def layer(number):
        stride = tuple(int(rng.choice([1, 2, 3])) for _ in range(2))
        return ConvLayer(SIDES[rng.integers(len(SIDES))], int(rng.choice([4, 6])), stride, 2 if number == 2 else 1)

    chains = [Chain(tuple(layer(i) for i in range(1, depth + 1))) for depth in (4, 2, 3, 4, 3, 4)]
    for padded, branching in zip(*(together(chains, way) for way in ("padded, in turn", "branching")), strict=True):
        assert_same(branching, padded)
