"""Folders of pictures: which are read and as what, what is kept of them, and what is said of what cannot be."""

import io
import os
import shutil
import warnings
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from data_sets import write_npz
from PIL import Image
from refusals import refused

from jaxnas import caches
from jaxnas.setup import load
from jaxnas.tasks import Images, picture_files, pictures

CLASSES = ("cat", "dog", "owl")
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """The user's cache directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "jaxnas" / "pictures"


def pixels(shape=(6, 5, 3), number=4, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (number, *shape), np.uint8)


def save(path: Path, picture, **settings) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path, **settings)
    return path


def write(folder: Path, shape=(6, 5, 3), number=4, ending="png", classes=CLASSES) -> dict[str, np.ndarray]:
    """A folder for each class; their pictures by name."""
    made = {name: pixels(shape, number, seed) for seed, name in enumerate(classes)}
    for name, some in made.items():
        for i, picture in enumerate(some):
            save(folder / name / f"{i}.{ending}", picture)
    return made


def same(examples, made) -> bool:
    """Whether these are the pictures of each class, in any order."""
    wanted = sorted((label, p.tobytes()) for label, name in enumerate(sorted(made)) for p in made[name])
    return sorted(zip(examples.labels.tolist(), map(np.ndarray.tobytes, examples.images), strict=True)) == wanted


# What is read


def test_a_folder_for_each_part_is_read_as_it_was_written(tmp_path, monkeypatch):
    train, test = write(tmp_path / "set" / "train"), write(tmp_path / "set" / "Testing", number=2)
    data = Images(str(tmp_path / "set")).final_data(0)
    assert same(data.train, train)
    assert same(data.held_out, test)
    assert (data.class_names, data.classes, data.input_shape, data.notes) == (CLASSES, 3, (6, 5, 3), ())
    assert (data.train.images.dtype, data.train.labels.dtype) == (np.uint8, np.int32)
    assert data.train.labels.tolist() == sorted(data.train.labels)
    shutil.rmtree(tmp_path / "set" / "Testing" / "owl")  # which a search does not look at
    search = Images(str(tmp_path / "set"), validation=0.25).search_data(0)
    assert (len(search.train), len(search.held_out)) == (9, 3)
    monkeypatch.chdir(tmp_path)
    assert Images("set", validation=0.25).search_data(0).facts() == search.facts()


def test_classes_alone_are_split_by_the_settings(tmp_path):
    made = write(tmp_path / "set", number=10, shape=(4, 4))
    task = Images(str(tmp_path / "set"), test=0.2)
    task.check_final()
    data = task.final_data(0)
    assert np.bincount(data.held_out.labels).tolist() == [2, 2, 2]
    assert data.input_shape == (4, 4, 1)
    both = type(data.train)(
        *(np.concatenate([getattr(p, name) for p in (data.train, data.held_out)]) for name in ("images", "labels"))
    )
    assert same(both, made)
    refused(
        Images(str(tmp_path / "set")).check_final, "has no test data", "pictures: test/CLASS/*.png", "--task.test 0.1"
    )


def test_a_class_may_be_called_train(tmp_path):
    made = write(tmp_path / "set", classes=("car", "plane", "train"))
    data = Images(str(tmp_path / "set"), validation=0.25).search_data(0)
    assert data.class_names == tuple(made)


def test_other_files_are_passed_over_and_what_may_be_missed_is_said(tmp_path):
    made = write(tmp_path / "set" / "train")
    root = tmp_path / "set" / "train"
    for name in (".DS_Store", "cat/.DS_Store", "cat/Thumbs.db", "dog/desktop.ini", "cat/._0.png", ".hidden/0.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"no picture")
    data = Images(str(tmp_path / "set"), validation=0.25).search_data(0)
    assert data.notes == ()
    assert len(data.train) == 9
    made["owl"] = np.concatenate([made["owl"], pixels(number=1, seed=9)])
    save(root / "owl" / "more" / "deeper" / "9.PNG", made["owl"][-1])
    for name in ("cat/README.txt", "cat/a.heic", "dog/x", "loose.png"):
        (root / name).write_bytes(b"no picture")
    write(tmp_path / "set" / "val")
    save(tmp_path / "set" / "test" / "cat" / "0.png", pixels()[0])
    data = Images(str(tmp_path / "set"), validation=0.25).search_data(0)
    assert len(data.train) + len(data.held_out) == 13
    assert len(data.notes) == 2
    assert "'val' not read" in data.notes[0]
    assert (
        "4 files are no pictures of a class and were left out: 'loose.png', 'README.txt', 'a.heic', ..."
        in data.notes[1]
    )


GREY, COLOUR = pixels((6, 5), 1)[0], pixels((6, 5, 3), 1)[0]


def palette() -> Image.Image:
    """Index 0 is see-through, 1 red."""
    image = Image.fromarray(np.tile(np.array([[0, 1]], np.uint8), (2, 1)), "L").convert("P")
    image.putpalette([9, 9, 9, 200, 0, 0] + [0, 0, 0] * 254)
    return image


def paletted(picture: Image.Image, **settings) -> Image.Image:
    """Saved and opened again, so that it has the palette that a file has."""
    file = io.BytesIO()
    picture.save(file, "png", **settings)
    return Image.open(file)


WHITE, RED, SEEN = [255, 255, 255], [200, 0, 0], [9, 9, 9]
HALF = np.dstack([COLOUR, np.full((6, 5), 51, np.uint8)])
DEEP = np.array([[0, 257 * 100], [65535, 257 * 7 + 20]], np.uint16)
MODES = {
    "grey": (lambda: Image.fromarray(GREY), GREY),
    "rgb": (lambda: Image.fromarray(COLOUR), COLOUR),
    "rgb of grey pixels": (lambda: Image.fromarray(np.dstack([GREY] * 3)), GREY),
    "black and white": (lambda: Image.fromarray(GREY > 99), np.where(GREY > 99, 255, 0)),
    "palette": (lambda: paletted(palette()), [[SEEN, RED]] * 2),
    "palette with a hole": (lambda: paletted(palette(), transparency=0), [[WHITE, RED]] * 2),
    "palette of alphas": (lambda: paletted(palette(), transparency=b"\x00\xff"), [[WHITE, RED]] * 2),
    "alpha": (lambda: Image.fromarray(HALF), np.round(255 * 0.8 + 0.2 * COLOUR.astype(float))),
    "grey alpha": (lambda: Image.fromarray(np.dstack([GREY, GREY * 0]), "LA"), np.full((6, 5), 255)),
    "16 bits": (lambda: Image.fromarray(DEEP), [[0, 100], [255, 7]]),
    "32-bit whole numbers": (lambda: Image.fromarray(DEEP.astype(np.int32)), [[0, 100], [255, 7]]),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_grey_or_rgb(tmp_path, mode):
    make, wanted = MODES[mode]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, that the mode need not be said
        path = save(tmp_path / "x.tiff" if mode.startswith("32") else tmp_path / "x.png", make())
    found = picture_files.read(path, None, None)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found.astype(int), wanted, atol=1 if mode == "alpha" else 0)
    rgb, grey = (picture_files.read(path, None, colour) for colour in ("rgb", "grey"))
    np.testing.assert_array_equal(rgb, found if found.ndim == 3 else np.dstack([found] * 3))
    luma = rgb @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(grey, luma, atol=0.51)


@pytest.mark.parametrize("ending", ["png", "bmp", "gif", "webp", "tif", "tiff", "jpg", "jpeg", "ppm", "JPG"])
def test_every_usual_format_is_read(tmp_path, ending):
    smooth = np.add.outer(np.arange(0, 96, 4), np.arange(0, 64, 4)).astype(np.uint8)
    settings = {"lossless": True} if ending == "webp" else {}
    for name in CLASSES[:2]:
        for i in range(2):
            save(tmp_path / "set" / name / f"{i}.{ending}", smooth, **settings)
    data = Images(str(tmp_path / "set"), validation=0.5).search_data(0)
    assert data.input_shape == (24, 16, 1)
    np.testing.assert_allclose(data.train.images[0, ..., 0].astype(int), smooth, atol=4 if "j" in ending.lower() else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_the_camera_was_held(tmp_path, orientation):
    """By the table of the EXIF standard: where row 0 and column 0 of what is stored belong."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "x.png", GREY, exif=exif)
    turned = GREY.T if orientation > 4 else GREY
    rows, columns = (slice(None, None, -1 if orientation in some else 1) for some in ((3, 4, 7, 8), (2, 3, 6, 7)))
    np.testing.assert_array_equal(picture_files.read(path, None, None), turned[rows, columns])


