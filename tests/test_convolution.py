"""Each form of one convolution, and of its gradients, against XLA's own convolution and its derivative."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from plain import jit, products

from jaxnas.children.engines import blocks, convolution, shared
from jaxnas.children.engines.convolution import LAYOUT, around, correlate, mirrored


class Case(NamedTuple):
    size: tuple[int, int]
    kernel: tuple[int, int]
    channels: int
    filters: int
    stride: tuple[int, int] = (1, 1)
    form: str = "blocks"


CASES = [
    Case((6, 5), (3, 4), 3, 7),
    Case((9, 7), (3, 3), 2, 16),
    Case((2, 3), (5, 6), 3, 24),  # a kernel beyond the map, in both directions
    Case((2, 3), (5, 6), 3, 7),  # a block, too, of which the map is no multiple
    Case((6, 5), (5, 2), 3, 7, (2, 3), "convolution"),
    Case((2, 6), (5, 3), 3, 7, (3, 2), "convolution"),  # a kernel beyond the map, in one
    Case((5, 4), (1, 1), 3, 7, form="product"),
    Case((5, 4), (1, 1), 1, 7, (2, 3), form="product"),
]
AT_ONCE = pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.size} * {c.kernel} / {c.stride} {c.form}")
ELSEWHERE = pytest.mark.parametrize("platform", ["cpu", "gpu"])


def arrays(case, dtype=np.float32):
    """x, w and the result's cotangent."""
    rng = np.random.default_rng(0)
    out = [-(-side // s) for side, s in zip(case.size, case.stride, strict=True)]
    shapes = (2, *case.size, case.channels), (*case.kernel, case.channels, case.filters), (2, *out, case.filters)
    return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


@partial(jit, static_argnums=0)
def plain(case, x, w, dy):
    """By XLA: the result, its gradients, and the result where the padding lies on the other side."""
    conv = partial(lax.conv_general_dilated, window_strides=case.stride, dimension_numbers=LAYOUT)
    y, pull = jax.vjp(partial(conv, padding=around(case.kernel)), x, w)
    return y, *pull(dy), conv(x, w, padding=mirrored(case.kernel))


@partial(jit, static_argnums=(0, 1))
def forms(case, platform, x, w, dy):
    """The same by our forms for a platform."""
    dilated = convolution.dilate(dy, case.stride, case.size)
    return (
        correlate(x, w, case.stride, around(case.kernel), platform),
        convolution.input_gradient(dilated, w, platform),
        convolution.weight_gradient(x, dilated, case.kernel, platform),
        correlate(x, w, case.stride, mirrored(case.kernel), platform),
    )


def assert_close(found, expected):
    names = ("y", "dx", "dw", "y, padded elsewhere")[: len(expected)]
    for name, a, b in zip(names, found, expected, strict=True):
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max(), err_msg=name)


@AT_ONCE
@ELSEWHERE
def test_the_form_that_is_meant_gives_the_convolution_and_its_gradients(case, platform):
    x, w, dy = arrays(case)
    expected = "patches" if platform == "gpu" and case.form != "product" else case.form
    assert convolution._form(w.shape, case.stride, platform) == expected
    assert_close(forms(case, platform, x, w, dy), plain(case, x, w, dy))


@AT_ONCE
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_plain_form_and_its_gradients_are_the_others(case, dtype):
    """Those of JAX's own derivative, and of patches."""
    x, w, dy = arrays(case, dtype)
    y, gradients = jit(convolution.plain, static_argnums=2), jit(convolution.plain_gradients, static_argnums=3)
    found = y(x, w, case.stride), *gradients(x, w, dy, case.stride)
    assert_close(found, plain(case, *(a.astype(jnp.float32) for a in (x, w, dy)))[:3])
    assert_close(found, forms(case, "gpu", x, w, dy)[:3])


@pytest.mark.parametrize("case", [CASES[i] for i in (2, 4, 6)], ids=lambda c: c.form)
@ELSEWHERE
def test_bfloat16_rounds_the_factors_and_nothing_else(case, platform):
    rounded = arrays(case, jnp.bfloat16)
    assert_close(forms(case, platform, *rounded), plain(case, *(a.astype(jnp.float32) for a in rounded)))


@AT_ONCE
@ELSEWHERE
def test_multiply_adds_are_those_of_the_program(case, platform):
    x, w, _ = arrays(case)
    program = jax.make_jaxpr(lambda x: correlate(x, w, case.stride, around(case.kernel), platform))(x[:1])
    assert convolution.multiply_adds(case.size, w.shape, case.stride, platform) == products(program.jaxpr)


def test_multiply_adds_by_hand():
    count = partial(convolution.multiply_adds, platform="cpu")
    assert count((5, 4), (1, 1, 3, 7), (2, 3)) == 3 * 2 * 3 * 7
    assert count((6, 5), (3, 4, 3, 7), (2, 3)) == 3 * 2 * 3 * 4 * 3 * 7
    assert count((6, 5), (3, 4, 4, 32), (1, 1)) == 6 * 5 * 3 * 4 * 4 * 32
    assert blocks.block_of((6, 8), (3, 3, 4, 16)) == (1, 2)
    assert count((6, 8), (3, 3, 4, 16), (1, 1)) == 6 * 8 * 3 * 4 * 4 * 16  # taps of two columns
    count = partial(convolution.multiply_adds, platform="gpu")
    assert count((2, 6), (5, 3, 3, 7), (3, 2)) == 1 * 3 * 5 * 3 * 3 * 7
    assert count((6, 5), (3, 4, 1, 7), (3, 2)) == 2 * 3 * 3 * 4 * 7


@pytest.mark.parametrize("block", blocks.BLOCKS, ids=str)
@pytest.mark.parametrize("size", [(8, 4), (7, 9), (2, 3)], ids=str)
def test_each_block_of_outputs_gives_the_convolution(block, size):
    """Of which the map may be no multiple, and beyond which the larger kernel may reach."""
    for kernel in ((3, 3), (1, 4), (5, 2)):
        case = Case(size, kernel, 3, 5)
        x, w, dy = arrays(case)
        y, _, _, elsewhere = plain(case, x, w, dy)
        found = [blocks.by_block(x, w, pads, block) for pads in (around(kernel), mirrored(kernel))]
        assert_close(found, (y, elsewhere))


def test_a_block_is_taken_where_filters_are_few_and_the_map_has_room():
    assert blocks.block_of((28, 28), (3, 3, 16, 32)) == (1, 1)
    assert blocks.block_of((28, 28), (5, 5, 16, 16)) == (1, 2)
    assert blocks.block_of((28, 28), (5, 1, 16, 16)) == (2, 1)
    assert blocks.block_of((28, 28), (3, 3, 8, 8)) == (2, 2)
    assert blocks.block_of((28, 28), (5, 5, 4, 4)) in {(2, 4), (4, 2)}
    assert blocks.block_of((3, 3), (3, 3, 16, 16)) == (1, 1)
    assert blocks.block_of((32, 32), (3, 3, 3, 16)) == (2, 2)  # odd channels want more filters
    assert blocks.block_of((32, 32), (3, 3, 1, 16)) == (1, 2)


@pytest.mark.parametrize(
    ("images", "room", "part"),
    [
        (64, 64, 64),  # all of it
        (64, 63, 32),  # never more than 32
        (64, 12, 8),
        (64, 1, 4),  # never less than 4
        (100, 30, 25),
        (127, 30, 127),  # a prime
    ],
    ids=str,
)
def test_a_weight_gradient_is_the_sum_over_parts_of_the_batch(images, room, part, monkeypatch):
    x, dy = jnp.ones((images, 2, 2, 3)) * jnp.arange(images)[:, None, None, None], jnp.ones((images, 2, 2, 5))
    monkeypatch.setattr(blocks, "PART_BYTES", room * 4 * 4 * (3 + 5))
    seen = []

    def gradient(x, dy):
        seen.append(len(x))
        return jnp.einsum("bhwc,bhwf->cf", x, dy)

    np.testing.assert_array_equal(blocks.in_parts(x, dy, gradient), gradient(x, dy))
    assert set(seen[:-1]) == {part}


@AT_ONCE
@ELSEWHERE
def test_what_is_shared_of_the_images_gives_the_convolution_and_its_gradient(case, platform):
    x, w, dy = arrays(case)

    @jit
    def found(x, w, dy):
        all_taps = shared.share(x, case.kernel, case.stride)
        y = shared.correlate(all_taps, w, case.stride, platform)
        return y, shared.weight_gradient(all_taps.taps, dy, w.shape)

    y, dw = found(x, w, dy)
    expected = plain(case, x, w, dy)
    assert_close((y,), expected[:1])
    assert_close((dw,), expected[2:3])


def test_what_would_take_too_much_memory_is_not_shared(monkeypatch):
    x = jnp.ones((2, 4, 4, 3))
    monkeypatch.setattr(shared, "MOST_BYTES", 4 * x.size * 9)
    assert isinstance(shared.share(x, (3, 3), (1, 1)), shared.Shared)
    assert shared.share(x, (3, 4), (1, 1)) is x


def test_dilating_by_hand():
    dy = jnp.arange(1.0, 5).reshape(1, 2, 2, 1)
    expected = [[1, 0, 0, 2, 0], [0, 0, 0, 0, 0], [3, 0, 0, 4, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(convolution.dilate(dy, (2, 3), (4, 5))[0, :, :, 0], expected)


@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize("size", [(6, 4), (2, 8)], ids=str)
def test_gradients_of_stride_2_by_phases(side, size):
    case = Case(size, (side, side), 3, 7, (2, 2))
    x, w, dy = arrays(case)
    _, dx, dw, _ = plain(case, x, w, dy)
    close = partial(np.testing.assert_allclose, rtol=1e-5)
    close(jit(partial(convolution.input_gradient_of_stride_2, platform="cpu"))(dy, w), dx, atol=1e-5 * np.abs(dx).max())
    by_rows = jit(convolution.weight_gradient, static_argnums=(2, 3, 4))
    close(by_rows(x, dy, (side, side), "cpu", (2, 2)), dw, atol=1e-5 * np.abs(dw).max())
