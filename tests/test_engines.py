"""Engines give each child its own convolution and gradients, whatever stands around it, and count their own work."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from plain import around, jit

from jaxnas.children.chain.architecture import Chain, ChainEnvelope, ConvLayer, executed
from jaxnas.children.engines import Branching, Engine, Padded, Ragged, Shape
from jaxnas.children.engines.convolution import LAYOUT

BATCH, MAP, OUTER = 2, (3, 4), Shape((4, 5), 6, 6)
OWN = [
    Shape((1, 1), 6, 6),
    Shape((4, 5), 3, 6),  # beyond the map
    Shape((2, 4), 1, 6),
    Shape((2, 4), 6, 2),
    Shape((3, 3), 2, 3),
    Shape((1, 3), 3, 1),
]
KERNELS = tuple({own.kernel: None for own in OWN})
ENGINES = {
    "padded": Padded(),
    "each class": Branching(KERNELS, (1, 3, 6)),
    "rounded up": Branching(KERNELS, (3, 6)),
    "ragged": Ragged(),
}
WITH_STRIDES = [("padded", (2, 3)), ("rounded up", (2, 3)), ("ragged", (2, 3))]


def live(own):
    """The part of OUTER's kernel that is a child's own."""
    starts = [around(OUTER.kernel[i])[0] - around(own.kernel[i])[0] for i in (0, 1)]
    taps = (slice(start, start + side) for start, side in zip(starts, own.kernel, strict=True))
    return *taps, slice(own.channels), slice(own.filters)


def arrays(own, stride):
    """x, w and the result's cotangent, padded with zeros."""
    rng = np.random.default_rng(0)
    x, w = (np.zeros(shape, np.float32) for shape in ((BATCH, *MAP, OUTER.channels), (*OUTER.kernel, *OUTER[1:])))
    dy = np.zeros((BATCH, *(-(-side // s) for side, s in zip(MAP, stride, strict=True)), OUTER.filters), np.float32)
    for a, part in ((x, (..., slice(own.channels))), (w, live(own)), (dy, (..., slice(own.filters)))):
        a[part] = rng.normal(size=a[part].shape)
    return x, w, dy


def with_gradients(engine, stride=(1, 1), first=False, dtype="float32"):
    """The function (x, w, dy, branch) -> y, dx, dw of one child."""

    def run(x, w, dy, branch):
        y, pull = jax.vjp(lambda x, w: engine.conv(x, w, branch, stride, first, jnp.dtype(dtype)), x, w)
        return y, *pull(dy)

    return run


def plain(own, stride, x, w, dy):
    """By XLA, on the child's own part of the arrays; zeros around the results."""

    def conv(x, w):
        pads = [around(side) for side in own.kernel]
        return lax.conv_general_dilated(x[..., : own.channels], w[live(own)], stride, pads, dimension_numbers=LAYOUT)

    def both(x, w, dy):
        y, pull = jax.vjp(conv, x, w)
        return y, *pull(dy[..., : own.filters])

    y, dx, dw = jit(both)(x, w, dy)
    return np.pad(y, [(0, 0)] * 3 + [(0, OUTER.filters - own.filters)]), dx, dw


@cache
def expected(own, stride):
    return plain(own, stride, *arrays(own, stride))


def assert_close(found, expected, own):
    (y, dx, dw), (ey, edx, edw) = found, expected
    for name, a, b in (("y", y, ey), ("dx", dx, edx), ("dw", np.asarray(dw)[live(own)], np.asarray(edw)[live(own)])):
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max(), err_msg=name)


@pytest.mark.parametrize(("name", "stride"), [*((name, (1, 1)) for name in ENGINES), *WITH_STRIDES], ids=str)
def test_a_child_gets_its_own_convolution_and_gradients(name, stride):
    """Beside others that differ, one of which lacks the layer, in the way in which its engine runs them."""
    engine = ENGINES[name]
    each = (lambda fn: lambda *stacked: lax.map(lambda one: fn(*one), stacked)) if engine.in_turn else jax.vmap
    together = jit(each(with_gradients(engine, stride)))
    stacked = map(np.stack, zip(*(arrays(own, stride) for own in [*OWN, OUTER]), strict=True))
    branches = np.array([engine.branch(OUTER, own, False) for own in [*OWN, None]], np.int32)
    *found, absent = zip(*map(np.asarray, together(*stacked, branches)), strict=True)
    for own, child in zip(OWN, found, strict=True):
        right = expected(own, stride)
        assert_close(child, right, own)
        if engine.skips_absent:  # and computes nothing that is masked later
            assert np.count_nonzero(child[2]) == np.count_nonzero(right[2])
    assert engine.skips_absent == (not any(map(np.any, absent)))


@pytest.mark.parametrize("name", ["padded", "rounded up"])
def test_an_image_has_no_gradient_and_bfloat16_rounds_factors_and_result(name):
    """Once each: sums are float32, as is the gradient of the kernel."""
    engine, own = ENGINES[name], Shape((3, 3), *OUTER[1:])
    branch = np.int32(engine.branch(OUTER, own, True))
    x, w, dy = (a.astype(jnp.bfloat16) for a in arrays(own, (1, 1)))
    y, dx, dw = jit(with_gradients(engine, first=True, dtype="bfloat16"))(x, w.astype(np.float32), dy, branch)
    ey, _, edw = plain(own, (1, 1), *(a.astype(np.float32) for a in (x, w, dy)))
    assert (y.dtype, dx.dtype) == (jnp.bfloat16,) * 2
    np.testing.assert_allclose(y.astype(np.float32), ey, rtol=2**-8, atol=1e-5)
    assert_close((ey, dx.astype(np.float32), dw), (ey, jnp.zeros(dx.shape), edw), own)


@pytest.mark.parametrize(("name", "stride"), [("padded", (2, 3)), ("rounded up", (1, 1)), ("ragged", (2, 3))], ids=str)
def test_the_gradient_of_a_map_is_of_its_type(name, stride):
    engine, own = ENGINES[name], Shape((3, 3), *OUTER[1:])
    branch = np.int32(engine.branch(OUTER, own, False))
    x, w, dy = (a.astype(jnp.bfloat16) for a in arrays(own, stride))
    _, dx, dw = jit(with_gradients(engine, stride, dtype="bfloat16"))(x, w.astype(np.float32), dy, branch)
    ey, edx, edw = plain(own, stride, *(a.astype(np.float32) for a in (x, w, dy)))
    assert dx.dtype == jnp.bfloat16
    np.testing.assert_allclose(dx.astype(np.float32), edx, rtol=2**-8, atol=1e-5)
    assert_close((ey, edx, dw), (ey, edx, edw), own)


def test_a_branch_for_each_kernel_and_each_pair_of_classes():
    engine = Branching(((1, 1), (3, 3), (1, 3)), (4, 8))
    assert engine.branch(OUTER, Shape((1, 1), 1, 1), False) == 0
    assert engine.branch(OUTER, Shape((3, 3), 4, 5), False) == 1 * 3 + 1
    assert engine.branch(OUTER, Shape((1, 3), 5, 8), False) == 3 * 3 + 2
    assert engine.branch(OUTER, None, False) == engine.branches(OUTER, False) == 4 * 3
    assert engine.branch(OUTER, Shape((1, 3), 6, 8), True) == 1 * 3 + 2  # an image's channels are never rounded
    assert engine.branch(OUTER, None, True) == engine.branches(OUTER, True) == 2 * 3
    grey = OUTER._replace(channels=1)
    assert (engine.branches(grey, True), engine.branches(grey, False)) == (1, 4 * 3)  # an image of one channel
    assert Padded().branches(OUTER, False) == Ragged().branches(OUTER, False) == 1


@pytest.mark.parametrize(
    ("own", "first"),
    [(Shape((3, 1), 4, 8), False), (Shape((3, 3), 4, 9), False), (Shape((3, 3), 9, 8), False), (OUTER, True)],
    ids=["kernel", "filters", "channels", "channels of the image"],
)
def test_what_has_no_branch_is_refused(own, first):
    with pytest.raises(ValueError, match="no branch for Shape"):
        Branching(((1, 1), (3, 3)), (4, 8)).branch(Shape((5, 5), 3, 8), own, first)


def test_an_engine_says_its_name_and_where_it_runs():
    engines = Padded(platform="tpu"), Branching(KERNELS, (6,), "tpu"), Ragged("gpu")
    assert [engine.name for engine in engines] == ["padded", "branching", "ragged"]
    assert all(isinstance(engine, Engine) for engine in engines)
    assert {engine.platform for engine in (Padded(), Branching((), ()), Ragged())} == {"cpu"}
    assert not Padded(plain=True).by_library  # on CPU our own forms are faster
    with pytest.raises(ValueError, match="engine 'ragged' has no kernel for TPUs: take 'padded'"):
        Ragged("tpu")


ENVELOPE = tuple(ConvLayer((5, 5), 8, pool=pool) for pool in (2, 1, 1))
CHILD = Chain((ConvLayer((3, 3), 4, pool=2), ConvLayer((1, 5), 6)))


@pytest.mark.parametrize(
    ("engine", "work"),
    [
        # maps of 9 * 7 and, after pooling, 5 * 4; the dense layer has as many inputs as the envelope has filters
        (Padded(platform="gpu"), [9 * 7 * 25 * 3 * 8, 5 * 4 * 25 * 8 * 8, 5 * 4 * 25 * 8 * 8, 8 * 10]),
        (Branching(((1, 5), (3, 3)), (4, 8), "gpu"), [9 * 7 * 9 * 3 * 4, 5 * 4 * 5 * 4 * 8, 0, 8 * 10]),
        (Branching(((1, 5), (3, 3)), (8,), "gpu"), [9 * 7 * 9 * 3 * 8, 5 * 4 * 5 * 8 * 8, 0, 8 * 10]),
    ],
    ids=["padded", "branching", "rounded up"],
)
def test_executed_work_by_hand(engine, work):
    """Off CPU, where no blocks of outputs add to it."""
    inside = ChainEnvelope(ENVELOPE, (2, 3), engine=engine)
    assert executed(CHILD, inside, (9, 7, 3), classes=10) == sum(work)


def test_an_image_of_one_channel_has_one_convolution_on_cpu_alone():
    grey, own = OUTER._replace(channels=1), Shape((1, 1), 1, 4)
    engine = Branching(((1, 1), (3, 3)), (4, 8))
    assert engine.executed((6, 5), grey, own, (1, 1), True) == Padded().executed((6, 5), grey, own, (1, 1), True)
    assert engine.executed((6, 5), grey, own, (1, 1), False) == 30 * 4 * 4
    off_cpu = Branching(((1, 1), (3, 3)), (4, 8), "gpu")
    assert off_cpu.branches(grey, True) == 2 * 2
    assert off_cpu.executed((6, 5), grey, own, (1, 1), True) == 30 * 4


def test_ragged_work_by_hand():
    """A batch of 128 fills its tiles: 36 channels are two steps of 32, 24 filters one tile of 64."""
    assert Ragged().executed((8, 8), Shape((5, 5), 48, 64), Shape((3, 3), 36, 24), (1, 1), False) == 9 * 64 * 64 * 64
    assert Ragged().executed((8, 8), Shape((5, 5), 48, 64), None, (1, 1), False) == 0
