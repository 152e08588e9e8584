#!/usr/bin/env python3
"""How fast can the convolutions of different children run? Forms, each forward and with both gradients.

    python benchmarks/convolution_forms.py [--dtype bfloat16]

Each row: N children of one layer of equal shape, SGD steps inside a scan as in training; GFLOP/s (2 x 3 multiply-adds)
of the best of 3 runs. Children in turn (`jax.lax.map`, on a CPU one core) by `jaxnas.children.engines.switch`, by plain
convolutions with the derivative that JAX gives them; children together (`jax.vmap`) by products of patches, as sums
over the kernel's taps, as the grouped convolution that vmap makes of a plain one, and, on a GPU, by the ragged kernel.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import workloads
from jax import lax

from jaxnas.children.engines import Padded, Ragged
from jaxnas.children.engines.convolution import LAYOUT, around

STEPS = 4
CASES = [(8, 64, 8, 32, 5), (8, 64, 8, 16, 3), (8, 64, 4, 32, 5), (8, 128, 14, 16, 5)]
LARGE = [(64, 128, 16, 32, 3), (16, 128, 32, 64, 7)]  # for accelerators


def ours(x, w):
    return Padded(platform=jax.default_backend()).conv(x, w, None, (1, 1), False, x.dtype)


def plain(x, w):
    return lax.conv_general_dilated(
        x, w, (1, 1), around(w.shape[:2]), dimension_numbers=LAYOUT, preferred_element_type=jnp.float32
    )


def _taps(x, w):
    """The map under each tap of the kernel."""
    kh, kw, _, _ = w.shape
    _, height, width, _ = x.shape
    x = jnp.pad(x, ((0, 0), *around((kh, kw)), (0, 0)))
    return [x[:, i : i + height, j : j + width] for i in range(kh) for j in range(kw)]


def patches(x, w):
    return jnp.dot(jnp.concatenate(_taps(x, w), -1), w.reshape(-1, w.shape[3]), preferred_element_type=jnp.float32)


def taps(x, w):
    products = zip(_taps(x, w), w.reshape(-1, *w.shape[2:]), strict=True)
    return sum(jnp.dot(tap, one, preferred_element_type=jnp.float32) for tap, one in products)


def by_ragged(x, w):
    live = jnp.array(w.shape)
    return Ragged("gpu").conv(x.astype(jnp.float32), w.astype(jnp.float32), live, (1, 1), False, x.dtype)


def in_turn(conv):
    return lambda x, w: lax.map(lambda one: conv(*one), (x, w))


FORMS = {
    "in turn, ours": in_turn(ours),
    "in turn, plain": in_turn(plain),
    "patches": jax.vmap(patches),
    "taps": jax.vmap(taps),
    "grouped": jax.vmap(plain),
    "ragged": jax.vmap(by_ragged),
}


def gflops(conv, n, batch, size, channels, side, dtype) -> float:
    """Work of ``n`` children a second, in 1e9 operations."""
    kernels = 0.01 * jnp.ones((n, side, side, channels, channels))
    x = jax.random.normal(jax.random.key(0), (STEPS, n, batch, size, size, channels))

    def loss(kernels, x):
        return jnp.square(conv(x.astype(dtype), kernels.astype(dtype))).mean()

    def step(kernels, x):
        gradients, dx = jax.grad(loss, argnums=(0, 1))(kernels, x)
        return kernels - 0.1 * gradients, dx[:, 0, 0, 0, 0]

    program = jax.jit(lambda kernels, x: lax.scan(step, kernels, x))
    jax.block_until_ready(program(kernels, x))
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        jax.block_until_ready(program(kernels, x))
        seconds.append(time.perf_counter() - began)
    return 2 * 3 * n * batch * (size * channels * side) ** 2 * STEPS / min(seconds) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    forms = {name: form for name, form in FORMS.items() if name != "ragged" or jax.default_backend() == "gpu"}
    print(workloads.machine())
    print(f"{'children':>8} {'batch':>5} {'map':>5} {'filters':>7} {'kernel':>6} ", *(f"{name:>14}" for name in forms))
    for n, batch, size, channels, side in CASES + (LARGE if jax.default_backend() != "cpu" else []):
        found = [gflops(form, n, batch, size, channels, side, options.dtype) for form in forms.values()]
        shape = f"{n:8} {batch:5} {size:2}x{size:<2} {channels:7} {side:4}x{side}"
        print(shape, " ", *(f"{value:14.0f}" for value in found), flush=True)


if __name__ == "__main__":
    main()
