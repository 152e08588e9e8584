"""Number types and products are the same whoever calls; on CPU a product's precision changes nothing."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from plain import jit
from steps import CLASSES, backward, train

from jaxnas.children.engines import Padded
from jaxnas.numerics import factors, pinned, products
from jaxnas.rng import key_for
from jaxnas.spaces import ChainCNN

SPACE = ChainCNN(layers=2, depths=(2,), kernel_heights=(1, 3), kernel_widths=(1, 3), filters=(4, 6), pool_after=(1,))
DTYPES = ["float32", "tfloat32", "bfloat16"]


@cache
def trained(precision, platform="cpu"):
    """A small training under a default precision of products: by convolutions, by patches, dense."""
    children = SPACE.children((6, 5, 1), CLASSES)
    architecture = SPACE.decode(np.array(SPACE.decisions.sizes) - 1)
    inside = children.envelope([architecture], Padded(platform=platform), ())
    genes = children.place(architecture, inside)
    with jax.default_matmul_precision(precision):
        graph, *values = nnx.split(children.build(inside, genes, key_for(0, "child")), nnx.Param, nnx.BatchStat)
        step = jit(lambda p, s, x, y, training: backward(graph, p, s, (genes,), x, y, training), static_argnums=4)
        return jax.tree.leaves(train(children, step, *values))


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("precision", ["highest", "tensorfloat32", "bfloat16"])
def test_on_cpu_precision_changes_no_bit_of_a_training(precision, platform):
    for a, b in zip(trained(precision, platform), trained(None, platform), strict=True):
        np.testing.assert_array_equal(a, b)


def precision_of_a_product() -> str:
    text = jax.jit(lambda a: a @ a).lower(jnp.ones((2, 2))).as_text()
    return text.partition("precision = [")[2].partition(",")[0] or "DEFAULT"


def test_float32_means_float32_whatever_the_caller_says():
    for said in (None, "bfloat16"):
        with jax.default_matmul_precision(said), pinned():
            assert precision_of_a_product() == "HIGHEST"


def test_a_trainer_says_what_its_products_are():
    """Also within the pinned types; and afterwards all is as before."""
    before = precision_of_a_product()  # a command that another test ran has pinned its process
    with pinned():
        for dtype, precision in zip(DTYPES, ("HIGHEST", "HIGH", "DEFAULT"), strict=True):
            with products(dtype):
                assert precision_of_a_product() == precision
        assert precision_of_a_product() == "HIGHEST"
    assert precision_of_a_product() == before


def test_factors():
    assert [factors(dtype) for dtype in DTYPES] == ["float32", "float32", "bfloat16"]
    for fn in (factors, products):
        with pytest.raises(ValueError, match="dtype='float16': give one of float32, tfloat32, bfloat16"):
            fn("float16")
