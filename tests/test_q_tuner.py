"""The tuner: steps of one decision, from the best settings so far, and its learning against numpy."""

import functools

import jax
import numpy as np
import optax
import pytest
from test_strategies import functions

from jaxnas.decisions import ABSENT, Choice, Decisions, Ordinal
from jaxnas.rng import key_for
from jaxnas.strategies import QTuner
from jaxnas.strategies.q_tuner import _features

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
    """The state before each round and at the end, with tokens and rewards of each."""
    propose, update = functions(strategy)
    states, rng, history = [strategy.init(decisions, key_for(0, "strategy"))], np.random.default_rng(0), []
    for r in range(rounds):
        tokens = np.asarray(propose(states[-1], key_for(0, "propose", r), n=n))
        rewards = np.float32(rng.random(n))
        states.append(update(states[-1], tokens, rewards)[0])
        history.append((tokens, rewards))
    return states, history


def settings_after(point, decisions):
    """By action, the setting after it; those that come into being are absent."""
    for t, c in enumerate(decisions.choices):
        if point[t] < 0:
            continue
        near = [s * 2**k for k in range(10) for s in (-1, 1)] if isinstance(c, Ordinal) else range(1, c.size)
        for step in near:
            token = point[t] + step if isinstance(c, Ordinal) else (point[t] + step) % c.size
            if 0 <= token < c.size:
                moved = np.where(np.arange(len(point)) == t, token, point)
                yield t, tuple(np.asarray(decisions.without_absent(moved[None].astype(np.int32)))[0].tolist())


@pytest.mark.parametrize("decisions", [SPACE, NUMBERS], ids=["choices", "numbers"])
def test_a_trial_is_one_change_of_where_a_walker_stands(decisions):
    """After the uniform ones; nothing is proposed twice while a walker has something else."""
    strategy, seen = QTuner(initial=4, walkers=3, epsilon=((0.5, 1),)), []
    states, history = tune(strategy, 8, 4, decisions)
    for r, (tokens, _) in enumerate(history):
        for i, child in enumerate(map(tuple, tokens.tolist())):
            point = np.asarray(states[r].points[(4 * r + i) % 3])
            reached = [after for _, after in settings_after(point, decisions)]
            alike = [
                after
                for after in reached
                if all(a == c for a, c in zip(after, child, strict=True) if a != ABSENT) and (r > 0)
            ]
            assert r == 0 or alike
            assert r == 0 or child not in seen or all(after in seen for after in reached if ABSENT not in after)
            seen.append(child)


def test_walkers_stand_at_the_best_settings():
    states, history = tune(QTuner(walkers=3, initial=4), 10, 4, NUMBERS)
    best = {}
    for state, (tokens, rewards) in zip(states[1:], history, strict=True):
        for child, reward in zip(map(tuple, tokens.tolist()), rewards.tolist(), strict=True):
            assert child not in best  # a space as large as this has new ones always
            best[child] = reward
        expected = sorted(((reward, child) for child, reward in best.items()), reverse=True)[:3]
        stand = zip(np.asarray(state.scores).tolist(), map(tuple, np.asarray(state.points).tolist()), strict=True)
        assert sorted(stand, reverse=True) == expected
    assert tuple(states[-1].best.tolist()) == expected[0][1]


