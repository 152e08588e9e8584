"""Local search: each neighbour once, uphill only, from the top to somewhere else."""

import numpy as np
import pytest
from test_strategies import functions

from jaxnas.decisions import ABSENT, Choice, Decisions, Ordinal
from jaxnas.rng import key_for
from jaxnas.strategies import LocalSearch

FLAT = Decisions((Choice("a", "a", 3), Choice("b", "b", 4), Choice("c", "c", 1), Choice("d", "d", 5)))
SLOPES = [np.random.default_rng(t).permutation(int(s)) for t, s in enumerate(FLAT.sizes)]
TOP = [int(s.argmax()) for s in SLOPES]
NEIGHBOURS = 2 + 3 + 4
FIRST, WHOLE = LocalSearch(), LocalSearch(whole=True)


def separable(tokens) -> np.ndarray:
    """A sum over decisions: one peak."""
    return np.float32([sum(s[v] for s, v in zip(SLOPES, row, strict=True)) for row in tokens.tolist()])


def climb(strategy, rounds, n, seed=0, decisions=FLAT, reward=separable):
    propose, update = functions(strategy)
    state, history = strategy.init(decisions, key_for(seed, "strategy")), []
    for r in range(rounds):
        tokens = np.asarray(propose(state, key_for(seed, "propose", r), n=n))
        state, _ = update(state, tokens, reward(tokens))
        history.append((state, tokens, reward(tokens)))
    return history


@pytest.mark.parametrize("seed", range(2))
def test_to_the_first_improvement(seed):
    """A plain climb beside it, one trial a round: every proposal is a neighbour that is new, until none is left."""
    point = score = None
    seen, restarts = set(), []
    for r, (state, [tokens], [reward]) in enumerate(climb(FIRST, 90, 1, seed)):
        tokens = tuple(tokens.tolist())
        if point is None:
            restarts.append(r)
        else:
            assert len(line(tokens, point)) == 1
            assert tokens not in seen
        seen.add(tokens)
        if point is None or reward > score:
            known = {s for s in seen if point is not None and line(s, point) <= line(tokens, point)}
            point, score, seen = tokens, reward, known | {tokens}
        if len(seen) == NEIGHBOURS + 1:
            assert list(point) == TOP
            point, seen = None, set()
        np.testing.assert_array_equal(state.restart, point is None)
    assert len(restarts) > 2


def line(a, b) -> set[int]:
    """The decisions in which two differ."""
    return {t for t, (x, y) in enumerate(zip(a, b, strict=True)) if x != y}


@pytest.mark.parametrize("seed", range(2))
def test_to_the_best_neighbour(seed):
    """It stands still until all are tried; then where it goes is the best of all neighbours."""
    point, moves, top = None, 0, True
    for state, _, _ in climb(WHOLE, 60, 1, seed):
        now = state.point.tolist()
        if not top and now != point:
            every = [point[:t] + [v] + point[t + 1 :] for t, s in enumerate(FLAT.sizes) for v in range(s)]
            assert separable(np.array([now])) == separable(np.array(every)).max()
            moves += 1
        point, top = now, bool(state.restart)
    assert moves > 2
    assert state.best.tolist() == TOP


def test_a_round_holds_different_neighbours():
    """Five at a time from one point: the best of a round counts."""
    strategy = FIRST
    (start, *_), (first, tokens, rewards) = climb(strategy, 2, 5)
    assert (np.sum(tokens != np.asarray(start.point), axis=1) == 1).all()
    assert len({tuple(t) for t in tokens.tolist()}) == 5
    if rewards.max() > start.reward:
        np.testing.assert_array_equal(first.point, tokens[rewards.argmax()])
    assert first.reward == max(rewards.max(), start.reward)


def test_a_round_larger_than_the_neighbourhood():
    """30 children: 9 neighbours, each once, and 21 random points."""
    (start, *_), (state, tokens, rewards) = climb(WHOLE, 2, 30)
    near = tokens[np.sum(tokens != np.asarray(start.point), axis=1) == 1]
    assert len({tuple(t) for t in near.tolist()}) == NEIGHBOURS
    assert len({tuple(t) for t in tokens.tolist()}) > NEIGHBOURS + 5
    assert state.reward == max(rewards.max(), start.reward)


def test_neighbours_where_decisions_depend_on_others():
    """From depth 0: the other side and, at depth 1, some inner one. Then its inner ones too."""
    deep = Decisions(
        (Choice("depth", "depth", 2), Choice("side", "side", 2), Choice("inner", "inner", 9, when=((0, (1,)),)))
    )
    reward = lambda tokens: np.float32(tokens[:, 0] + 0.1 * np.maximum(tokens[:, 2], 0) - 5.0 * tokens[:, 1])
    for seed in range(3):
        tops, point = set(), [ABSENT]
        for state, _, _ in climb(FIRST, 60, 1, seed, deep, reward):
            if state.restart:
                tops.add(tuple(state.point.tolist()))
            assert -1 not in state.point.tolist()[:2]
            assert (state.point[2] == ABSENT) == (state.point[0] == 0)
            point = state.point.tolist()
        assert tops == {(1, 0, 8)}, point


NUMBERS = Decisions((Choice("a", "a", 3), Ordinal("b", "b", 64), Ordinal("c", "c", 5)))


def around(point) -> set[tuple]:
    """All neighbours: another value of the choice, or 1, 4, 16 levels up or down."""
    steps = [sign * 4**i for i in range(3) for sign in (1, -1)]
    values = [range(3), *([level + s for s in steps] for level in point[1:])]
    found = {(*point[:t], v, *point[t + 1 :]) for t, several in enumerate(values) for v in several}
    return {p for p in found if all(0 <= v < size for v, size in zip(p, NUMBERS.sizes, strict=True))} - {tuple(point)}


@pytest.mark.parametrize("n", [1, 3])
def test_steps_of_ordinals(n):
    """A plain climb beside it: of all that is around a point each is tried once, but for what the last one has tried
    along the line through both; then it begins elsewhere."""
    peak = lambda tokens: np.float32(
        -np.abs(tokens[:, 0] - 1) - np.abs(tokens[:, 1] - 40) / 9 - np.abs(tokens[:, 2] - 3)
    )
    point = score = None
    tried, restarts, shared = set(), 0, 0
    for state, tokens, rewards in climb(FIRST, 150 // n, n, seed=2, decisions=NUMBERS, reward=peak):
        proposed = list(map(tuple, tokens.tolist()))
        if point is not None:
            assert set(proposed[: len(around(point) - tried)]) <= around(point) - tried
            assert len(set(proposed)) == n or len(around(point) - tried) < n
            tried |= set(proposed) & around(point)
        top = int(rewards.argmax())
        if point is None or rewards[top] > score:
            along = line(proposed[top], point) if point is not None else {0, 1, 2}
            known = around(proposed[top]) & (tried | {point}) if len(along) == 1 else set()
            tried = {p for p in known if line(p, proposed[top]) == along}
            point, score, shared = proposed[top], rewards[top], shared + len(tried)
        assert tuple(state.point.tolist()) == point
        done = around(point) <= tried
        np.testing.assert_array_equal(state.restart, done)
        if done:
            assert point == (1, 40, 3)
            point, tried, restarts = None, set(), restarts + 1
    assert restarts > 1
    assert shared > 3


def test_a_space_of_one_point_is_no_trap():
    one = Decisions((Choice("a", "a", 1),))
    for state, tokens, _ in climb(FIRST, 3, 2, decisions=one, reward=lambda t: np.float32(t[:, 0])):
        assert state.restart
        assert (tokens == 0).all()
