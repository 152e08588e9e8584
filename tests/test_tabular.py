"""Tables: what is read, how cells become features, what is told of them, and what is said of mistakes."""

import os
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from refusals import refused
from sklearn.datasets import load_diabetes, load_wine
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from jaxnas.fingerprint import of_data
from jaxnas.outcome import Measure
from jaxnas.settings import describe
from jaxnas.tasks import Tabular
from jaxnas.tasks.columns import as_json, features, of_json

ROWS = [
    *(f"{age},{city},{income},{kind}" for age, city, income, kind in [
        (31, "Rome", "1e3", "yes"), ("", "Oslo", 900, "no"), (45, "Rome", "1,100".replace(",", ""), "yes"),
        (27, "", 700, "no"), (39, "Bern", 800.5, "yes"), (52, "Oslo", "NA", "no"),
    ]),
] * 5  # fmt: skip
HEADING = "age,city,income,buys"


def write(tmp_path, rows=ROWS, heading=HEADING, mark="", sign=","):
    file = tmp_path / "table.csv"
    file.write_text(mark + "\n".join((heading, *rows)).replace(",", sign), encoding="utf-8")
    return str(file)


def shown(task):
    """Features and labels of all training rows of a final training."""
    data = task.final_data(0)
    return np.asarray(features(data.columns, data.train.examples)), data


@pytest.mark.parametrize(("mark", "sign"), [("", ","), ("\ufeff", ";"), ("", "\t")])
def test_a_file_becomes_standardised_numbers_and_categories(tmp_path, mark, sign):
    """Held against scikit-learn's transformers, fed by hand."""
    found, data = shown(Tabular(write(tmp_path, mark=mark, sign=sign)))
    assert [(c.name, c.values, c.gaps) for c in data.columns] == [
        ("age", (), True), ("city", ("Bern", "Oslo", "Rome"), False), ("income", (), True),
    ]  # fmt: skip
    assert (data.target, data.class_names, data.input_shape.kind) == ("buys", ("no", "yes"), "table")
    cells = np.asarray(data.train.examples)
    for at, column in ((0, 0), (5, 2)):
        numbers = StandardScaler().fit_transform(cells[:, [column]])
        np.testing.assert_allclose(found[:, [at]], np.nan_to_num(numbers), atol=1e-5)
        np.testing.assert_array_equal(found[:, at + 1], np.isnan(cells[:, column]))
    city = OneHotEncoder(categories=[[0.0, 1.0, 2.0]], handle_unknown="ignore").fit_transform(cells[:, [1]])
    np.testing.assert_array_equal(found[:, 2:5], city.toarray())
    assert len(data.train) + len(data.held_out) == len(ROWS)
    assert of_json(as_json(data.columns)) == data.columns


def test_test_rows_are_the_same_for_every_seed_and_are_never_searched(tmp_path):
    """Law 8: a search's data is the same whatever the test rows hold, but for the types of columns."""
    task = Tabular("wine")
    assert of_data(task.final_data(0)) == of_data(task.final_data(1))
    search, final = task.search_data(0), task.final_data(0)
    rows = lambda *parts: sorted(map(tuple, np.concatenate([part.examples for part in parts]).tolist()))
    assert rows(search.train, search.held_out) == rows(final.train)
    assert set(rows(final.held_out)).isdisjoint(rows(final.train))
    assert of_data(task.search_data(1)) != of_data(search)
    x, y = load_wine(return_X_y=True)
    tests = {tuple(row) for row in final.held_out.examples.tolist()}
    other = [row * 2 if tuple(np.float32(row).tolist()) in tests else row for row in x]
    one, two = Tabular(arrays=(x, y)).search_data(0), Tabular(arrays=(np.array(other), y)).search_data(0)
    assert of_data(one) == of_data(two)


def test_sets_that_ship_with_scikit_learn():
    assert [Tabular(name).search_data(0).input_shape for name in ("wine", "breast-cancer")] == [(13,), (30,)]
    data = Tabular("diabetes", regression=True).final_data(0)
    x, y = load_diabetes(return_X_y=True, scaled=False)
    assert len(data.train) + len(data.held_out) == len(y)
    assert (data.target_mean, data.target_std) == pytest.approx((data.train.labels.mean(), data.train.labels.std()))
    assert sorted(np.concatenate([data.train.labels, data.held_out.labels]).tolist()) == sorted(y.tolist())