def test_pictures_are_stretched_to_a_size(tmp_path):
    block = np.kron(GREY, np.ones((4, 4), np.uint8))
    save(tmp_path / "set" / "a" / "0.png", block)
    save(tmp_path / "set" / "a" / "1.png", GREY)
    save(tmp_path / "set" / "b" / "0.png", pixels((30, 11, 3), 1)[0])
    save(tmp_path / "set" / "b" / "1.jpg", pixels((301, 200, 3), 1)[0])
    source = str(tmp_path / "set")
    shape = lambda **settings: Images(source, validation=0.5, **settings).search_data(0).input_shape
    assert shape(size=7) == (7, 7, 3)
    assert shape(size=(6, 5)) == (6, 5, 3)
    assert shape(size=[6, 5], colour="grey") == (6, 5, 1)
    for name, size in {"a/0.png": (7, 11), "b/0.png": (13, 11), "a/1.png": (9, 20)}.items():  # JAX averages likewise
        exact = picture_files.read(tmp_path / "set" / name, None, "grey")
        found = picture_files.read(tmp_path / "set" / name, size, "grey")
        wanted = jax.image.resize(exact.astype(np.float32), size, "bilinear")
        np.testing.assert_allclose(found, wanted, atol=1.01)
    refused(lambda: shape(), "a/0.png' has 24 x 20 pixels", "a/1.png' 6 x 5", "--task.size 32")
    refused(
        lambda: Images(write_npz(tmp_path / "x.npz"), size=32).search_data(0), "size=(32, 32)", "no folder of pictures"
    )
    refused(
        lambda: Images(write_npz(tmp_path / "x.npz"), colour="rgb").search_data(0), "colour=rgb", "leave it at None"
    )


