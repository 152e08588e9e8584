"""What first layers make of a batch together: once for all children, and each child learns what it learns alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain import jit
from steps import CLASSES

from jaxnas.children import Shares
from jaxnas.children.cell201.edges import ConvParameters, Form, conv_norm
from jaxnas.children.engines import Branching, Padded, Ragged
from jaxnas.children.engines.shared import Shared
from jaxnas.children.layers import Statistics
from jaxnas.evaluators import Train, compiling
from jaxnas.evaluators.optimisers import SGD, of_child
from jaxnas.evaluators.programs import Functions, _chunks
from jaxnas.evaluators.train import Trainer
from jaxnas.learners import Supervised
from jaxnas.rng import key_for
from jaxnas.spaces import Cell201, ChainCNN, SkipCNN
from jaxnas.tasks import Batch, Digits

CHAINS = ChainCNN(layers=2, kernel_heights=(3, 4), kernel_widths=(1, 5), filters=(4, 8), stride_heights=(1, 2))
BATCH = 6


def learner(space, engine):
    children = space.children((8, 8, 2), CLASSES)
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, space.decisions.sizes, (3, len(space.decisions)))
    architectures = [space.decode(row) for row in np.asarray(space.decisions.without_absent(tokens))]
    inside = children.envelope(architectures, engine, ())
    genes = [children.place(architecture, inside) for architecture in architectures]
    return Supervised(children, inside, genes[0], Digits(), of_child(SGD(), 5, 1)), genes


def batch():
    rng = np.random.default_rng(2)
    images = jnp.asarray(rng.normal(size=(BATCH, 8, 8, 2)), jnp.float32)
    return Batch(images, np.arange(BATCH, dtype=np.int32) % CLASSES, np.ones(BATCH, np.float32))


@pytest.mark.parametrize(
    "engine",
    [Padded(), Padded(platform="gpu"), Branching(((3, 1), (3, 5), (4, 1), (4, 5)), (4, 8))],
    ids=["cpu", "gpu", "branching"],
)
def test_a_chain_learns_the_same_from_what_is_shared(engine):
    one, genes = learner(CHAINS, engine)
    assert isinstance(one.share(batch()).examples, Shared)

    @jit
    def learnt(batch, own):
        state, carry, _ = one.train(one.begin(own, key_for(0, "child")), (), own, batch, key_for(0, "step"))
        return state.network, one.score(state, carry, own, batch, key_for(0, "score"))[1]

    for own in genes:
        found, expected = learnt(one.share(batch()), own), learnt(batch(), own)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), found, expected)


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_so_does_the_stem_of_a_cell(platform):
    one, _ = learner(Cell201(channels=4, cells=1), Padded(platform=platform))
    both, form = one.share(batch()).examples, Form(jnp.dtype("float32"), 1e-5, image=True, platform=platform)
    values = ConvParameters(jax.random.normal(key_for(0, "kernel"), (3, 3, 2, 4)), jnp.ones(4), jnp.zeros(4))
    running, weights = Statistics(jnp.zeros(4), jnp.ones(4)), jax.random.normal(key_for(0, "dz"), (BATCH, 8, 8, 4))

    @jit
    def found(x, values):
        total = lambda values: (conv_norm(form, x, values, running, True)[0] * weights).sum()
        return jax.value_and_grad(total)(values)

    assert isinstance(both, Shared)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(close, found(both, values), found(batch().examples, values))


def test_who_shares_nothing_gets_the_batch():
    skips = SkipCNN(layers=2, filters=(4,))
    for space, engine in ((skips, Padded()), (CHAINS, Ragged()), (CHAINS, Padded(True, "gpu"))):
        one, _ = learner(space, engine)
        assert isinstance(one.share(batch()).examples, jax.Array)
    assert not isinstance(skips.children((8, 8, 2), CLASSES), Shares)


def shapes(jaxpr, found: list) -> list:
    """Of all results of a program's operations."""
    for eqn in jaxpr.eqns:
        found += [v.aval.shape for v in eqn.outvars if hasattr(v.aval, "shape")]
        for inner in jax.tree.leaves(eqn.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                shapes(inner, found)
    return found


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("in_turn", [False, True])
def test_the_taps_of_a_batch_are_made_once_for_all_children(in_turn, own):
    """And not at all where each has batches of its own."""
    task, train = Digits(), Train(epochs=1, batch_size=7)
    data = task.search_data(0)
    children = CHAINS.children(data.input_shape, data.classes)
    chain, n = CHAINS.decode(np.zeros(len(CHAINS.decisions), np.int32)), 3
    inside = children.envelope([chain], Padded(), ())
    genes = [children.place(chain, inside)] * n
    trainer = Trainer(children, task, data, train, 0, devices=1, own_batches=own)
    functions = Functions(trainer, trainer.learner(inside, genes[0]), in_turn)
    stacked, keys = compiling.stack(genes), jax.random.split(trainer.root, n)
    states = jax.eval_shape(functions.start, stacked, keys, np.ones(n, bool))
    root = keys if own else trainer.root
    program = jax.make_jaxpr(functions.train)(states, stacked, keys, root, trainer.data, np.int32(0))
    made = [shape for shape in shapes(program.jaxpr, []) if shape[-4:] == (20, 7, 8, 8)]  # 4 * 5 taps
    assert not made if own else (20, 7, 8, 8) in made
    assert (n, 20, 7, 8, 8) not in made


def test_a_large_batch_is_made_alone_and_small_ones_as_many_as_there_is_room_for():
    numbers = np.arange(10)
    assert _chunks(numbers, 2**21 + 1).shape == (10, 1)
    assert _chunks(numbers, 2**21).shape == (1, 10)
    assert _chunks(np.arange(100), 2**20).shape == (4, 25)
    assert _chunks(np.arange(33), 2**20).shape == (2, 17)  # the last of which there is none
    assert sorted(np.ravel(_chunks(np.arange(100), 2**20))) == list(range(100))
