"""The README beside an export is followed to the letter, on raw test images, where there is no jaxnas."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from exported import BLOCK, made_up
from plain import CHAINS, SPACE

from jaxnas.evaluators import Train
from jaxnas.experiment import Experiment
from jaxnas.export import export
from jaxnas.final import Final, train_final
from jaxnas.ledger import Ledger
from jaxnas.numerics import NUMERICS
from jaxnas.outcome import Trial
from jaxnas.spaces import ChainCNN
from jaxnas.tasks import Digits, Images
from jaxnas.trained import load_trained

FASHION = Path(__file__).parents[2] / "shared" / "data" / "fashion-mnist"
FOLLOW = """
import json
import pathlib

import numpy as np

given, shown = np.load("images.npy"), []
names = {"images": given, "print": lambda *words: shown.append(words[0])}
found = []
for block in pathlib.Path("README.md").read_text().split("```python")[1:]:
    exec(block.split("```")[0], names)
    if "logits" in names:
        found.append(np.asarray(names.pop("logits")).argmax(-1).tolist())
print(json.dumps({"found": found, "shown": [str(word) for word in shown[0]]}))
"""


def floats(folder: Path) -> Images:
    """Some of the digits as floats -1..1, with labels from 1 to 10."""
    data = Digits().final_data(0)
    parts = {"train": data.train[np.arange(500)], "test": data.held_out}
    arrays = {f"x_{part}": (some.images / 8 - 1).astype(np.float32) for part, some in parts.items()}
    np.savez(folder / "floats.npz", **arrays, **{f"y_{part}": some.labels + 1 for part, some in parts.items()})
    return Images(str(folder / "floats.npz"))


TASKS = {
    "digits": lambda folder: Digits(),
    "floats": floats,
    "fashion-mnist": lambda folder: Images(str(FASHION), limit=2000),
}


@pytest.mark.parametrize("name", TASKS)
def test_the_page_gives_the_recorded_score_with_raw_images(name, tmp_path):
    if name == "fashion-mnist" and not FASHION.is_dir():
        pytest.skip("Fashion-MNIST is not here")
    task, space = TASKS[name](tmp_path), ChainCNN(layers=2, kernel_heights=(3,), kernel_widths=(3,), filters=(4, 8))
    experiment = Experiment(space, task, final=Final(Train(epochs=8 if name == "fashion-mnist" else 20, batch_size=32)))
    data, tokens = task.final_data(0), np.array([0, 0, 1, 0, 0, 0], np.int32)[: len(space.decisions)]
    children = space.children(data.input_shape, data.classes)
    trial = Trial(
        3, 0, tuple(tokens.tolist()), children.describe(space.decode(tokens)), "ok", 0.5, 0.5, (0.5,), 1, 1, 1.0, 1
    )
    ledger = Ledger(tmp_path, write=True)
    ledger.append([trial])
    ledger.record(numerics=NUMERICS)
    ledger.close()
    result = train_final(experiment, tmp_path, 3)
    folder = tmp_path / "out"
    export(load_trained(experiment, tmp_path, 3), folder)
    np.save(folder / "images.npy", np.asarray(data.held_out.images))  # as stored, nothing done to them
    followed = follow(folder, tmp_path)
    labels = np.asarray(data.held_out.labels)
    assert len(followed["found"]) == 2
    for found in followed["found"]:  # by network.py and by the program
        assert np.mean(np.array(found) == labels) == pytest.approx(result["test_score"], abs=2e-4)
    assert result["test_score"] > 0.3  # three times what chance gives
    about = json.loads((folder / "architecture.json").read_text())["images"]
    images = np.asarray(data.train.images)
    assert about["range"] == [images.min(), images.max()]
    assert about["dtype"] == images.dtype
    if name == "floats":
        assert about["class_names"] == [str(label) for label in range(1, 11)]
    names = about["class_names"] or range(data.classes)
    assert followed["shown"] == [str(names[label]) for label in followed["found"][0]]


def follow(folder: Path, place: Path) -> dict:
    (place / "sitecustomize.py").write_text(BLOCK)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(place), str(folder)])}
    command = [sys.executable, "-c", FOLLOW]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def module(tmp_path_factory) -> dict:
    """What network.py defines, of images 6 x 5 of values 0..16 and classes with odd names."""
    made = made_up(SPACE.children((6, 5, 1), 5), CHAINS["shallow"])
    names = ['a "quoted" one', "@LAYERS@", "{x}", "é\n", "```"]
    folder = tmp_path_factory.mktemp("out") / "out"
    export(replace(made, data=made.data | {"range": [0, 16], "class_names": names}), folder)
    text = (folder / "network.py").read_text()
    found = {"__name__": "network", "__file__": str(folder / "network.py")}
    exec(compile(text, "network.py", "exec"), found)
    assert list(found["CLASS_NAMES"]) == names
    assert "0..255" not in text + (folder / "README.md").read_text()
    return found


GOOD = np.random.default_rng(0).integers(0, 17, (3, 6, 5, 1)).astype(np.uint8)
REFUSED = {
    "0 to 1": (GOOD / 16, "values 0 to 1: expected .*0..16; multiply them by 16"),
    "0 to 255": (GOOD * 15.0, "values 0 to 240: expected .* values 0..16"),
    "normalised": ((GOOD - 8.0) / 4, "values -2 to 2: expected"),
    "not a number": (np.where(np.isin(GOOD, GOOD.max()), np.nan, GOOD), "values nan to nan"),
    "channels first": (
        GOOD.transpose(0, 3, 1, 2),
        r"shape \[3, 1, 6, 5\]: expected \[b, 6, 5, 1\].*transpose\(0, 2, 3, 1\)",
    ),
    "one image": (GOOD[0], r"images\[None\] makes a batch"),
    "no channels": (GOOD[..., 0], r"images\[..., None\] adds"),
    "another size": (np.zeros((3, 8, 8, 1)), r"shape \[3, 8, 8, 1\]: expected \[b, 6, 5, 1\]"),
    "yes and no": (GOOD > 3, "type bool"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_module_refuses_images_of_another_kind(name, module):
    images, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as error:
        module["load"]()(images)
    assert "\n" not in str(error.value)


def test_the_module_takes_what_it_has_learnt_from_in_every_form(module):
    """Whole numbers, floats, dark images, black ones, a little beyond the greatest; traced, shapes alone are seen."""
    network = module["load"]()
    wanted = np.asarray(network(GOOD))
    for images in (GOOD.astype(np.float32), GOOD.astype(np.int64), GOOD.astype(np.float64), jax.numpy.asarray(GOOD)):
        np.testing.assert_allclose(network(images), wanted, rtol=1e-5, atol=1e-5)
    for images in (GOOD.clip(0, 1), GOOD * 0, GOOD * 0.0, GOOD + 3, GOOD[:0]):
        assert network(images).shape == (len(images), 5)
    assert jax.jit(lambda x: network(x))(GOOD / 16.0).shape == (3, 5)
    with pytest.raises(ValueError, match="channels last"):
        jax.jit(lambda x: network(x))(GOOD.transpose(0, 3, 1, 2))


FLOATS = np.random.default_rng(0).uniform(-2, 2.5, (3, 6, 5, 1)).astype(np.float32)


def test_floats_are_taken_in_their_own_range_and_in_no_other(tmp_path):
    """Standardised images: a batch that is dark all over is none of 0..1; grey levels and wide outliers are refused."""
    made = made_up(SPACE.children((6, 5, 1), 5), CHAINS["shallow"])
    export(replace(made, data=made.data | {"range": [-2.0, 2.5], "dtype": "float32"}), tmp_path / "out")
    page, found = (
        (tmp_path / "out" / "README.md").read_text(),
        {"__name__": "n", "__file__": str(tmp_path / "out" / "n")},
    )
    assert "-2..2.5, as in the float32 images that this network has learnt from; other scales, such as 0..255" in page
    exec(compile((tmp_path / "out" / "network.py").read_text(), "network.py", "exec"), found)
    network = found["load"]()
    for images in (FLOATS, FLOATS.clip(0, 1), 1.5 * FLOATS):
        assert network(images).shape == (3, 5)
    for images in (GOOD * 15.0, FLOATS * 4, np.where(FLOATS > 0, np.nan, FLOATS)):
        with pytest.raises(ValueError, match=r"expected \[b, 6, 5, 1\], values -2..2.5"):
            network(images)


def test_a_training_that_did_not_record_its_images_is_refused(tmp_path):
    made = made_up(SPACE.children((6, 5, 1), 5), CHAINS["shallow"])
    del made.data["range"]
    with pytest.raises(ValueError, match="before the range of its images was recorded.*final. again"):
        export(made, tmp_path / "out")
