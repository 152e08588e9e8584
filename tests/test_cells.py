"""One reading of cells: what columns were learnt from, and what `predict` is given of the same rows, is read alike."""

import tracemalloc
from datetime import datetime
from decimal import Decimal

import numpy as np
import pytest
from refusals import refused
from test_tabular import ROWS, write

from jaxnas.export import bundle
from jaxnas.export.rows import PairInputs, PassageInputs, TableInputs, Target
from jaxnas.fingerprint import of_data
from jaxnas.tasks import Ratings, Tabular, TextClassification
from jaxnas.tasks.cells import MISSING, UNTOLD, number_of, places, text_of
from jaxnas.tasks.columns import as_json, features, of_json

DRAW = np.random.default_rng(3)


class Frame:
    """In place of pandas' DataFrame."""

    def __init__(self, **columns):
        self.columns, self._cells = list(columns), list(columns.values())

    def to_numpy(self) -> np.ndarray:
        return np.array(self._cells, object).T


class NA:
    """In place of pandas' NA, which is neither equal nor unequal to anything."""

    def __repr__(self):
        return "<NA>"

    def __eq__(self, other):
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = object.__hash__


NOTHING = (None, np.nan, np.float32("nan"), np.datetime64("NaT"), NA(), "", " ", "nan")


# A cell


def test_what_is_the_same_is_read_the_same():
    one = (1, 1.0, True, np.int8(1), np.float32(1), np.True_, "1", " 1 ", "1.0", b"1", Decimal("1.0"))
    assert {text_of(cell) for cell in one} == {"1"}
    assert {number_of(cell) for cell in one} == {1.0}
    assert {text_of(cell, UNTOLD) for cell in NOTHING} == {None}
    assert {text_of(word.upper()) for word in MISSING} == {None}
    assert all(np.isnan(number_of(cell)) for cell in (*NOTHING, *MISSING))
    assert [text_of(cell) for cell in ("01", "1.50", 1.5, b"a", np.bytes_(b"a"), -3.0, "v2.0", "None of it")] == [
        "01", "1.50", "1.5", "a", "a", "-3", "v2.0", "None of it",
    ]  # fmt: skip
    assert [text_of("none", UNTOLD), text_of("-", UNTOLD)] == ["none", "-"]
    assert [number_of(cell) for cell in ("1_000", "3,5", "0x1", "one", "1e3", ".5", "-inf", 10**400)] == [
        None, None, None, None, 1000.0, 0.5, -np.inf, np.inf,
    ]  # fmt: skip
    assert [places(("FALSE", "TRUE"))[text_of(cell)] for cell in (True, False, "TRUE", 0)] == [1, 0, 1, 0]
    assert places(("0", "true")) == {"0": 0, "1": 1, "true": 1}


# What predict takes


def learnt(tmp_path) -> tuple[TableInputs, Tabular]:
    """Columns of every kind: numbers, texts, codes, truths, times; and the task."""
    rows = [
        f"{i / 4},{('Rome', 'Oslo', ' Bern')[i % 3]},{i % 3},{str(i % 2 == 0).upper()},{1_700_000_000_000 + 1000 * i},"
        f"{i % 2}"
        for i in range(60)
    ]
    task = Tabular(write(tmp_path, rows, "size,town,code,open,time,kind"), categorical=("code",))
    return TableInputs(task.final_data(0).columns, None), task


def test_rows_are_taken_as_they_were_read(tmp_path):
    """Every form of a row gives the numbers that training saw of the line."""
    inputs, task = learnt(tmp_path)
    data, (_, test) = task.final_data(0), task._parts()
    for example, line in zip(data.held_out.examples, test.lines, strict=True):
        i = line - 2
        town, truth, time = ("Rome", "Oslo", "Bern")[i % 3], i % 2 == 0, 1_700_000_000_000 + 1000 * i
        written = [str(i / 4), f" {town} ", str(i % 3), str(truth).upper(), str(time)]
        typed = [np.float64(i / 4), town, float(i % 3), truth, float(time)]
        named = dict(zip(("size", "town", "code", "open", "time"), typed, strict=True))
        shuffled = {"kind": i % 2, "more": None, **dict(reversed(named.items()))}
        frame = Frame(**{name: [cell] for name, cell in shuffled.items()})
        array = np.array(typed, object)
        for x in (
            [written],
            [typed],
            (typed,),
            [named],
            named,
            [shuffled],
            frame,
            [array],
            array[None],
            [tuple(typed)],
        ):
            np.testing.assert_array_equal(inputs.checked(x), example[None])


