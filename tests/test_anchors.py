"""Anchors: what links mean to a strategy, and to the controller of Zoph & Le, section 3.3."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxnas.decisions import ABSENT, Anchor, Choice, Decisions
from jaxnas.rng import key_for
from jaxnas.strategies import Random, Reinforce
from jaxnas.strategies.controller import Controller

LINKED = Decisions(
    (
        Choice("depth", "depth", 2),
        Anchor("layer 1"),
        Choice("height 1", "height", 3),
        Anchor("layer 2"),
        Anchor("layer 3", when=((0, (1,)),)),
        Choice("height 3", "height", 3, when=((0, (1,)),)),
    )
)
EVERYTHING = np.unique(
    np.asarray(LINKED.without_absent(np.array(list(itertools.product(*(range(s) for s in LINKED.sizes)))))), axis=0
)


def controller(decisions=LINKED, units=6):
    return Controller(decisions, units=units, layers=2, scale=0.9, rngs=nnx.Rngs(3))


def test_an_anchor_takes_a_column_for_each_earlier_one():
    names = ["depth", "height 1", "layer 2 from layer 1", "layer 3 from layer 1", "layer 3 from layer 2", "height 3"]
    assert [c.name for c in LINKED.choices] == names
    assert len(LINKED) == 6
    assert LINKED.sizes.tolist() == [2, 3, 2, 2, 2, 3]
    assert len(EVERYTHING) == 3 * 2 + 3 * 2 * 4 * 3


def test_anchors_are_checked_as_choices_are():
    with pytest.raises(ValueError, match="same name"):
        Decisions((Anchor("layer"), Choice("a", "a", 2), Anchor("layer")))
    with pytest.raises(ValueError, match="only an earlier one"):
        Decisions((Anchor("layer", when=((0, (1,)),)), Choice("a", "a", 2)))


def test_probabilities_sum_to_one():
    p = np.exp(jax.vmap(controller().score)(EVERYTHING).log_prob)
    np.testing.assert_allclose(p.sum(), 1, atol=1e-5)
    assert p.max() > 5 * p.min()


def test_frequencies_agree_with_probabilities():
    one, n = controller(), 20_000
    drawn = np.asarray(jax.jit(jax.vmap(one.sample))(jax.random.split(key_for(0, "propose"), n)).tokens)
    p, counts = np.exp(jax.vmap(one.score)(EVERYTHING).log_prob), (drawn[:, None] == EVERYTHING).all(-1).sum(0)
    assert counts.sum() == n
    assert np.abs((counts - n * p) / np.sqrt(n * p)).max() < 4.5  # standard deviations, 78 outcomes


def test_a_sample_is_scored_with_the_value_it_was_drawn_with():
    one = controller()
    drawn = jax.vmap(one.sample)(jax.random.split(jax.random.key(0), 60))
    for a, b in zip(drawn, jax.vmap(one.score)(drawn.tokens), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    assert (drawn.tokens[:, 3] == ABSENT).any()


def test_the_formulas_of_the_paper_by_hand():
    """sigmoid(v . tanh(W_prev h_j + W_curr h_i)), every link on its own, step by step in numpy."""
    one = controller()
    sigmoid = lambda a: 1 / (1 + np.exp(-np.asarray(a, np.float64)))
    softmax = lambda a: np.exp(a) / np.exp(a).sum()
    memory, x, placed, log_p = [(np.zeros(6), np.zeros(6))] * 2, one.first_input[...], [], 0.0

    def step(x):
        nonlocal memory
        moved = []
        for cell, carry in zip(one.cells, memory, strict=True):
            carry, x = cell(tuple(map(jnp.asarray, carry)), x)
            moved.append(carry)
        memory = moved
        return np.asarray(x)

    choices, links = {0: (0, 1), 2: (1, 2), 5: (1, 0)}, {1: [], 3: [1], 4: [0, 1]}
    for number in range(6):
        h = step(x)
        if number in choices:
            kind, token = choices[number]
            logits = (h @ one.softmax[...][kind] + one.softmax_bias[...][kind])[: [2, 3][kind]]
            log_p, x = log_p + np.log(softmax(logits)[token]), one.embeddings[...][kind, token]
        else:
            p = [sigmoid(one.v[...] @ np.tanh(h_j @ one.w_prev[...] + h @ one.w_curr[...])) for h_j in placed]
            log_p += sum(np.log(q if bit else 1 - q) for q, bit in zip(p, links[number], strict=True))
            chosen = [h_j for h_j, bit in zip(placed, links[number], strict=True) if bit]
            x = jnp.asarray(sum(chosen, np.zeros(6, np.float32)) / (1 + len(chosen)), jnp.float32)
            placed.append(h)
    np.testing.assert_allclose(one.score(np.array([1, 2, 1, 0, 1, 0])).log_prob, log_p, rtol=1e-5)


def test_absent_anchors_add_nothing():
    """Tokens that end early have the log-probability and the gradient that the shorter list of decisions gives them."""
    short = Decisions(LINKED.made[:4])
    loss = lambda net, tokens: net.score(tokens).log_prob
    one, cut = controller(), controller(short)
    nnx.update(cut, nnx.state(one))
    full, part = np.array([1, 2, 1, ABSENT, ABSENT, ABSENT]), np.array([1, 2, 1])
    np.testing.assert_allclose(loss(one, full), loss(cut, part), rtol=1e-6)
    pairs = zip(*(jax.tree.leaves(nnx.grad(loss)(*args)) for args in ((one, full), (cut, part))), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_space_that_has_not_grown_is_sampled_as_the_smaller_space():
    """Leaving out the last decisions of a sample is a sample of the first ones: nothing depends on what comes later."""
    one, n = controller(), 20_000
    drawn = np.asarray(jax.jit(jax.vmap(one.sample))(jax.random.split(key_for(1, "propose"), n)).tokens)
    first = np.where(np.arange(6) < 3, drawn, ABSENT)
    kinds = np.unique(first, axis=0)
    p, counts = np.exp(jax.vmap(one.score)(kinds).log_prob), (first[:, None] == kinds).all(-1).sum(0)
    np.testing.assert_allclose(p.sum(), 1, atol=1e-5)
    assert np.abs((counts - n * p) / np.sqrt(n * p)).max() < 4.5


@pytest.mark.parametrize("strategy", [Random(), Reinforce(units=6, learning_rate=0.02)])
def test_strategies_propose_links(strategy):
    known = {tuple(row) for row in EVERYTHING.tolist()}
    state = strategy.init(LINKED, key_for(0, "strategy"))
    tokens = np.asarray(strategy.propose(state, key_for(0, "propose"), 200))
    assert {tuple(row) for row in tokens.tolist()} <= known
    assert set(np.unique(tokens[:, 3:5])) == {ABSENT, 0, 1}


def test_the_controller_learns_which_links_pay():
    """A reward for linking 3 to 1 and not to 2, 40 rounds of 16."""
    strategy = Reinforce(learning_rate=0.03, baseline_decay=0.7)
    reward = lambda tokens: (tokens[:, 3] == 1).astype(jnp.float32) - (tokens[:, 4] == 1)
    state, propose, update = strategy.init(LINKED, key_for(0, "s")), jax.jit(strategy.propose, static_argnums=2), None
    update = jax.jit(strategy.update)
    for r in range(40):
        tokens = propose(state, key_for(0, "propose", r), 16)
        state, _ = update(state, tokens, reward(tokens))
    np.testing.assert_array_equal(strategy.most_likely(state)[jnp.array([0, 3, 4])], [1, 1, 0])