@pytest.mark.parametrize(("replay", "discount"), [(0, 0.0), (5, 0.7)])
def test_the_update_by_hand(replay, discount):
    """Adam on the mean squared error of a linear Q: the maximum over listed actions, the gradient by JAX."""
    strategy = QTuner(replay=replay, discount=discount, initial=3, walkers=2, learning_rate=0.1, capacity=8)
    states, history = tune(strategy, 6, 2, SPACE)
    of = jax.jit(lambda tokens: _features(SPACE, tokens))
    known = functools.cache(lambda tokens: np.asarray(of(np.array(tokens, np.int32))))
    features = lambda tokens: known(tuple(np.asarray(tokens).tolist()))
    worth = lambda w, tokens: (features(tokens) * w).sum()
    slope = jax.jit(jax.grad(lambda w, moves, y: ((y - (moves * w).sum((1, 2))) ** 2).mean()))
    weights, kept, rewards, opt = np.zeros_like(states[0].weights), [], [], optax.adam(0.1)
    moments = opt.init(weights)
    for r, (tokens, scores) in enumerate(history):
        for i, child in enumerate(tokens):
            trial, state = 2 * r + i, states[r]
            came = trial >= 3
            start, before = (state.points[trial % 2], state.scores[trial % 2]) if came else (child, scores[i])
            kept, rewards = [*kept, (start, child, scores[i] - before)][-8:], [*rewards, scores[i]][-8:]
            chance = jax.random.uniform(jax.random.fold_in(states[0].key, trial), (2, max(replay, 1)))
            for c in np.asarray(chance):
                # the buffer is a ring: place p holds the latest trial with that remainder
                places = [max(t for t in range(trial + 1) if t % 8 == p) for p in range(min(trial + 1, 8))]
                drawn = [places[int(x * len(places))] for x in c] if replay else [trial]
                rows = [kept[t - max(0, trial - 7)] for t in drawn]
                gain = lambda at, w=weights: max(
                    [0.0, *(worth(w, after) - worth(w, at) for _, after in settings_after(at, SPACE))]
                )
                targets = [row[2] / (np.std(rewards) or 1) + discount * gain(row[1]) for row in rows]
                moves = np.stack([features(row[1]) - features(row[0]) for row in rows])
                change, moments = opt.update(slope(weights, moves, np.float32(targets)), moments)
                weights = np.asarray(optax.apply_updates(weights, change))
        np.testing.assert_allclose(states[r + 1].weights, weights, atol=2e-4)
    assert np.abs(weights).max() > 0.1


def test_greedy_actions_are_the_best_of_the_weights():
    strategy = QTuner(epsilon=((0.0, 1),), initial=1, walkers=1)
    propose, update = functions(strategy)
    weights = np.random.default_rng(0).random(strategy.init(SPACE, key_for(0, "s")).weights.shape).astype(np.float32)
    worth = lambda tokens: sum(weights[t, token] for t, token in enumerate(tokens) if token >= 0)
    for point in [(0, 0, 0, ABSENT), (0, 2, 0, ABSENT), (1, 1, 0, 3), (1, 0, 0, 1)]:
        state, _ = update(strategy.init(SPACE, key_for(0, "s")), np.array([point]), np.zeros(1, np.float32))
        [child] = propose(type(state)(**vars(state) | {"weights": weights}), key_for(0, "propose"), n=1).tolist()
        best = max((after for _, after in settings_after(np.array(point), SPACE)), key=worth)
        assert all(c == b for c, b in zip(child, best, strict=True) if b != ABSENT)


def test_all_decisions_are_changed_equally_often():
    """Epsilon 1: of three in turn, whatever their actions are; and of a decision's actions each as often."""
    strategy, n, point = QTuner(epsilon=((1.0, 1),), initial=1, walkers=1), 600, (0, 7, 20, ABSENT)
    propose, update = functions(strategy)
    state, _ = update(strategy.init(NUMBERS, key_for(0, "s")), np.array([point]), np.zeros(1, np.float32))
    one = jax.jit(jax.vmap(lambda key: strategy.propose(state, key, 1)[0]))
    drawn = np.asarray(one(jax.random.split(jax.random.key(0), n)))
    for t in range(3):
        assert abs((drawn[:, t] != point[t]).sum() - n / 3) < 4.5 * np.sqrt(n * 2 / 9)
    assert set((drawn[:, 2] - 20).tolist()) == {0, -16, -8, -4, -2, -1, 1, 2, 4, 8, 16}
    assert set((drawn[:, 1] - 7).tolist()) == {0, -4, -2, -1, 1, 2, 4}


def test_a_space_of_one_setting_is_no_trap():
    one, strategy = Decisions((Choice("a", "a", 1),)), QTuner(initial=1)
    (propose, update), state = functions(strategy), strategy.init(one, key_for(0, "s"))
    for r in range(3):
        tokens = propose(state, key_for(0, "propose", r), n=1)
        state, _ = update(state, tokens, np.float32([r]))
        assert tokens.tolist() == [[0]]
    assert not state.weights.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"discount": 1.1}, "discount=1.1"),
        ({"walkers": 0}, "walkers=0"),
        ({"initial": 0}, "initial=0"),
        ({"replay": -1}, "replay=-1"),
        ({"epsilon": ()}, "epsilon="),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        QTuner(**settings)


def test_a_buffer_that_would_be_held_against_too_many_actions_is_refused():
    wide = Decisions(tuple(Choice(f"{i}", f"{i}", 21) for i in range(100)))
    QTuner().init(wide, key_for(0, "s"))
    with pytest.raises(ValueError, match="capacity=5000: the table would hold 250,000,000 numbers: give less capacity"):
        QTuner(capacity=5000).init(wide, key_for(0, "s"))
