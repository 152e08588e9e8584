"""Evolution: who dies, who has children, and how a child differs."""

import math
from collections import deque

import jax
import numpy as np
import pytest
from test_strategies import functions

from jaxnas.decisions import ABSENT, Choice, Decisions, Ordinal
from jaxnas.rng import key_for
from jaxnas.strategies import Evolution

FLAT = Decisions((Choice("a", "a", 3), Choice("b", "b", 2), Choice("c", "c", 1), Choice("d", "d", 4)))
DEEP = Decisions((Choice("depth", "depth", 2), Choice("side", "side", 3), Choice("more", "more", 4, when=((0, (1,)),))))


def evolve(strategy, decisions=FLAT, rounds=12, n=3, seed=0):
    """(state, tokens, rewards) of each round; rewards are noise of few values, so that some are equal."""
    propose, update = functions(strategy)
    state, rng, history = strategy.init(decisions, key_for(seed, "strategy")), np.random.default_rng(seed), []
    for r in range(rounds):
        tokens = np.asarray(propose(state, key_for(seed, "propose", r), n=n))
        rewards = np.float32(rng.integers(0, 6, n) / 5)
        state, _ = update(state, tokens, rewards)
        history.append((state, tokens, rewards))
    return history


def children_of(strategy, members, decisions=FLAT, n=20_000):
    """Proposals where these and no others are alive; the first is the best."""
    (propose, update), members = functions(strategy), np.array(members, np.int32)
    rewards = np.float32(1 / np.arange(1, len(members) + 1))
    state, _ = update(strategy.init(decisions, key_for(0, "strategy")), members, rewards)
    return np.asarray(propose(state, key_for(0, "propose"), n=n))


def deviation(count, n, p):
    """In standard deviations of a binomial."""
    return abs(count - n * p) / math.sqrt(n * p * (1 - p))


def alive(state) -> list[tuple]:
    """(tokens, reward) of the population, the oldest first."""
    order = [i for i in np.argsort(state.born) if state.born[i] >= 0]
    return [(tuple(state.tokens[i].tolist()), float(state.rewards[i])) for i in order]


def test_the_oldest_die():
    """Against a deque, as in algorithm 1."""
    population = deque(maxlen=7)
    for state, tokens, rewards in evolve(Evolution(population=7, sample=2)):
        population.extend(zip(map(tuple, tokens.tolist()), rewards.tolist(), strict=True))
        assert alive(state) == list(population)


@pytest.mark.parametrize("elite", [2, 6])
def test_the_elite_do_not_die(elite):
    """Against a plain list; with all but one in the elite the worst dies."""
    population, born = [], 0
    for state, tokens, rewards in evolve(Evolution(population=7, sample=2, elite=elite), rounds=20):
        for one in zip(map(tuple, tokens.tolist()), rewards.tolist(), strict=True):
            if len(population) == 7:
                best = sorted(population, key=lambda p: (-p[1][1], -p[0]))[:elite]
                population.remove(min(p for p in population if p not in best))
            population.append((born, one))
            born += 1
        assert alive(state) == [one for _, one in population]
    if elite == 6:
        every = np.concatenate(
            [rewards for *_, rewards in evolve(Evolution(population=7, sample=2, elite=6), rounds=20)]
        )
        assert sorted(state.rewards.tolist())[1:] == np.sort(every)[-6:].tolist()  # the last to come may be bad


def test_proposals_are_uniform_until_the_population_is_full():
    drawn, n = children_of(Evolution(population=2), [[0, 0, 0, 0]]), 20_000
    for t, size in enumerate(FLAT.sizes):
        for value in range(size if size > 1 else 0):
            assert deviation((drawn[:, t] == value).sum(), n, 1 / size) < 4.5


def test_the_parent_is_the_best_of_a_tournament():
    """Of P members the best of S, drawn with replacement, is the k-th best with probability (k^S - (k-1)^S) / P^S."""
    strategy, n = Evolution(population=4, sample=3), 20_000
    members = np.array([[0, 0, 0, i] for i in range(4)])  # the mutated decision tells nothing of one in four
    state, _ = strategy.update(strategy.init(FLAT, key_for(0, "s")), members, np.float32([0.2, 0.8, 0.1, 0.4]))
    parents = np.asarray(jax.vmap(lambda c: strategy._winner(state, c))(jax.random.uniform(jax.random.key(0), (n, 3))))
    for rank, member in enumerate((2, 0, 3, 1), start=1):
        p = (rank**3 - (rank - 1) ** 3) / 4**3
        assert deviation((parents[:, 3] == member).sum(), n, p) < 4.5


