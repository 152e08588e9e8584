"""Sizes: arithmetic by enumeration, refusals, and life as an attribute."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxnas import elastic
from jaxnas.elastic import Size

WHOLE = {"+": operator.add, "*": operator.mul, "-": operator.sub, "//": operator.floordiv}
SAID = r"width is traced.*jaxnas\.elastic.*static=True"


@pytest.mark.parametrize("sign", WHOLE)
@pytest.mark.parametrize("form", ["number right", "number left", "two sizes"])
def test_arithmetic_keeps_value_and_greatest_value(sign, form):
    """By enumeration: the greatest value is one that comes of some values, and none that comes of any is greater."""
    do, limits = WHOLE[sign], (7, 4)
    pairs = [(a, b) for a in range(1, limits[0] + 1) for b in range(1, limits[1] + 1)]
    left = lambda a: 9 if form == "number left" else Size(a, limits[0])
    right = lambda b: 2 if form == "number right" else Size(b, limits[1])
    for a, b in pairs:
        found = do(left(a), right(b))
        assert isinstance(found, Size)
        assert int(found.value) == do(9 if form == "number left" else a, 2 if form == "number right" else b)
        assert int(found.value) <= found.most
    reached = max(do(9 if form == "number left" else a, 2 if form == "number right" else b) for a, b in pairs)
    assert found.most == reached + (sign == "-" and form != "number right")  # sizes may be 0


def test_errors_name_what_a_size_came_of():
    width = Size(3, 8, "width")
    assert repr(2 * width + 1) == str(2 * width + 1) == "Size(((2 * width) + 1), at most 17)"
    with pytest.raises(ValueError, match=r"\(width - 9\) can be at most -1"):
        width - 9


@pytest.mark.parametrize("value", [-1, 9])
def test_a_known_value_must_be_in_range(value):
    with pytest.raises(ValueError, match=f"width = {value}: .*from 0 to most, which is 8"):
        Size(value, 8, "width")


@pytest.mark.parametrize("name", ["lt", "le", "gt", "ge", "eq", "ne"])
def test_comparisons_are_arrays(name):
    compare = getattr(operator, name)
    for value in range(4):
        found = jax.jit(lambda value: compare(Size(value, 3), 2))(value)
        turned = jax.jit(lambda value: compare(2, Size(value, 3)))(value)
        assert found.dtype == turned.dtype == bool
        assert (bool(found), bool(turned)) == (compare(value, 2), compare(2, value))
    row = compare(np.arange(4), Size(2, 3)), compare(jnp.arange(4), Size(2, 3))
    assert all((part == compare(np.arange(4), 2)).all() and isinstance(part, jax.Array) for part in row)
    assert bool(compare(Size(1, 3), Size(2, 3))) == compare(1, 2)


def test_it_stands_for_its_value_in_all_other_arithmetic():
    width = Size(3, 8, "width")
    found = [width / 2, 2 / width, width * 0.5, 0.5 * width, width % 2, width**2, jnp.sqrt(width), jnp.ones(2) * width]
    np.testing.assert_allclose(jnp.stack([jnp.max(part) for part in found]), [1.5, 2 / 3, 1.5, 1.5, 1, 9, 3**0.5, 3])
    assert width.live.tolist() == [True] * 3 + [False] * 5


@pytest.mark.parametrize(
    "use",
    [int, float, bool, range, round, list, jnp.zeros, lambda width: jnp.zeros((2, width)), lambda width: [1] * width,
     lambda width: nnx.Linear(width, 2, rngs=nnx.Rngs(0)), lambda width: width and 1],
)  # fmt: skip
@pytest.mark.parametrize("traced", [True, False])
def test_it_is_no_python_number(use, traced):
    """Not even where its value is known, so that a network fails by itself as it does in a program."""
    ask = lambda value: use(Size(value, 8, "width"))
    with pytest.raises(ValueError, match=SAID) as caught:
        jax.jit(ask)(3) if traced else ask(3)
    assert "\n" not in str(caught.value)


def test_it_can_be_an_attribute():
    class Net(nnx.Module):
        def __init__(self, width):
            self.width, self.both = width, nnx.List([width, width * 2])

    graph, extents, rest = nnx.split(Net(Size(3, 8, "width")), elastic.Extent, ...)
    assert (len(jax.tree.leaves(extents)), jax.tree.leaves(rest)) == (2, [])
    again = nnx.merge(graph, jax.tree.map(lambda value: value + 1, extents), rest)
    assert (int(again.width.value), int(again.both[1].value), again.both[1].most) == (4, 7, 16)


def test_it_can_be_an_argument_of_a_program():
    double = jax.jit(lambda width: width * 2)(Size(3, 8, "width"))
    assert (int(double.value), double.most, double.name) == (6, 16, "(width * 2)")


def test_most_serves_numbers_too():
    assert (elastic.most(5), elastic.most(Size(3, 8))) == (5, 8)


def test_what_is_live_of_a_size_and_of_an_int():
    assert elastic.live(Size(2, 4, "width")).tolist() == [True, True, False, False]
    assert elastic.live(3).tolist() == [True, True, True]
