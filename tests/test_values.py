"""Values by name: what they may be, when they exist, and the decisions that they become."""

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest

from jaxnas.decisions import Choice, Ordinal
from jaxnas.settings import describe, flatten
from jaxnas.spaces import ChainCNN, Choices, Tuned
from jaxnas.values import Categorical, Float, Int, Named

NESTED = Choices(
    momentum=Float(0.0, 0.9, levels=3, when=("optimiser", "sgd")),
    beta=Int(1, 3, when=(("optimiser", "adam"), ("warm", (True, None)))),
    optimiser=Categorical("sgd", "adam", "none"),
    warm=Categorical(True, False, None),
)


def by_hand():
    """All settings of NESTED, by loops."""
    for optimiser in ("sgd", "adam", "none"):
        for warm in (True, False, None):
            common = {"optimiser": optimiser, "warm": warm}
            if optimiser == "sgd":
                yield from (common | {"momentum": m} for m in (0.0, 0.45, 0.9))
            elif optimiser == "adam" and warm is not False:
                yield from (common | {"beta": b} for b in (1, 2, 3))
            else:
                yield common


def test_a_space_of_values_holds_what_loops_would_give():
    decoded = [NESTED.decode(tokens) for tokens in NESTED.decisions.every(1000)]
    as_sets = lambda rows: {frozenset((name, type(v), v) for name, v in row.items()) for row in rows}
    assert as_sets(decoded) == as_sets(by_hand())
    assert len(decoded) == NESTED.decisions.count == len(list(by_hand()))


def test_tokens_and_values_are_each_other():
    for tokens in NESTED.decisions.every(1000):
        np.testing.assert_array_equal(NESTED.encode(NESTED.decode(tokens)), tokens)


def test_what_a_value_depends_on_comes_first_and_numbers_are_levels_in_order():
    made = NESTED.decisions.made
    assert [d.name for d in made] == ["optimiser", "momentum", "warm", "beta"]
    assert [type(d) for d in made] == [Choice, Ordinal, Choice, Ordinal]


EVEN = [Float(1e-5, 1e2, log=True), Float(-3, 8.5, levels=17), Float(0, 1, levels=2), Float(1e6, 1e6 + 1)]


@pytest.mark.parametrize("value", EVEN)
def test_a_float_covers_its_range_evenly_on_its_scale(value):
    found = np.array([value.value(token) for token in range(value.size)])
    assert (found[0], found[-1]) == (value.low, value.high)
    steps = np.diff(np.log(found) if value.log else found)
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-3)
    assert [value.token(v) for v in found] == list(range(value.size))


def test_whole_numbers():
    assert Int(2, 9, step=3).levels == (2, 5, 8)
    assert Int(1, 4, log=True).levels == (1, 2, 3, 4)
    assert Int(-2, 1).levels == (-2, -1, 0, 1)
    wide, log = Int(0, 10**9), Int(16, 256, log=True, step=16)
    assert (wide.size, wide.levels[0], wide.levels[-1]) == (1024, 0, 10**9)
    assert {16, 256} <= set(log.levels) <= set(range(16, 257, 16))
    ratios = np.array(Int(1, 10**6, log=True).levels[30:], float)
    np.testing.assert_allclose(np.diff(np.log(ratios)), np.diff(np.log(ratios)).mean(), rtol=0.02)


def test_a_choice_keeps_types_apart():
    mixed = Categorical(1, True, 1.0, "1", None)
    assert [mixed.token(mixed.value(token)) for token in range(5)] == list(range(5))
    assert [type(mixed.value(token)) for token in range(5)] == [int, bool, float, str, type(None)]


