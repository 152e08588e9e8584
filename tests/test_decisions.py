"""Decisions and the spaces that make them."""

import numpy as np
import pytest

from jaxnas.children.chain.architecture import Chain, ConvLayer
from jaxnas.decisions import Choice, Decisions
from jaxnas.rng import key_for
from jaxnas.spaces import MLP, SPACES, Cell201, ChainCNN, RecurrentCell, SkipCNN, StandardCell
from jaxnas.strategies import Random

VARIANTS = {
    "the paper's": ChainCNN(),
    "strides": ChainCNN(layers=3, stride_heights=(1, 2, 3), stride_widths=(1, 2)),
    "depths": ChainCNN(layers=4, depths=(1, 3, 4), filters=(8,), pool_after=(2,)),
    "cells": Cell201(),
    "skips": SkipCNN(layers=4, norms=(True, False), learning_rates=(0.1, 0.2)),
    "trees": RecurrentCell(),
    "the controls of section 4.2": RecurrentCell(
        base=4, combinations=("max", "add", "multiply"), activations=("sin", "tanh", "relu", "identity", "sigmoid")
    ),
    "an LSTM": StandardCell(),
    "perceptrons": MLP(layers=(2, 1), widths=(4, 8)),
}


def test_every_space_is_covered():
    assert {type(s).__name__ for s in VARIANTS.values()} == set(SPACES)


@pytest.mark.parametrize("name", VARIANTS)
def test_decode_and_encode_undo_each_other(name):
    space = VARIANTS[name]
    state = Random().init(space.decisions, key_for(0, "strategy"))
    for tokens in np.asarray(Random().propose(state, key_for(0, "propose"), 50)):
        architecture = space.decode(tokens)
        np.testing.assert_array_equal(space.encode(architecture), tokens)
        assert space.decode(space.encode(architecture)) == architecture


def test_tokens_by_hand():
    space = ChainCNN(
        layers=2, depths=(1, 2), kernel_heights=(1, 3), kernel_widths=(5, 7), filters=(8, 9), pool_after=(1,)
    )
    assert [c.name for c in space.decisions.choices[:4]] == [
        "depth", "layer 1 kernel height", "layer 1 kernel width", "layer 1 filter",
    ]  # fmt: skip
    assert space.decode(np.array([0, 1, 0, 1, -1, -1, -1])) == Chain((ConvLayer((3, 5), 9, pool=2),))
    both = Chain((ConvLayer((3, 5), 9, pool=2), ConvLayer((1, 7), 8)))
    assert space.decode(np.array([1, 1, 0, 1, 0, 1, 0])) == both


def test_the_space_of_the_paper_has_its_decisions():
    d = ChainCNN(layers=6).decisions
    assert len(d) == 18
    assert [c.kind for c in d.choices] == ["kernel height", "kernel width", "filter"] * 6
    assert (d.sizes == 4).all()


def test_growing_depth_ends_a_chain_at_its_first_absent_layer():
    space = ChainCNN(layers=3)
    tokens = np.array([0, 1, 2, 3, 0, 1, -1, -1, -1])
    assert len(space.decode(tokens).layers) == 2
    np.testing.assert_array_equal(space.encode(space.decode(tokens)), tokens)


def test_absent_decisions():
    d = Decisions(
        (Choice("a", "a", 3), Choice("b", "b", 2, when=((0, (1, 2)),)), Choice("c", "b", 2, when=((1, (1,)),)))
    )
    tokens = np.array([[0, 1, 1], [1, 0, 1], [2, 1, 0]])
    np.testing.assert_array_equal(d.without_absent(tokens), [[0, -1, -1], [1, 0, -1], [2, 1, 0]])


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([Choice("a", "k", 0)], "'a' has 0 values"),
        ([Choice("a", "k", 2), Choice("b", "k", 3)], "kind 'k' have 2 and 3 values"),
        ([Choice("a", "k", 2, when=((0, (1, 2)),))], "only an earlier one"),
        ([Choice("a", "k", 2), Choice("a", "k", 2)], "same name"),
    ],
)
def test_impossible_decisions_are_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        Decisions(tuple(choices))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 0}, "layers=0"),
        ({"filters": ()}, r"filters=\(\)"),
        ({"kernel_heights": (3, 3)}, r"kernel_heights=\(3, 3\)"),
        ({"kernel_widths": (0, 3)}, r"kernel_widths=\(0, 3\)"),
        ({"pool_after": (7,)}, r"pool_after=\(7,\): give different layers from 1 to 6"),
        ({"depths": (2, 4)}, r"end in layers=6"),
        ({"depths": (4, 2, 6)}, "ascending"),
    ],
)
def test_impossible_spaces_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ChainCNN(**settings)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [([0, 0], "has 6 decisions"), ([0, 0, 4, 0, 0, 0], "token 4 of decision 'layer 1 filter'"),
     ([-1, -1, -1, 0, 0, 0], "only -1"), ([-1] * 6, "one or more whole layers"), ([0, 0, 0, 0, -1, 0], "whole layers")],
)  # fmt: skip
def test_tokens_that_mean_nothing_are_refused(tokens, message):
    with pytest.raises(ValueError, match=message):
        ChainCNN(layers=2).decode(np.array(tokens))


def test_a_chain_from_elsewhere_is_not_encoded():
    space = ChainCNN(layers=2)
    for chain in (Chain((ConvLayer((3, 2), 24),) * 2), Chain((ConvLayer((3, 3), 24),) * 3)):
        with pytest.raises(ValueError, match="is not in"):
            space.encode(chain)


@pytest.mark.parametrize(
    "space",
    [
        ChainCNN(layers=2, depths=(1, 2), kernel_heights=(1, 3), kernel_widths=(1, 3, 5), filters=(4, 8)),
        SkipCNN(layers=3, kernel_heights=(1,), kernel_widths=(1,), filters=(4, 8), stride_heights=(1,),
                stride_widths=(1,), types=("convolution", "max_pool"), learning_rates=(0.1, 0.2)),
    ],
)  # fmt: skip
def test_every_sample_is_listed_once_in_ascending_order(space):
    """Against all combinations of tokens, those that do not exist marked, doubles struck out."""
    d = space.decisions
    combinations = np.stack(np.meshgrid(*map(np.arange, d.sizes), indexing="ij"), -1).reshape(-1, len(d))
    right = np.unique(np.asarray(d.without_absent(combinations)), axis=0)
    assert len(right) < len(combinations)
    np.testing.assert_array_equal(d.every(len(right)), right)
    assert d.every(len(right) - 1) is None
    for tokens in right[:50]:
        assert (d.check(tokens) == tokens).all()