@pytest.mark.parametrize("weights", [None, (0.5, 0.2, 0.2, 0.1), (0.0, 3.0, 0.0, 1.0)])
def test_one_decision_changes_as_often_as_it_should(weights):
    """The third has one value alone; the others' probabilities are those of the weights without it."""
    parent = np.array([1, 0, 0, 3])
    children = children_of(Evolution(population=1, sample=1, weights=weights), [parent])
    changed = children != parent
    assert (changed.sum(1) == 1).all()
    assert not changed[:, 2].any()
    p = np.array(weights or (1.0, 1.0, 1.0, 1.0)) * (FLAT.sizes > 1)
    for t in (0, 1, 3):
        expected = p[t] / p.sum()
        assert (
            changed[:, t].sum() == 0 if expected == 0 else deviation(changed[:, t].sum(), len(children), expected) < 4.5
        )
    for value in (0, 1, 2):  # of the last one, each other value as often
        count = changed[:, 3].sum()
        assert deviation((children[:, 3] == value).sum(), count, 1 / 3) < 4.5


def test_an_ordinal_takes_a_step():
    """From level 3 of 12 a step s up, of 8, or down, of 3, has the probability log(1 + 1/s) / log(1 + way) / 2."""
    numbers = Decisions((Choice("a", "a", 4), Ordinal("b", "b", 12)))
    children = children_of(Evolution(population=1, sample=1, weights=(1.0, 3.0)), [[2, 3]], numbers)
    stepped = children[children[:, 0] == 2][:, 1]
    assert deviation(len(stepped), len(children), 3 / 4) < 4.5
    assert 3 not in stepped
    for s, way in [(-s, 3) for s in (1, 2, 3)] + [(s, 8) for s in range(1, 9)]:
        p = math.log(1 + 1 / abs(s)) / math.log(1 + way) / 2
        assert deviation((stepped == 3 + s).sum(), len(stepped), p) < 4.5


def test_where_all_that_is_present_has_weight_0_one_of_it_changes():
    children = children_of(Evolution(population=1, weights=(0.0, 0.0, 5.0)), [[0, 1, ABSENT]], DEEP, 1000)
    parent = np.array([0, 1])
    assert ((children[:, :2] != parent).sum(1) == 1).all()
    assert {(children[:, t] != parent[t]).any() for t in (0, 1)} == {True}


def test_where_nothing_can_change_the_child_is_its_parent():
    fixed = Decisions((Choice("a", "a", 1), Choice("b", "b", 1)))
    assert (children_of(Evolution(population=1), [[0, 0]], fixed, 10) == 0).all()


def test_what_exists_in_the_child_alone_is_drawn():
    children = children_of(Evolution(population=1), [[0, 1, ABSENT]], DEEP)
    deeper = children[children[:, 0] == 1]
    assert deviation(len(deeper), len(children), 1 / 2) < 4.5
    assert (deeper[:, 1] == 1).all()
    assert (children[children[:, 0] == 0][:, 2] == ABSENT).all()
    for value in range(4):
        assert deviation((deeper[:, 2] == value).sum(), len(deeper), 1 / 4) < 4.5


def test_crossover_takes_each_token_from_one_of_two():
    """Parents all 0 and all 1. One token is mutated, to something else but for 1 in 999; the other five hold k ones
    with probability 1/4 [k = 0] + 1/4 [k = 5] + 1/2 C(5, k) / 32."""
    wide, n = Decisions(tuple(Choice(f"{i}", "kind", 1000) for i in range(6))), 20_000
    strategy = Evolution(population=2, sample=1, crossover=1.0)
    parents = np.stack([np.zeros(6, np.int32), np.ones(6, np.int32)])
    children = children_of(strategy, parents, wide, n)
    plain = children[(children > 1).sum(1) == 1]
    assert len(plain) > 0.99 * n
    for k in range(6):
        p = (k in (0, 5)) / 4 + math.comb(5, k) / 64
        assert deviation(((plain == 1).sum(1) == k).sum(), len(plain), p) < 4.5


def test_crossover_fills_what_one_parent_lacks_from_the_other():
    strategy = Evolution(population=2, sample=1, crossover=1.0, weights=(0.0, 1.0, 0.0))
    children = children_of(strategy, [[0, 1, ABSENT], [1, 1, 3]], DEEP, 1000)
    assert {tuple(c) for c in children[:, [0, 2]].tolist()} == {(0, ABSENT), (1, 3)}


def test_the_favourite_is_the_best_alive():
    *_, (state, _, _) = evolve(Evolution(population=5, sample=2))
    best = max(reward for _, reward in alive(state))
    assert (tuple(Evolution(population=5).most_likely(state).tolist()), best) in alive(state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population": 0}, "population=0"),
        ({"sample": 0}, "sample=0"),
        ({"elite": 100}, "elite=100"),
        ({"elite": -1}, "elite=-1"),
        ({"crossover": 1.5}, "crossover=1.5"),
        ({"weights": ()}, "weights="),
        ({"weights": (0.0, 0.0)}, "weights="),
        ({"weights": (1.0, -0.5)}, "weights="),
        ({"weights": (1.0, math.nan)}, "weights="),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Evolution(**settings)


def test_weights_of_another_space_are_refused():
    with pytest.raises(ValueError, match="this space has 4 columns"):
        Evolution(weights=(1.0, 2.0)).init(FLAT, key_for(0, "strategy"))