def test_the_settings_can_be_typed(tmp_path):
    config = tmp_path / "config.py"
    config.write_text(
        "from jaxnas.experiment import Experiment\nfrom jaxnas.spaces import ChainCNN\n"
        "from jaxnas.tasks import Images\n"
        "experiment = Experiment(ChainCNN(layers=1), Images('x'))\n"
    )
    task = lambda *words: load(config, list(words))[0].task
    assert task("--task.size", "32").size == 32
    assert task("--task.size", "32", "48", "--task.colour", "grey") == Images("x", size=(32, 48), colour="grey")
    refused(lambda: task("--task.colour", "blue"), "colour")


def test_test_pictures_have_the_colours_of_the_training_pictures(tmp_path):
    """Grey ones become rgb where those are; rgb ones beside grey ones are refused, since a search cannot know them."""
    write(tmp_path / "set" / "train")
    write(tmp_path / "set" / "test", shape=(6, 5))
    data = Images(str(tmp_path / "set")).final_data(0)
    assert data.held_out.images.shape == (12, 6, 5, 3)
    shutil.move(tmp_path / "set" / "train", tmp_path / "set" / "x")
    shutil.move(tmp_path / "set" / "test", tmp_path / "set" / "train")
    shutil.move(tmp_path / "set" / "x", tmp_path / "set" / "test")
    task = Images(str(tmp_path / "set"), validation=0.25)
    assert task.search_data(0).input_shape == (6, 5, 1)
    refused(lambda: task.final_data(0), "training images are (6, 5, 1), test images (6, 5, 3)", "--task.colour")
    assert Images(str(tmp_path / "set"), colour="grey").final_data(0).held_out.images.shape == (12, 6, 5, 1)


