"""Final training on disk: killed and continued, and what is said of checkpoints that do not fit."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from finals import CHAIN, CONFIG, EXPERIMENT, TRIAL, StoppedError, files, final, stop_after, timeless, trial_of

from jaxnas.checkpoint import Checkpoints
from jaxnas.children.chain.architecture import Chain, ConvLayer
from jaxnas.cli import main
from jaxnas.evaluators import Train
from jaxnas.final import checkpoints, train_final
from jaxnas.ledger import Ledger
from jaxnas.record import begin
from jaxnas.settings import describe
from jaxnas.setup import load
from jaxnas.tasks import Digits
from jaxnas.tasks.classification import Augment
from jaxnas.trained import load_trained


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """The directory and the result of three seeds, trained together."""
    workdir = tmp_path_factory.mktemp("three")
    return workdir, train_final(final(seeds=3), workdir, TRIAL)


def test_a_finished_training_is_one_checkpoint_without_the_optimiser(three):
    place = checkpoints(three[0], TRIAL)
    assert [path.name for path in place.folder.iterdir()] == ["epoch-3"]
    assert set(place.arrays()) == {"learnt-network-parameters", "learnt-network-statistics", "alive"}


def test_without_a_final_training_the_command_is_named(tmp_path):
    with pytest.raises(ValueError, match=rf"no trained network .*: `python -m jaxnas final {tmp_path} --trial 7`"):
        load_trained(EXPERIMENT, tmp_path, TRIAL)


def test_training_goes_on_from_a_checkpoint_between_others(three, tmp_path):
    """Kept after two of three epochs, stopped in the third: bit for bit the result of the one that ran through."""
    workdir, expected = three
    with pytest.raises(StoppedError):
        train_final(final(seeds=3, save_every=2), tmp_path, TRIAL, stop_after(3))
    place = checkpoints(tmp_path, TRIAL)
    assert place.epochs() == 2
    with pytest.raises(ValueError, match=r"is not finished \(2 epochs are done\)"):
        load_trained(EXPERIMENT, tmp_path, TRIAL)
    told = []
    found = train_final(final(seeds=3), tmp_path, TRIAL, lambda progress: told.append(progress.epoch))
    assert timeless(found) == timeless(expected)
    assert 1 not in told
    for name, array in checkpoints(workdir, TRIAL).arrays().items():
        np.testing.assert_array_equal(place.arrays()[name], array)


@pytest.fixture
def begun(tmp_path):
    """A directory in which a training was stopped after its second epoch."""
    with pytest.raises(StoppedError):
        train_final(EXPERIMENT, tmp_path, TRIAL, stop_after(2))
    return tmp_path


def refused(experiment, workdir, trial, words):
    """One clear error, and every file is as it was."""
    before = files(workdir)
    with pytest.raises(ValueError, match=words):
        train_final(experiment, workdir, trial)
    assert files(workdir) == before
    assert before


def test_a_checkpoint_of_something_else_is_refused_and_nothing_is_lost(begun):
    other = Chain((CHAIN.layers[0], ConvLayer((3, 3), 8)))
    refused(EXPERIMENT, begun, trial_of(other), "holds a training of another architecture: move that folder away")
    words = "holds a training with other settings:\n  final.train.epochs: 3 there, 4 now\n"
    refused(final(train=Train(epochs=4)), begun, TRIAL, words)
    refused(final(width=2.0), begun, TRIAL, "final.width: 1.0 there, 2.0 now")
    refused(final(label_smoothing=0.1), begun, TRIAL, "task.label_smoothing: 0.0 there, 0.1 now")
    refused(replace(EXPERIMENT, seed=6), begun, TRIAL, "seed: 5 there, 6 now")


def test_a_checkpoint_of_other_data_is_refused(begun, monkeypatch):
    real = Digits.final_data
    less = lambda self, seed: replace(real(self, seed), train=real(self, seed).train[:1400])
    monkeypatch.setattr(Digits, "final_data", less)
    refused(EXPERIMENT, begun, TRIAL, "holds a training with other data:\n  train: 1438 there, 1400 now")


def change_bytes(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    middle = len(raw) // 2
    raw[middle : middle + 8] = bytes(byte ^ 0xFF for byte in raw[middle : middle + 8])
    path.write_bytes(raw)


def empty(path: Path) -> None:
    path.write_text("{}")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [change_bytes, cut_short, empty, Path.unlink])
@pytest.mark.parametrize("part", ["arrays", "about"])
def test_a_damaged_checkpoint_is_refused_and_nothing_is_lost(begun, damage, part):
    folder = begun / "final" / "7" / "epoch-2"
    (found,) = (folder / "arrays" / "d").iterdir() if part == "arrays" else [folder / part / "metadata"]
    damage(found)
    refused(EXPERIMENT, begun, TRIAL, r"final/7/epoch-2 is damaged \(.*: move that folder away")


def test_what_a_kill_leaves_of_a_checkpoint_is_passed_over_and_cleared(begun):
    folder = begun / "final" / "7"
    (folder / "epoch-3.orbax-checkpoint-tmp" / "arrays").mkdir(parents=True)
    (folder / "epoch-1").mkdir()  # its removal had begun
    (folder / "notes").mkdir()  # the user's
    train_final(EXPERIMENT, begun, TRIAL)
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-3", "notes"]


@pytest.mark.parametrize(
    ("part", "value"),
    [("facts", 3), ("facts", None)]
    + [("arrays", a) for a in (3, [], {"a": 3}, {"a": ["float99", [2]]}, {"a": ["uint8", 3]}, {"a": ["uint8", [-1]]})],
)
def test_a_checkpoint_that_describes_itself_otherwise_is_refused_and_stays(tmp_path, part, value):
    place = Checkpoints(tmp_path)
    place.save(1, {"a": np.arange(3)}, {"b": 1})
    about = tmp_path / "epoch-1" / "about" / "metadata"
    about.write_text(json.dumps(json.loads(about.read_text()) | {part: value}))
    before = about.read_bytes()
    with pytest.raises(ValueError, match=r"epoch-1 is damaged \(what it says of itself has another form\): move"):
        place.arrays()
    assert about.read_bytes() == before


def test_checkpoints_keep_every_kind_of_array(tmp_path):
    place = Checkpoints(tmp_path / "here")
    tree = {"a": np.float32(1.5), "b": (np.arange(6, dtype=np.int32).reshape(2, 3), jnp.zeros((2, 0))), "c": [True]}
    tree["c"] = np.array([True, False])
    place.save(4, tree, {"x": [1, None]})
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), a.dtype), tree)
    found = place.restore(like)
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(tree), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, np.shape(b))
        np.testing.assert_array_equal(a, b)
    assert (place.epochs(), place.facts()) == (4, {"x": [1, None]})
    with pytest.raises(ValueError, match="another architecture"):
        place.restore(like | {"a": jax.ShapeDtypeStruct((2,), np.float32)})
    place.remove()
    assert (place.epochs(), place.facts(), place.folder.exists()) == (None, None, False)


# The command, killed and continued.


@pytest.fixture
def searched(tmp_path) -> Path:
    """The directory of a search: two good trials of one architecture, and one that diverged."""
    config, workdir = tmp_path / "tiny.py", tmp_path / "run"
    config.write_text(CONFIG)
    workdir.mkdir()
    ledger = Ledger(workdir, write=True)
    origin = {"config": str(config), "directory": str(tmp_path), "source": CONFIG, "overrides": []}
    begin(replace(EXPERIMENT, rounds=2), ledger, None, origin, print)
    ledger.append([trial_of(CHAIN, 0), trial_of(CHAIN, 1), trial_of(CHAIN, 2, "diverged")])
    ledger.close()
    return workdir


EPOCHS = 14
LONG = f"--final.train.epochs {EPOCHS} --final.seeds 2 --final.train.optimiser.schedule step".split()


def start(workdir: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "jaxnas", "final", str(workdir), "--trial", "0", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_when(process: subprocess.Popen, place: Checkpoints, epochs: int) -> int:
    """SIGKILL as soon as so many epochs are kept; how many are then."""
    deadline = time.monotonic() + 120
    while (place.epochs() or 0) < epochs:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return place.epochs()


def test_a_killed_training_goes_on_to_the_same_bits(searched, tmp_path):
    trial, place = Ledger(searched).trial(0), Checkpoints(searched / "final" / "0")
    killed = kill_when(start(searched, *LONG), place, 3)
    assert 3 <= killed < EPOCHS
    assert "final:0" not in Ledger(searched).facts()
    process = start(searched, *LONG)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert f"going on after epoch {killed} of {EPOCHS}" in out
    assert f"epoch {EPOCHS}/{EPOCHS}  " in out
    assert "test scores of 2 seeds 0." in out
    experiment, _ = load(searched.parent / "tiny.py", LONG)
    expected = train_final(experiment, tmp_path, trial)
    assert timeless(Ledger(searched).facts()["final:0"]) == timeless(expected)
    for name, array in checkpoints(tmp_path, trial).arrays().items():
        np.testing.assert_array_equal(place.arrays()[name], array)


def test_settings_on_the_command_line(searched, capsys):
    """They hold for this training alone; what is not named stays as the search has it."""
    given = ["--final.train.epochs", "1", "--final.augment.cutout", "3", "--final.width", "2"]
    assert main(["final", str(searched), "--trial", "1", *given]) == 0
    assert "test score 0." in capsys.readouterr().out
    result = Ledger(searched).facts()["final:1"]
    assert result["settings"]["augment"] == describe(Augment(pad=1, cutout=3))
    assert (result["settings"]["width"], result["epochs"]) == (2, 1)
    before = files(searched / "final")
    assert main(["final", str(searched), "--trial", "1", *given]) == 0
    assert "the test score is read only once" in capsys.readouterr().out
    assert main(["final", str(searched), "--trial", "1"]) == 2
    said = capsys.readouterr().err
    assert "a finished training with other settings" in said
    assert "final.width: 2.0 there, 1.0 now" in said
    assert files(searched / "final") == before
    assert Ledger(searched).facts()["final:1"] == result


def test_a_result_whose_files_were_moved_away_stays_in_the_ledger(searched, tmp_path):
    one = f"final {searched} --trial 1 --final.train.optimiser.schedule constant --final.train.epochs".split()
    assert main([*one, "1"]) == 0
    former = Ledger(searched).facts()["final:1"]
    (searched / "final" / "1").rename(tmp_path / "former")
    assert main([*one, "2"]) == 0
    facts = Ledger(searched).facts()
    assert facts["final:1:1"] == former
    assert facts["final:1"]["epochs"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task.validation", "0.5"), "unknown arguments --task.validation"),
        (("--final.widht", "2"), "did you mean --final.width"),
        (("--final.width", "-2"), "width=-2.0: give a number above 0"),
        (("--final.train.optimiser.drops", "0.9", "0.1"), "drops=(0.9, 0.1): give ascending shares"),
        (("--trial", "9"), "there is no trial 9"),
        (("--trial", "2"), "trial 2 diverged in the search: choose one that has a score"),
    ],
)
def test_a_mistake_gets_one_clear_message(searched, capsys, arguments, message):
    try:
        status = main(["final", str(searched), *arguments])
    except SystemExit as stop:  # how tyro ends
        status = stop.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert not (searched / "final").exists()
    assert [name for name in Ledger(searched).facts() if name.startswith("final:")] == []


def test_a_full_disk_stops_with_one_line_and_the_same_command_goes_on(searched):
    """Files may grow no further than 64 kB (RLIMIT_FSIZE), which is less than this network takes."""
    limit = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, resource.RLIM_INFINITY)); "
    limit += "from jaxnas.cli import main; sys.exit(main(sys.argv[1:]))"
    given = "--trial 0 --final.width 16 --final.train.epochs 1 --final.train.batch-size 256"
    arguments = ["final", str(searched), *given.split()]
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, "-c", limit, *arguments]
    full = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert full.returncode == 1, full.stderr
    assert "final/0/epoch-1 cannot be written" in full.stderr
    assert "Traceback" not in full.stderr
    assert list((searched / "final" / "0").iterdir()) == []
    assert main(arguments) == 0
