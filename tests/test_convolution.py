"""Each form of one convolution, and of its gradients, against XLA's own convolution and its derivative."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from plain import jit, products

from jaxnas.children.engines import convolution
from jaxnas.children.engines.convolution import LAYOUT, around, correlate, mirrored


class Case(NamedTuple):
    size: tuple[int, int]
    kernel: tuple[int, int]
    channels: int
    filters: int
    stride: tuple[int, int] = (1, 1)
    form: str = "convolution"


CASES = [
    Case((6, 5), (3, 4), 3, 7),
    Case((6, 5), (5, 2), 3, 7, (2, 3)),
    Case((2, 3), (5, 6), 3, 7),  # a kernel beyond the map, in both directions
    Case((2, 6), (5, 3), 3, 7, (3, 2)),  # in one
    Case((6, 5), (3, 3), 4, 1),  # the input gradient is banded
    Case((5, 4), (1, 1), 3, 7, form="product"),
    Case((5, 4), (1, 1), 1, 7, (2, 3), form="product"),
    Case((6, 5), (3, 4), 1, 7, form="banded"),
    Case((6, 5), (4, 3), 1, 7, (3, 2), form="banded"),
    Case((3, 2), (2, 7), 1, 7, form="banded"),
    Case((2, 33), (1, 3), 1, 2),  # too wide for a band
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
        convolution.weight_gradient(x, dilated, case.kernel),
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
    assert convolution._form(x.shape, w.shape, platform) == expected
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


@pytest.mark.parametrize("case", [CASES[i] for i in (2, 5, 7)], ids=lambda c: c.form)
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
    assert count((2, 6), (5, 3, 3, 7), (3, 2)) == 2 * 3 * 5 * 3 * 3 * 7  # on a map of 5 * 6
    assert count((6, 5), (3, 4, 1, 7), (3, 2)) == 6 * 5 * 3 * 5 * 7  # each row of 5 through a band of 5 columns
    count = partial(convolution.multiply_adds, platform="gpu")
    assert count((2, 6), (5, 3, 3, 7), (3, 2)) == 1 * 3 * 5 * 3 * 3 * 7
    assert count((6, 5), (3, 4, 1, 7), (3, 2)) == 2 * 3 * 3 * 4 * 7


@pytest.mark.parametrize("size", [(6, 5), (3, 2)], ids=str)
@pytest.mark.parametrize("kernel", [(1, 1), (1, 3), (2, 4), (3, 2), (4, 3), (5, 1)], ids=str)
def test_a_weight_gradient_of_so_many_rows(size, kernel):
    """In a block of 5 rows, whose live ones are known at run time alone."""
    case, height = Case(size, kernel, 3, 4), 5
    x, w, dy = arrays(case)
    first = 2 - (kernel[0] - 1) // 2
    by_rows = jit(convolution.weight_gradient_by_rows, static_argnums=(3, 4))
    found = by_rows(x, dy, jnp.array([first, kernel[0]]), height, kernel[1])
    own = np.pad(plain(case, x, w, dy)[2], ((first, height - kernel[0] - first), *[(0, 0)] * 3))
    np.testing.assert_allclose(found, own, rtol=1e-5, atol=1e-5 * np.abs(own).max())
    np.testing.assert_array_equal(found[own == 0], 0)


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
    by_rows = jit(convolution.weight_gradient, static_argnums=(2, 3))
    close(by_rows(x, dy, (side, side), (2, 2)), dw, atol=1e-5 * np.abs(dw).max())