# What is refused


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("harm", [cut, lambda path: path.write_bytes(b""), lambda path: path.write_text("a picture")])
@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_a_picture_that_cannot_be_read_is_named(tmp_path, ending, harm):
    write(tmp_path / "set", shape=(40, 50, 3), number=2, ending=ending, classes=CLASSES[:2])
    path = tmp_path / "set" / "dog" / f"1.{ending}"
    harm(path)
    refused(lambda: Images(str(tmp_path / "set")).search_data(0), repr(str(path)), "cannot be read as a picture")


def test_pixels_that_do_not_fit_are_refused(tmp_path):
    path = save(tmp_path / "x.tiff", np.ones((2, 2), np.float32))
    refused(lambda: picture_files.read(path, None, None), "x.tiff' cannot be read", "floats or of more than 16 bits")
    path = save(tmp_path / "y.tiff", np.full((2, 2), 70_000, np.int32))
    refused(lambda: picture_files.read(path, None, None), "y.tiff' cannot be read", "more than 16 bits")


def test_folders_that_make_no_classes_are_refused(tmp_path):
    source = tmp_path / "set"
    read = lambda: Images(str(source), validation=0.25).search_data(0)
    write(source / "train", classes=("cat",))
    refused(read, f"{source / 'train'} has pictures of one class only ('cat')", "at least 2 folders")
    (source / "train" / "dog").mkdir()
    refused(read, f"{source / 'train' / 'dog'} has no pictures (found nothing)", "remove the folder")
    (source / "train" / "dog" / "a.txt").touch()
    refused(read, "dog has no pictures (found 'a.txt')")
    shutil.rmtree(source)
    write(source / "deeper")
    refused(read, "one class only ('deeper')", f"did you mean {source / 'deeper'}, with folders 'cat', 'dog', 'owl'")
    shutil.rmtree(source)
    source.mkdir()
    refused(read, f"{source}: found []", "train/CLASS/*.png", "train-images-idx3-ubyte")
    (source / "cat").mkdir()
    refused(read, "found ['cat']", "train/CLASS/*.png")
    refused(lambda: Images("/no/such/place").search_data(0), "train/CLASS/*.png")


@pytest.mark.parametrize("part", ["test", "Testing", "val"])
def test_another_part_is_never_a_class(tmp_path, part):
    """Law 8: nor would its pictures be learnt from."""
    source = tmp_path / "set"
    write(source)
    write(source / part, classes=CLASSES[:2])
    read = lambda: Images(str(source), validation=0.25).search_data(0)
    refused(read, f"{source / part} has folders of classes", f"move the classes to learn from into {source / 'train'}")
    for file in [*(source / part).rglob("*.png")]:  # a class after all
        file.rename(source / part / f"{file.parent.name}{file.name}")
    assert read().class_names == tuple(sorted((*CLASSES, part)))


def test_links_and_folders_that_cannot_be_read_are_said(tmp_path, monkeypatch):
    source = tmp_path / "set"
    write(source)
    write(tmp_path / "elsewhere", classes=("more",))
    (source / "cat" / "more").symlink_to(tmp_path / "elsewhere" / "more")
    (source / "lynx").symlink_to(tmp_path / "nowhere")
    read = lambda: Images(str(source), validation=0.25).search_data(0)
    [note] = read().notes
    assert "2 files are no pictures of a class and were left out: 'lynx', 'more'" in note
    (source / "dog" / "9.png").symlink_to(tmp_path / "nowhere")
    refused(read, f"'{source / 'dog' / '9.png'}' cannot be read (No such file or directory): mend it", "broken link")
    (source / "dog" / "9.png").unlink()
    (source / "dog" / "deeper").mkdir()

    def denied(place, real):
        if str(place).endswith("deeper"):
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", partial(denied, real=os.scandir))
    monkeypatch.setattr(os, "listdir", partial(denied, real=os.listdir))
    refused(read, f"'{source / 'dog' / 'deeper'}' cannot be read (Permission denied)")
    (source / "dog" / "deeper").rename(source / "deeper")
    refused(read, f"'{source / 'deeper'}' cannot be read (Permission denied)")


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_that_one_part_lacks_is_refused_before_a_search(tmp_path, part):
    source = tmp_path / "set"
    for name in ("train", "test"):
        write(source / name)
    shutil.rmtree(source / part / "dog")
    refused(Images(str(source)).check_final, f"{source / part}: there is no folder 'dog'", "the same classes")
    refused(lambda: Images(str(source)).final_data(0), "'dog'")


