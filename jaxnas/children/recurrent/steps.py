"""One time step of a recurrent cell: of a known tree, of a tree that genes name, of an LSTM, of a GRU.

References:
    Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, section 3.4
    (https://arxiv.org/abs/1611.01578). Hochreiter & Schmidhuber, Long Short-Term Memory, 1997, with the forget gate of
    Gers et al., 2000. Cho et al., 2014 (https://arxiv.org/abs/1406.1078), with the reset gate after the product, as
    cuDNN has it.

Letters: B streams, G products, H hidden units, K nodes of one level of the tree.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jaxnas.children.engines import Branching
from jaxnas.children.recurrent.architecture import Envelope, LoneEnvelope, Standard, Tree, TreeEnvelope, TreeGenes

Products = Float[Array, "B G H"]
State = Float[Array, "B H"]

COMBINE: dict[str, Callable] = {"add": jnp.add, "multiply": jnp.multiply, "max": jnp.maximum}
ACTIVATE: dict[str, Callable] = {
    "identity": lambda x: x,
    "tanh": jnp.tanh,
    "sigmoid": lambda x: 0.5 * jnp.tanh(0.5 * x) + 0.5,  # so that a selection between the two computes one tanh
    "relu": jax.nn.relu,
    "sin": jnp.sin,
}


def step_of(inside: Envelope, genes: TreeGenes | tuple[()], dtype: DTypeLike) -> Callable:
    """The function (x products, h products, h_{t-1}, c_{t-1}) -> (h_t, c_t) of a child in its envelope.

    Of a tree nothing but its arguments is kept for the gradient: to compute it again takes less time on CPU than to
    write and read what lies between, and half of the memory. Where ``dtype`` is not float32, that holds of every cell,
    and they are kept in it.
    """
    if isinstance(inside, LoneEnvelope) and isinstance(inside.cell, Standard):
        cell = {"lstm": lstm, "gru": gru}[inside.cell.cell]
        return cell if dtype == jnp.float32 else partial(rounding(lambda _, *given: cell(*given), dtype), genes)
    if isinstance(inside, LoneEnvelope):
        form = lambda genes, x, h, c: walk(*_written(inside.cell), x, h, c)
    elif isinstance(inside.engine, Branching):
        form = lambda genes, x, h, c: walk(*_branching(inside, genes), x, h, c)
    else:
        form = lambda genes, x, h, c: selected(inside, genes, x, h, c)
    # within a scan nothing could undo a checkpoint
    again = jax.checkpoint(form, prevent_cse=False) if dtype == jnp.float32 else rounding(form, dtype)
    return lambda x, h, before, c: again(genes, x, h, c)


def rounding(form: Callable, dtype: DTypeLike) -> Callable:
    """``form``, a function (genes, x products, ...) -> (h_t, c_t), of which its arguments alone are kept for the
    gradient, and in ``dtype``, in which x comes: what is carried from step to step stays float32.
    """
    exact = lambda given: [a.astype(jnp.float32) for a in given]
    again = jax.custom_vjp(lambda genes, *given: form(genes, *exact(given)))

    def forward(genes, *given):
        return again(genes, *given), (genes, [a.astype(dtype) for a in given])

    def backward(kept, cotangents):
        genes, given = kept
        dx, *rest = jax.vjp(partial(form, genes), *exact(given))[1](cotangents)
        return None, dx.astype(dtype), *rest

    again.defvjp(forward, backward)
    return again


def walk(node: Callable, inject: Callable, remembers: Callable, x: Products, h: Products, c: State):
    """h_t and c_t of a tree, node by node.

    Args:
        node: (tree index, what it reads, the other) -> its value before the activation, and after.
        inject: (tree index, value, c_{t-1}) -> the value, with c_{t-1} in it where it is this node's turn.
        remembers: (tree index, value before the activation, c_t so far) -> c_t so far.
        x: W_i x_t of each leaf i.
        h: U_i h_{t-1} of each leaf i.
        c: c_{t-1}.
    """
    leaves, values, memory = x.shape[1], [], jnp.zeros_like(c)
    for number in range(2 * leaves - 1):
        below = 2 * (number - leaves)
        before, value = node(number, *((x[:, number], h[:, number]) if below < 0 else values[below : below + 2]))
        memory = remembers(number, before, memory)
        values.append(inject(number, value, c))
    return values[-1], memory


def _written(cell: Tree) -> tuple[Callable, Callable, Callable]:
    """The functions of a known tree."""
    inject = _pair(*cell.inject)
    return (
        lambda number, a, b: _pair(*cell.nodes[number])(a, b),
        lambda number, value, c: inject(value, c)[1] if number == cell.inject_at else value,
        lambda number, before, memory: before if number == cell.memory_from else memory,
    )


def _branching(inside: TreeEnvelope, genes: TreeGenes) -> tuple[Callable, Callable, Callable]:
    """The functions of the tree that genes name, of which none but its own is computed: for children in turn."""
    branches = [
        _pair(combination, activation) for combination in inside.combinations for activation in inside.activations
    ]
    branch = lambda combination, activation: combination * len(inside.activations) + activation
    own, entry = branch(genes.combinations, genes.activations), branch(*genes.inject)
    entered = lambda value, c: lax.switch(entry, branches, value, c)[1]
    return (
        lambda number, a, b: lax.switch(own[number], branches, a, b),
        lambda number, value, c: lax.cond(number == genes.inject_at, entered, lambda value, c: value, value, c),
        lambda number, before, memory: jnp.where(number == genes.memory_from, before, memory),
    )


def _pair(combination: str, activation: str) -> Callable:
    """What a node does: (a, b) -> the value before its activation, and after."""

    def both(a, b):
        before = COMBINE[combination](a, b)
        return before, ACTIVATE[activation](before)

    return both


def selected(inside: TreeEnvelope, genes: TreeGenes, x: Products, h: Products, c: State) -> tuple[State, State]:
    """As `walk`, of the tree that genes name: all functions for all nodes of a level at once. For children together."""
    left, right, first, memory = x, h, 0, jnp.zeros_like(c)
    combine = lambda which, a, b: _chosen([COMBINE[name](a, b) for name in inside.combinations], which)
    while True:
        here = slice(first, first + left.shape[1])
        numbers = jnp.arange(here.start, here.stop)[:, None]
        before = combine(genes.combinations[here, None], left, right)
        value = _activated(inside.activations, genes.activations[here, None], before)
        memory += jnp.where(numbers == genes.memory_from, before, 0).sum(1)
        entered = jnp.where(numbers == genes.inject_at, value, 0).sum(1)  # of one node at most
        entered = _activated(inside.activations, genes.inject[1], combine(genes.inject[0], entered, c))
        value = jnp.where(numbers == genes.inject_at, entered[:, None], value)
        if left.shape[1] == 1:
            return value[:, 0], memory
        left, right, first = value[:, 0::2], value[:, 1::2], here.stop


def _chosen(values: Sequence[Array], which: Int[Array, "..."]) -> Array:
    """The value of that number."""
    found = values[0]
    for number, value in enumerate(values[1:], 1):
        found = jnp.where(which == number, value, found)
    return found


def _activated(names: tuple[str, ...], which: Int[Array, "..."], x: Array) -> Array:
    """x through the activation of that number. Sigmoid and tanh are one tanh, which costs more than all the rest."""
    values = {name: ACTIVATE[name](x) for name in names if name != "sigmoid"}
    if "sigmoid" in names:
        is_half = which == names.index("sigmoid")
        values["tanh"] = values["sigmoid"] = jnp.tanh(jnp.where(is_half, 0.5 * x, x))
    chosen = _chosen([values[name] for name in names], which)
    return jnp.where(is_half, 0.5 * chosen + 0.5, chosen) if "sigmoid" in names else chosen


def lstm(x: Products, h: Products, before: State, c: State) -> tuple[State, State]:
    """Gates: input, forget, what enters, output; biases are in ``x``."""
    enter, forget, new, out = (x[:, i] + h[:, i] for i in range(4))
    c = jax.nn.sigmoid(forget) * c + jax.nn.sigmoid(enter) * jnp.tanh(new)
    return jax.nn.sigmoid(out) * jnp.tanh(c), c


def gru(x: Products, h: Products, before: State, c: State) -> tuple[State, State]:
    """Gates: reset, update, what enters; biases are in ``x``. c is not used."""
    reset, update = jax.nn.sigmoid(x[:, 0] + h[:, 0]), jax.nn.sigmoid(x[:, 1] + h[:, 1])
    new = jnp.tanh(x[:, 2] + reset * h[:, 2])
    return (1 - update) * new + update * before, c
