"""The space with skip connections: tokens, growth, sizes, costs; all by hand."""

import numpy as np
import pytest

from jaxnas.children.skip.architecture import Skip, SkipLayer, cost, describe, map_shapes
from jaxnas.decisions import ABSENT
from jaxnas.rng import key_for
from jaxnas.spaces import Growth, SkipCNN
from jaxnas.strategies import Random

FULL = SkipCNN(
    layers=5,
    growth=Growth(2, 1, 10),
    filters=(8, 16),
    types=("convolution", "max_pool", "average_pool"),
    norms=(True, False),
    learning_rates=(0.1, 0.05),
)
SMALL = SkipCNN(layers=3, kernel_heights=(1, 3), kernel_widths=(3,), filters=(4, 6), stride_widths=(1,))
conv = lambda inputs, kernel, filters, stride=(1, 1): SkipLayer("convolution", inputs, kernel, stride, filters)


def sample(space, n, trials=10**6):
    state = Random().init(space.decisions, key_for(0, "strategy"))
    tokens = np.asarray(Random().propose(state, key_for(0, "propose"), n))
    return np.where(space.present(trials), tokens, ABSENT)


def test_tokens_by_hand():
    # a layer: links, kernel height, kernel width, stride height, filters
    tokens = np.array([1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 0, 2, 0])
    assert [c.name for c in SMALL.decisions.choices][4:6] == ["layer 2 from layer 1", "layer 2 kernel height"]
    expected = Skip((conv((0,), (3, 3), 4), conv((0,), (1, 3), 6), conv((1,), (3, 3), 4, (3, 1))))
    assert SMALL.decode(tokens) == expected
    np.testing.assert_array_equal(SMALL.encode(expected), tokens)


def test_decode_and_encode_undo_each_other():
    """A pooling layer's farther links mean nothing, so tokens may come back without them."""
    for trials in (0, 15, 10**6):
        for tokens in sample(FULL, 100, trials):
            architecture = FULL.decode(tokens)
            again = FULL.encode(architecture)
            assert FULL.decode(again) == architecture
            assert ((again == tokens) | ((again == 0) & (tokens == 1))).all()
            assert len(architecture.layers) == {0: 2, 15: 3, 10**6: 5}[trials]


def test_a_pooling_layer_reads_the_nearest_link_and_has_no_filters():
    space = SkipCNN(layers=3, types=("convolution", "max_pool"), stride_heights=(1,), stride_widths=(1,))
    # type (0: max_pool, 1: convolution), kernel height, kernel width, filters
    tokens = np.array([1, 1, 1, 3, 1, 1, 0, 0, 0, 1, 1, 0, 1, 2, ABSENT])
    assert space.decode(tokens).layers[2] == SkipLayer("max_pool", (2,), (3, 5))
    wrong = tokens.copy()
    wrong[-1] = 0
    with pytest.raises(ValueError, match="tokens"):
        space.decode(wrong)


def test_growth_follows_the_paper():
    space = SkipCNN(layers=20, growth=Growth())
    depth = lambda trials: len(space.decode(np.where(space.present(trials), 0, ABSENT)).layers)
    assert [depth(t) for t in (0, 1599, 1600, 3200, 11_200, 99_999)] == [6, 6, 8, 10, 20, 20]
    assert space.decisions.anchors == 20
    assert len(space.decisions) == 20 * 5 + 190


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 0}, "layers=0"),
        ({"filters": ()}, "filters="),
        ({"stride_heights": (0, 1)}, "stride_heights"),
        ({"types": ("max_pool",)}, "convolution"),
        ({"types": ("convolution", "convolution")}, "types"),
        ({"norms": ()}, "norms"),
        ({"learning_rates": (0.0,)}, "learning_rates"),
        ({"growth": Growth(7)}, "growth.start=7"),
    ],
)
def test_impossible_spaces_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SkipCNN(**change)


