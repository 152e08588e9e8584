"""The tuner: steps of one decision, and Q against a dictionary."""

import functools
from collections import defaultdict

import numpy as np
import pytest
from test_strategies import functions

from jaxnas.decisions import ABSENT, Choice, Decisions, Ordinal
from jaxnas.rng import key_for
from jaxnas.strategies import QTuner
from jaxnas.strategies.rows import row

SPACE = Decisions(
    (
        Choice("depth", "depth", 2),
        Choice("side", "side", 3),
        Choice("fixed", "fixed", 1),
        Choice("inner", "inner", 4, when=((0, (1,)),)),
    )
)


NUMBERS = Decisions(
    (
        Choice("depth", "depth", 2),
        Ordinal("few", "few", 15),
        Ordinal("rate", "rate", 40),
        Ordinal("inner", "inner", 16, when=((0, (1,)),)),
    )
)


def tune(strategy, rounds, n, decisions):
    propose, update = functions(strategy)
    state, rng, history = strategy.init(decisions, key_for(0, "strategy")), np.random.default_rng(0), []
    for r in range(rounds):
        tokens = np.asarray(propose(state, key_for(0, "propose", r), n=n))
        rewards = np.float32(rng.random(n))
        state, _ = update(state, tokens, rewards)
        history.append((list(map(tuple, tokens.tolist())), rewards.tolist()))
    return state, history


def actions(decisions) -> list[tuple[int, int]]:
    """(decision, step), in the order of the table; those of ordinals with 16 levels or more also by an eighth."""
    far = [(t, c.size // 8) for t, c in enumerate(decisions.choices) if isinstance(c, Ordinal) and c.size >= 16]
    near = [(t, 1) for t in range(len(decisions))]
    return [(t, sign * step) for t, step in near + far for sign in (-1, 1)]


def possible(point, decisions=SPACE):
    """Every action that leads somewhere."""
    for t, step in actions(decisions):
        if point[t] >= 0 and 0 <= point[t] + step < decisions.sizes[t]:
            yield t, step


@pytest.mark.parametrize(
    ("walkers", "n", "rows", "decisions"),
    [
        *((1, 1, 100, SPACE), (3, 3, 100, SPACE), (3, 2, 100, SPACE), (2, 3, 100, SPACE), (1, 1, 23, SPACE)),
        *((1, 1, 2000, NUMBERS), (3, 3, 2000, NUMBERS), (1, 1, 23, NUMBERS)),
    ],
)
def test_the_updates_are_those_of_a_dictionary(walkers, n, rows, decisions):
    """40 trials, with a row for each of 24 settings, or of 1,024 where ordinals count by eighths, or (23 rows) hashed
    ones, which the dictionary then shares too."""
    strategy = QTuner(learning_rate=0.3, discount=0.8, epsilon=((0.5, 1),), walkers=walkers, rows=rows)
    state, history = tune(strategy, 40 // n, n, decisions)
    assert state.values.shape == (min(rows, 24 if decisions is SPACE else 2 * 8**3), len(actions(decisions)))
    name = functools.cache(lambda point: int(row(decisions, rows, np.array(point), 8)))
    q, stands, trial = defaultdict(float), [None] * walkers, 0
    for tokens, rewards in history:
        start = list(stands)
        for child, reward in zip(tokens, rewards, strict=True):
            walker = trial % walkers
            if start[walker] is not None:
                point, score = start[walker]
                t = next(t for t, (a, b) in enumerate(zip(point, child, strict=True)) if a != b and a >= 0)
                assert (t, child[t] - point[t]) in set(possible(point, decisions))
                assert all(a == b or ABSENT in (a, b) for a, b in zip(point[t + 1 :], child[t + 1 :], strict=True))
                best = max(q[name(child), *action] for action in possible(child, decisions))
                key = (name(point), t, child[t] - point[t])
                q[key] += 0.3 * (reward - score + 0.8 * best - q[key])
            stands[walker] = (child, reward)
            trial += 1
    assert sum(value != 0 for value in q.values()) > 10
    for (place, *action), value in q.items():
        np.testing.assert_allclose(state.values[place, actions(decisions).index(tuple(action))], value, atol=1e-5)
    assert np.count_nonzero(state.values) == sum(value != 0 for value in q.values())
    seen = [pair for tokens, rewards in history for pair in zip(rewards, tokens, strict=True)]
    assert tuple(strategy.most_likely(state).tolist()) == max(seen)[1]


def test_greedy_steps_follow_the_table():
    """Each of 24 settings in turn: the best of its actions, of equal ones any."""
    strategy = QTuner(epsilon=((0.0, 1),), rows=100)
    propose, update = functions(strategy)
    values = np.random.default_rng(0).random((24, 8)).astype(np.float32)
    for point in [(0, 0, 0, ABSENT), (0, 2, 0, ABSENT), (1, 1, 0, 3), (1, 0, 0, 1)]:
        state = strategy.init(SPACE, key_for(0, "strategy"))
        state, _ = update(state, np.array([point]), np.zeros(1, np.float32))
        place = int(row(SPACE, 100, np.array(point)))
        [child] = propose(type(state)(**vars(state) | {"values": values}), key_for(0, "propose"), n=1).tolist()
        t, step = max(possible(point), key=lambda action: values[place, 2 * action[0] + (action[1] > 0)])
        assert child[t] == point[t] + step
        assert all(c == p or ABSENT in (c, p) for i, (c, p) in enumerate(zip(child, point, strict=True)) if i != t)


def test_all_possible_steps_are_tried_equally_often():
    """Epsilon 1: 4 actions from the middle."""
    strategy, n, point = QTuner(epsilon=((1.0, 1),)), 8000, (1, 1, 0, 3)
    propose, update = functions(strategy)
    state, _ = update(strategy.init(SPACE, key_for(0, "s")), np.array([point]), np.zeros(1, np.float32))
    drawn = np.asarray(propose(state, key_for(0, "propose"), n=n))
    actions = list(possible(point))
    assert len(actions) == 4
    for t, step in actions:
        count = (drawn[:, t] == point[t] + step).sum()
        assert abs(count - n / 4) < 4.5 * np.sqrt(n * 3 / 16)


def test_a_space_of_one_setting_is_no_trap():
    one, strategy = Decisions((Choice("a", "a", 1),)), QTuner()
    (propose, update), state = functions(strategy), strategy.init(one, key_for(0, "s"))
    for r in range(3):
        tokens = propose(state, key_for(0, "propose", r), n=1)
        state, _ = update(state, tokens, np.float32([r]))
        assert tokens.tolist() == [[0]]
    assert not state.values.any()


def test_ordinals_move_by_a_level_or_an_eighth():
    """From the middle of 40 levels, all steps as often."""
    strategy, n, point = QTuner(epsilon=((1.0, 1),)), 8000, (0, 0, 20, ABSENT)
    propose, update = functions(strategy)
    state, _ = update(strategy.init(NUMBERS, key_for(0, "s")), np.array([point]), np.zeros(1, np.float32))
    drawn = np.asarray(propose(state, key_for(0, "propose"), n=n))
    for step in (-5, -1, 1, 5):
        assert abs((drawn[:, 2] == 20 + step).sum() - n / 6) < 4.5 * np.sqrt(n * 5 / 36)
    assert set(drawn[:, 2].tolist()) == {15, 19, 20, 21, 25}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"discount": 1.1}, "discount=1.1"),
        ({"walkers": 0}, "walkers=0"),
        ({"rows": 0}, "rows=0"),
        ({"epsilon": ()}, "epsilon="),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        QTuner(**settings)
