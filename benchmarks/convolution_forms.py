#!/usr/bin/env python3
"""How fast can the convolutions of different children run under vmap? Three forms, trained in a loop as children are.

    python benchmarks/convolution_forms.py

Each row: N children of three equal layers, forward and both gradients, SGD steps inside a scan; GFLOP/s of padded work
(2 x 3 multiply-adds), the best of 3 runs. "ours" is `jaxnas.children.masked.conv`; "patches" a batched matrix product
over all children; "grouped" what `jax.vmap` makes of a plain convolution.
"""

import time

import jax
import jax.numpy as jnp
from jax import lax

from jaxnas.children import masked

LAYERS, STEPS = 3, 2
CASES = [(8, 64, 8, 32, 5), (8, 64, 4, 32, 5), (8, 64, 14, 16, 5), (8, 64, 8, 16, 3)]


def grouped(x, w):
    pads = [masked.reach(side) for side in w.shape[:2]]
    return lax.conv_general_dilated(x, w, (1, 1), pads, dimension_numbers=masked.LAYOUT)


def patches(x, w):
    kh, kw, _, f = w.shape
    _, height, width, _ = x.shape
    x = jnp.pad(x, ((0, 0), masked.reach(kh), masked.reach(kw), (0, 0)))
    cells = [x[:, i : i + height, j : j + width] for i in range(kh) for j in range(kw)]
    return jnp.concatenate(cells, -1) @ w.reshape(-1, f)


def gflops(conv, n, batch, size, channels, side) -> float:
    """Padded work of ``n`` children a second, in 1e9 operations."""
    kernels = 0.01 * jnp.ones((n, LAYERS, side, side, channels, channels))
    x = jax.random.normal(jax.random.key(0), (STEPS, n, batch, size, size, channels))

    def loss(kernels, x):
        for i in range(LAYERS):
            x = jax.nn.relu(conv(x, kernels[i]))
        return x.mean()

    def train(kernels, x):
        step = lambda k, x: (k - 0.1 * jax.grad(loss)(k, x), None)
        return lax.scan(step, kernels, x)[0]

    program = jax.jit(jax.vmap(train, in_axes=(0, 1)))
    program(kernels, x).block_until_ready()
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        program(kernels, x).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return 2 * 3 * n * batch * (size * channels * side) ** 2 * LAYERS * STEPS / min(seconds) / 1e9


def main() -> None:
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}")
    head = f"{'children':>8}{'batch':>7}{'map':>7}{'filters':>9}{'kernel':>8}"
    print(f"{head}{'ours':>8}{'patches':>9}{'grouped':>9}   GFLOP/s")
    for n, batch, size, channels, side in CASES:
        rates = [gflops(form, n, batch, size, channels, side) for form in (masked.conv, patches, grouped)]
        row = f"{n:>8}{batch:>7}{f'{size}x{size}':>7}{channels:>9}{f'{side}x{side}':>8}"
        print(row + "".join(f"{r:>{w}.0f}" for r, w in zip(rates, (8, 9, 9), strict=True)), flush=True)


if __name__ == "__main__":
    main()
