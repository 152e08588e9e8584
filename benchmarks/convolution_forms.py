#!/usr/bin/env python3
"""How fast can the convolutions of small networks run? Forms, in a loop as in training: useful GFLOP/s of the best run.

    python benchmarks/convolution_forms.py [--dtype bfloat16]

On CPU (pin it to one core, with XLA_FLAGS=--xla_cpu_multi_thread_eigen=false, as a search does), one child: forward
with each block of outputs at once of `jaxnas.children.engines.blocks`, whose rule is drawn from this table, the
chosen one marked; the weight gradient as a product for each row of the kernel, and as a convolution over the whole
batch and over parts of it; of images, ms for one child by the chosen block and by a product with taps that all children
share, and their weight gradients; and ms to make the taps.

Elsewhere N children of a layer of equal shape, forward and both gradients, together: by products of patches, as sums
over the kernel's taps, as the grouped convolution that vmap makes of a plain one and, on a GPU, by the ragged kernel.
"""

import argparse
import time
from functools import partial

import jax
import jax.numpy as jnp
import workloads
from jax import lax

from jaxnas.children.engines import Ragged, blocks, convolution, shared
from jaxnas.children.engines.convolution import LAYOUT, around

STEPS = 4
SMALL = [  # batch, map, channels, filters, kernel
    (64, 8, 8, 8, 3),
    (64, 8, 16, 16, 5),
    (64, 8, 32, 32, 3),
    (64, 4, 32, 32, 5),
    (128, 14, 4, 4, 3),
    (128, 14, 8, 8, 5),
    (128, 14, 16, 16, 3),
    (128, 14, 16, 16, 5),
    (128, 28, 8, 16, 3),
    (128, 32, 16, 16, 3),
    (128, 16, 32, 32, 3),
    (128, 32, 48, 48, 3),
    (128, 32, 64, 64, 5),
]
IMAGES = [(128, 28, 1, 4, 5), (128, 28, 1, 16, 3), (128, 28, 1, 16, 5), (128, 32, 3, 16, 3), (128, 32, 3, 48, 5)]
TOGETHER = [(8, 64, 8, 32, 5), (8, 128, 14, 16, 5), (64, 128, 16, 32, 3), (16, 128, 32, 64, 7)]


def seconds(program, *arrays) -> float:
    """Of one turn of a compiled loop, the best of some runs."""
    run = jax.jit(program).lower(*arrays).compile()
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < 0.3:
        start = time.perf_counter()
        jax.block_until_ready(run(*arrays))
        best = min(best, time.perf_counter() - start)
    return best / STEPS


def looped(fn, *arrays) -> float:
    """Seconds of ``fn`` on each row of the arrays, in a loop that keeps nothing of it but a sum."""
    found = jax.eval_shape(fn, *(a[0] for a in arrays))
    add = lambda total, one: (total + lax.optimization_barrier(fn(*one)), None)
    return seconds(lambda *arrays: lax.scan(add, jnp.zeros(found.shape), arrays)[0], *arrays)


def operands(batch, size, channels, filters, side, dtype):
    """Images, kernels and results of a few steps."""
    shapes = (batch, size, size, channels), (side, side, channels, filters), (batch, size, size, filters)
    normal = lambda i, shape: jax.random.normal(jax.random.key(i), (STEPS, *shape)).astype(dtype)
    return [normal(i, shape) for i, shape in enumerate(shapes)]


def whole(kernel, x, dy):
    return blocks.kernel_gradient(*blocks.transposed(x, dy), around(kernel))


def forward_table(dtype) -> None:
    names = [f"{rows}x{columns}" for rows, columns in blocks.BLOCKS]
    print(f"{'forward, outputs at once':28}", *(f"{name:>6}" for name in names))
    for case in SMALL:
        batch, size, channels, filters, side = case
        x, w, _ = operands(*case, dtype)
        work = 2 * batch * size**2 * side**2 * channels * filters / 1e9
        pads = around((side, side))
        by = [lambda x, w, pads=pads, block=block: blocks.by_block(x, w, pads, block) for block in blocks.BLOCKS]
        rates = [work / looped(form, x, w) for form in by]
        chosen = blocks.BLOCKS.index(blocks.block_of((size, size), w.shape[1:]))
        print(shape(*case), *(f"{rate:5.0f}{'*' if i == chosen else ' '}" for i, rate in enumerate(rates)), flush=True)


