"""Tasks: what is read, how it is split, normalised and augmented, and what is said of data that cannot be used."""

import gzip
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from data_sets import IDX, arrays, corrupt_member, idx_bytes, rows, write_idx, write_npz, write_tfds
from refusals import refused
from scipy.ndimage import map_coordinates
from sklearn.datasets import load_digits

from jaxnas.rng import key_for
from jaxnas.tasks import TASKS, Digits, Examples, Images, Task, digits
from jaxnas.tasks.classification import Augment

REAL = pathlib.Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(params=["Digits", "npz", "idx", "idx.gz"])
def task(request, tmp_path):
    """A task of every kind that needs nothing but a folder."""
    match request.param:
        case "Digits":
            return Digits()
        case "npz":
            return Images(write_npz(tmp_path / "set.npz"))
        case _:
            return Images(write_idx(tmp_path, zipped=request.param == "idx.gz"))


# What every task holds


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_the_functions_of_the_protocol(name):
    assert isinstance(TASKS[name]("x") if name in ("Images", "Tabular") else TASKS[name](), Task)


def test_training_and_validation_data_share_nothing_and_are_all_that_may_be_learnt_from(task):
    search, final = task.search_data(0), task.final_data(0)
    assert set(rows(search.train)).isdisjoint(rows(search.held_out))
    assert rows(search.train, search.held_out) == rows(final.train)


def test_test_data_is_the_same_for_all_seeds_and_none_of_it_is_in_the_search(task):
    final = task.final_data(0)
    np.testing.assert_array_equal(task.final_data(1).held_out.images, final.held_out.images)
    np.testing.assert_array_equal(task.final_data(1).held_out.labels, final.held_out.labels)
    search = task.search_data(0)
    assert set(rows(final.held_out)).isdisjoint(rows(search.train, search.held_out))


def test_the_split_is_a_function_of_the_seed(task):
    one, same, other = task.search_data(3), task.search_data(3), task.search_data(4)
    np.testing.assert_array_equal(one.train.images, same.train.images)
    np.testing.assert_array_equal(one.held_out.labels, same.held_out.labels)
    assert rows(one.held_out) != rows(other.held_out)


def test_arrays_have_the_types_and_shapes_of_the_contract(task):
    for data in (task.search_data(0), task.final_data(0)):
        for examples in (data.train, data.held_out):
            assert (examples.images.dtype, examples.labels.dtype) == (np.uint8, np.int32)
            assert examples.images.shape == (len(examples), *data.input_shape)
            assert 0 <= examples.labels.min() <= examples.labels.max() < data.classes
        assert (data.mean.dtype, data.std.dtype) == (np.float32, np.float32)