def test_what_is_missing_in_training_is_missing_in_predictions(tmp_path):
    inputs, _ = learnt(tmp_path)
    for nothing in (*NOTHING, "NA", "?", "null", "-"):
        assert np.isnan(inputs.checked([[nothing] * 5])).all()
    assert np.isnan(inputs.checked([[0, "Paris", 7, "maybe", 0]])[0, 1:4]).all()
    assert inputs.checked([]).shape == inputs.checked(np.zeros((0, 5))).shape == (0, 5)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (Frame(size=[1], town=["Rome"], open=[True], time=[3]), ("x has no 'code'", "columns size, town, code")),
        ({"zip": 3}, ("x has no 'size'",)),
        ([dict.fromkeys(("size", "town", "code", "open", "time")), {"size": 1}], ("x has no 'town'",)),
        (None, ("x with None", "takes the columns size")),
        (3.0, ("x with 3.0",)),
        ("Rome1", ("x with 'Rome1'",)),
        (["Rome1"], ("x with 'Rome1'",)),
        ([[1, "Rome", 1, True]], ("x with the row [1, 'Rome', 1, True]",)),
        ([["inf", "Rome", 1, True, 3]], ("'inf' in the column 'size'", "finite")),
        ([[1e39, "Rome", 1, True, 3]], ("1e+39 in the column 'size'", "finite")),
        ([["1_000", "Rome", 1, True, 3]], ("'1_000' in the column 'size'", "one of numbers")),
        ([["3,5", "Rome", 1, True, 3]], ("'3,5' in the column 'size'", "one of numbers")),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_refused(tmp_path, x, words):
    refused(lambda: learnt(tmp_path)[0].checked(x), *words)


def test_two_columns_of_one_name_are_refused(tmp_path):
    frame = Frame(size=[1], town=["Rome"])
    frame.columns = ["size", "size"]
    refused(lambda: learnt(tmp_path)[0].checked(frame), "two columns are called 'size'")
    refused(lambda: Tabular(arrays=(frame, [0])), "two columns are called 'size'")


def test_users_and_items_are_known_however_they_are_stored():
    inputs = PairInputs(("1", "u2"), ("7", "8"), Target(0.0, 1.0))
    for pairs in ([[1.0, 7.0]], [["1", " 7"]], np.array([[1, 7]]), [(np.int64(1), "7.0")], np.array([["1", "7"]])):
        assert inputs.checked(pairs).tolist() == [[1, 1]]
    assert inputs.checked([["u2", 9], [None, 8]]).tolist() == [[2, 0], [0, 2]]
    refused(lambda: inputs.checked(None), "pairs [M, 2]")


def test_texts_are_a_list():
    inputs = PassageInputs(("<fill>", "<unk>", "a"), "words", 2)
    assert inputs.checked(["a b"]).tolist() == inputs.checked(np.array(["a b"])).tolist() == [[2, 1]]
    for x in (None, 5, {"a": "b"}, [["a"]], [b"a"], ["a", None]):
        refused(lambda x=x: inputs.checked(x), "takes a list of texts")


# Numbers that float32 cannot tell apart


def test_time_stamps_keep_their_differences(tmp_path):
    """60 of them within a minute, in milliseconds since 1970; float32 has one number for all."""
    inputs, task = learnt(tmp_path)
    data = task.final_data(0)
    time = data.columns[-1]
    assert len(np.unique(data.train.examples[:, -1])) == len(data.train)
    found = np.asarray(features(data.columns, data.train.examples))[:, -1]
    lines = np.float64(task._parts()[0].lines)
    np.testing.assert_allclose(found, (lines - lines.mean()) / lines.std(), atol=1e-5)
    assert time.offset > 1e12
    assert {column.offset for column in data.columns[:-1]} == {0.0}
    assert of_json(as_json(data.columns)) == data.columns
    assert {column.offset for name in ("wine", "diabetes") for column in
            Tabular(name, regression=name == "diabetes").final_data(0).columns} == {0.0}  # fmt: skip


def test_a_target_that_float32_cannot_tell_is_refused(tmp_path):
    x, y = DRAW.normal(size=(60, 2)), 1_700_000_000_000 + 1000.0 * np.arange(60)
    refused(
        lambda: Tabular(arrays=(x, y), regression=True).search_data(0), "the target 'target'", "subtract 1700000029500"
    )
    assert len(np.unique(Tabular(arrays=(x, y - y[0]), regression=True).search_data(0).train.labels)) > 30
    near = {"x_test": x[:2], "y_test": [1e5, 1e5 + 1e-3]}  # test rows may be alike
    with_test = tmp_path / "near.npz"
    np.savez(with_test, x_train=x, y_train=1e5 + 100 * x[:, 0], **near)
    assert len(Tabular(str(with_test), regression=True).final_data(0).held_out) == 2


