"""Law 1 for networks with skip connections: tiles against Flax, envelopes against each other, 200 against numpy."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from plain import around, jit
from plain_skip import NETWORKS, PlainSkip, live_numbers, load, numbers, padding_is_zero
from steps import CLASSES, Trained, assert_same, backward, train

from jaxnas.children import alone, unpadded
from jaxnas.children.engines import Branching, Padded, Ragged
from jaxnas.children.skip.architecture import Skip, SkipLayer, map_shapes
from jaxnas.children.skip.network import SkipChildren
from jaxnas.rng import key_for
from jaxnas.spaces import SkipCNN
from jaxnas.strategies import Random

KEY, SHAPE = key_for(7, "child"), (9, 7, 3)
SPACE = SkipCNN(
    layers=5, kernel_heights=(1, 3, 5), kernel_widths=(1, 2, 3), filters=(4, 6),
    types=("convolution", "max_pool", "average_pool"), norms=(True, False), learning_rates=(0.1, 0.05),
)  # fmt: skip
CHILDREN = SPACE.children(SHAPE, CLASSES)
in_turn = lambda fn: lambda *stacked: jax.lax.map(lambda one: fn(*one), stacked)
stack = lambda trees: jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
WAYS = {
    "padded, in turn": (Padded(), in_turn),
    "padded, together": (Padded(), jax.vmap),
    "branching": (Branching((), (4, 6)), in_turn),
    "branching, one class": (Branching((), (6,)), in_turn),
}
build = lambda inside, genes: nnx.split(CHILDREN.build(inside, genes, KEY), nnx.Param, nnx.BatchStat)[1:]
START = jit(build, static_argnums=0)
BACKWARD = jit(backward, static_argnums=0)  # whether it trains is traced


def graph_of(inside, genes):
    return nnx.graphdef(nnx.eval_shape(lambda g: CHILDREN.build(inside, g, KEY), genes))


def read(architecture, graph, genes, found) -> Trained:
    parameters, gradients, statistics, *rest = found
    net, tree = (nnx.merge(graph, p, statistics) for p in (parameters, gradients))
    live = lambda net: live_numbers(net, architecture, genes, SHAPE)
    return Trained(live(net), live(tree), *rest, padding_is_zero(net, live(net)))


@cache
def tight(architecture) -> Trained:
    inside = unpadded(CHILDREN, architecture)
    genes = CHILDREN.place(architecture, inside)
    graph = graph_of(inside, genes)
    run = lambda parameters, statistics, *rest: BACKWARD(graph, parameters, statistics, (genes,), *rest)
    return read(architecture, graph, genes, train(CHILDREN, run, *START(inside, genes)))


@pytest.mark.parametrize("architecture", NETWORKS.values(), ids=NETWORKS)
def test_the_tight_envelope_is_the_ordinary_network(architecture):
    inside = unpadded(CHILDREN, architecture)
    genes = CHILDREN.place(architecture, inside)
    untrained = nnx.merge(graph_of(inside, genes), *START(inside, genes))
    plain = load(PlainSkip(architecture, SHAPE, CLASSES), live_numbers(untrained, architecture, genes, SHAPE))
    graph, *values = nnx.split(plain, nnx.Param, nnx.BatchStat)
    run = jit(lambda p, s, x, y, training: backward(graph, p, s, (), x, y, training), static_argnums=4)
    parameters, gradients, statistics, *rest = train(CHILDREN, run, *values)
    net, tree = (nnx.merge(graph, p, statistics) for p in (parameters, gradients))
    learnt = [v for n, v in numbers(net).items() if n.split()[0] not in ("mean", "variance")]
    assert sum(v.size for v in learnt) == alone(CHILDREN, architecture).parameters
    right = Trained(numbers(net), numbers(tree), *rest, True)
    assert right.losses[0] != right.losses[-1]
    assert_same(tight(architecture), right)


@pytest.mark.parametrize("way", WAYS)
def test_the_children_of_a_group_are_what_they_are_alone(way):
    engine, each = WAYS[way]
    networks = list(NETWORKS.values())
    inside = CHILDREN.envelope(networks, engine, ())
    genes = [CHILDREN.place(a, inside) for a in networks]
    graph = graph_of(inside, genes[0])
    one = lambda *rest: lambda parameters, statistics, genes: backward(graph, parameters, statistics, (genes,), *rest)
    run = jit(lambda *values_and_rest: each(one(*values_and_rest[3:]))(*values_and_rest[:3]))
    untrained = stack([START(inside, g) for g in genes])
    found = train(CHILDREN, lambda p, s, *rest: run(p, s, stack(genes), *rest), *untrained)
    for i, (architecture, own) in enumerate(zip(networks, genes, strict=True)):
        assert_same(read(architecture, graph, own, jax.tree.map(lambda a, i=i: a[i], found)), tight(architecture))


# 200 networks of the whole space against numpy, in float64; gradients by finite differences.


def numpy_pool(x, layer: SkipLayer, size):
    before, found = [around(k)[0] for k in layer.kernel], []
    for r in range(size[0]):
        for c in range(size[1]):
            ends = [p * s - b for p, s, b in zip((r, c), layer.stride, before, strict=True)]
            rows, columns = (slice(max(0, e), e + k) for e, k in zip(ends, layer.kernel, strict=True))
            window = x[:, rows, columns]
            found.append(window.max((1, 2)) if layer.kind == "max_pool" else window.mean((1, 2)))
    return np.stack(found, 1).reshape(len(x), *size, -1)


def numpy_convolution(x, w, stride, size):
    (top, bottom), (left, right) = (around(k) for k in w.shape[:2])
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    ends = [(n - 1) * s + 1 for n, s in zip(size, stride, strict=True)]
    taps = ((i, j) for i in range(w.shape[0]) for j in range(w.shape[1]))
    return sum(x[:, i : i + ends[0] : stride[0], j : j + ends[1] : stride[1]] @ w[i, j] for i, j in taps)


def numpy_join(maps):
    size = [max(m.shape[axis] for m in maps) for axis in (1, 2)]
    grow = lambda m: np.pad(m, ((0, 0), (0, size[0] - m.shape[1]), (0, size[1] - m.shape[2]), (0, 0)))
    return np.concatenate([grow(m) for m in maps], -1)


def numpy_loss(architecture: Skip, values, x, y):
    """Mean cross-entropy in training, from parameters by name, as float64."""
    maps, at = [x], map_shapes(architecture, SHAPE)
    for i, layer in enumerate(architecture.layers):
        read = numpy_join([maps[j] for j in layer.inputs])
        if layer.kind != "convolution":
            maps.append(numpy_pool(read, layer, at[i + 1].size))
            continue
        z = numpy_convolution(read, values[f"kernel c{i}"], layer.stride, at[i + 1].size)
        if layer.norm:
            z = (z - z.mean((0, 1, 2))) / np.sqrt(z.var((0, 1, 2)) + 1e-5) * values[f"scale c{i}"]
        maps.append(np.maximum(z + values[f"bias c{i}"], 0))
    logits = numpy_join([maps[i] for i in architecture.outputs]).mean((1, 2)) @ values["dense"] + values["dense_bias"]
    top = logits.max(1)
    return np.mean(np.log(np.exp(logits - top[:, None]).sum(1)) + top - logits[np.arange(len(y)), y])


def biased(graph, parameters, statistics, genes, rng):
    """With biases and scales at random, so that no ReLU stands exactly at its bend."""
    net = nnx.merge(graph, parameters, statistics, copy=True)
    live = np.arange(net.bias.shape[1]) < genes.layers.filters[:, None]
    net.bias[...] = jnp.float32(rng.normal(size=live.shape) * live)
    net.scale[...] = jnp.float32(rng.uniform(0.5, 2, live.shape) * live * genes.layers.norm[:, None])
    return nnx.state(net, nnx.Param)


def slopes(architecture, values, gradients, x, y, rng) -> tuple[float, float, float]:
    """Along a random direction: that of the gradients, that by finite differences, and the size of the summands."""
    towards = {n: rng.normal(size=v.shape) for n, v in values.items() if n.split()[0] not in ("mean", "variance")}
    near = lambda e: numpy_loss(architecture, values | {n: values[n] + e * t for n, t in towards.items()}, x, y)
    parts = np.concatenate([(gradients[n] * t).ravel() for n, t in towards.items()])
    return parts.sum(), (near(1e-7) - near(-1e-7)) / 2e-7, np.abs(parts).sum()


def test_200_networks_of_the_whole_space():
    """Of all depths, in one program: loss, and its derivative along a random direction."""
    state, rng = Random().init(SPACE.decisions, key_for(0, "strategy")), np.random.default_rng(0)
    tokens = np.asarray(Random().propose(state, key_for(0, "propose"), 200))
    ends = [columns.stop for _, columns in SPACE._slices]
    networks = [SPACE.decode(np.where(np.arange(len(t)) < ends[i % 5], t, -1)) for i, t in enumerate(tokens)]
    inside = CHILDREN.envelope(networks, Branching((), (4, 6)), ())
    graph = graph_of(inside, CHILDREN.place(networks[0], inside))
    x, y = rng.normal(size=(6, *SHAPE)), rng.integers(0, CLASSES, 6)
    for architecture in networks:
        genes = CHILDREN.place(architecture, inside)
        parameters, statistics = START(inside, genes)
        parameters = biased(graph, parameters, statistics, genes, rng)
        gradients, _, loss, _ = BACKWARD(graph, parameters, statistics, (genes,), jnp.float32(x), jnp.asarray(y), True)
        nets = (nnx.merge(graph, p, statistics) for p in (parameters, gradients))
        live = [live_numbers(net, architecture, genes, SHAPE) for net in nets]
        values, gradients = ({n: v.astype(np.float64) for n, v in one.items()} for one in live)
        np.testing.assert_allclose(loss, numpy_loss(architecture, values, x, y), rtol=2e-5)
        found, right, size = slopes(architecture, values, gradients, x, y, rng)
        np.testing.assert_allclose(found, right, atol=1e-5 * size, err_msg=str(architecture))


def test_a_network_in_the_style_of_figure_7_trains():
    """15 layers, each reading all before it, filters up to 7x7: the loss of four steps falls."""
    rng = np.random.default_rng(0)
    side = lambda: tuple(int(k) for k in rng.choice([3, 5, 7], 2))
    layers = [
        SkipLayer("convolution", tuple(range(1, i)) or (0,), side(), (1, 1), 4 + 2 * (i % 2)) for i in range(1, 16)
    ]
    children = SkipChildren(SHAPE, CLASSES, 15, (7, 7), (4, 6))
    architecture = Skip(tuple(layers))
    inside = unpadded(children, architecture)
    genes = children.place(architecture, inside)
    build = jit(lambda g: nnx.split(children.build(inside, g, KEY), nnx.Param, nnx.BatchStat)[1:])
    graph = nnx.graphdef(nnx.eval_shape(lambda g: children.build(inside, g, KEY), genes))
    parameters, statistics = build(genes)
    rng = np.random.default_rng(1)
    x, y = jnp.float32(rng.normal(size=(16, *SHAPE))), jnp.asarray(rng.integers(0, CLASSES, 16))
    losses = []
    for _ in range(4):
        gradients, statistics, loss, _ = BACKWARD(graph, parameters, statistics, (genes,), x, y, True)
        parameters = optax.apply_updates(parameters, jax.tree.map(lambda g: -0.05 * g, gradients))
        losses.append(float(loss))
    assert losses == sorted(losses, reverse=True)
    live = live_numbers(nnx.merge(graph, parameters, statistics), architecture, genes, SHAPE)
    learnt = [v for n, v in live.items() if n.split()[0] not in ("mean", "variance")]
    assert sum(v.size for v in learnt) == alone(children, architecture).parameters


# What runs, and what is refused.


def test_the_work_follows_the_child():
    """Skips, strides, poolings: branching executes at most 1.5 times the useful work of 256 random networks."""
    space = SkipCNN(layers=6, types=("convolution", "max_pool", "average_pool"))
    children = space.children((32, 32, 3), 10)
    state = Random().init(space.decisions, key_for(0, "strategy"))
    tokens = np.asarray(Random().propose(state, key_for(0, "propose"), 256))
    networks = [space.decode(t) for t in tokens]
    inside = children.envelope(networks, Branching((), (24, 36, 48, 64)), ())
    executed = sum(children.work(inside, a).executed for a in networks)
    assert executed <= 1.5 * sum(alone(children, a).multiply_adds for a in networks)


def test_a_known_roof_is_taken_again_and_a_new_one_holds_all():
    networks, engine = list(NETWORKS.values()), Branching((), (6,))
    small, large = CHILDREN.envelope(networks[:1], engine, ()), CHILDREN.envelope(networks, engine, ())
    assert CHILDREN.envelope(networks[:1], engine, {large}) == large
    assert CHILDREN.envelope(networks[:1], engine, {large, small}) == small
    assert large | small == large
    assert CHILDREN.envelope(networks, engine, {small}) | small == CHILDREN.envelope(networks, engine, {small})
    assert CHILDREN.envelope(networks[:1], Padded(), {large}).engine == Padded()


def test_a_roof_grows_only_where_it_must_and_never_beyond_the_space():
    engine = Branching((), (6,))
    wide = Skip(tuple(SkipLayer("convolution", (i,), (1, 1), filters=6) for i in range(5)))  # many pixels, few blocks
    deep = Skip(tuple(SkipLayer("convolution", (i,), (5, 3), (3, 3), 6) for i in range(3)))  # few pixels, many blocks
    first = CHILDREN.envelope([deep], engine, ())
    second = CHILDREN.envelope([wide], engine, {first})
    assert second.blocks == first.blocks
    assert second.pixels > first.pixels
    full = [SkipLayer("convolution", tuple(range(1, i)) or (0,), (5, 3), filters=6) for i in range(1, 6)]
    assert CHILDREN.envelope([Skip(tuple(full))], engine, ()).blocks == 15 * (1 + 10)
    assert CHILDREN.envelope([Skip(tuple(full))], engine, ()).pixels == 16 * (6 * 4 + 2)


@pytest.mark.parametrize("name", ["dense skips, loose ends", "image pooled"])
def test_images_with_more_channels_than_filters(name):
    """Law 1 where the image is the widest map: loss and gradients by tiles and by Flax."""
    architecture, shape = NETWORKS[name], (6, 5, 8)
    children = SPACE.children(shape, CLASSES)
    rng = np.random.default_rng(2)
    x, y = jnp.float32(rng.normal(size=(8, *shape))), jnp.asarray(rng.integers(0, CLASSES, 8))
    inside = children.envelope([architecture], Branching((), (4, 6)), ())
    genes = children.place(architecture, inside)
    make = lambda g: children.build(inside, g, KEY)
    graph = nnx.graphdef(nnx.eval_shape(make, genes))
    parameters, statistics = jit(lambda g: nnx.split(make(g), nnx.Param, nnx.BatchStat)[1:])(genes)
    gradients, _, loss, _ = BACKWARD(graph, parameters, statistics, (genes,), x, y, True)
    live = lambda p: live_numbers(nnx.merge(graph, p, statistics), architecture, genes, shape)
    net = load(PlainSkip(architecture, shape, CLASSES), live(parameters))
    plain, *values = nnx.split(net, nnx.Param, nnx.BatchStat)
    run = jit(lambda p, s: backward(plain, p, s, (), x, y, True))
    right, _, right_loss, _ = run(*values)
    np.testing.assert_allclose(loss, right_loss, rtol=1e-5)
    found, right = live(gradients), numbers(nnx.merge(plain, right, values[1]))
    for key in {n for n in right if n.split()[0] not in ("mean", "variance")}:
        scale = max(0.02, np.abs(right[key]).max())
        np.testing.assert_allclose(found[key], right[key], atol=1e-5 * scale, err_msg=key)


def test_bfloat16_rounds_the_factors_alone():
    """Logits and gradients are those of float32 to two digits, and are float32."""
    architecture = NETWORKS["strides"]
    inside = CHILDREN.envelope([architecture], Branching((), (6,)), ())
    genes = CHILDREN.place(architecture, inside)
    parameters, statistics = START(inside, genes)
    found = {}
    for dtype in ("float32", "bfloat16"):
        children = SPACE.children(SHAPE, CLASSES, dtype)
        graph = nnx.graphdef(nnx.eval_shape(lambda g, c=children: c.build(inside, g, KEY), genes))
        rng = np.random.default_rng(0)
        x, y = jnp.float32(rng.normal(size=(16, *SHAPE))), jnp.asarray(rng.integers(0, CLASSES, 16))
        gradients, _, loss, logits = BACKWARD(graph, parameters, statistics, (genes,), x, y, True)
        found[dtype] = [np.asarray(a) for a in (loss, logits, *jax.tree.leaves(gradients))]
    for a, b in zip(found["bfloat16"], found["float32"], strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=0.05 * max(0.01, np.abs(b).max()))
    assert (found["bfloat16"][1] != found["float32"][1]).any()


def test_what_does_not_fit_is_refused():
    shallow = unpadded(CHILDREN, NETWORKS["stride beyond the kernel"])
    with pytest.raises(ValueError, match="does not fit"):
        CHILDREN.place(NETWORKS["dense skips, loose ends"], shallow)
    with pytest.raises(ValueError, match="ragged"):
        CHILDREN.envelope(list(NETWORKS.values()), Ragged(), ())