def test_inputs_have_mean_0_and_standard_deviation_1_over_the_training_data(task):
    for data in (task.search_data(0), task.final_data(0)):
        x = np.asarray(task.inputs(jnp.asarray(data.train.images), data), np.float64)
        np.testing.assert_allclose(x.mean((0, 1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(x.std((0, 1, 2)), 1, atol=1e-5)


def test_without_a_key_nothing_is_augmented_and_by_default_not_with_one(task):
    data = task.search_data(0)
    images, key = jnp.asarray(data.train.images), key_for(0, "augment")
    x = (data.train.images.astype(np.float32) - data.mean) / data.std
    loud = replace(task, augment=Augment(pad=2, flip=True))
    np.testing.assert_allclose(task.inputs(images, data, key), x, rtol=1e-6)
    np.testing.assert_allclose(loud.inputs(images, data), x, rtol=1e-6)
    assert not np.allclose(loud.inputs(images, data, key), x)


def test_loss_and_score_of_two_examples(task):
    logits, labels = jnp.array([[0, 0, 0, 0], [0, np.log(5), 0, 0]]), jnp.array([1, 1])
    np.testing.assert_allclose(task.losses(logits, labels), [np.log(4), np.log(8 / 5)], rtol=1e-6)
    np.testing.assert_array_equal(task.scores(logits, labels), [0, 1])


# Digits


@pytest.mark.parametrize("elsewhere", [False, True], ids=["from the file", "from scikit-learn"])
def test_the_digits_are_those_of_scikit_learn(elsewhere, monkeypatch):
    """Where its file is where it has been for years, and where it is not."""
    if elsewhere:
        monkeypatch.setattr(digits, "find_spec", lambda name: SimpleNamespace(origin="/nowhere/sklearn/__init__.py"))
    parts = [Digits().search_data(0).train, Digits().search_data(0).held_out, Digits().final_data(0).held_out]
    known, labels = load_digits(return_X_y=True)
    pairs = lambda images, labels: sorted(zip(images.reshape(-1, 64).tolist(), labels.tolist(), strict=True))
    ours = [np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "labels")]
    assert pairs(*ours) == pairs(known, labels)


def test_the_1797_digits_are_1078_to_learn_from_360_to_validate_and_359_for_the_test():
    search, final = Digits().search_data(0), Digits().final_data(0)
    assert [len(s) for s in (search.train, search.held_out, final.held_out)] == [1078, 360, 359]
    assert len(set(rows(final.train, final.held_out))) == 1797
    assert (search.input_shape, search.classes) == ((8, 8, 1), 10)


# Normalisation and augmentation


def test_each_channel_is_normalised_by_itself_and_a_constant_one_becomes_0(tmp_path):
    x = arrays(train=2500, shape=(4, 3, 3))["x_train"]
    x[..., 1], x[..., 2] = 200, x[..., 2] // 50
    y = np.arange(2500) % 4
    task = Images(write_npz(tmp_path / "set.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9]))
    data = task.final_data(0)
    np.testing.assert_allclose(data.mean, x.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(data.std, [x[..., 0].std(), 1, x[..., 2].std()], rtol=1e-6)
    assert (np.asarray(task.inputs(jnp.asarray(x), data))[..., 1] == 0).all()


def windows(image, pad) -> dict[bytes, tuple[int, int]]:
    """Every crop of the padded image to its old size -> where it begins: the slow way."""
    height, width, _ = image.shape
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    starts = [(i, j) for i in range(2 * pad + 1) for j in range(2 * pad + 1)]
    return {padded[i : i + height, j : j + width].tobytes(): (i, j) for i, j in starts}


def test_pad_and_crop_takes_every_window_of_the_padded_image_equally_often():
    image = np.random.default_rng(0).normal(size=(5, 4, 2)).astype(np.float32)
    out = np.asarray(Augment(pad=1)(jnp.tile(image, (900, 1, 1, 1)), key_for(0, "augment")))
    known = windows(image, pad=1)
    starts = [known[crop.tobytes()] for crop in out]  # a KeyError: not a window
    counts = [starts.count(start) for start in known.values()]
    assert len(counts) == 9
    assert min(counts) > 70  # expected 100, standard deviation 9.4
    assert max(counts) < 130


def test_flip_mirrors_half_of_the_images_and_leaves_the_others():
    images = np.random.default_rng(0).normal(size=(1000, 3, 4, 2)).astype(np.float32)
    out = np.asarray(Augment(flip=True)(jnp.asarray(images), key_for(0, "augment")))
    mirrored = (out == images[:, :, ::-1]).all((1, 2, 3))
    assert (mirrored | (out == images).all((1, 2, 3))).all()
    assert 450 < mirrored.sum() < 550  # expected 500, standard deviation 16


def test_flip_and_crop_together_give_windows_of_the_image_or_of_its_mirror_and_depend_on_the_key_alone():
    images = np.random.default_rng(0).normal(size=(64, 4, 4, 1)).astype(np.float32)
    augment, batch, key = Augment(pad=2, flip=True), jnp.asarray(images), key_for(0, "augment")
    out = np.asarray(augment(batch, key))
    for image, crop in zip(images, out, strict=True):
        assert crop.tobytes() in windows(image, 2) | windows(image[:, ::-1], 2)
    np.testing.assert_array_equal(jax.jit(augment)(batch, key), out)
    assert not np.array_equal(augment(batch, key_for(1, "augment")), out)


def holes(out) -> list[tuple[range, range]]:
    """Rows and columns in which each image of ones has become zero; everything else must be one."""
    found = []
    for image in out:
        rows, columns = (np.flatnonzero((image == 0).any(other)) for other in ((1, 2), (0, 2)))
        expected = np.ones_like(image)
        expected[np.ix_(rows, columns)] = 0
        np.testing.assert_array_equal(image, expected)
        found.append((range(rows[0], rows[-1] + 1), range(columns[0], columns[-1] + 1)))
    return found


@pytest.mark.parametrize("side", [2, 3])
def test_cutout_takes_one_square_around_every_pixel_equally_often_and_cuts_it_off_at_the_edge(side):
    out = np.asarray(Augment(cutout=side)(jnp.ones((2000, 5, 4, 2)), key_for(0, "augment")))
    cut = lambda centre, size: range(max(0, centre - side // 2), min(size, centre - side // 2 + side))
    squares = [(cut(row, 5), cut(column, 4)) for row in range(5) for column in range(4)]
    found = holes(out)
    counts = [found.count(square) for square in squares]
    assert len(set(squares)) == 20
    assert sum(counts) == 2000  # nothing else occurs
    assert min(counts) > 60  # expected 100, standard deviation 9.7
    assert max(counts) < 140


def test_cutout_leaves_crop_and_flip_as_they_were_and_comes_after_them():
    images = jnp.asarray(np.random.default_rng(0).normal(size=(64, 6, 5, 1)).astype(np.float32))
    key = key_for(0, "augment")
    without = np.asarray(Augment(pad=1, flip=True)(images, key))
    out = np.asarray(Augment(pad=1, flip=True, cutout=3)(images, key))
    assert (out == 0).sum() > (without == 0).sum()
    np.testing.assert_array_equal(out, np.where(out == 0, 0, without))


def test_cutout_larger_than_the_image_is_refused():
    refused(lambda: Augment(cutout=5)(jnp.ones((1, 6, 4, 1)), key_for(0, "augment")), "cutout=5", "6x4", "give less")


def test_an_enlarged_image_is_cropped_to_its_old_size_anywhere_equally_often():
    image = np.random.default_rng(0).normal(size=(5, 10, 2)).astype(np.float32)
    out = np.asarray(Augment(upsample=7)(jnp.tile(image, (1500, 1, 1, 1)), key_for(0, "augment")))
    larger = np.stack([enlarged(image[..., c], (7, 14)) for c in (0, 1)], -1)
    starts = [(i, j) for i in range(3) for j in range(5)]
    crops = np.stack([larger[i : i + 5, j : j + 10] for i, j in starts])
    nearest = np.abs(out[:, None] - crops).max((2, 3, 4))
    assert nearest.min(1).max() < 1e-5
    counts = np.bincount(nearest.argmin(1), minlength=15)
    assert 60 < counts.min() <= counts.max() < 140  # expected 100, standard deviation 9.7


def enlarged(plane, size):
    """Bilinear, with the middle of pixels on the middle of the enlarged ones' places, edges repeated."""
    at = [(np.arange(new) + 0.5) * old / new - 0.5 for new, old in zip(size, plane.shape, strict=True)]
    return map_coordinates(plane.astype(np.float64), np.meshgrid(*at, indexing="ij"), order=1, mode="nearest")


def test_whitened_images_have_mean_0_and_deviation_1_each_in_training_and_in_scoring(task):
    data, white = task.search_data(0), replace(task, augment=Augment(whiten=True))
    images = data.train.images[:50].copy()
    images[0] = 7  # of one grey
    x = images.astype(np.float64)
    deviation = np.maximum(x.std((1, 2, 3)), 1 / np.sqrt(x[0].size))
    expected = (x - x.mean((1, 2, 3), keepdims=True)) / deviation[:, None, None, None]
    for key in (None, key_for(0, "augment")):
        np.testing.assert_allclose(white.inputs(jnp.asarray(images), data, key), expected, atol=1e-5)


def test_images_that_would_shrink_are_refused():
    enlarge = Augment(upsample=5)
    refused(lambda: enlarge(jnp.ones((1, 6, 4, 1)), key_for(0, "augment")), "upsample=5", "6x4", "give more")


def test_label_smoothing_by_its_formula(task):
    """Each class gets its share of it; the score takes no notice."""
    logits, labels = np.array([[0.5, -1, 2, 0], [3, 1, 0, -2]], np.float32), jnp.array([2, 1])
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    wanted = 0.3 * np.eye(4)[labels] + 0.7 / 4
    smooth = replace(task, label_smoothing=0.7)
    np.testing.assert_allclose(smooth.losses(jnp.asarray(logits), labels), -(wanted * log_p).sum(1), rtol=1e-6)
    np.testing.assert_array_equal(smooth.scores(jnp.asarray(logits), labels), [1, 0])


# Settings


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Digits(validation=0.0), ["validation=0.0", "between 0 and 1"]),
        (lambda: Digits(validation=1.0), ["validation=1.0", "between 0 and 1"]),
        (lambda: Digits(validation=float("nan")), ["validation=nan", "between 0 and 1"]),
        (lambda: Digits(validation=1e-5).search_data(0), ["validation=1e-05 of 1438 examples is 0", "at least one"]),
        (lambda: Images("x", validation=-0.1), ["validation=-0.1", "between 0 and 1"]),
        (lambda: Images("x", limit=0), ["limit=0", "from 2"]),
        (lambda: Images("x", limit=-5), ["limit=-5", "from 2"]),
        (lambda: Augment(pad=-1), ["pad=-1", "from 0"]),
        (lambda: Augment(cutout=-2), ["cutout=-2", "from 0"]),
        (lambda: Augment(upsample=-2), ["upsample=-2", "from 0"]),
        (lambda: Augment(pad=4, upsample=40), ["pad=4, upsample=40", "0 for one"]),
        (lambda: Digits(label_smoothing=1.0), ["label_smoothing=1.0", "less than 1"]),
        (lambda: Images("x", label_smoothing=-0.1), ["label_smoothing=-0.1", "from 0"]),
    ],
)
def test_settings_out_of_range_are_refused(make, words):
    refused(make, *words)


def test_limit_takes_the_first_examples_of_each_class_and_leaves_the_number_of_classes(tmp_path):
    path = write_npz(tmp_path / "set.npz")
    data = Images(path, limit=6).final_data(0)
    wanted = [0, 1, 2, 3, 4, 5]  # labels are 0, 1, 2, 3, 0, 1, ...
    np.testing.assert_array_equal(data.train.images[..., 0], arrays()["x_train"][wanted])
    assert (data.classes, len(data.held_out)) == (4, 12)
    search = Images(path, validation=0.5, limit=10).search_data(0)
    assert (len(search.train), len(search.held_out), search.classes) == (5, 5, 4)
    refused(lambda: Images(path, limit=3).final_data(0), "limit=3: there are 4 classes", "give more")


def test_limit_on_data_sorted_by_label_keeps_every_class(tmp_path):
    path = write_npz(tmp_path / "set.npz", y_train=np.arange(40) // 10)
    data = Images(path, limit=12, validation=0.4).search_data(0)
    assert sorted(data.train.labels.tolist() + data.held_out.labels.tolist()) == sorted([0, 1, 2, 3] * 3)
    assert set(data.held_out.labels.tolist()) == {0, 1, 2, 3}


# Files: what is read


def test_an_npz_and_idx_folders_of_all_spellings_give_the_same_data(tmp_path):
    _, zipped, dotted = folders = [tmp_path / name for name in ("plain", "zipped", "dotted")]
    for folder in folders:
        folder.mkdir()
        write_idx(folder, zipped=folder == zipped)
    for name in IDX:
        (dotted / name).rename(dotted / name.replace("-idx", ".idx"))
    sources = [write_npz(tmp_path / "set.npz"), *map(str, folders)]
    first, *others = [Images(source).search_data(5) for source in sources]
    assert (first.train.images.shape, first.held_out.images.shape) == ((36, 6, 5, 1), (4, 6, 5, 1))
    for other in others:
        np.testing.assert_array_equal(other.train.images, first.train.images)
        np.testing.assert_array_equal(other.train.labels, first.train.labels)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int64, np.uint64])
@pytest.mark.parametrize("column", [False, True])
def test_labels_of_any_whole_type_and_in_a_column_become_int32(tmp_path, kind, column):
    y = arrays()["y_train"].astype(kind)
    data = Images(write_npz(tmp_path / "set.npz", y_train=y[:, None] if column else y)).final_data(0)
    assert data.train.labels.dtype == np.int32
    np.testing.assert_array_equal(data.train.labels, arrays()["y_train"])


def test_a_home_folder_in_the_path_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_npz(tmp_path / "set.npz")
    assert len(Images("~/set.npz").final_data(0).train) == 40


def test_a_search_does_not_read_the_test_arrays_of_an_npz(tmp_path):
    path = write_npz(tmp_path / "set.npz")
    corrupt_member(path, "x_test.npy")
    assert len(Images(path).search_data(0).train) == 36
    refused(lambda: Images(path).final_data(0), "set.npz", "not a readable .npz", "numpy.savez_compressed")


def test_a_search_does_not_need_the_test_arrays_of_an_npz(tmp_path):
    path = write_npz(tmp_path / "set.npz", x_test=None)
    assert len(Images(path).search_data(0).train) == 36
    refused(lambda: Images(path).final_data(0), "['x_train', 'y_test', 'y_train']", "'x_test'")


@pytest.mark.parametrize("harm", [lambda file: file.unlink(), lambda file: file.write_bytes(b"\0\0\x08\x03rubbish")])
def test_a_search_does_not_read_the_test_files_of_a_folder(tmp_path, harm):
    source = write_idx(tmp_path)
    harm(tmp_path / IDX[2])
    assert len(Images(source).search_data(0).train) == 36
    refused(lambda: Images(source).final_data(0), IDX[2])


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_real_sets_have_60000_and_10000_images_of_10_classes(name):
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}: the real files are not part of the repository")
    data = Images(str(folder)).final_data(0)
    assert (data.train.images.shape, data.held_out.images.shape) == ((60000, 28, 28, 1), (10000, 28, 28, 1))
    counts = {"mnist": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], "fashion-mnist": [6000] * 10}
    assert np.bincount(data.train.labels).tolist() == counts[name]
    np.testing.assert_allclose(data.mean / 255, {"mnist": 0.1307, "fashion-mnist": 0.2860}[name], atol=1e-4)
    np.testing.assert_allclose(data.std / 255, {"mnist": 0.3081, "fashion-mnist": 0.3530}[name], atol=1e-4)


# Files: what is refused

X, Y = arrays()["x_train"], arrays()["y_train"]
BAD_ARRAYS = {
    "flat images": ({"x_train": X.reshape(40, 30)}, ["images of shape (40, 30)", "[examples, height, width]"]),
    "five dimensions": ({"x_train": X[..., None, None]}, ["shape (40, 6, 5, 1, 1)", "[examples, height, width]"]),
    "no pixels": ({"x_train": X[:, :0]}, ["images of shape (40, 0, 5, 1)", "at least one pixel"]),
    "fewer labels": ({"y_train": Y[:39]}, ["40 images but labels of shape (39,)", "one label an image"]),
    "no examples": ({"x_train": X[:0], "y_train": Y[:0]}, ["(train): no examples", "at least one"]),
    "negative labels": ({"y_train": Y.astype(int) - 1}, ["labels run from -1 to 2", "from 0"]),
    "huge labels": ({"y_train": Y * np.uint64(2**40)}, [f"to {3 * 2**40}", "at most 65535"]),
    "a gap": ({"y_train": np.where(Y == 2, 7, Y)}, ["go up to 7, but [2, 4, 5, 6] never occur", "without gaps"]),
    "one class": ({"y_train": Y * 0}, ["all 40 training labels are 0", "at least 2 classes"]),
    "pickled objects": ({"y_train": Y.astype(object)}, ["Object arrays cannot be loaded", "plain arrays"]),
    "no x_train": ({"x_train": None}, ["['x_test', 'y_test', 'y_train']", "['x_train', 'y_train'] are needed"]),
    "one example": ({"x_train": X[:1], "y_train": Y[:1]}, ["all 1 training labels are 0", "at least 2 classes"]),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_cannot_be_trained_on_are_refused(tmp_path, case):
    changes, words = BAD_ARRAYS[case]
    path = write_npz(tmp_path / "set.npz", **changes)
    refused(lambda: Images(path).search_data(0), path, *words)


BAD_TESTS = {
    "other size": ({"x_test": X[:12, :5]}, ["training images are (6, 5, 1), test images (5, 5, 1)", "alike"]),
    "other channels": ({"x_test": np.stack([X[:12]] * 3, -1)}, ["test images (6, 5, 3)", "alike"]),
    "unknown label": (
        {"y_test": arrays()["y_test"] + 2},
        ["(test): the label of example 2 is 4, which no training example has", "training labels are 0..3"],
    ),
    "empty": ({"x_test": X[:0], "y_test": Y[:0]}, ["(test): no examples", "at least one"]),
}


@pytest.mark.parametrize("case", BAD_TESTS)
def test_test_data_unlike_the_training_data_is_refused_in_final_training(tmp_path, case):
    changes, words = BAD_TESTS[case]
    path = write_npz(tmp_path / "set.npz", **changes)
    assert Images(path).search_data(0).classes == 4
    refused(lambda: Images(path).final_data(0), path, *words)


def npy(path):
    with path.open("wb") as file:
        np.save(file, X)


BAD_FILES = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("x_train, y_train\n"),
    "one array": npy,
    "cut short": lambda path: (write_npz(path), path.write_bytes(path.read_bytes()[:-100])),
    "corrupt": lambda path: (write_npz(path), corrupt_member(path, "x_train.npy")),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_is_no_npz_is_refused(tmp_path, case):
    path = tmp_path / "set.npz"
    BAD_FILES[case](path)
    refused(lambda: Images(str(path)).search_data(0), str(path), "not a readable .npz", "numpy.savez_compressed")


def test_whichever_byte_of_an_npz_changes_the_answer_is_data_or_a_value_error(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, **arrays(train=400, shape=(28, 28)))  # stored: numpy sees the change before the checksum does
    whole, rng, refusals = path.read_bytes(), np.random.default_rng(0), []
    for place in rng.integers(0, 200, 150):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.integers(8)]) + whole[place + 1 :])
        try:
            Images(str(path)).search_data(0)
        except ValueError as error:
            refusals.append(str(error))
    assert len(refusals) > 75
    assert all(str(path) in text for text in refusals)