def test_dates_are_the_same_categories_in_every_table():
    days = np.array(["2020-01-01", "2020-01-02", "NaT"], "M8[ns]")
    array = np.stack([days[np.arange(40) % 3], days[np.arange(40) % 2]], 1)
    inputs = TableInputs(Tabular(arrays=(array, np.arange(40) % 2)).search_data(0).columns, None)
    wanted = [[0, 1], [1, 0]]
    assert inputs.checked(days[[[0, 1], [1, 0]]]).tolist() == wanted
    assert inputs.checked([[datetime(2020, 1, 1), datetime(2020, 1, 2)]]).tolist() == wanted[:1]
    assert np.isnan(inputs.checked(days[[[2, 2]]])).all()


# What arrays tell


def test_y_is_told_of_arrays(tmp_path):
    x, y = DRAW.normal(size=(40, 2)), np.arange(40) % 2
    named = Frame(size=x[:, 0], target=1 - y)
    refused(lambda: Tabular(arrays=(named, y)).search_data(0), "x has a column 'target'", "rename it")
    for target in ("x0", "nonsense"):
        refused(lambda t=target: Tabular(arrays=(x, y), target=t).search_data(0), f"target={target!r}", "y is told")
    refused(lambda: Tabular("wine", target="alcohol").search_data(0), "target='alcohol'", "of wine y is told")
    data = Tabular(arrays=(Frame(size=x[:, 0], width=x[:, 1]), y), target="target").search_data(0)
    assert [column.name for column in data.columns] == ["size", "width"]
    assert of_data(data)["training data"] == of_data(Tabular(arrays=(x, y)).search_data(0))["training data"]


@pytest.mark.parametrize("nothing", [None, np.nan, NA(), np.datetime64("NaT"), "", float("nan")])
def test_a_missing_label_is_no_class(nothing):
    x = DRAW.normal(size=(10, 2))
    labels = np.array([*["a", "b"] * 4, "a", None], object)
    labels[9] = nothing
    refused(lambda: Tabular(arrays=(x, labels)).search_data(0), "row 9: the target 'target' is missing (1 of 10 are)")


def test_labels_of_bytes_and_of_lists():
    x = DRAW.normal(size=(40, 2)).tolist()
    for labels in (np.array([b"a", b"b"] * 20), ["a", "b"] * 20, [b"a", b"b"] * 20):
        assert Tabular(arrays=(x, labels)).search_data(0).class_names == ("a", "b")
    refused(lambda: Tabular(arrays=([["a", 1], ["b"]], [0, 1])), "give a pair (x, y)")
    mixed = [["a", True, None, datetime(2020, 1, 1 + i % 2)] for i in range(40)]
    columns = Tabular(arrays=(mixed, ["a", "b"] * 20), drop=("x2",)).search_data(0).columns
    assert [(c.name, len(c.values), c.std) for c in columns] == [("x0", 1, 1.0), ("x1", 0, 1.0), ("x3", 2, 1.0)]


# What columns tell


def test_the_last_column_that_is_kept_is_told(tmp_path):
    file = write(tmp_path, [f"{row},{i}" for i, row in enumerate(ROWS)], "age,city,income,buys,number")
    data = Tabular(file, drop=("number",)).search_data(0)
    assert (data.target, data.class_names) == ("buys", ("no", "yes"))
    refused(lambda: Tabular(file, target="age", drop=("age",)).search_data(0), "target='age' is among drop=('age',)")
    everything = ("age", "city", "income", "buys")
    refused(lambda: Tabular(file, drop=everything).search_data(0), "1 are kept: at least two are needed")


def test_decimal_commas_are_no_categories(tmp_path):
    rows = [f'"{i},5",{"yes" if i % 2 else "no"}' for i in range(20)]
    rows[3] = '"3",no'
    file = write(tmp_path, rows, "size,buys")
    refused(lambda: Tabular(file).search_data(0), "line 2, column 'size': '0,5' has a comma", "--task.categorical size")
    assert len(Tabular(file, categorical=("size",)).search_data(0).columns[0].values) == 16


def test_a_column_without_a_name_is_refused(tmp_path):
    file = write(tmp_path, [f"{i},{row}" for i, row in enumerate(ROWS)], ",age,city,income,buys")
    refused(lambda: Tabular(file).search_data(0), "column 1 has no name", "df.to_csv(path, index=False)")