def test_arrays_files_and_frames_are_the_same_table(tmp_path):
    x, y = load_wine(return_X_y=True)
    np.savez(tmp_path / "wine.npz", x=x, y=y)
    np.savez(tmp_path / "parts.npz", x_train=x[::2], y_train=y[::2], x_test=x[1::2], y_test=y[1::2])
    arrays, file = Tabular(arrays=(x, y)), Tabular(str(tmp_path / "wine.npz"))
    assert of_data(arrays.search_data(0)) == of_data(file.search_data(0))
    parts = Tabular(str(tmp_path / "parts.npz")).final_data(0)
    np.testing.assert_array_equal(parts.held_out.examples, np.float32(x[1::2]))
    assert describe(arrays)["arrays"].startswith("<arrays (178, 13) ")
    assert arrays == Tabular(arrays=(x.copy(), y)) != Tabular(arrays=(x + 1, y))
    mixed = np.array([["a", 1.5], ["b", 2.5], ["a", None]] * 5, object)
    columns = Tabular(arrays=(mixed, ["n", "y", "n"] * 5), test=0.3).search_data(0).columns
    assert [(c.name, c.values, c.gaps) for c in columns] == [("x0", ("a", "b"), False), ("x1", (), True)]


def test_a_regression_is_scored_in_the_targets_own_unit():
    """By hand from what a network of no layers would say: the mean."""
    task = Tabular("diabetes", regression=True, score="rmse")
    data = task.search_data(0)
    held = data.scoring(0, len(data.held_out), len(data.held_out))
    said = np.zeros((len(data.held_out), 1), np.float32)
    wanted = -np.sqrt(((data.held_out.labels - data.target_mean) ** 2).mean())
    assert task.whole_score(said, held, data) == pytest.approx(wanted, rel=1e-5)
    assert replace(task, score="mae").whole_score(said, held, data) == pytest.approx(
        -np.abs(data.held_out.labels - data.target_mean).mean(), rel=1e-5
    )
    assert (task.measure, replace(task, score=None).measure) == (Measure.RMSE, Measure.R2)
    assert np.asarray(task.losses(jnp.asarray(said), jnp.asarray(held.labels))) == pytest.approx(
        np.asarray(held.labels) ** 2
    )
    seen = []
    replace(task, score=lambda *both: float(bool(seen.append(both)))).whole_score(said, held, data)
    np.testing.assert_allclose(seen[0][1], data.held_out.labels, rtol=1e-5)


def test_columns_may_be_chosen(tmp_path):
    file = write(tmp_path)
    data = Tabular(file, target="city", drop=("age",), categorical=("income",)).search_data
    refused(lambda: data(0), "the target 'city' is missing (5 of 30 are)", "line 5")
    found = Tabular(file, drop=("age",), categorical=("income",)).final_data(0).columns
    assert [c.name for c in found] == ["city", "income"]
    assert set(found[1].values) == {"1e3", "900", "1100", "700", "800.5"}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([*ROWS[:9], "4o,Rome,1000,yes", *ROWS], ("line 11, column 'age'", "'4o' among numbers", "categorical age")),
        ([*ROWS, "41,Rome,inf,yes"], ("line 32, column 'income'", "inf is no finite number")),
        ([*ROWS, "41,Rome,5"], ("line 32: 3 cells, but the heading has 4",)),
        ([*ROWS, "41,Rome,5,"], ("line 32: the target 'buys' is missing (1 of 31",)),
        ([row.replace("no", "yes") for row in ROWS], ("is 'yes' in all 30 rows",)),
        (["1,Rome,2,yes"], ("has 1 rows below its heading",)),
        ([*ROWS, "41,Rome,5,perhaps"], ("class 'perhaps' has 1 of the 31 examples",)),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_named(tmp_path, rows, words):
    refused(lambda: Tabular(write(tmp_path, rows)).search_data(0), *words)


def test_what_cannot_be_told_is_refused(tmp_path):
    file = write(tmp_path)
    refused(lambda: Tabular(file, target="bought").search_data(0), "target='bought'", "age, city, income, buys")
    refused(lambda: Tabular(file, regression=True).search_data(0), "the target 'buys' is a text such as 'yes'")
    refused(lambda: Tabular("diabetes").search_data(0), "214 different numbers", "--task.regression")
    refused(lambda: Tabular("vine").search_data(0), "no table at 'vine'", "wine")
    refused(lambda: Tabular(), "give a source", "arrays=(x, y)")
    refused(lambda: Tabular(arrays=(np.zeros((3, 2)), np.zeros(4))), "(3, 2)", "(4,)")
    refused(lambda: Tabular("wine", score="rmse"), "score='rmse' does not fit labels that are classes", "f1")
    refused(lambda: Tabular("wine", regression=True, score="f1"), "does not fit labels that are numbers", "rmse")
    refused(lambda: Tabular("diabetes", regression=True, label_smoothing=0.1), "a regression has no classes")
    names = [f"{i},name {i},1,{'yes' if i % 2 else 'no'}" for i in range(600)]
    refused(lambda: Tabular(write(tmp_path, names)).search_data(0), "different texts", "--task.drop city")
    empty = [f"{i},,1,{'yes' if i % 2 else 'no'}" for i in range(30)]
    refused(lambda: Tabular(write(tmp_path, empty)).search_data(0), "column 'city' is empty", "--task.drop city")
    refused(lambda: Tabular(write(tmp_path, heading="a,a,b,c")).search_data(0), "two columns are called 'a'")
    os.remove(file)
    refused(lambda: Tabular(file).search_data(0), "no table at")