BAD_IDX = {
    "empty": (b"", ["begins with bytes (none)", "00 00 08"]),
    "not idx": (b"PNG rubbish", ["begins with bytes 50 4e 47 20", "00 00 08"]),
    "zipped without .gz": (gzip.compress(idx_bytes(X), mtime=0), ["begins with bytes 1f 8b", "00 00 08"]),
    "of floats": (b"\0\0\x0d" + idx_bytes(X)[3:], ["begins with bytes 00 00 0d 03", "unsigned bytes"]),
    "half a header": (idx_bytes(X)[:10], ["10 bytes", "cut short or damaged"]),
    "cut short": (idx_bytes(X)[:-1], ["1215 bytes", "[40, 6, 5], which takes 1216", "cut short or damaged"]),
    "too long": (idx_bytes(X) + b"\0", ["1217 bytes", "[40, 6, 5], which takes 1216", "cut short or damaged"]),
    "fewer images": (idx_bytes(X[:9]), ["9 images but labels of shape (40,)"]),
}


@pytest.mark.parametrize("case", BAD_IDX)
def test_a_damaged_idx_file_is_refused(tmp_path, case):
    raw, words = BAD_IDX[case]
    source = write_idx(tmp_path)
    (tmp_path / IDX[0]).write_bytes(raw)
    refused(lambda: Images(source).search_data(0), str(tmp_path), *words)