def test_what_is_said_of_a_target_is_true(tmp_path):
    rows = ["NA,1", *(f"{i},{'low' if i % 2 else 'NA'}" for i in range(10)), "3,NA"]
    refused(lambda: Tabular(write(tmp_path, rows, "a,b"), regression=True).search_data(0), "a text such as 'low'")
    x = DRAW.normal(size=(20, 2))
    refused(lambda: Tabular(arrays=(x, np.full(20, 0.5))).search_data(0), "is '0.5' in all 20 rows")
    few = np.array([*["many"] * 19, "one"])
    refused(lambda: Tabular(arrays=(x, few)).search_data(0), "class 'one' has 1 of the 20 examples")


def test_texts_have_the_last_column_for_a_label(tmp_path):
    rows = [f"{i},a text,{i % 2}" for i in range(20)]
    for heading in ("number,review,stars", "number,review,Sentiment"):
        assert TextClassification(write(tmp_path, rows, heading)).final_data(0).class_names == ("0", "1")
    rows = [f"{i % 2},a text" for i in range(20)]
    assert TextClassification(write(tmp_path, rows, "stars,text")).final_data(0).class_names == ("0", "1")


# Test rows


def test_a_search_reads_no_test_rows_of_a_file(tmp_path):
    """Law 8: whatever they hold."""
    x, y = DRAW.normal(size=(40, 2)), np.arange(40) % 2.0
    found = []
    for name, bad in (("good", y), ("bad", np.where(y == 1, np.nan, y)), ("odd", y[:, None, None])):
        file = tmp_path / f"{name}.npz"
        np.savez(file, x_train=x, y_train=y, x_test=x, y_test=bad)
        found.append(of_data(Tabular(str(file)).search_data(0)))
    assert found[0] == found[1] == found[2]
    refused(lambda: Tabular(str(tmp_path / "bad.npz")).final_data(0), "(x_test), row 1: the target 'target' is missing")
    refused(lambda: Tabular(str(tmp_path / "good.npz"), test=0.2).search_data(0), "test=0.2", "leave test at None")


@pytest.mark.parametrize(
    "names", ["x y x_test y_test", "x y x_train y_train", "x_test y_test", "x", "x_train y_train y_test", "x_train y z"]
)
def test_a_mixture_of_arrays_is_refused(tmp_path, names):
    np.savez(tmp_path / "a.npz", **dict.fromkeys(names.split(), np.arange(40) % 2.0))
    refused(lambda: Tabular(str(tmp_path / "a.npz")).search_data(0), "a.npz: found arrays", "no mixture")


def test_the_share_of_the_test_is_a_fifth_where_none_is_given():
    assert of_data(Tabular("wine").final_data(0)) == of_data(Tabular("wine", test=0.2).final_data(0))
    assert len(Tabular("wine", test=0.5).final_data(0).held_out) == 89


# Memory, and a file that is parsed once


def test_long_texts_take_their_own_memory(tmp_path):
    """One text of 100,000 characters and 2,000 short ones: an array of the longest's width would take 800 MB."""
    rows = [f"{'long ' * 20_000 if i == 7 else 'short'},{i % 2}" for i in range(2000)]
    task = TextClassification(write(tmp_path, rows, "text,label"), length=3)
    tracemalloc.start()
    try:
        task.final_data(0)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("task", [Ratings, TextClassification, Tabular])
def test_a_file_is_parsed_once(tmp_path, monkeypatch, task):
    from jaxnas.tasks import sheet

    rows = [f"u{i % 5},i{i % 7},{i % 2},{i % 2}" for i in range(40)]
    file, parsed, read = write(tmp_path, rows, "user,item,rating,label"), [], sheet._lines
    monkeypatch.setattr(sheet, "_lines", lambda *given: parsed.append(given) or read(*given))
    task(file, **({"text": "user"} if task is TextClassification else {})).search_data(0)
    assert len(parsed) == 1


# How far an export may be off


def test_numbers_are_held_against_their_range():
    """Of a target with mean 1e5 and deviation 1 an error of half a deviation is found; the last digits are none."""
    numbers = np.float32(1e5 + DRAW.normal(size=(16, 1)))
    assert 0.5 / bundle._scale(numbers) > bundle.FAR > np.spacing(numbers).max() / bundle._scale(numbers)
    assert np.spacing(np.float32(1e5)) / bundle._scale(np.full((16, 1), 1e5, np.float32)) < bundle.FAR
    assert bundle._scale(np.float32([[1, -8, 2], [3, 4, 5]])) == 8