def test_impossible_growth_and_architectures_are_refused():
    with pytest.raises(ValueError, match="every=0: give a whole number from 1"):
        Growth(every=0)
    with pytest.raises(ValueError, match="layer 1 reads"):
        Skip((conv((1,), (3, 3), 4),))
    with pytest.raises(ValueError, match="layer 2 reads"):
        Skip((conv((0,), (3, 3), 4), conv((), (3, 3), 4)))
    with pytest.raises(ValueError, match="at least 1 layer"):
        Skip(())
    with pytest.raises(ValueError, match="a pooling reads one map"):
        Skip((conv((0,), (3, 3), 4), SkipLayer("max_pool", (0, 1), (3, 3))))
    with pytest.raises(ValueError, match="learning rate"):
        FULL.decode(np.where(np.arange(len(FULL.decisions)) == 0, ABSENT, sample(FULL, 1)[0]))
    with pytest.raises(ValueError, match="8 filters"):
        Skip((SkipLayer("max_pool", (0,), (3, 3), filters=8),))


@pytest.mark.parametrize(
    "tokens",
    [np.full(15, ABSENT), np.array([1, 0, 0, 0, 0, 0, ABSENT, 1, 1] + [ABSENT] * 6), np.zeros(14), np.full(15, 9)],
    ids=["no layer", "half a layer", "too few", "no such value"],
)
def test_tokens_that_mean_nothing_are_refused(tokens):
    with pytest.raises(ValueError, match="token"):
        SMALL.decode(tokens.astype(np.int32))


def test_what_is_not_in_the_space_has_no_tokens():
    for outside in (
        Skip((conv((0,), (5, 3), 4),)),
        Skip((conv((0,), (3, 3), 5),)),
        Skip((conv((0,), (3, 3), 4),) * 4),
        Skip((conv((0,), (3, 3), 4),), learning_rate=0.1),
        Skip((conv((0,), (3, 3), 4), conv((0, 1), (3, 3), 4))),  # the image is read where nothing else is
    ):
        with pytest.raises(ValueError, match="is not in"):
            SMALL.encode(outside)


def test_sizes_channels_and_cost_by_hand():
    chain = (
        conv((0,), (3, 3), 4, (2, 1)),
        SkipLayer("max_pool", (1,), (3, 3), (1, 3)),
        SkipLayer("convolution", (0, 2), (5, 1), (2, 2), 6, norm=False),
        conv((1,), (1, 1), 4),
    )
    architecture = Skip(chain)
    at = map_shapes(architecture, (9, 7, 3))
    assert [p.size for p in at] == [(9, 7), (5, 7), (5, 3), (5, 4), (5, 7)]
    assert [p.channels_in for p in at[1:]] == [3, 4, 3 + 4, 4]
    assert architecture.outputs == (3, 4)
    work = 9 * 3 * 4 * 35 + 5 * 7 * 6 * 20 + 4 * 4 * 35
    parameters = 9 * 3 * 4 + 2 * 4 + 5 * 7 * 6 + 6 + 4 * 4 + 2 * 4
    total = cost(architecture, (9, 7, 3), 10)
    assert total.multiply_adds == work + 10 * 10
    assert total.parameters == parameters + 11 * 10
    layers = describe(architecture, (9, 7, 3))["layers"]
    assert [layer["parameters"] for layer in layers] == [116, 0, 216, 24]
    assert [layer["map"] for layer in layers] == [[5, 7], [5, 3], [5, 4], [5, 7]]


def test_a_network_in_the_style_of_figure_7_counts_its_parameters():
    """15 layers, rectangular filters up to 7x7, each layer reading all before it."""
    sides = [
        (3, 3), (3, 5), (7, 5), (7, 7), (5, 7), (7, 7), (7, 1), (7, 3),
        (7, 7), (7, 5), (5, 7), (7, 5), (7, 7), (7, 5), (7, 5),
    ]  # fmt: skip
    filters = [36, 36, 48, 36, 48, 48, 36, 48, 48, 48, 36, 36, 48, 48, 48]
    layers = [
        conv(tuple(range(1, i)) or (0,), side, f) for i, (side, f) in enumerate(zip(sides, filters, strict=True), 1)
    ]
    space = SkipCNN(layers=15, stride_heights=(1,), stride_widths=(1,))
    architecture = Skip(tuple(layers))
    assert space.decode(space.encode(architecture)) == architecture
    entering = [3] + [sum(filters[:i]) for i in range(1, 15)]
    expected = sum(h * w * c * f + 2 * f for (h, w), c, f in zip(sides, entering, filters, strict=True))
    assert cost(architecture, (32, 32, 3), 10).parameters == expected + (48 + 1) * 10
