"""Law 1: a padded child is the same child, and in its tight envelope it is the ordinary network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from plain import PlainChain, live_numbers, load, numbers, padding_is_zero

from jaxnas.children import masked
from jaxnas.children.chain import Chain, ChainEnvelope, ConvLayer, envelope, map_sizes, place
from jaxnas.rng import key_for
from jaxnas.spaces import ChainCNN

SHAPE, CLASSES, STEPS = (9, 7, 3), 5, 4

CHAINS = {
    "wide, flat kernels": Chain((ConvLayer((1, 5), 4), ConvLayer((3, 3), 8, pool=2), ConvLayer((5, 1), 6))),
    "one by one": Chain((ConvLayer((1, 1), 8), ConvLayer((1, 1), 4, pool=2), ConvLayer((1, 1), 4))),
    "shallow": Chain((ConvLayer((3, 5), 6), ConvLayer((5, 5), 4, pool=2))),
    "even kernels": Chain((ConvLayer((2, 4), 4), ConvLayer((4, 2), 6, pool=2), ConvLayer((2, 2), 8))),
    "strides": Chain(
        (ConvLayer((3, 3), 4, (2, 1)), ConvLayer((5, 3), 8, (1, 2), pool=2), ConvLayer((3, 3), 6, (3, 2)))
    ),
    "kernels beyond the map": Chain((ConvLayer((5, 5), 8), ConvLayer((3, 3), 4, (3, 3), pool=2), ConvLayer((5, 5), 8))),
}
SPACE = ChainCNN(
    layers=4, depths=(2, 3, 4), kernel_heights=(1, 2, 3, 4, 5), kernel_widths=(1, 2, 3, 4, 5), filters=(4, 6, 8),
    stride_heights=(1, 2, 3), stride_widths=(1, 2, 3), pool_after=(2,),
)  # fmt: skip
CHILDREN = SPACE.children(SHAPE, CLASSES)
NEIGHBOURS = [CHAINS["wide, flat kernels"], CHAINS["even kernels"], CHAINS["strides"]]


def batch(step):
    rng = np.random.default_rng(step)
    x = rng.normal(size=(16, *SHAPE)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(rng.integers(0, CLASSES, 16))


def build(chain, inside):
    genes = CHILDREN.place(chain, inside)
    return CHILDREN.build(inside, genes, key_for(7, "child")), genes


def train(net, *genes):
    """Four steps of SGD: the changed network, the same with its last gradients as parameters, and the losses."""
    optimiser = optax.chain(optax.add_decayed_weights(1e-2), optax.sgd(0.05, 0.9, nesterov=True))
    graph, parameters, rest = nnx.split(net, nnx.Param, ...)
    state, losses = optimiser.init(parameters), []
    for step in range(STEPS):
        (value, statistics), g = gradient(graph, parameters, rest, genes, *batch(step))
        updates, state = optimiser.update(g, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        rest = nnx.merge_state(rest, statistics)
        losses.append(float(value))
    return nnx.merge(graph, parameters, rest), nnx.merge(graph, g, rest), losses


@partial(jax.jit, static_argnums=0)
def gradient(graph, parameters, rest, genes, x, y):
    def loss(parameters):
        net = nnx.merge(graph, parameters, rest, copy=True)
        logits = net(x, *genes, training=True)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), nnx.state(net, nnx.BatchStat)

    return jax.value_and_grad(loss, has_aux=True)(parameters)


@partial(nnx.jit, static_argnums=3)
def output(net, x, genes, training):
    return net(x, *genes, training=training)


def train_padded(chain, inside):
    net, genes = build(chain, inside)
    net, gradients, losses = train(net, genes)
    return net, gradients, losses, np.asarray(output(net, batch(9)[0], (genes,), False))


def assert_close(found, expected, tolerance=1e-5):
    """Relative to the largest number of each array."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(
            found[name], value, rtol=tolerance, atol=tolerance * max(1e-3, np.abs(value).max()), err_msg=name
        )


@pytest.fixture(scope="module")
def tight():
    """Every chain trained in its own envelope."""
    return {name: train_padded(chain, envelope([chain])) for name, chain in CHAINS.items()}


