"""The language model of a cell against plain loops; what it remembers, drops and draws."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from plain_recurrent import logits

from jaxnas.children import alone, unpadded
from jaxnas.children.engines import Branching, Padded
from jaxnas.children.recurrent.network import Dropout, DropoutMasks
from jaxnas.rng import key_for
from jaxnas.spaces import LanguageModel, RecurrentCell, StandardCell

U, V, H, L, B = 6, 7, 5, 2, 3
FORMS = ["alone", "branching", "padded"]
SPACE = RecurrentCell(4, model=LanguageModel(hidden=H, layers=L))
CHILDREN = SPACE.children((U,), V)
CELL = SPACE.decode(np.random.default_rng(3).integers(0, SPACE.decisions.sizes))
SYMBOLS = jnp.asarray(np.random.default_rng(4).integers(0, V, (B, U)), jnp.int32)
LABELS = jnp.asarray(np.random.default_rng(5).integers(0, V, (B, U)), jnp.int32)
KEY = key_for(0, "dropped")


def envelope(form):
    engines = {"branching": Branching((), ()), "padded": Padded()}
    return unpadded(CHILDREN, CELL) if form == "alone" else CHILDREN.envelope([], engines[form], ())


def network(children=CHILDREN, inside=None, cell=CELL):
    inside = unpadded(children, cell) if inside is None else inside
    return children.build(inside, children.place(cell, inside), key_for(1, "child"))


def said(net, symbols, training=False, memory=None, cell=CELL, key=KEY):
    memory = net.carry(len(symbols)) if memory is None else memory
    return net(symbols, CHILDREN.place(cell, net.inside), training, memory, key)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tied", [False, True])
def test_the_network_is_the_plain_one(form, tied):
    """Law 1: logits, memory and the gradients of all weights, in every envelope, against loops over time."""
    model = LanguageModel(hidden=H, layers=L, tied=tied)
    children = RecurrentCell(4, model=model).children((U,), V)
    net = network(children, envelope(form))
    graph, state = nnx.split(net)

    @partial(jax.value_and_grad, has_aux=True)
    def ours(state):
        found, memory = said(nnx.merge(graph, state), SYMBOLS)
        return optax.softmax_cross_entropy_with_integer_labels(found, LABELS).mean(), (found, memory)

    @partial(jax.value_and_grad, has_aux=True)
    def plain(weights):
        found, memory = logits(CELL, weights, SYMBOLS, L, tied)
        return optax.softmax_cross_entropy_with_integer_labels(found, LABELS).mean(), (found, memory)

    (value, out), gradients = jax.jit(ours)(state)
    wanted = jax.jit(plain)({name: jnp.asarray(w) for name, w in children.weights(net, CELL).items()})
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, (value, out), wanted[0])
    named = children.weights(nnx.merge(graph, gradients), CELL)
    assert sum(w.size for w in named.values()) == alone(children, CELL).parameters
    jax.tree.map(close, named, wanted[1])


def test_what_it_remembers_goes_on():
    """Two chunks of three symbols are one of six."""
    net = network()
    whole, last = said(net, SYMBOLS)
    first, memory = said(net, SYMBOLS[:, :3])
    second, end = said(net, SYMBOLS[:, 3:], False, memory)
    np.testing.assert_allclose(jnp.concatenate([first, second], 1), whole, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), end, last)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_an_ordinary_cell_is_its_step_again_and_again(kind):
    """One layer against flax's own `nnx.RNN` is in test_recurrent step by step; here: biases count, chunks go on."""
    children = StandardCell(kind, LanguageModel(hidden=H, layers=L)).children((U,), V)
    net = children.build(children.full, (), key_for(1, "child"))
    whole, _ = net(SYMBOLS, (), False, net.carry(len(SYMBOLS)), KEY)
    first, memory = net(SYMBOLS[:, :3], (), False, net.carry(len(SYMBOLS)), KEY)
    second, _ = net(SYMBOLS[:, 3:], (), False, memory, KEY)
    np.testing.assert_allclose(jnp.concatenate([first, second], 1), whole, rtol=1e-5, atol=1e-6)
    weights = children.weights(net, children.full.cell)
    assert sum(w.size for w in weights.values()) == alone(children, children.full.cell).parameters
    forget = weights["layers.2.bias"].reshape(-1, H)[1]
    assert (forget == (1.0 if kind == "lstm" else 0.0)).all()


def test_initial_weights_depend_on_the_key_alone():
    """Law 2: whatever the envelope, and whatever the cell."""
    nets = [network(inside=envelope(form)) for form in FORMS]
    other = SPACE.decode(np.zeros(len(SPACE.decisions), np.int32))
    nets.append(network(cell=other))
    states = [jax.tree.leaves(nnx.state(net)) for net in nets]
    for state in states[1:]:
        assert all((a == b).all() for a, b in zip(states[0], state, strict=True))
    wide = {name: abs(w).max() for name, w in CHILDREN.weights(nets[0], CELL).items()}
    assert wide.pop("output.bias") == 0
    bounds = {name: np.sqrt(3 if name == "embedding" else 3 / H) for name in wide}
    assert all(0.8 * bounds[name] < wide[name] <= bounds[name] for name in wide)
    narrow = network(RecurrentCell(4, model=LanguageModel(hidden=H, layers=L, initial=0.05)).children((U,), V))
    assert all(abs(leaf).max() <= 0.05 for leaf in jax.tree.leaves(nnx.state(narrow)))


@pytest.mark.parametrize("variational", [True, False])
def test_dropout(variational):
    """A share of units is 0, the others 1 / (1 - share) as large; at every step the same ones if it is variational."""
    dropout = Dropout(between=0.25, variational=variational)
    kept = DropoutMasks(dropout, KEY, True).units("input 0", jnp.ones((200, 20, 50)))
    np.testing.assert_allclose(np.unique(kept), [0, 1 / 0.75], rtol=1e-6)
    np.testing.assert_allclose((kept == 0).mean(), 0.25, atol=0.03)
    assert ((kept == kept[:1]).all()) == variational
    assert (DropoutMasks(dropout, KEY, False).units("input 0", jnp.ones((2, 3, 4))) == 1).all()


@pytest.mark.parametrize("place", ["between", "recurrent", "symbols"])
def test_what_is_dropped_is_dropped_in_training_alone(place):
    model = LanguageModel(hidden=H, layers=L, dropout=Dropout(**{place: 0.5}))
    net = network(RecurrentCell(4, model=model).children((U,), V))
    still, plain = said(net, SYMBOLS)[0], said(network(), SYMBOLS)[0]
    assert (still == plain).all()
    first, again = (said(net, SYMBOLS, True)[0] for _ in range(2))
    other = said(net, SYMBOLS, True, key=key_for(1, "dropped"))[0]
    assert (first == again).all()
    assert not np.allclose(first, still)
    assert not np.allclose(first, other)


def test_bfloat16_factors_give_nearly_the_same():
    found = said(network(SPACE.children((U,), V, "bfloat16")), SYMBOLS)[0]
    wanted = said(network(), SYMBOLS)[0]
    assert found.dtype == jnp.float32
    assert 0 < abs(found - wanted).max() < 0.05 * abs(wanted).max()


def test_bad_dropout_is_refused():
    with pytest.raises(ValueError, match="recurrent=1.0"):
        Dropout(recurrent=1.0)
