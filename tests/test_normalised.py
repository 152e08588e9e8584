"""A batch normalisation that would see one value a channel is refused before anything is trained."""

from dataclasses import replace

import numpy as np
import pytest
from finals import EXPERIMENT, TRIAL, final

from jaxnas.children.chain.architecture import Chain, ConvLayer
from jaxnas.children.normalised import BatchNormalised, check_normalised
from jaxnas.children.skip.architecture import Skip, SkipLayer
from jaxnas.evaluators import Population, Train
from jaxnas.final import train_final
from jaxnas.spaces import SPACES, Cell201, ChainCNN, RecurrentCell, SkipCNN
from jaxnas.tasks import Digits, Text

CHAINS = ChainCNN(
    layers=3, kernel_heights=(1,), kernel_widths=(1,), filters=(4,), stride_heights=(1, 2), stride_widths=(1, 2)
)
SKIPS = SkipCNN(layers=3, filters=(4,), stride_heights=(2,), stride_widths=(1, 2), types=("convolution", "max_pool"))
conv = lambda inputs, stride=(1, 1), norm=True: SkipLayer("convolution", inputs, (3, 3), stride, 4, norm)
POOLED = SkipLayer("max_pool", (0,), (2, 2), (8, 8))

CASES = [
    (CHAINS, (8, 8), None, "layer 3"),
    (CHAINS, (9, 8), None, None),
    (CHAINS, (5, 1), None, "layer 3"),
    (replace(CHAINS, stride_widths=(1,)), (8, 8), None, None),
    (replace(CHAINS, stride_widths=(1,), pool_after=(1, 2, 3)), (8, 8), None, None),  # 2 columns are normalised
    (replace(CHAINS, stride_widths=(1,), pool_after=(1, 2, 3)), (4, 4), None, "layer 3"),
    (replace(CHAINS, depths=(1, 3)), (8, 8), None, "layer 3"),
    (CHAINS, (8, 8), Chain((ConvLayer((1, 1), 4, (2, 2)),) * 3), "layer 3"),
    (CHAINS, (8, 8), Chain((ConvLayer((1, 1), 4, (2, 2)),) * 2), None),
    (CHAINS, (2, 2), Chain((ConvLayer((1, 1), 4, (1, 1), 2),)), None),  # pooled after it was normalised
    (SKIPS, (8, 8), None, "layer 3"),
    (SKIPS, (9, 8), None, None),
    (replace(SKIPS, norms=(False, True)), (8, 8), None, "layer 3"),
    (replace(SKIPS, norms=(False,)), (8, 8), None, None),
    (SKIPS, (8, 8), Skip((conv((0,), (8, 8)), conv((0, 1)))), "layer 1"),
    (SKIPS, (8, 8), Skip((conv((0,), (8, 8), norm=False), conv((0, 1)))), None),
    (SKIPS, (8, 8), Skip((POOLED, conv((0,)))), None),
    (SKIPS, (8, 8), Skip((POOLED, conv((1,)))), "layer 2"),
    (Cell201(channels=4, cells=1), (4, 4), None, "the residual block before stage 3"),
    (Cell201(channels=4, cells=1), (4, 8), None, None),
]


@pytest.mark.parametrize(("space", "sides", "architecture", "layer"), CASES)
def test_one_value_a_channel_is_found(space, sides, architecture, layer):
    children = space.children((*sides, 3), 10)
    check_normalised(children, 2, architecture)
    if layer is None:
        check_normalised(children, 1, architecture)
        return
    with pytest.raises(ValueError, match=rf"batch_size=1: {layer} of .* has a map of 1x1.*give 2 or more"):
        check_normalised(children, 1, architecture)


@pytest.mark.parametrize("space", [CHAINS, SKIPS, replace(SKIPS, norms=(False, True), stride_widths=(3, 1))])
@pytest.mark.parametrize("sides", [(1, 1), (3, 5), (8, 8), (9, 12)])
def test_no_network_of_a_space_normalises_a_smaller_map_than_it_says(space, sides):
    children, found = space.children((*sides, 1), 10), []
    for row in space.decisions.every(20_000) if space is CHAINS else sampled(space, 300):
        own = children.least_normalised(space.decode(row))
        found += [np.prod(own.size)] if own else []
    least = np.prod(children.least_normalised().size)
    assert least == min(found) if space is CHAINS else least <= min(found)


def sampled(space, n):
    tokens = np.random.default_rng(0).integers(0, space.decisions.sizes, (n, len(space.decisions)))
    return np.asarray(space.decisions.without_absent(tokens))


def test_every_space_of_images_is_asked():
    asked = {name for name, kind in SPACES.items() if isinstance(_children(kind), BatchNormalised)}
    assert asked == {"ChainCNN", "SkipCNN", "Cell201"}  # recurrent cells are not normalised


def _children(kind):
    return kind().children((32,) if kind.__name__ in ("RecurrentCell", "StandardCell") else (8, 8, 1), 10)


def test_a_search_and_a_final_training_say_so_before_they_train(tmp_path):
    one = Population(Train(epochs=1, batch_size=1))
    with pytest.raises(ValueError, match="batch_size=1: layer 3 of the smallest network of the space has a map of 1x1"):
        one.bind(CHAINS, Digits(), 0, 4)
    one.bind(replace(CHAINS, layers=2), Digits(), 0, 4)
    one.bind(RecurrentCell(base=4), Text(limit=200), 0, 4)
    chain = Chain((ConvLayer((1, 1), 4, (2, 2)),) * 3)
    trial = replace(TRIAL, tokens=tuple(CHAINS.encode(chain).tolist()))
    experiment = final(replace(EXPERIMENT, space=CHAINS), train=Train(epochs=1, batch_size=1))
    with pytest.raises(ValueError, match="batch_size=1: layer 3 of this network"):
        train_final(experiment, tmp_path, trial)
    assert not (tmp_path / "final").exists()
