"""Recurrent cells as facts and in one step: the paper's example by hand, every function, the ordinary cells."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from plain_recurrent import step

from jaxnas.children import alone
from jaxnas.children.engines import Branching, Padded, Ragged
from jaxnas.children.recurrent import architecture as recurrent
from jaxnas.children.recurrent.architecture import ACTIVATIONS, COMBINATIONS, LoneEnvelope, Standard, Tree, TreeEnvelope
from jaxnas.children.recurrent.steps import step_of
from jaxnas.spaces import Cell201, ChainCNN, LanguageModel, RecurrentCell, SkipCNN, StandardCell

PAPER = Tree((("add", "tanh"), ("multiply", "relu"), ("multiply", "sigmoid")), ("add", "relu"), 0, 1)
"""The example of section 3.4."""
PAPERS_TOKENS = [0, 1, 1, 3, 1, 2, 0, 3, 1, 0]
"""As its figure 5 reads: add tanh, multiply relu, multiply sigmoid; cell inject add relu; cell indices 1 and 0."""
ENGINES = {"branching": Branching((), ()), "padded": Padded()}
EVERYTHING = RecurrentCell(4, COMBINATIONS, ACTIVATIONS)


def cells(count, space=EVERYTHING, seed=0):
    rng = np.random.default_rng(seed)
    return [space.decode(rng.integers(0, space.decisions.sizes)) for _ in range(count)]


def stepped(inside, cell, x, h, c):
    return step_of(inside, recurrent.place(cell, inside), jnp.float32)(x, h, c, c)


def close(found, wanted):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5), found, wanted)


def test_the_example_of_the_paper_is_what_its_tokens_mean():
    space = RecurrentCell(base=2)
    assert space.decode(PAPERS_TOKENS) == PAPER
    assert space.encode(PAPER).tolist() == PAPERS_TOKENS
    names = [choice.name for choice in space.decisions.choices]
    assert names[0] == "tree index 0 combination"
    assert names[7] == "cell inject activation"
    assert names[8].startswith("cell index 0")


@pytest.mark.parametrize("form", ["alone", *ENGINES])
def test_the_example_of_the_paper_by_hand(form):
    """x_t = 0.5, h_{t-1} = -1, c_{t-1} = 0.25; W1..W4 = 2, 0.5, 3, -1.

    a0 = tanh(2 * 0.5 + 0.5 * -1) = tanh(0.5) = 0.46211716; a0' = relu(0.46211716 + 0.25) = 0.71211716
    a1 = relu((3 * 0.5) * (-1 * -1)) = relu(1.5) = 1.5
    a2 = sigmoid(0.71211716 * 1.5) = sigmoid(1.06817574) = 0.74424984 = h_t;   c_t = (3 * 0.5) * (-1 * -1) = 1.5
    """
    x, h = jnp.array([[[1.0], [1.5]]]), jnp.array([[[-0.5], [1.0]]])
    full = TreeEnvelope(3, ("add", "multiply"), ("identity", "tanh", "sigmoid", "relu"), ENGINES.get(form, Padded()))
    inside = recurrent.envelope([PAPER]) if form == "alone" else full
    new, memory = stepped(inside, PAPER, x, h, jnp.array([[0.25]]))
    np.testing.assert_allclose(new, [[0.74424984]], rtol=1e-6)
    np.testing.assert_allclose(memory, [[1.5]], rtol=1e-6)


@pytest.mark.parametrize("form", ["alone", *ENGINES])
def test_every_function_at_every_place(form):
    """Trees of four leaves with all functions against plain formulas: values and gradients."""
    found = [replace(cell, inject_at=i % 7, memory_from=3 * i % 7) for i, cell in enumerate(cells(14))]
    assert {pair for cell in found for pair in cell.nodes} == {(a, b) for a in COMBINATIONS for b in ACTIVATIONS}
    rng = np.random.default_rng(1)
    values = [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((5, 3), (5, 3), (5, 3), (3, 12), (3, 12))]

    @partial(jax.jit, static_argnums=0)
    @partial(jax.value_and_grad, argnums=(2, 3, 4, 5, 6))
    def ours(inside, genes, x, h, c, w, u):
        return weighed(step_of(inside, genes, jnp.float32)((x @ w).reshape(5, 4, 3), (h @ u).reshape(5, 4, 3), h, c))

    weighed = lambda out: (out[0] * jnp.arange(15.0).reshape(5, 3) + out[1]).sum()
    for cell in found[: 5 if form == "alone" else None]:
        whole = TreeEnvelope(7, COMBINATIONS, ACTIVATIONS, ENGINES.get(form, Padded()))
        inside = recurrent.envelope([cell]) if form == "alone" else whole
        wanted = jax.value_and_grad(lambda *a, cell=cell: weighed(step(cell, *a)), (0, 1, 2, 3, 4))(*values)
        got = ours(inside, recurrent.place(cell, inside), *values)
        close(got, wanted)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_ordinary_cells_are_those_of_flax(kind):
    """The same numbers as `nnx.LSTMCell` and `nnx.GRUCell` with the same weights."""
    rng = np.random.default_rng(2)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    names = {"lstm": "ifgo", "gru": "rzn"}[kind]
    x, h, c, w, u, b = (
        draw(4, 3),
        draw(4, 3),
        draw(4, 3),
        draw(len(names), 3, 3),
        draw(len(names), 3, 3),
        draw(len(names), 3),
    )
    if kind == "lstm":
        flax, carry = nnx.LSTMCell(3, 3, rngs=nnx.Rngs(0)), (c, h)
        for i, name in enumerate(names):
            getattr(flax, {"f": "if_"}.get(name, f"i{name}")).kernel[...] = w[i]
            getattr(flax, f"h{name}").kernel[...], getattr(flax, f"h{name}").bias[...] = u[i], b[i]
    else:
        flax, carry = nnx.GRUCell(3, 3, rngs=nnx.Rngs(0)), h
        flax.dense_i.kernel[...], flax.dense_i.bias[...] = jnp.concatenate(w, 1), jnp.concatenate(b)
        flax.dense_h.kernel[...] = jnp.concatenate(u, 1)
    one = step_of(LoneEnvelope(Standard(kind)), (), jnp.float32)
    new, memory = one(jnp.einsum("bi,gih->bgh", x, w) + b, jnp.einsum("bi,gih->bgh", h, u), h, c)
    carry, wanted = flax(carry, x)
    np.testing.assert_allclose(new, wanted, rtol=1e-5, atol=1e-6)
    if kind == "lstm":
        np.testing.assert_allclose(memory, carry[0], rtol=1e-5, atol=1e-6)


def lstm_as(gates, rng):
    """Products of x and h of a tree's leaves ``[B, G, H]`` where leaf i is the LSTM's gate ``gates[i]``, and those that
    stand for nothing have weights of zero; and the same for the LSTM's own four gates.
    """
    x, h = (jnp.asarray(rng.normal(size=(5, 4, 3)), jnp.float32) for _ in range(2))
    own = [x, h]
    leaves = [jnp.stack([jnp.zeros((5, 3)) if g is None else v[:, "ifgo".index(g)] for g in gates], 1) for v in own]
    return leaves, own


def test_base_8_holds_the_lstm():
    """Four leaves are its gates (without biases), four have weights of zero. c_t = f c + i g is node 12 before tanh."""
    nothing, gates = ("add", "identity"), ["f", None, "i", "g", "o", None, None, None]
    leaves = [("add", "sigmoid"), nothing, ("add", "sigmoid"), ("add", "tanh"), ("add", "sigmoid"), *[nothing] * 3]
    pairs = [nothing, ("multiply", "identity"), nothing, nothing]  # f c + 0, i g, o + 0, 0 + 0
    upper = [("add", "tanh"), nothing, ("multiply", "identity")]  # tanh(f c + i g), o + 0, and their product
    cell = Tree((*leaves, *pairs, *upper), ("multiply", "identity"), 0, 12)
    assert (RecurrentCell().decode(RecurrentCell().encode(cell))) == cell
    rng = np.random.default_rng(3)
    (x, h), (own_x, own_h) = lstm_as(gates, rng)
    c = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    wanted = step_of(LoneEnvelope(Standard("lstm")), (), jnp.float32)(own_x, own_h, c, c)
    close(stepped(recurrent.envelope([cell]), cell, x, h, c), wanted)


def test_base_4_holds_the_lstm_without_its_input_gate():
    """c_t = f c + g is node 4 before tanh; h_t = tanh(c_t) o."""
    nothing = ("add", "identity")
    nodes = [
        ("add", "sigmoid"),
        ("add", "tanh"),
        ("add", "sigmoid"),
        nothing,
        ("add", "tanh"),
        nothing,
        ("multiply", "identity"),
    ]
    cell = Tree(tuple(nodes), ("multiply", "identity"), 0, 4)
    rng = np.random.default_rng(4)
    (x, h), (own_x, own_h) = lstm_as(["f", "g", "o", None], rng)
    own_x, own_h = own_x.at[:, 0].set(50.0), own_h.at[:, 0].set(50.0)  # the input gate stands open
    c = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    wanted = step_of(LoneEnvelope(Standard("lstm")), (), jnp.float32)(own_x, own_h, c, c)
    close(stepped(recurrent.envelope([cell]), cell, x, h, c), wanted)


def test_the_number_of_cells_is_the_papers():
    """About 6e16 with base 8 (section 4.2)."""
    sizes = [int(size) for size in RecurrentCell(base=8).decisions.sizes]
    assert np.prod(sizes, dtype=object) == 8**16 * 15**2
    assert round(float(8**16 * 15**2) / 1e16) == 6


def test_cost_counts_products_and_parameters():
    """Base 4, 8 units, 2 layers, 10 symbols: 2 layers of 8 matrices of 8 x 8, and the softmax's 8 x 10."""
    children = RecurrentCell(4, model=LanguageModel(hidden=8)).children((5,), 10)
    cost = alone(children, cells(1, RecurrentCell(4))[0])
    assert cost.multiply_adds == 2 * 8 * 64 + 80
    assert cost.parameters == 2 * 8 * 64 + 80 + 80 + 10
    tied = RecurrentCell(4, model=LanguageModel(hidden=8, tied=True)).children((5,), 10)
    assert alone(tied, cells(1, RecurrentCell(4))[0]).parameters == cost.parameters - 80
    lstm = StandardCell("lstm", LanguageModel(hidden=8)).children((5,), 10)
    assert alone(lstm, Standard("lstm")).parameters == cost.parameters + 2 * 4 * 8


