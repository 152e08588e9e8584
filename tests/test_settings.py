"""Settings: every number of every class is held against its range, and what users give is made plain."""

import dataclasses
import importlib
import json
import math
import pkgutil
import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from inspect import isabstract
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from objectives import smooth
from refusals import refused

import jaxnas
from jaxnas.compare import Comparison, Contender, Problem
from jaxnas.compiled_search import CompiledSearch
from jaxnas.evaluators import SGD, Adam, Evaluator, Objective, Optimiser, Population, Table, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.plain import wanted
from jaxnas.ranges import Range, Seed, Such
from jaxnas.rewards import REWARDS, Accuracy, Reward
from jaxnas.rng import key_for
from jaxnas.settings import describe, differing, settings
from jaxnas.setup import load
from jaxnas.shipped import SPACE as SHIPPED
from jaxnas.spaces import SPACES, ChainCNN, SkipCNN, Space
from jaxnas.strategies import STRATEGIES, Bayes, Evolution, QLearning, QTuner, Random, Reinforce, Strategy
from jaxnas.tasks import TASKS, Digits, Images, Tabular, Task
from jaxnas.tasks.classification import Augment
from jaxnas.values import Categorical, Float, Int

MEMBERS = {
    Space: SPACES.values(),
    Strategy: STRATEGIES.values(),
    Reward: REWARDS.values(),
    Task: TASKS.values(),
    Evaluator: (Objective, Population, Table),
    Optimiser: (SGD, Adam),
}
"""What the library has for each protocol among the annotations."""
NEEDED = {
    Images: {"source": "x"},
    Tabular: {"source": "wine"},
    Objective: {"fn": smooth},
    Float: {"low": -10.0, "high": 1.0},
    Int: {"low": -10, "high": 1},
    Categorical: {"values": ("a", "b")},
    Problem: {"table": Table(), "budget": 1.0},
    Contender: {"strategy": Random()},
    Experiment: {"space": ChainCNN(), "task": Digits()},
    Comparison: {"space": ChainCNN(), "problems": {"a": Problem(Table(), 1.0)}, "contenders": {}},
}
"""What has no default."""


def made() -> list[type]:
    """All classes of settings in the package."""
    modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages(jaxnas.__path__, "jaxnas.")
               if not m.name.endswith("__main__") and m.name != "jaxnas.shipped"]  # fmt: skip
    found = {
        c
        for m in modules
        for c in vars(m).values()
        if isinstance(c, type) and "__settled__" in vars(c) and not isabstract(c)
    }
    return sorted(found, key=lambda c: c.__name__)


def named(hint) -> set[type]:
    """The classes that an annotation names, for a protocol those of the library."""
    if get_args(hint):
        return set().union(*map(named, get_args(hint))) if get_origin(hint) is not Literal else set()
    return set(MEMBERS.get(hint, [hint])) if isinstance(hint, type) else set()


def reached(*classes: type) -> set[type]:
    """The dataclasses among the fields of these, and so on."""
    found, rest = set(), [*classes]
    while rest:
        cls = rest.pop()
        found.add(cls)
        hints = get_type_hints(cls, include_extras=True)
        of_fields = set().union(*(named(hints[f.name]) for f in dataclasses.fields(cls)))
        rest += [c for c in of_fields - found if dataclasses.is_dataclass(c)]
    return found


SETTINGS = made()
FIELDS = [
    (cls, f.name, get_type_hints(cls, include_extras=True)[f.name]) for cls in SETTINGS for f in dataclasses.fields(cls)
]
each_class = pytest.mark.parametrize("cls", SETTINGS, ids=lambda c: c.__name__)
CHECKED = [(cls, name, hint) for cls, name, hint in FIELDS if (cls, name) != (Categorical, "values")]
"""All but what may be almost anything: see `tests/test_values.py`."""
each_field = pytest.mark.parametrize(
    ("cls", "name", "hint"), CHECKED, ids=[f"{cls.__name__}.{name}" for cls, name, _ in CHECKED]
)


def test_all_that_an_experiment_or_a_comparison_holds_are_settings():
    assert reached(Experiment, Comparison) <= set(SETTINGS)
    assert len(SETTINGS) >= 35
    assert {c for some in MEMBERS.values() for c in some} | {Augment, Final, Train} <= set(SETTINGS)