def test_what_does_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    write(tmp_path / "set")
    monkeypatch.setattr(pictures.archive.os, "sysconf", lambda name: 10)  # 100 bytes
    refused(lambda: Images(str(tmp_path / "set")).search_data(0), "with 12 pictures takes", "this computer has")


# What is kept


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """A folder of pictures, and how many have been decoded so far."""
    write(tmp_path / "set", number=4)
    decoded, read = [], picture_files.read
    monkeypatch.setattr(picture_files, "read", lambda file, *rest: decoded.append(file) or read(file, *rest))
    return tmp_path / "set", decoded


def task(folder) -> Images:
    return Images(str(folder), validation=0.25)


def test_pictures_are_decoded_once_until_one_changes(counted, cache):
    folder, decoded = counted
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    first, second = task(folder).search_data(0), task(folder).search_data(0)
    assert len(decoded) == 12
    np.testing.assert_array_equal(first.train.images, second.train.images)
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before  # nothing is written there
    assert len(list(cache.iterdir())) == 1
    path = folder / "dog" / "2.png"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    changed = pixels(number=1, seed=77)[0]
    save(path, changed)
    os.utime(path, ns=times)  # as by copying with its times
    found = task(folder).search_data(0)
    assert len(decoded) == 24
    assert changed.tobytes() in {image.tobytes() for part in (found.train, found.held_out) for image in part.images}
    path.unlink()
    found = task(folder).search_data(0)
    assert len(decoded) == 35
    assert len(found.train) + len(found.held_out) == 11
    assert len(list(cache.iterdir())) == 1  # of the former states nothing is left
    Images(str(folder), validation=0.25, colour="grey").search_data(0)
    assert len(list(cache.iterdir())) == 2
    assert task(folder).search_data(0).notes == ()
    assert len(decoded) == 46


@pytest.mark.parametrize("harm", ["cut", "changed", "text", "lacking"])
def test_a_damaged_file_of_the_cache_is_made_anew(counted, cache, harm):
    folder, decoded = counted
    first = task(folder).search_data(0)
    [path] = cache.iterdir()
    raw = path.read_bytes()
    middle = raw.index(first.train.images[0].tobytes()[:20])
    match harm:
        case "cut":
            path.write_bytes(raw[: len(raw) // 2])
        case "changed":
            path.write_bytes(raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :])
        case "text":
            path.write_text("no archive")
        case "lacking":
            np.savez(path, state=np.array("x"))
    second = task(folder).search_data(0)
    np.testing.assert_array_equal(first.train.images, second.train.images)
    assert len(decoded) == 24
    [note] = second.notes
    assert str(path) in note
    assert "were read anew" in note
    assert task(folder).search_data(0).notes == ()
    assert len(decoded) == 24


def test_without_a_cache_it_goes_on_and_says_so(counted, cache, monkeypatch):
    folder, decoded = counted
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    [note] = task(folder).search_data(0).notes
    assert f"pictures are read anew in each process: {cache} cannot be written" in note
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert caches.place("x") is None
    [note] = task(folder).search_data(0).notes
    assert "there is no home directory" in note
    assert len(decoded) == 24


def test_a_file_of_the_cache_that_cannot_be_written_leaves_nothing(counted, cache, monkeypatch):
    folder, _ = counted

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    [note] = task(folder).search_data(0).notes
    assert "cannot be written (No space left on device)" in note
    assert list(cache.iterdir()) == []