def gradient_table(dtype) -> None:
    forms = {
        "by rows": lambda kernel, x, dy: convolution.weight_gradients(x, dy, "gpu")(kernel),
        "whole": whole,
        "in parts": lambda kernel, x, dy: convolution.weight_gradient(x, dy, kernel, "cpu"),
    }
    print(f"{'weight gradient':28}", *(f"{name:>9}" for name in forms))
    for case in SMALL:
        batch, size, channels, filters, side = case
        x, _, dy = operands(*case, dtype)
        work = 2 * batch * size**2 * side**2 * channels * filters / 1e9
        rates = [work / looped(partial(form, (side, side)), x, dy) for form in forms.values()]
        print(shape(*case), *(f"{rate:9.0f}" for rate in rates), flush=True)


def image_table(dtype) -> None:
    print(f"{'images, ms':28}", *(f"{name:>9}" for name in ("block", "by taps", "dw parts", "dw taps", "taps made")))
    for case in IMAGES:
        print(shape(*case), *(f"{1e3 * one:9.2f}" for one in of_images(case, dtype)), flush=True)


def of_images(case, dtype) -> tuple[float, ...]:
    """Seconds of each column of the table."""
    x, w, dy = operands(*case, dtype)
    kernel, one = (case[-1],) * 2, x[0]
    taps = jax.jit(lambda x: shared.share(x, kernel, (1, 1)).taps)(one)
    return (
        looped(lambda w: convolution.correlate(one, w, (1, 1), around(kernel), "cpu"), w),
        looped(lambda w: shared.correlate(shared.Shared(one, taps), w, (1, 1), "elsewhere"), w),
        looped(lambda dy: convolution.weight_gradient(one, dy, kernel, "cpu"), dy),
        looped(lambda dy: shared.weight_gradient(taps, dy, w.shape[1:]), dy),
        looped(lambda x: shared.share(x, kernel, (1, 1)).taps, x),
    )


def shape(batch, size, channels, filters, side) -> str:
    return f"{batch:4} x {size:2}x{size:<2} {channels:3} -> {filters:2} {side}x{side}  "


def plain(x, w):
    pads = around(w.shape[:2])
    return lax.conv_general_dilated(x, w, (1, 1), pads, dimension_numbers=LAYOUT, preferred_element_type=jnp.float32)


def taps_of(x, w):
    """The map under each tap of the kernel."""
    (kh, kw), (height, width) = w.shape[:2], x.shape[1:3]
    x = jnp.pad(x, ((0, 0), *around((kh, kw)), (0, 0)))
    return [x[:, i : i + height, j : j + width] for i in range(kh) for j in range(kw)]


def patches(x, w):
    return jnp.dot(jnp.concatenate(taps_of(x, w), -1), w.reshape(-1, w.shape[3]), preferred_element_type=jnp.float32)


def by_taps(x, w):
    products = zip(taps_of(x, w), w.reshape(-1, *w.shape[2:]), strict=True)
    return sum(jnp.dot(tap, one, preferred_element_type=jnp.float32) for tap, one in products)


def by_ragged(x, w):
    live = jnp.array(w.shape)
    return Ragged("gpu").conv(x.astype(jnp.float32), w.astype(jnp.float32), live, (1, 1), False, x.dtype)


def both_gradients(form, x, w):
    loss = lambda x, w: jnp.square(jax.vmap(form)(x, w)).mean()
    return sum(gradient.astype(jnp.float32).sum() for gradient in jax.grad(loss, (0, 1))(x, w))


def together_table(dtype) -> None:
    forms = {"patches": patches, "taps": by_taps, "grouped": plain}
    forms |= {"ragged": by_ragged} if jax.default_backend() == "gpu" else {}
    print(f"{'children together':34}", *(f"{name:>9}" for name in forms))
    for n, *case in TOGETHER:
        batch, size, channels, side = case
        x = jax.random.normal(jax.random.key(0), (STEPS, n, batch, size, size, channels)).astype(dtype)
        w = jnp.full((STEPS, n, side, side, channels, channels), 0.01, dtype)
        work = 6 * n * batch * (size * side * channels) ** 2 / 1e9
        rates = [work / looped(partial(both_gradients, form), x, w) for form in forms.values()]
        print(
            f"{n:3} children", shape(batch, size, channels, channels, side), *(f"{r:9.0f}" for r in rates), flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    dtype = parser.parse_args().dtype
    print(workloads.machine())
    on_cpu = jax.default_backend() == "cpu"
    for table in (forward_table, gradient_table, image_table) if on_cpu else (together_table,):
        table(dtype)


if __name__ == "__main__":
    main()