def test_spaces_of_the_same_names_are_settings_like_any_other():
    again = Choices(**{name: getattr(NESTED, name) for name in ("momentum", "beta", "optimiser", "warm")})
    assert again == NESTED
    assert hash(again) == hash(NESTED)
    assert pickle.loads(pickle.dumps(NESTED)) == NESTED
    assert replace(NESTED, beta=Int(1, 2)) != NESTED
    assert flatten(describe(NESTED))["momentum.low"] == 0.0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Float(2, 1), "low=2, high=1: low has to be less than high"),
        (lambda: Float(0, 1, log=True), "low=0, log=True: a logarithm needs numbers above 0"),
        (lambda: Float(float("nan"), 1), "low=nan"),
        (lambda: Float("a", 1), "low='a': give a number"),
        (lambda: Int(1, 1), "low has to be less than high"),
        (lambda: Int(0, 8, log=True), "a logarithm needs numbers above 0"),
        (lambda: Int(1.5, 8), "low=1.5: give a whole number"),
        (lambda: Int(1, 3, step=7), "no step fits"),
        (lambda: Categorical(), "give one or more values, each once"),
        (lambda: Categorical("a", "a"), "give one or more values, each once"),
        (lambda: Categorical("a", 1, static=False), "static=False is for numbers alone"),
        (lambda: Categorical([1], [2]), "values="),
        (lambda: Choices(), "give one value or more"),
        (lambda: Choices(**{"a b": Int(1, 2)}), "'a b': the name of a value has to be one in Python"),
        (lambda: Choices(a=3), "a=3: give Float(low, high), Int(low, high) or Categorical(...)"),
        (lambda: Choices(children=Int(1, 2)), "children="),
        (lambda: Choices(a=Int(1, 2, when=("b", 1))), "there is no 'b' among a"),
        (lambda: Choices(a=Int(1, 2, when=("a", 1))), "circle: a -> a"),
        (lambda: Choices(a=Int(1, 2, when=("b", 1)), b=Int(1, 2, when=("a", 1))), "circle: a -> b -> a"),
        (lambda: Choices(a=Int(1, 2), b=Int(1, 2, when=("a", 7))), "a=7: give one of 1, 2"),
        (lambda: Choices(a=Categorical("x"), b=Int(1, 2, when=("a", "y"))), "a='y': give one of 'x'"),
        (lambda: Choices(a=Int(1, 2), b=Int(1, 2, when=("a",))), 'give ("optimiser", "sgd")'),
        (lambda: NESTED.encode({"optimiser": "none"}), "'warm' is missing"),
        (lambda: NESTED.encode({"optimiser": "none", "warm": None, "beta": 1}), "'beta' is given, but"),
        (lambda: NESTED.encode({"optimiser": "none", "warm": None, "bate": 1}), "'bate' is no value of this space"),
        (lambda: NESTED.children((8, 8, 1), 10), "nothing to train"),
        (lambda: Tuned(ChainCNN(), rate=Float(0, 1)), "rate: no setting of a training"),
        (lambda: Tuned(ChainCNN()), "give one setting or more"),
        (lambda: Tuned(ChainCNN(), momentum=Float(0, 1)), "momentum: 1.0: give numbers from 0 to less than 1"),
        (lambda: Tuned(ChainCNN(), batch_size=Float(1, 2)), "batch_size: 1.0: give whole numbers"),
        (lambda: Tuned(ChainCNN(), optimiser=Categorical("rms")), "give some of 'sgd', 'adam'"),
        (lambda: Tuned(3, momentum=Float(0, 0.5)), "space=3"),
    ],
)
def test_bad_values_are_named_with_the_remedy(make, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        make()
    assert "\n" not in str(error.value)


def test_names_are_decided_in_one_order_however_they_are_given():
    given = {"a": Int(1, 2, when=("c", 1)), "b": Int(1, 2), "c": Int(1, 2, when=("b", 2))}
    assert list(Named(given).values) == ["b", "c", "a"]


def test_two_conditions_on_one_value_hold_together():
    space = Choices(a=Int(1, 4), b=Int(1, 2, when=(("a", (2, 3)), ("a", (3, 4)))))
    assert space.decisions.made[1].when == ((0, (2,)),)
    assert space.decisions.count == len(space.decisions.every(100)) == 5


def test_many_gated_values_are_counted_at_once():
    gates = {f"gate_{i}": Categorical(False, True) for i in range(60)}
    space = Choices(**gates, **{f"value_{i}": Int(1, 3, when=(f"gate_{i}", True)) for i in range(60)})
    assert space.decisions.count == 4**60


def test_equal_numbers_of_other_types_are_other_values():
    ones, flags = Choices(x=Categorical(0, 1)), Choices(x=Categorical(False, True))
    assert [type(space.decode(np.array([1]))["x"]) for space in (ones, flags)] == [int, bool]
