"""Random search with and without repeats, and the tables behind the latter."""

import itertools

import jax
import numpy as np
import pytest
from test_strategies import functions

from jaxnas.decisions import Anchor, Choice, Decisions
from jaxnas.rng import key_for
from jaxnas.strategies import Random
from jaxnas.strategies.rows import row, rows

FLAT = Decisions((Choice("a", "a", 3), Choice("b", "b", 4)))
NESTED = Decisions(
    (
        Choice("depth", "depth", 3),
        Choice("type", "type", 2, when=((0, (1, 2)),)),
        Choice("side", "side", 3, when=((1, (1,)),)),
        Choice("free", "free", 2),
        Choice("more", "more", 2, when=((0, (2,)),)),
    )
)
LINKED = Decisions((Choice("depth", "depth", 2), Anchor("1"), Anchor("2"), Anchor("3", when=((0, (1,)),))))


def everything(decisions) -> np.ndarray:
    raw = np.array(list(itertools.product(*(range(s) for s in decisions.sizes))))
    return np.unique(np.asarray(decisions.without_absent(raw)), axis=0)


def proposals(strategy, decisions, rounds, n, seed=0) -> list[tuple]:
    propose, update = functions(strategy)
    state, found = strategy.init(decisions, key_for(seed, "strategy")), []
    for r in range(rounds):
        tokens = propose(state, key_for(seed, "propose", r), n=n)
        state, _ = update(state, tokens, np.zeros(n, np.float32))
        found += map(tuple, tokens.tolist())
    return found


def test_the_default_is_one_draw_of_jax():
    key = key_for(3, "propose")
    drawn = jax.random.randint(key, (9, 5), 0, NESTED.sizes)
    found = Random().propose(Random().init(NESTED, key), key, 9)
    np.testing.assert_array_equal(found, NESTED.without_absent(drawn))


@pytest.mark.parametrize("decisions", [FLAT, NESTED, LINKED])
def test_architectures_are_counted(decisions):
    assert decisions.count == len(everything(decisions))


def test_architectures_of_a_large_space_are_counted():
    """More than an int64 holds."""
    wide = Decisions(tuple(Choice(f"{i}", "kind", 7) for i in range(100)))
    assert wide.count == 7**100


@pytest.mark.parametrize("n", [1, 4])
def test_the_whole_space_once_and_then_once_more(n):
    """Each architecture once in every lap, also where a round ends one and begins the next."""
    total = len(everything(NESTED))
    found = proposals(Random(repeats=False), NESTED, rounds=3 * total // n, n=n)
    for lap in range(len(found) // total):
        assert len(set(found[lap * total : (lap + 1) * total])) == total


def test_a_round_larger_than_the_space():
    total = len(everything(FLAT))
    found = proposals(Random(repeats=False), FLAT, rounds=1, n=3 * total)
    assert sorted(found) == sorted(3 * list(map(tuple, everything(FLAT).tolist())))


def test_where_the_space_is_larger_than_the_memory():
    """Rows are shared by a hash there: 150 of 4,096 architectures in 1,000 rows, none twice."""
    wide = Decisions(tuple(Choice(f"{i}", "kind", 4) for i in range(6)))
    found = proposals(Random(repeats=False, memory=1000), wide, rounds=15, n=10)
    assert len(set(found)) == 150
    again = proposals(Random(), wide, rounds=15, n=10)
    assert len(set(again)) < 150  # this test can fail


def test_the_memory_may_be_full():
    found = proposals(Random(repeats=False, memory=5), FLAT, rounds=12, n=1)
    assert len(set(found[:5])) == 5


def test_the_first_draw_without_repeats_is_distributed_as_with_them():
    """Raw tokens are uniform, so a shallow network is more likely than any of the deeper ones."""
    strategy, n = Random(repeats=False), 2_000
    keys = jax.random.split(jax.random.key(0), n)
    state, known = strategy.init(NESTED, keys[0]), everything(NESTED)
    drawn = np.asarray(jax.jit(jax.vmap(lambda k: strategy.propose(state, k, 1)[0]))(keys))
    counts = (drawn[:, None] == known).all(-1).sum(0)
    p = np.prod(np.where(known >= 0, 1 / NESTED.sizes, 1), axis=1)
    np.testing.assert_allclose(p.sum(), 1)
    assert np.abs((counts - n * p) / np.sqrt(n * p)).max() < 4.5


@pytest.mark.parametrize("decisions", [FLAT, NESTED, LINKED])
def test_each_architecture_has_a_row_of_its_own(decisions):
    most = int(np.prod(decisions.sizes))
    places = np.asarray(jax.jit(jax.vmap(lambda t: row(decisions, most, t)))(everything(decisions)))
    assert rows(decisions, most) == rows(decisions, 10**6) == most
    assert len(set(places.tolist())) == len(places)
    assert set(places.tolist()) <= set(range(most))


def test_hashed_rows_spread_evenly():
    """4,096 neighbouring architectures over 64 rows: chi squared with 63 degrees of freedom, standard deviation 11."""
    wide = Decisions(tuple(Choice(f"{i}", "kind", 4) for i in range(6)))
    places = np.asarray(jax.jit(jax.vmap(lambda t: row(wide, 64, t)))(everything(wide)))
    counts = np.bincount(places, minlength=64)
    assert len(counts) == rows(wide, 64) == 64
    assert 63 - 4 * 11 < ((counts - 64) ** 2 / 64).sum() < 63 + 4 * 11


@pytest.mark.parametrize("memory", [0, 2**31])
def test_impossible_settings_are_refused(memory):
    with pytest.raises(ValueError, match=f"memory={memory}"):
        Random(repeats=False, memory=memory)
