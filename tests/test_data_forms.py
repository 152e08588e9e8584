"""Data as people have it: classes of unequal size, sorted files, sets without test data, arrays of other forms, headers
that lie. Every class keeps its share, and what cannot be taken is refused with what mends it."""

import io
import zipfile

import numpy as np
import pytest
from data_sets import arrays, rows, write_idx, write_npz
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from jaxnas.tasks import Digits, Examples, Images
from jaxnas.tasks.splits import split_validation


@settings(max_examples=60, deadline=None)
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


X, Y = arrays()["x_train"], arrays()["y_train"]
AS_PEOPLE_HAVE_THEM = {
    "channels first": ({"x_train": np.zeros((40, 3, 64, 64), np.uint8)}, "x = x.transpose(0, 2, 3, 1)"),
    "one channel first": ({"x_train": np.zeros((40, 1, 28, 28), np.uint8)}, "x = x.transpose(0, 2, 3, 1)"),
    "shares of 1": ({"x_train": (X / 255).astype(np.float32)}, "x = (255 * x).round().astype(numpy.uint8)"),
    "grey levels as floats": ({"x_train": X.astype(np.float64)}, "x = x.round().astype(numpy.uint8)"),
    "grey levels as int64": ({"x_train": X.astype(np.int64)}, "x = x.round().astype(numpy.uint8)"),
    "16 bits": ({"x_train": X.astype(np.uint16) * 200}, "scale them to 0..255"),
    "black and white": ({"x_train": X > 127}, "x = 255 * x.astype(numpy.uint8)"),
    "one-hot": ({"y_train": np.eye(4)[Y]}, "y = y.argmax(1)"),
    "whole floats": ({"y_train": Y.astype(np.float32)}, "y = y.astype(int)"),
    "words": (
        {"y_train": np.array(["cat", "dog", "owl", "rat"])[Y]},
        "class_names, y = numpy.unique(y, return_inverse",
    ),
}


@pytest.mark.parametrize("name", AS_PEOPLE_HAVE_THEM)
def test_a_form_that_people_have_is_refused_with_the_line_that_mends_it(tmp_path, name):
    change, line = AS_PEOPLE_HAVE_THEM[name]
    path = write_npz(tmp_path / "set.npz", **change)
    refused(lambda: Images(path).search_data(0), "set.npz (train)", line)
    if name in ("16 bits", "words"):
        return
    names = {"numpy": np, "x": change.get("x_train", X), "y": change.get("y_train", Y)}
    exec(line, names)  # the line does what it says
    mended = write_npz(tmp_path / "mended.npz", x_train=names["x"], y_train=names["y"])
    Images(mended).search_data(0)


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
