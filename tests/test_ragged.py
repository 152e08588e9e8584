"""The ragged kernels (interpreted here) give each child its own convolution, run its work alone, and lower for CUDA."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxnas.children.engines import Ragged
from jaxnas.children.engines import ragged_kernel as ragged
from jaxnas.children.engines.convolution import LAYOUT, around, reach

BATCH, MAP, KERNEL, CHANNELS, FILTERS = 2, (19, 4), (5, 6), 40, 72  # in float32: 2 tiles of cells, channels and filters
LIVE = {
    "one by one": (1, 1, 40, 18),
    "square": (3, 3, 7, 72),
    "even": (2, 4, 20, 5),
    "even, the other way": (4, 2, 33, 65),
    "flat": (1, 5, 3, 64),
    "tall, channels end with a tile": (5, 3, 32, 1),
    "the whole block, wider than the map": (5, 6, 40, 72),
    "absent": (0, 0, 0, 0),
}
SIZES = np.array([*LIVE.values()])


def live_taps(kernel, block=KERNEL):
    """The part of a block that its kernel takes."""
    starts = [reach(block[i])[0] - reach(kernel[i])[0] for i in (0, 1)]
    return tuple(slice(start, start + side) for start, side in zip(starts, kernel, strict=True))


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=(len(SIZES), *shape)).astype(np.float32)


def inputs(beyond=0.0):
    """x, w and dy; outside each child zeros, and ``beyond`` from the next whole `PIECE` of channels or filters on."""
    x, w, dy = normal(1, BATCH, *MAP, CHANNELS), normal(2, *KERNEL, CHANNELS, FILTERS), normal(3, BATCH, *MAP, FILTERS)
    for i, (kh, kw, channels, filters) in enumerate(LIVE.values()):
        last_c, last_f = (-(-n // ragged.PIECE) * ragged.PIECE for n in (channels, filters))
        own = w[i][live_taps((kh, kw))].copy()
        own[..., channels:last_c, :], own[..., filters:last_f] = 0, 0
        own[..., last_c:, :], own[..., last_f:] = beyond, beyond
        w[i] = beyond
        w[i][live_taps((kh, kw))] = own
        x[i, ..., channels:last_c], x[i, ..., last_c:] = 0, beyond
        dy[i, ..., filters:last_f], dy[i, ..., last_f:] = 0, beyond
    return x, w, dy


def reference(x, w, stride):
    """Each child's own arrays through XLA's convolution; zeros around the result."""
    outputs = []
    for i, (kh, kw, channels, filters) in enumerate(LIVE.values()):
        own = w[i][live_taps((kh, kw))][..., :channels, :filters]
        y = jnp.zeros((BATCH, *(-(-MAP[k] // stride[k]) for k in (0, 1)), 0))
        if filters:
            y = lax.conv_general_dilated(x[i, ..., :channels], own, stride, around((kh, kw)), dimension_numbers=LAYOUT)
        outputs.append(jnp.pad(y, ((0, 0), (0, 0), (0, 0), (0, FILTERS - filters))))
    return jnp.stack(outputs)


def with_gradients(fn):
    """The jitted function of x, w, dy and further arguments that gives y, dx and dw."""

    def run(x, w, dy, *rest):
        y, pull = jax.vjp(lambda x, w: fn(x, w, *rest), x, w)
        return y, *pull(dy)

    return jax.jit(run)


@cache
def engine(stride=(1, 1), dtype=jnp.float32):
    return with_gradients(together(Ragged(), stride, dtype))


def together(engine, stride=(1, 1), dtype=jnp.float32):
    """The convolution of all children, by one kernel."""
    return jax.vmap(lambda x, w, live: engine.conv(x, w, live, stride, False, dtype))


@cache
def plain(stride=(1, 1)):
    return with_gradients(partial(reference, stride=stride))


def assert_close(found, expected):
    """Float32 sums of up to 4,800 products near 1, in another order."""
    for name, a, b in zip(("y", "dx", "dw"), found, expected, strict=True):
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("stride", [(1, 1), (3, 2)], ids=str)
def test_each_child_gets_its_own_convolution_and_gradients(stride):
    x, w, _ = inputs()
    dy = normal(3, BATCH, *(-(-MAP[k] // stride[k]) for k in (0, 1)), FILTERS)
    found = engine(stride)(x, w, dy, SIZES)
    assert_close(found, plain(stride)(x, w, dy))
    for y, dx, dw, (kh, kw, channels, filters) in zip(*found, LIVE.values(), strict=True):
        assert not np.any(y[..., filters:])
        assert not np.any(dx[..., channels:])
        assert np.count_nonzero(dw) == np.count_nonzero(dw[live_taps((kh, kw))][..., :channels, :filters])


def test_bfloat16_rounds_factors_and_results_once():
    """Sums are float32, as is the gradient of the kernels."""
    x, w, dy = (a.astype(jnp.bfloat16) for a in inputs())
    *found, dw = engine(dtype=jnp.bfloat16)(x, w.astype(np.float32), dy, SIZES)
    *right, expected = plain()(*(a.astype(np.float32) for a in (x, w, dy)))
    for a, b in zip(found, right, strict=True):
        assert a.dtype == jnp.bfloat16
        np.testing.assert_allclose(a.astype(np.float32), b, rtol=2**-8, atol=2e-4)
    assert_close((*right, dw), (*right, expected))


def test_what_lies_beyond_a_child_is_not_read():
    clean = engine()(*inputs(), SIZES)
    for a, b in zip(clean, engine()(*inputs(np.nan), SIZES), strict=True):
        np.testing.assert_array_equal(a, b)
    x, w, dy = inputs()
    for i, (_, _, channels, filters) in enumerate(LIVE.values()):
        x[i, ..., channels:] = w[i, ..., filters:] = dy[i, ..., filters:] = np.nan
    np.testing.assert_array_equal(clean[0], engine()(inputs()[0], w, dy, SIZES)[0])
    np.testing.assert_array_equal(clean[2], engine()(x, w, dy, SIZES)[2])


def test_a_child_is_the_same_in_any_company():
    arrays = inputs()
    alone = engine()(*arrays, SIZES)
    order = np.roll(np.arange(len(SIZES)), 3)
    moved = [a[order] for a in arrays]
    for a in moved:
        a[::2] = np.nan  # every other child has diverged
    together = engine()(*moved, SIZES[order])
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a[order][1::2], b[1::2])


def test_a_weight_gradient_summed_in_parts_is_the_same(monkeypatch):
    x, w, dy = inputs()
    whole = engine()(x, w, dy, SIZES)[2]
    monkeypatch.setattr(ragged, "SUMMED", 64)  # of 152 cells: two full parts and a rest
    span = ragged.spans(jnp.asarray(SIZES), KERNEL)
    gradient = partial(ragged.weight_gradient, kernel=KERNEL, span=span, pads=around(KERNEL), interpret=True)
    parts = jax.jit(gradient)(x, dy)
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=2e-4)


def test_no_tap_looks_outside_the_maps():
    """By enumeration, for more cells than there are: a GPU would not forgive it."""
    window = ragged._window((1, 2, 5, 4, 8), (4, 3), (2, 1), ((1, 2), (1, 1)))
    assert (window.out, window.cells) == ((3, 4), 24)
    cell = np.arange(32)
    for i, j in np.ndindex(4, 3):
        place, inside = (np.asarray(a) for a in window.under(jnp.asarray(cell), i, j))
        rows, columns = cell // 4 % 3 * 2 - 1 + i, cell % 4 - 1 + j
        expected = (cell < 24) & (rows >= 0) & (rows < 5) & (columns >= 0) & (columns < 4)
        np.testing.assert_array_equal(inside, expected)
        np.testing.assert_array_equal(place[inside], (cell // 12 * 20 + rows * 4 + columns)[inside])
        assert place[inside].max() < 40


def test_executed_work_by_hand():
    live = np.array([(3, 3, 36, 24), (1, 5, 48, 64), (0, 0, 0, 0)])
    count = lambda dtype, stride=(1, 1): ragged.executed(live, (4, 8, 8), 48, 64, stride, dtype).tolist()
    # 256 cells; float32 sums 32 channels (or cells) at a step, bfloat16 64; other sides go by 64, cells by 128
    assert count(jnp.float32) == [
        [9 * 256 * 64 * 64, 9 * 256 * 32 * 64, 9 * 256 * 64 * 64],
        [5 * 256 * 64 * 64, 5 * 256 * 64 * 64, 5 * 256 * 64 * 64],
        [0, 0, 0],
    ]
    assert count(jnp.bfloat16)[0] == [9 * 256 * 64 * 64] * 3
    assert count(jnp.float32, (2, 2))[0] == [9 * 64 * 64 * 64, 9 * 256 * 32 * 64, 9 * 64 * 64 * 64]


def test_the_loops_run_what_executed_says(monkeypatch):
    """With each product replaced by ones, an output counts the steps of its tile."""
    monkeypatch.setattr(jnp, "dot", lambda a, b, **_: jnp.ones((a.shape[0], b.shape[1]), jnp.float32))
    store = ragged._store
    monkeypatch.setattr(ragged, "_store", lambda *args: store(*args[:-1], live=True))
    counted = with_gradients(together(Ragged()))(*inputs(), SIZES)
    rows, filters, channels = ragged.ROWS, ragged.SIDE, ragged.LINE // 4
    y, dx = (a.reshape(len(SIZES), -1, a.shape[-1])[:, ::rows, ::filters].sum((1, 2)) for a in counted[:2])
    dw = counted[2][..., :: ragged.SIDE, ::filters].sum((1, 2, 3, 4))
    found = np.stack([y * rows * channels * filters, dx * rows * channels * filters, dw * ragged.SIDE**2 * channels], 1)
    np.testing.assert_array_equal(found, ragged.executed(SIZES, (BATCH, *MAP), CHANNELS, FILTERS))


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")  # jax 0.11
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_three_kernels_lower_for_cuda(dtype):
    """To Triton's intermediate language, without a GPU: only what runs there is left to try."""
    step = with_gradients(together(Ragged("gpu"), (2, 1), dtype))
    shapes = (8, 64, 32, 32, 36), (8, 7, 7, 36, 64), (8, 64, 16, 32, 64)
    arrays = [jax.ShapeDtypeStruct(s, t) for s, t in zip(shapes, (dtype, jnp.float32, dtype), strict=True)]
    gpu = jax.sharding.AbstractDevice("NVIDIA H200", 132, "gpu")  # jax 0.11 would look for a real one
    with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((1,), ("children",), abstract_device=gpu)):
        traced = step.trace(*arrays, jax.ShapeDtypeStruct((8, 4), jnp.int32))
        lowered = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert lowered.count("stablehlo.custom_call") == 3
    assert lowered.count('name = "_correlate_kernel"') == 2
    assert lowered.count('name = "_weight_kernel"') == 1