NUMBERS = [math.nan, math.inf, -math.inf, "x", "3", True, np.True_, [], None, 1j, np.float32("nan"), 10**400, 1e30, {}]
"""What no number of settings may be."""
NEGATIVE = {
    "Float.low",
    "Float.high",
    "Int.low",
    "Int.high",
    "Accuracy.floor",
    "CubedAccuracy.floor",
    "Perplexity.floor",
    "QLearning.initial",
    "Stop.score",
}
"""The numbers that may be -5."""


def bad(hint, negative: bool) -> list:
    """Values that an annotation excludes."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        optional = any(isinstance(part, Such) and part.none for part in parts)
        return [v for v in bad(parts[0], negative) if not (optional and v is None)]
    if origin in (types.UnionType, Union):
        return [v for v in bad(parts[0], negative) if v is not None]
    if origin is tuple and Ellipsis in parts:
        return [(v,) for v in bad(parts[0], negative)] + ["x", None, 3, {1: 2}, np.int64(3), np.array(3)]
    if origin is tuple:
        good = [next(v for v in (1, 1.0) if type(v) is get_args(part)[0]) for part in parts]
        wrong = [(*good[:i], v, *good[i + 1 :]) for i, part in enumerate(parts) for v in bad(part, negative)]
        return [*wrong, good[:-1], [*good, 1]]
    if origin is Callable or hint is Any:
        return ["x", 3, [], object()]
    if hint in (int, float):
        return NUMBERS + ([] if negative else [-5]) + ([2.5, 2.0, np.float64(2)] if hint is int else [])
    if origin is Literal:
        return ["no such", 3, True, None]
    if origin is dict:
        return ["x", 3, None, [1], {"a": 3}]
    return {bool: ["x", 1, None, 0.0], str: [3, None, True, b"x"]}.get(hint, ["x", 3, None, hint, [], object()])


@each_field
def test_a_value_that_does_not_fit_is_refused_by_name(cls, name, hint):
    for value in bad(hint, f"{cls.__name__}.{name}" in NEGATIVE):
        with pytest.raises(ValueError, match=rf"\A{name}=[^\n]*: give [^\n]*\Z"):
            cls(**NEEDED.get(cls, {}) | {name: value})


def test_what_may_be_negative_may_be():
    for cls, name, _ in FIELDS:
        if f"{cls.__name__}.{name}" in NEGATIVE:
            assert getattr(cls(**NEEDED.get(cls, {}) | {name: -5}), name) == -5.0


def disguises(value) -> list:
    """The same value as numpy, pathlib or a list have it."""
    if isinstance(value, bool):
        return [np.bool_(value)]
    if isinstance(value, int):
        return [np.int64(value), np.int32(value), *([np.uint8(value)] if 0 <= value < 256 else [])]
    if isinstance(value, float):
        return [np.float64(value), *([int(value)] if value.is_integer() else [])]
    if isinstance(value, str) and value:
        return [np.str_(value)]
    if isinstance(value, tuple):
        inside = [(disguises(v) or [v])[0] for v in value]
        return [[*value], inside, tuple(inside), *([np.array(value)] if np.array(value).ndim == 1 else [])]
    return []


def same(a, b) -> bool:
    """Equal, and of equal types all the way down."""
    if type(a) is not type(b) or a != b:
        return False
    return all(map(same, a, b)) if isinstance(a, tuple) else True


@each_class
def test_what_numpy_and_lists_hold_is_made_plain(cls):
    plain = cls(**NEEDED.get(cls, {}))
    for f in dataclasses.fields(cls):
        for value in disguises(getattr(plain, f.name)):
            given = cls(**NEEDED.get(cls, {}) | {f.name: value})
            assert same(getattr(given, f.name), getattr(plain, f.name))
            assert given == plain
            assert json.dumps(describe(given)) == json.dumps(describe(plain))
    if cls is not Comparison:  # which has dictionaries
        assert hash(plain) == hash(cls(**NEEDED.get(cls, {})))


def test_the_cases_that_were_told():
    assert ChainCNN(filters=tuple(np.arange(4, 9, 4))) == ChainCNN(filters=(4, 8)) == ChainCNN(filters=range(4, 9, 4))
    assert Images(Path("a") / "x.npz") == Images("a/x.npz")
    assert QLearning(epsilon=[[np.float64(0.5), np.int8(3)]]).epsilon == ((0.5, 3),)
    assert QTuner(epsilon=np.array([[1, 3], [0, 4]])).epsilon == ((1.0, 3), (0.0, 4))
    assert type(SGD(learning_rate=1).learning_rate) is float
    assert SGD(learning_rate=np.float32(0.1)).learning_rate == float(np.float32(0.1))
    refused(lambda: ChainCNN(layers=2.5), "layers=2.5: give a whole number from 1 to 200")
    refused(lambda: ChainCNN(filters=(True, 8)), "filters=(True, 8): give a list, each a whole number")
    refused(lambda: Reinforce(learning_rate=1e30), "learning_rate=1e+30: give a number above 0, 1,000 at most")
    refused(lambda: QLearning(epsilon=((math.nan, 3),)), "epsilon=((nan, 3),)", "from 0 to 1; a whole number from 1")
    refused(lambda: QLearning(epsilon=((1.0, 10**9),) * 4), "epsilon=", "fewer than 2**31")
    refused(lambda: Evolution(weights=(1.0, 10**400)), "weights=(1.0, 1")
    refused(lambda: ChainCNN(layers=10**5000), "layers=10**4999")
    refused(lambda: ChainCNN(filters=range(1, 2000)), "filters=", "1,000 at most")
    refused(lambda: Experiment(ChainCNN(), "digits"), "task='digits': give a task, such as Digits(), or None")
    refused(lambda: Experiment(ChainCNN(), Digits), "task=Digits: give a task, such as Digits()")
    refused(lambda: Experiment(ChainCNN(), Digits(), Reinforce), "strategy=Reinforce", "such as Reinforce()")
    refused(lambda: Train(optimiser="sgd"), "optimiser='sgd': give an optimiser, such as SGD()")
    refused(lambda: Population(group_size=0), "group_size=0: give a whole number from 1 to", ", or None")
    refused(lambda: Experiment(ChainCNN(), Digits(), rounds=10**9), "rounds=1000000000", "16 children", "2**31")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("--strategy.learning-rate nan", "learning_rate=nan: give a number above 0"),
        ("--evaluator.train.optimiser.learning-rate inf", "learning_rate=inf: give"),
        ("--reward.floor nan", "floor=nan: give"),
        ("--space.filters 8 100000000", "filters=(8, 100000000): give"),
        ("--children 100000000", "children=100000000: give"),
        ("--seed -1", "seed=-1: give"),
    ],
)
def test_the_command_line_refuses_by_name(override, words, tmp_path):
    config = tmp_path / "config.py"
    members = "from jaxnas.spaces import ChainCNN\nfrom jaxnas.tasks import Digits\n"
    experiment = "experiment = Experiment(ChainCNN(layers=1), Digits())\n"
    config.write_text(f"from jaxnas.experiment import Experiment\n{members}{experiment}")
    refused(lambda: load(config, override.split()), words)


# Classes of users


@dataclass(frozen=True)
class Inner:
    steps: Any = 3
    table: Any = field(default_factory=lambda: {"a": np.int64(1)})


@dataclass(frozen=True)
class Mine:
    """A strategy as a config may define it; its annotations are its own business."""

    learning_rate: float = None
    widths: tuple[int, ...] = ()
    file: str = ""
    folder: Path = Path()
    notes: list = field(default_factory=list)
    inner: Inner = field(default_factory=Inner)
    call: Any = len

    def init(self, decisions, key): ...

    def propose(self, state, key, n): ...

    def update(self, state, tokens, rewards): ...


@dataclass(frozen=True)
class Wider(ChainCNN):
    """A space of ours with a setting more."""

    extra: float = None


def test_what_a_users_own_class_holds_is_made_plain_too():
    mine = Mine(np.float32(0.5), [np.int64(4), 8], Path("a/b"), Path("c"), [np.int32(2)], Inner(np.int64(5)))
    experiment = Experiment(Wider(layers=np.int64(2)), Digits(), mine)
    assert experiment.strategy is mine
    assert same(mine.learning_rate, 0.5)
    assert same(mine.widths, (4, 8))
    assert same(mine.file, "a/b")
    assert mine.folder == Path("c")
    assert mine.notes == [2]
    recorded = describe(experiment)
    assert json.loads(json.dumps(recorded)) == recorded
    assert recorded["strategy"]["inner"] == {"type": "Inner", "steps": 5, "table": {"a": 1}}
    assert recorded["strategy"]["folder"] == "c"
    assert recorded["strategy"]["call"] == repr(len)
    assert recorded["space"]["extra"] is None
    refused(lambda: Wider(layers=0), "layers=0: give a whole number")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_number_that_is_not_finite_is_refused_in_a_users_own_class(number):
    name = lambda **settings: f"strategy.{next(iter(settings))}"
    for given in ({"learning_rate": number}, {"notes": [1.0, number]}, {"call": {"a": {"b": number}}}):
        refused(lambda given=given: Experiment(ChainCNN(), Digits(), Mine(**given)), name(**given), "give a finite")
    inner = Mine(inner=Inner(number))
    refused(lambda: Experiment(ChainCNN(), Digits(), inner), f"strategy.inner.steps={float(number)}: give a finite")
    problems = {"a": Problem(Table(), 1.0)}
    comparison = lambda: Comparison(ChainCNN(), problems, {"mine": Contender(inner)})
    refused(comparison, "strategy.inner.steps=")
    refused(lambda: Experiment(Wider(extra=number), Digits()), "extra=")


def test_a_strategy_that_lacks_a_function_is_told_which():
    @dataclass(frozen=True)
    class Half:
        def init(self, decisions, key): ...

        def propose(self, state, key, n): ...

    refused(lambda: Experiment(ChainCNN(), Digits(), Half()), "strategy=", "(it has no update)")


def test_what_is_recorded_of_sets_and_arrays():
    assert describe({3: frozenset("cab"), "x": np.arange(3), "y": np.float32(0.5)}) == {
        "3": ["a", "b", "c"], "x": [0, 1, 2], "y": 0.5,
    }  # fmt: skip


def test_a_setting_that_is_off_is_no_difference_to_a_version_that_had_none():
    old, new = (
        {"type": "A", "pad": 1, "flip": False},
        {"type": "A", "pad": 1, "rotation": 0.0, "names": [], "size": None},
    )
    assert differing(old, new) == {}
    assert list(differing(old | {"pad": 0}, new | {"pad": None})) == ["pad"]
    assert list(differing(old, new | {"rotation": 20.0})) == ["rotation"]
    assert list(differing(old | {"flip": True}, new)) == ["flip"]


# New settings


@pytest.mark.parametrize("hint", [int, float | None, tuple[int, ...], tuple[tuple[float, Seed], ...], dict[str, float]])
def test_a_number_without_a_range_is_an_error_of_who_writes_the_class(hint):
    with pytest.raises(TypeError, match=r"New\.number: .* has a number without a Range"):

        @settings
        class New:
            number: hint


def test_ranges_hold_and_say_what_they_do():
    for ends, inside in (("[]", [0, 1]), ("[)", [0]), ("(]", [1]), ("()", [])):
        held = [n for n in (-1, 0, 0.5, 1, 2, math.nan, math.inf) if Range(0, 1, ends).holds(n)]
        assert held == sorted([*inside, 0.5])
    assert wanted(Seed) == "a whole number from 0 to 2,147,483,647"
    assert wanted(Annotated[float, Range(0, 1, "[)")] | None) == "a number from 0 to less than 1, or None"
    assert wanted(tuple[Literal["a", "b"], ...]) == "a list, each 'a' or 'b'"
    assert wanted(Annotated[Task, Such("Digits()", none=True)]) == "a task, such as Digits(), or None"


def test_replacing_a_value_checks_again():
    refused(lambda: replace(SkipCNN(), layers=0), "layers=0")
    refused(lambda: replace(Accuracy(), floor=math.nan), "floor=nan")


# Absurd sizes that only several settings together make


def test_tables_that_would_not_fit_are_refused_before_they_are_made():
    decisions, key = SkipCNN(layers=30).decisions, key_for(0, "settings")
    for strategy, words in (
        (QTuner(capacity=10**6), "capacity=1000000: the table would hold"),
        (QLearning(capacity=10**6), "capacity=1000000: the table would hold"),
        (QLearning(memory=100), "memory=100: the table would hold"),
    ):
        refused(lambda strategy=strategy: strategy.init(decisions, key), words)
    bayes = Bayes()
    refused(lambda: bayes.propose(bayes.init(decisions, key), key, 10_000), "children=10000: Bayes", "1,000 a round")
    known = Table("digits").read(SHIPPED)
    search = lambda: CompiledSearch(Random()).run(known, 1e12, range(500))
    refused(search, "budget=1e+12: 500 seeds with", "trials each")
