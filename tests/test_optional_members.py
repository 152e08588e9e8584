"""What only some classes have is a protocol of its own, checked with `isinstance`; its default stands in one place."""

import ast
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from jaxnas.decisions import Choice, Decisions
from jaxnas.outcome import Measure
from jaxnas.spaces import SPACES, Grows, Growth, Parses, SkipCNN, present_columns
from jaxnas.strategies import STRATEGIES, has_branches, is_jittable
from jaxnas.tasks import Digits, Images, Text, augmentation_of, measure_of
from jaxnas.tasks.augment import Augment

HOUSE = Path(__file__).parent.parent / "jaxnas"
ALLOWED = {
    (
        "settings.py",
        "getattr(cls, '__post_init__', lambda self: None)",
    ): "a hook of dataclasses, which have no protocol",
    ("setup.py", "hasattr(os, 'sched_getaffinity')"): "Python has it on Linux alone",
    ("tasks/tfds.py", "getattr(label, 'names', None)"): "a feature of tensorflow-datasets, most kinds of which lack it",
}
"""The only questions for a member by its name, with why they may be asked."""


def asked(tree: ast.Module) -> list[str]:
    """Every ``hasattr``, and every ``getattr`` of a name that is written out."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    named = lambda call: len(call.args) > 1 and isinstance(call.args[1], ast.Constant)
    return [ast.unparse(c) for c in calls if c.func.id == "hasattr" or (c.func.id == "getattr" and named(c))]


def everything_asked() -> list[tuple[str, str]]:
    files = sorted(HOUSE.rglob("*.py"))
    return [(str(f.relative_to(HOUSE)), call) for f in files for call in asked(ast.parse(f.read_text()))]


def test_nothing_is_asked_for_by_its_name():
    assert [found for found in everything_asked() if found not in ALLOWED] == []


def test_nothing_is_allowed_in_vain():
    assert ALLOWED.keys() <= set(everything_asked())


def test_the_rule_itself_can_say_no():
    for call in ("hasattr(x, name)", "getattr(x, 'a')", "getattr(x.y, 'b', 3)"):
        assert asked(ast.parse(f"y = [1, {call}]")) == [call]
    assert asked(ast.parse("getattr(self, name); x.hasattr('a'); getattr(jax.config, names[0], None)")) == []


class Strategy:
    """Classes of the user's own, which inherit nothing and have none of what only some have."""

    def init(self, decisions, key): ...

    def propose(self, state, key, n): ...

    def update(self, state, tokens, rewards): ...


class Space:
    decisions = Decisions((Choice("a", "size", 3), Choice("b", "size", 3)))

    def decode(self, tokens): ...

    def encode(self, architecture): ...

    def children(self, input_shape, classes, dtype="float32"): ...


class Task:
    def search_data(self, seed): ...

    def final_data(self, seed): ...

    def inputs(self, examples, data, key=None): ...

    def losses(self, logits, labels): ...

    def scores(self, logits, labels): ...


class Growing(Space):
    def present(self, trials):
        return np.arange(2) <= trials


class Bits(Task):
    augment = Augment(flip=True)

    @property
    def measure(self):
        return Measure.BITS


def test_strategies_that_say_nothing_are_compiled_and_run_side_by_side():
    assert (is_jittable(Strategy()), has_branches(Strategy())) == (True, False)
    assert {name for name, kind in STRATEGIES.items() if not is_jittable(kind())} == {"Optuna"}
    assert {name for name, kind in STRATEGIES.items() if has_branches(kind())} == {"Bayes"}


@pytest.mark.parametrize("said", [True, False])
def test_a_strategy_may_say_it_in_its_class(said):
    class Says(Strategy):
        jittable: ClassVar[bool] = said
        branches = said

    assert (is_jittable(Says()), has_branches(Says())) == (said, said)


def test_a_space_that_does_not_grow_has_all_its_columns():
    np.testing.assert_array_equal(present_columns(Space(), 0), [True, True])
    np.testing.assert_array_equal(present_columns(Growing(), 0), [True, False])
    np.testing.assert_array_equal(present_columns(Growing(), 1), [True, True])
    space = SkipCNN(layers=3, growth=Growth(start=1, by=1, every=10))
    counts = [present_columns(space, trials).sum() for trials in (0, 10, 20)]
    assert counts == sorted(set(counts))
    assert counts[-1] == len(space.decisions)


def test_which_spaces_do_more():
    assert not isinstance(Space(), Grows | Parses)
    assert {name for name, kind in SPACES.items() if isinstance(kind(), Grows)} == {"SkipCNN"}
    assert {name for name, kind in SPACES.items() if isinstance(kind(), Parses)} == {"Cell201"}


def test_a_task_that_names_no_measure_has_shares_of_1_and_no_augmentation():
    assert (measure_of(Task()), augmentation_of(Task())) == (Measure.SCORE, Augment())
    assert (measure_of(Bits()), augmentation_of(Bits())) == (Measure.BITS, Augment(flip=True))
    assert (measure_of(Digits()), measure_of(Text())) == (Measure.SCORE, Measure.BITS)
    assert augmentation_of(Images("mnist", augment=Augment(pad=2))) == Augment(pad=2)
