"""Data as people have it: classes of unequal size, sorted files, sets without test data, arrays of other forms, headers
that lie. Every class keeps its share, and what cannot be taken is refused with what mends it."""

import io
import json
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
from data_sets import arrays, rows, write_idx, write_npz
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from jaxnas.evaluators import Population, Train
from jaxnas.experiment import Experiment
from jaxnas.ledger import Ledger
from jaxnas.record import begin
from jaxnas.spaces import ChainCNN
from jaxnas.tasks import Digits, Examples, Images
from jaxnas.tasks.classification import Augment, assemble, prepare
from jaxnas.tasks.labels import read_off
from jaxnas.tasks.splits import split_validation


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(2, 60), min_size=2, max_size=7),
    st.floats(0.02, 0.9),
    st.integers(0, 2**31 - 1),
    st.booleans(),
)
def test_every_class_has_its_share_on_both_sides(counts, fraction, seed, in_order):
    """However unequal the classes, however sorted: a count is its exact share but for rounding, or the 1 it needs."""
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    if not in_order:
        labels = np.random.default_rng(seed).permutation(labels)
    examples = Examples(np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1), labels)
    size = round(len(labels) * fraction)
    if not len(counts) <= size <= len(labels) - len(counts):
        refused(lambda: split_validation(examples, fraction, seed, len(counts)), f"is {size}", "each of the")
        return
    data = split_validation(examples, fraction, seed, len(counts))
    assert rows(data.train, data.held_out) == rows(examples)  # nothing is lost, nothing is twice
    found = np.bincount(data.held_out.labels, minlength=len(counts))
    exact = np.array(counts) * size / len(labels)
    forced = np.maximum(0, 1 - exact).sum() + np.maximum(0, exact - (np.array(counts) - 1)).sum()
    assert found.sum() == size
    assert (found >= 1).all()
    assert (found < counts).all()
    assert (np.abs(found - exact) <= 1 + forced).all()
    again = split_validation(examples, fraction, seed, len(counts))
    np.testing.assert_array_equal(again.held_out.labels, data.held_out.labels)


def test_a_class_with_one_example_is_refused(tmp_path):
    labels = np.r_[np.zeros(20), np.ones(19), 2].astype(np.uint8)
    path = write_npz(tmp_path / "set.npz", y_train=labels, y_test=labels[:12])
    refused(lambda: Images(path).search_data(0), "class 2 has 1 of the 40 examples", "give more examples of it")


@pytest.mark.parametrize("test", [0.1, 0.3])
def test_a_share_is_kept_for_the_test_where_there_is_none(tmp_path, test):
    """The same for every seed and never seen by a search (law 8); without it a final training is refused before."""
    path = write_npz(tmp_path / "set.npz", x_test=None, y_test=None)
    task = Images(path, validation=0.2, test=test)
    task.check_final()
    final = task.final_data(0)
    assert len(final.held_out) == round(40 * test)
    assert rows(final.train, final.held_out) == rows(Examples(arrays()["x_train"][..., None], arrays()["y_train"]))
    for seed in (0, 1, 2):
        search = task.search_data(seed)
        assert rows(search.train, search.held_out) == rows(final.train)
        assert rows(task.final_data(seed).held_out) == rows(final.held_out)
    refused(Images(path).check_final, "has no test data", "--task.test 0.1")
    refused(lambda: Images(write_npz(tmp_path / "own.npz"), test=test).search_data(0), "has test data of its own")
    Images(write_npz(tmp_path / "own.npz")).check_final()


def test_names_of_classes(tmp_path):
    names = np.array(["cat", "dog", "owl", "a [b] c"])
    data = Images(write_npz(tmp_path / "set.npz", class_names=names)).search_data(0)
    assert data.class_names == tuple(names)
    assert data.facts()["class_names"] == list(names)
    assert Images(write_npz(tmp_path / "set.npz")).search_data(0).facts()["class_names"] is None
    assert Digits().search_data(0).facts()["class_names"] == list("0123456789")
    for wrong in (names[:3], names[[0, 0, 1, 2]], np.arange(4), names.reshape(2, 2)):
        path = write_npz(tmp_path / "wrong.npz", class_names=wrong)
        refused(lambda path=path: Images(path).search_data(0), "wrong.npz")