@pytest.mark.parametrize(
    "harm", [lambda raw: raw[:-20], lambda raw: raw[:40] + b"~~~~" + raw[44:], lambda raw: b"rubbish"]
)
def test_a_damaged_gz_file_is_refused(tmp_path, harm):
    source = write_idx(tmp_path, zipped=True)
    file = tmp_path / (IDX[0] + ".gz")
    file.write_bytes(harm(file.read_bytes()))
    refused(lambda: Images(source).search_data(0), str(file), "cannot be read", "fetch it again")


def test_a_folder_without_idx_files_and_a_path_to_nothing_are_refused(tmp_path):
    (tmp_path / "cat.jpg").touch()
    refused(lambda: Images(str(tmp_path)).search_data(0), f"{tmp_path}: found ['cat.jpg']", IDX[0])
    refused(lambda: Images("/no/such/place").search_data(0), "no data at '/no/such/place'", ".npz", "idx", "tfds:NAME")


# TensorFlow Datasets

PACKAGES = "pip install tensorflow-datasets array-record pillow"
PREPARE = "pip install tensorflow tensorflow-datasets array-record pillow && python -c"


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A set prepared as array_record: (its folder, what was written); its class is registered in this process."""
    for package in ("tensorflow_datasets", "array_record", "PIL"):
        pytest.importorskip(package, reason=f"{package} is not installed: {PACKAGES}")
    folder, written = tmp_path_factory.mktemp("tfds"), arrays(train=1030, shape=(6, 5, 3))
    splits = {part: (written[f"x_{part}"], written[f"y_{part}"]) for part in ("train", "test")}
    write_tfds(folder, "ToyImages", splits)
    return folder, written


@pytest.fixture
def harmed(toy, tmp_path):
    """A task on a copy of that set, and the folder of its files: do what you like to them."""
    shutil.copytree(toy[0], tmp_path, dirs_exist_ok=True)
    return Images("tfds:toy_images", tfds_dir=str(tmp_path)), tmp_path / "toy_images" / "1.0.0"


def fresh_process(code: str, **environment) -> str:
    """What the code prints in a Python of its own, where the class of the set is not registered."""
    command = [sys.executable, "-c", "import sys\nfrom jaxnas.tasks import Images\n" + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def same_examples(data, written):
    """TensorFlow Datasets shuffles what it stores: the examples are the same, in another order."""
    for read, part in ((data.train, "train"), (data.held_out, "test")):
        assert rows(read) == rows(Examples(written[f"x_{part}"], written[f"y_{part}"].astype(np.int32)))


def test_a_tfds_set_is_read_as_it_was_written(toy):
    task = Images("tfds:toy_images", tfds_dir=str(toy[0]))
    data, search = task.final_data(0), task.search_data(0)
    assert (data.input_shape, data.classes, data.train.labels.dtype) == ((6, 5, 3), 4, np.int32)
    same_examples(data, toy[1])
    assert rows(search.train, search.held_out) == rows(data.train)


def test_a_tfds_set_is_read_without_its_class_and_without_tensorflow(toy, tmp_path):
    said = fresh_process(
        "import numpy as np, tensorflow_datasets as tfds\n"
        "assert 'toy_images' not in tfds.list_builders(with_community_datasets=False)\n"
        f"data = Images('tfds:toy_images', tfds_dir={str(toy[0])!r}).final_data(0)\n"
        "train, test = data.train, data.held_out\n"
        f"np.savez({str(tmp_path / 'read.npz')!r}, x_train=train.images, y_train=train.labels,\n"
        "         x_test=test.images, y_test=test.labels)\n"
        "print('tensorflow' in sys.modules)"
    )
    assert said.strip() == "False"
    same_examples(Images(str(tmp_path / "read.npz")).final_data(0), toy[1])


def test_a_search_does_not_read_the_test_split_of_a_tfds_set(harmed):
    task, files = harmed
    next(files.glob("*-test.array_record*")).unlink()
    assert len(task.search_data(0).train) == 927
    refused(lambda: task.final_data(0), f"{files} is damaged", "No such file", "delete that folder", PREPARE)


def test_damaged_records_are_refused(harmed):
    task, files = harmed
    file = next(files.glob("*-train.array_record*"))
    file.write_bytes(file.read_bytes()[:3000] + b"~" * 3000 + file.read_bytes()[6000:])
    refused(lambda: task.search_data(0), f"{files} is damaged", "Corrupted", "delete that folder", PREPARE)


def test_damaged_metadata_are_refused(harmed):
    task, files = harmed
    (files / "dataset_info.json").write_text("{")
    refused(lambda: task.search_data(0), "tfds:toy_images cannot be opened (ParseError", "delete the folder")


def test_a_set_prepared_as_tfrecord_is_refused(harmed):
    task, files = harmed
    info = files / "dataset_info.json"
    info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
    refused(
        lambda: task.search_data(0), f"{files} holds tfrecord files", "delete that folder", "another tfds_dir", PREPARE
    )


def test_another_version_on_disk_is_named_and_can_be_read(harmed):
    task, files = harmed
    older = files.rename(files.with_name("0.9.0"))
    refused(lambda: task.search_data(0), f"no {files}", "there are versions ['0.9.0']", "NAME:0.9.0", PREPARE)
    info = older / "dataset_info.json"
    info.write_text(info.read_text().replace('"1.0.0"', '"0.9.0"'))
    assert len(Images("tfds:toy_images:0.9.0", tfds_dir=task.tfds_dir).search_data(0).train) == 927


def test_the_command_in_the_message_prepares_the_set(toy, tmp_path):
    task = Images("tfds:toy_images", tfds_dir=str(tmp_path / "a folder, isn't it"))
    with pytest.raises(ValueError, match="is not prepared: there is no .*toy_images/1.0.0; ") as caught:
        task.search_data(0)
    python, flag, code = shlex.split(str(caught.value).split(" && ")[1])
    assert (python, flag) == ("python", "-c")
    exec(code, {})  # here, where the class is registered
    same_examples(task.final_data(0), toy[1])


def test_a_known_set_that_is_not_prepared_is_refused_with_the_command(toy, tmp_path):
    known, where = "tfds:cifar10 is not prepared: there is no ", json.dumps(str(tmp_path))
    code = 'tfds.builder("cifar10", {}file_format="array_record").download_and_prepare()'
    task = Images("tfds:cifar10", tfds_dir=str(tmp_path))
    refused(lambda: task.search_data(0), f"{known}{tmp_path}", PREPARE, code.format(f"data_dir={where}, "))
    said = fresh_process(
        "try: Images('tfds:cifar10').search_data(0)\nexcept ValueError as error: print(error)",
        TFDS_DATA_DIR=str(tmp_path),
    )
    assert f"{known}{tmp_path}" in said
    assert code.format("") in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_set", ["knows no such set", "catalog", PREPARE, 'file_format="array_record"']),
        ("no such set!", ["cannot be opened", "give a name from https"]),
        ("", ["cannot be opened", "give a name from https"]),
        ("cifar10:1.0.0", ["cannot be opened", "cannot be loaded at version 1.0.0", "give a name from https"]),
        ("cifar10/odd", ["cannot be opened", "BuilderConfig odd not found", "give a name from https"]),
    ],
)
def test_an_unknown_tfds_name_is_refused_in_one_line(toy, tmp_path, name, words):
    task = Images(f"tfds:{name}", tfds_dir=str(tmp_path))
    refused(lambda: task.search_data(0), f"tfds:{name}", *words)
    with pytest.raises(ValueError, match=r"\A[^\n]*\Z"):
        task.search_data(0)


def test_a_tfds_set_of_another_form_is_refused(toy, tmp_path):
    from tensorflow_datasets import features

    x = arrays(shape=(6, 5, 3))["x_train"]
    image, label = features.Image(), features.ClassLabel(num_classes=4)
    mixed, names, many = {"image": image, "label": label}, {"photo": image, "kind": label}, features.Sequence(label)
    write_tfds(tmp_path, "Mixed", {"train": ([x[0], x[1, :4]], [0, 1])}, mixed)
    write_tfds(tmp_path, "Names", {"train": (x[:1], [0])}, names)
    write_tfds(tmp_path, "Many", {"train": (x[:1], [[0, 1]])}, {"image": image, "label": many})
    read = lambda name: lambda: Images(f"tfds:{name}", tfds_dir=str(tmp_path)).search_data(0)
    refused(read("mixed"), "tfds:mixed: an image of shape", "(6, 5, 3)", "(4, 5, 3)", "must be alike")
    refused(read("names"), "tfds:names: features ['kind', 'photo']", "an 'image' and a 'label' are needed")
    refused(read("many"), "tfds:many: ", "one label each are needed")


def test_a_tfds_set_without_a_test_split_serves_a_search_only(toy, tmp_path):
    written = arrays(shape=(6, 5, 3))
    write_tfds(tmp_path, "OnlyTrain", {"train": (written["x_train"], written["y_train"])})
    task = Images("tfds:only_train", tfds_dir=str(tmp_path))
    assert len(task.search_data(0).train) == 36
    refused(lambda: task.final_data(0), "tfds:only_train has no test data", "--task.test 0.1")


def test_without_tensorflow_datasets_the_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    refused(lambda: Images("tfds:cifar10").search_data(0), "tfds:cifar10 needs TensorFlow Datasets", PACKAGES)


@pytest.mark.parametrize("package", ["array_record", "PIL"])
def test_without_what_reading_needs_the_packages_are_named(toy, package):
    said = fresh_process(
        f"sys.modules[{package!r}] = None\n"
        f"try: Images('tfds:toy_images', tfds_dir={str(toy[0])!r}).search_data(0)\n"
        "except ValueError as error: print(error)"
    )
    assert "tfds:toy_images cannot be read" in said
    assert PACKAGES in said
