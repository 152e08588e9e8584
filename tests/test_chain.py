"""What chains are: their envelopes, maps, costs and the work they execute."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from plain import CHAINS, SPACE, PlainChain, products

from jaxnas.children import alone
from jaxnas.children.chain.architecture import Chain, ChainEnvelope, ConvLayer, envelope, equal_layers, map_sizes, place
from jaxnas.rng import key_for

CLASSES = 5
COLOUR, GREY = SPACE.children((9, 7, 3), CLASSES), SPACE.children((6, 5, 1), CLASSES)


@pytest.mark.parametrize("name", CHAINS)
def test_costs_are_those_of_the_ordinary_network(name):
    chain, image = CHAINS[name], jnp.zeros((1, *COLOUR.input_shape))
    cost, plain = alone(COLOUR, chain), PlainChain(chain, COLOUR.input_shape[2], CLASSES)
    assert cost.parameters == sum(p.size for p in jax.tree.leaves(nnx.state(plain, nnx.Param)))
    assert cost.multiply_adds == products(jax.make_jaxpr(lambda x: plain(x))(image).jaxpr)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("children", [COLOUR, GREY], ids=["colour", "grey"])
def test_executed_work_is_that_of_the_program(name, children):
    """Of the one that is compiled for the tight envelope, kernels beyond the map and blocks of outputs included."""
    chain = CHAINS[name]
    inside = envelope([chain])
    genes = children.place(chain, inside)
    run = lambda x, genes: children.build(inside, genes, key_for(0, "child"))(x, genes, False)[0]
    program = jax.make_jaxpr(run)(jnp.zeros((1, *children.input_shape)), genes)
    assert children.work(inside, chain).executed == products(program.jaxpr)


def test_joining_envelopes_by_hand():
    a = Chain((ConvLayer((1, 5), 8, (2, 2)), ConvLayer((3, 3), 4, (3, 3))))
    b = Chain((ConvLayer((3, 3), 4, (2, 4)),))
    joined = ChainEnvelope((ConvLayer((3, 5), 8, (2, 2)), ConvLayer((3, 3), 4, (3, 3))), (1, 2), maps_differ=True)
    assert envelope([a, b]) == envelope([b, a]) == joined
    assert joined | joined == joined
    assert not envelope([a]).maps_differ


def test_sizes_by_hand():
    layers = (ConvLayer((3, 3), 1, (2, 1), pool=2), ConvLayer((3, 3), 1, (1, 3)))
    assert map_sizes(layers, (9, 8, 1)) == [((5, 8), (3, 4)), ((3, 2), (3, 2))]


def test_runs_of_equal_layers_by_hand():
    """A layer that changes the map or its channels stands alone."""
    same = ConvLayer((3, 3), 3)
    assert equal_layers([same] * 3, 3) == [(0, 1), (1, 3)]
    assert equal_layers([same] * 3, 1) == [(0, 1), (1, 3)]
    pooled, strided, wide = replace(same, pool=2), replace(same, stride=(1, 2)), ConvLayer((3, 3), 5)
    assert equal_layers([same, same, pooled, same, same], 3) == [(0, 1), (1, 2), (2, 3), (3, 5)]
    assert equal_layers([same, strided, strided], 3) == [(0, 1), (1, 2), (2, 3)]
    assert equal_layers([same, wide, wide, wide, same, same], 3) == [(0, 1), (1, 2), (2, 4), (4, 5), (5, 6)]


def test_what_does_not_fit_is_refused():
    small, large = Chain((ConvLayer((3, 3), 4),)), Chain((ConvLayer((5, 3), 4),))
    with pytest.raises(ValueError, match="does not fit"):
        place(large, envelope([small]), COLOUR.input_shape)
    with pytest.raises(ValueError, match="layer 1 is followed by pooling 1 in one chain and 2"):
        envelope([small, Chain((ConvLayer((3, 3), 4, pool=2),))])