def test_what_the_images_are_is_a_fact():
    facts = Digits().final_data(0).facts()
    assert (facts["range"], facts["dtype"], facts["layout"]) == ([0, 16], "uint8", "NHWC")


X, Y, TEST_Y = arrays()["x_train"], arrays()["y_train"], arrays()["y_test"]
WORDS = np.array(["dog", "owl", "cat", "rat"])
SORTED = np.argsort(np.argsort(WORDS))
"""Of each word, its place among them."""


@pytest.mark.parametrize("shape", [(40, 3, 64, 64), (40, 1, 28, 28)])
def test_channels_first_are_refused_with_the_line_that_mends_them(tmp_path, shape):
    x = np.zeros(shape, np.uint8)
    path, line = write_npz(tmp_path / "set.npz", x_train=x), "x = x.transpose(0, 2, 3, 1)"
    refused(lambda: Images(path).search_data(0), "set.npz (train)", line)
    names = {"x": x}
    exec(line, names)  # it does what it says
    Images(write_npz(tmp_path / "mended.npz", x_train=names["x"])).search_data(0)


IMAGES = {
    "shares of 1": lambda x: (x / 255).astype(np.float32),
    "float64 of any range": lambda x: 1e6 * (x - 100.0),
    "float16": lambda x: (x / 255).astype(np.float16),
    "grey levels as int64": lambda x: x.astype(np.int64),
    "16 bits": lambda x: x.astype(np.uint16) * 200,
    "16 bits with a sign": lambda x: x.astype(np.int16) - 128,
    "black and white": lambda x: x > 127,
    "big-endian floats": lambda x: x.astype(">f4") / 7,
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_of_numbers_are_taken_as_they_are(tmp_path, name):
    x, test = (IMAGES[name](arrays()[part]) for part in ("x_train", "x_test"))
    task = Images(write_npz(tmp_path / "set.npz", x_train=x, x_test=test))
    data, grey = task.final_data(0), name in ("grey levels as int64", "black and white")
    for found, stored in ((data.train.images, x), (data.held_out.images, test)):
        assert found.dtype == (np.uint8 if grey else np.float32)
        np.testing.assert_array_equal(found[..., 0], stored.astype(found.dtype))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(data.mean, exact.mean(), rtol=1e-6)
    np.testing.assert_allclose(data.std, exact.std(), rtol=1e-6)
    inputs = np.asarray(task.inputs(jnp.asarray(data.train.images), data))
    np.testing.assert_allclose(inputs[..., 0], (exact - exact.mean()) / exact.std(), atol=1e-5)
    facts = json.loads(json.dumps(data.facts()))
    assert facts["dtype"] == data.train.images.dtype
    assert facts["range"] == [data.train.images.min(), data.train.images.max()]
    assert data.notes == ()


def test_moments_of_floats_are_those_of_float64_whatever_the_offset():
    """Of more images than one chunk; a constant channel becomes 0, and none of its rounding."""
    x = np.random.default_rng(0).normal(size=(2500, 3, 2, 3)).astype(np.float32) * [1e-3, 5, 0] + [1e3, -7, 0.1]
    data = assemble(Examples(x.astype(np.float32), np.zeros(2500, np.int32)), Examples(x[:1], np.zeros(1)), 2)
    exact = x.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(data.mean, exact.mean((0, 1, 2)), rtol=1e-7)
    np.testing.assert_allclose(data.std, [*exact.std((0, 1, 2))[:2], 1], rtol=1e-5)
    assert (np.asarray(prepare(jnp.asarray(data.train.images), data, Augment(), None))[..., 2] == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_are_refused_by_the_first_image_that_has_one(tmp_path, value):
    x = np.tile(X / 255, (30, 1, 1))
    x[[1100, 1105], 3, 2] = value
    path = write_npz(tmp_path / "set.npz", x_train=x, y_train=np.tile(Y, 30))
    refused(lambda: Images(path).search_data(0), "set.npz (train): image 1100 has a value", "NaN or infinite")


def test_test_images_of_another_scale_are_refused(tmp_path):
    path = write_npz(tmp_path / "set.npz", x_train=X / 255)
    Images(path).search_data(0)
    refused(lambda: Images(path).final_data(0), "of type float64, test images of uint8", "of one scale")


LABELS = {
    "text": (
        lambda y: WORDS[y],
        SORTED[Y],
        sorted(WORDS),
        "labels 'cat', 'dog', 'owl', 'rat' were taken as classes 0..3",
    ),
    "bytes": (lambda y: WORDS[y].astype("S"), SORTED[Y], sorted(WORDS), "labels 'cat', 'dog', 'owl', 'rat' were taken"),
    "one-hot": (lambda y: np.eye(4)[y], Y, None, "one-hot labels were taken as classes 0..3"),
    "one-hot of truth": (lambda y: np.eye(4, dtype=bool)[y], Y, None, "one-hot labels were taken as classes 0..3"),
    "from 1": (lambda y: y + 1, Y, [*"1234"], "labels 1..4 were taken as classes 0..3"),
    "whole floats": (
        lambda y: y.astype(np.float32),
        Y,
        None,
        "labels 0.0..3.0, stored as floats, were taken as classes",
    ),
    "floats from 1": (lambda y: y[:, None] + 1.0, Y, [*"1234"], "labels 1.0..4.0, stored as floats, were taken as"),
    "truth": (lambda y: y > 1, Y > 1, ["false", "true"], "labels false and true were taken as classes 0..1"),
    "from 0": (lambda y: y, Y, None, None),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_as_people_have_them_become_classes_and_that_is_said(tmp_path, name):
    """Those of the test by the training labels: here the test lacks the first class that they have."""
    stored, wanted, names, note = LABELS[name]
    y_test = np.where(TEST_Y == 0, 3, TEST_Y)
    data = Images(write_npz(tmp_path / "set.npz", y_train=stored(Y), y_test=stored(y_test))).final_data(0)
    np.testing.assert_array_equal(data.train.labels, wanted)
    of = dict(zip(Y.tolist(), wanted.tolist(), strict=True))
    np.testing.assert_array_equal(data.held_out.labels, [of[label] for label in y_test.tolist()])
    assert data.train.labels.dtype == data.held_out.labels.dtype == np.int32
    assert data.facts()["class_names"] == names
    assert len(data.notes) == (note is not None)
    assert all(line.startswith(note) for line in data.notes)


def test_labels_in_objects_are_what_they_hold():
    """As a pandas column has them; an .npz cannot hold objects."""
    text = np.array(["b", "a", "b"], object)
    assert read_off(text, 3, "x").of(text, 3, "x").tolist() == [1, 0, 1]
    assert read_off(np.array([1, 2], object), 2, "x").known == (1, 2)


def test_names_go_with_labels_from_1_and_not_with_text(tmp_path):
    write = lambda names, y: write_npz(tmp_path / "set.npz", class_names=np.array(names), y_train=y, y_test=y[:12])
    for names in ([*"abcd"], [*"_abcd"]):  # the second names the label 0, too
        assert Images(write(names, Y + 1)).search_data(0).class_names == tuple("abcd")
    assert Images(write([*"dcba"], np.array([*"abcd"])[Y])).search_data(0).class_names == tuple("abcd")
    refused(lambda: Images(write([*"abce"], np.array([*"abcd"])[Y])).search_data(0), "class_names are not the labels")


BAD_LABELS = {
    "missing text": ({"y_train": np.where(Y == 2, "", WORDS[Y])}, "the label of example 2 is ''"),
    "missing numbers": ({"y_train": np.where(np.arange(40) == 5, np.nan, Y)}, "the label of example 5 is nan"),
    "fractions": ({"y_train": Y + 0.5}, "the label of example 0 is 0.5"),
    "several ones": ({"y_train": np.maximum(np.eye(4)[Y], np.eye(4)[3])}, "example 0 has 2 ones: exactly one"),
    "no one": ({"y_train": np.eye(4)[Y] * (Y < 3)[:, None]}, "example 3 has 0 ones: exactly one"),
    "empty column": ({"y_train": np.eye(5)[Y]}, "go up to 4, but [4] never occur"),
    "complex": ({"y_train": Y + 1j}, "labels of type complex128"),
    "not UTF-8": ({"y_train": np.where(Y > 1, b"\xff", b"a")}, "are not UTF-8"),
    "one word": ({"y_train": WORDS[Y * 0]}, "all 40 training labels are 'dog'"),
    "unknown number": ({"y_train": Y + 1, "y_test": TEST_Y}, "(test): the label of example 0 is 0, which no training"),
    "unknown word": ({"y_train": WORDS[Y], "y_test": np.array(["dog", "cow"] * 6)}, "example 1 is 'cow', which no"),
    "another form": ({"y_train": WORDS[Y]}, "(test): labels are numbers, training labels text"),
    "other columns": ({"y_train": np.eye(4)[Y], "y_test": np.eye(5)[TEST_Y + 1]}, "example 3 is 4, which no training"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_labels_that_mean_nothing_are_refused(tmp_path, name):
    changes, words = BAD_LABELS[name]
    path = write_npz(tmp_path / "set.npz", **changes)
    refused(lambda: Images(path).final_data(0), "set.npz (", words)


def test_what_was_converted_is_said_when_a_search_begins_and_makes_no_other_data(tmp_path):
    space, found = ChainCNN(layers=1, kernel_heights=(1,), kernel_widths=(1,), filters=(2,)), []
    for changes in ({"y_train": Y + 1}, {"class_names": np.array([*"1234"])}):
        task, said = Images(write_npz(tmp_path / "set.npz", **changes)), []
        evaluate = Population(Train(batch_size=8)).bind(space, task, 0, 1)
        begin(Experiment(space, task), Ledger(tmp_path, write=True), evaluate, None, said.append)
        found.append((evaluate.fingerprint(), said))
    assert found[0][0] == found[1][0]
    assert [said for _, said in found] == [["labels 1..4 were taken as classes 0..3"], []]


@pytest.mark.parametrize("shape", [(8, 8, 1), (3, 3, 3), (4, 4, 16), (2, 6, 1), (1, 1, 1), (64, 64, 3), (8, 8, 12)])
def test_no_image_is_taken_for_channels_first(tmp_path, shape):
    images = np.zeros((40, *shape), np.uint8)
    data = Images(write_npz(tmp_path / "set.npz", x_train=images)).search_data(0)
    assert data.input_shape == shape


def with_header(path, shape, stored: bytes, descr="|u1") -> str:
    """An archive whose x_train announces this shape."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
    write_npz(path, x_train=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train.npy", header.getvalue() + stored)
    return str(path)


@pytest.mark.parametrize(
    ("shape", "stored"), [((2**26, 2**10, 2**10), 100), ((40, 6, 5), 1199), ((40, 6, 5), 1201), ((40, 6, 5), 0)]
)
def test_a_header_is_held_against_what_is_stored(tmp_path, shape, stored):
    path = with_header(tmp_path / "set.npz", shape, b"\1" * stored)
    refused(lambda: Images(path).search_data(0), "x_train.npy announces shape", f"but holds {stored:,}")


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    from jaxnas import archive

    path = write_npz(tmp_path / "set.npz")
    write_idx(tmp_path)
    monkeypatch.setattr(archive.os, "sysconf", lambda name: 10)  # 100 bytes
    refused(lambda: Images(path).search_data(0), "x_train.npy of shape (40, 6, 5) takes", "this computer has")
    refused(lambda: Images(str(tmp_path)).search_data(0), "by its header [40, 6, 5]", "this computer has")