@pytest.mark.parametrize("name", CHAINS)
def test_the_tight_envelope_is_the_ordinary_network(name, tight):
    chain = CHAINS[name]
    start, _ = build(chain, envelope([chain]))
    plain = load(PlainChain(chain, SHAPE[2], CLASSES), live_numbers(start, chain, SHAPE[2]))
    plain, gradients, losses = train(plain)
    net, tight_gradients, tight_losses, logits = tight[name]
    np.testing.assert_allclose(tight_losses, losses, rtol=1e-5)
    assert losses[0] != losses[-1]
    assert_close(live_numbers(net, chain, SHAPE[2]), numbers(plain))
    assert_close(live_numbers(tight_gradients, chain, SHAPE[2]), numbers(gradients))
    np.testing.assert_allclose(logits, output(plain, batch(9)[0], (), False), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("company", ["joined", "full"])
def test_a_padded_child_is_the_same_child(name, company, tight):
    chain = CHAINS[name]
    inside = CHILDREN.full if company == "full" else envelope([chain, *NEIGHBOURS])
    net, gradients, losses, logits = train_padded(chain, inside)
    expected, expected_gradients, expected_losses, expected_logits = tight[name]
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    np.testing.assert_allclose(logits, expected_logits, rtol=1e-5, atol=1e-5)
    assert_close(live_numbers(net, chain, SHAPE[2]), live_numbers(expected, chain, SHAPE[2]))
    assert padding_is_zero(net, chain)
    assert_close(live_numbers(gradients, chain, SHAPE[2]), live_numbers(expected_gradients, chain, SHAPE[2]))


@pytest.mark.parametrize("engine", ["one by one", "products"])
def test_vmapped_children_have_the_gradients_they_have_alone(engine, monkeypatch):
    """Both ways in which a group's convolutions run: that of CPU, and the batched matrix products of other devices."""
    chains, (x, y) = list(CHAINS.values()), batch(0)
    monkeypatch.setattr(masked, "_on_cpu", lambda: engine == "one by one")

    def gradients(graph, parameters, rest, genes):
        def loss(parameters):
            logits = nnx.merge(graph, parameters, rest, copy=True)(x, genes, training=True)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        return jax.grad(loss)(parameters)

    nets, genes = zip(*(build(chain, CHILDREN.full) for chain in chains), strict=True)
    graph, parameters, rest = zip(*(nnx.split(net, nnx.Param, ...) for net in nets), strict=True)
    stack = lambda trees: jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
    together = jax.jit(jax.vmap(partial(gradients, graph[0])))(stack(parameters), stack(rest), stack(genes))
    for i, chain in enumerate(chains):
        net, own = build(chain, envelope([chain]))
        parts = nnx.split(net, nnx.Param, ...)
        alone = nnx.merge(parts[0], jax.jit(partial(gradients, parts[0]))(*parts[1:], own), parts[2])
        padded = nnx.merge(graph[i], jax.tree.map(lambda a, i=i: a[i], together), rest[i])
        tolerance = 1e-5 if engine == "one by one" else 1e-4  # sums in another order
        assert_close(live_numbers(padded, chain, SHAPE[2]), live_numbers(alone, chain, SHAPE[2]), tolerance)


@pytest.mark.parametrize("seed", range(8))
def test_any_chain_of_the_space_computes_the_same_in_any_company(seed):
    rng = np.random.default_rng(seed)
    tokens = SPACE.decisions.without_absent(rng.integers(0, SPACE.decisions.sizes, (3, len(SPACE.decisions))))
    chain, *others = (SPACE.decode(row) for row in np.asarray(tokens))
    x, _ = batch(seed)
    outputs = []
    for inside in (envelope([chain]), envelope([chain, *others]), CHILDREN.full):
        net, genes = build(chain, inside)
        outputs.append(output(net, x, (genes,), True))
    for padded in outputs[1:]:
        np.testing.assert_allclose(padded, outputs[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CHAINS)
def test_costs_are_those_of_the_ordinary_network(name):
    chain = CHAINS[name]
    cost = CHILDREN.cost(chain)
    plain = PlainChain(chain, SHAPE[2], CLASSES)
    assert cost.parameters == sum(p.size for p in jax.tree.leaves(nnx.state(plain, nnx.Param)))
    products = _products(jax.make_jaxpr(lambda x: plain(x))(jnp.zeros((1, *SHAPE))).jaxpr)
    assert cost.multiply_adds == products


def _products(jaxpr) -> int:
    """Multiply-adds of all convolutions and matrix products in a program."""
    total = 0
    for eqn in jaxpr.eqns:
        out = eqn.outvars[0].aval
        if eqn.primitive.name == "conv_general_dilated":
            total += out.size * int(np.prod(eqn.invars[1].aval.shape[:3]))
        if eqn.primitive.name == "dot_general":
            total += out.size * eqn.invars[0].aval.shape[-1]
        for inner in jax.tree.leaves(eqn.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")):
            inner = getattr(inner, "jaxpr", inner)
            total += _products(inner) if hasattr(inner, "eqns") else 0
    return total


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


def test_what_does_not_fit_is_refused():
    small, large = Chain((ConvLayer((3, 3), 4),)), Chain((ConvLayer((5, 3), 4),))
    with pytest.raises(ValueError, match="does not fit"):
        place(large, envelope([small]), SHAPE)
    with pytest.raises(ValueError, match="layer 1 is followed by pooling 1 in one chain and 2"):
        envelope([small, Chain((ConvLayer((3, 3), 4, pool=2),))])