def test_the_envelope_of_several_holds_each_and_no_more():
    one, other = cells(2)
    joined = recurrent.envelope([one, other])
    assert isinstance(joined, TreeEnvelope)
    names = {pair for cell in (one, other) for pair in (*cell.nodes, cell.inject)}
    assert set(joined.combinations) == {c for c, _ in names}
    assert set(joined.activations) == {a for _, a in names}
    assert recurrent.envelope([one, one]) == LoneEnvelope(one)
    with pytest.raises(ValueError, match="does not fit"):
        recurrent.place(other, LoneEnvelope(one))
    with pytest.raises(ValueError, match="equally many leaves"):
        recurrent.envelope([one, PAPER])


def test_bad_settings_are_refused():
    for settings, message in (
        ({"base": 6}, "power of 2"),
        ({"combinations": ("add", "add")}, "different ones"),
        ({"activations": ("tanh", "gelu")}, "gelu"),
    ):
        with pytest.raises(ValueError, match=message):
            RecurrentCell(**settings)
    with pytest.raises(ValueError, match="hidden=0"):
        LanguageModel(hidden=0)
    with pytest.raises(ValueError, match="take the task Text"):
        RecurrentCell(2).children((8, 8, 1), 10)
    for space in (ChainCNN(layers=2), SkipCNN(layers=2), Cell201()):
        with pytest.raises(ValueError, match="the task Text the space RecurrentCell"):
            space.children((32,), 63)
    for space, cell in ((RecurrentCell(2), Standard("gru")), (RecurrentCell(4), PAPER), (StandardCell(), PAPER)):
        with pytest.raises(ValueError, match="is not in"):
            space.encode(cell)
    with pytest.raises(ValueError, match="-1 stands nowhere"):
        RecurrentCell(2).decode([-1] * 10)
    with pytest.raises(ValueError, match="ragged"):
        RecurrentCell(2).children((8,), 10).envelope([], Ragged(), ())
