"""NATS-Bench's official files, as its own `state_dict` and `pickle_save` write them: read without running anything.

The real archive is not here; its three example files (architectures 0, 11 and 284) have been read by hand and agree.
"""

import bz2
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest

from jaxnas.tables import nats
from jaxnas.tables.nats import load, read_architecture, read_folder

ARCHITECTURES = [
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
]
EVERY, LAST = range, lambda epochs: [epochs - 1]
PARTS = {  # data set -> part -> the epochs after which it was scored in the 200-epoch training
    "cifar10-valid": {"x-valid": EVERY, "ori-test": LAST},
    "cifar10": {"ori-test": EVERY},
    "cifar100": {"ori-test": EVERY, "x-valid": LAST, "x-test": LAST},
    "ImageNet16-120": {"ori-test": EVERY, "x-valid": LAST, "x-test": LAST},
}


def score(arch, data, seed, part, epoch) -> float:
    """Any number in 0..100 that differs with all of these."""
    return (arch * 31 + list(PARTS).index(data) * 17 + seed * 7 + len(part) * 3 + epoch * 0.25) % 100


def training(arch: int, data: str, seed: int, epochs: int) -> dict:
    """What `ResultsCount.state_dict` gives, without losses of the training data."""
    scored = {
        f"{part}@{epoch}": score(arch, data, seed, part, epoch)
        for part, which in PARTS[data].items()
        for epoch in which(epochs)
    }
    return {
        "name": data,
        "net_state_dict": None,
        "train_acc1es": {epoch: 50.0 for epoch in range(epochs)},
        "train_acc5es": None,
        "train_times": OrderedDict((epoch, 0.5 * (arch + 1)) for epoch in range(epochs)),
        "arch_config": {"channel": 16, "num_cells": 5, "arch_str": ARCHITECTURES[arch], "class_num": 10},
        "params": np.float64(0.1 * (arch + 1)),
        "flop": 20.0 + arch + (seed == 999) * (arch == 1),  # the second's are inconsistent
        "seed": seed,
        "epochs": epochs,
        "latency": [np.float64(0.01)],
        "eval_names": [*PARTS[data]],
        "eval_acc1es": scored,
        "eval_times": dict.fromkeys(scored, 0.1),
        "eval_losses": dict.fromkeys(scored, 1.0),
    }


def results(arch: int, epochs: int, seeds: dict[str, list[int]]) -> dict:
    """What `ArchResults.state_dict` gives."""
    every = {(data, seed): training(arch, data, seed, epochs) for data in PARTS for seed in seeds[data]}
    return {
        "arch_index": arch,
        "arch_str": ARCHITECTURES[arch],
        "all_results": every,
        "dataset_seed": seeds,
        "clear_net_done": True,
    }


SHORT = dict.fromkeys(PARTS, [111]) | {"cifar10-valid": [111, 777]}
LONG = [dict.fromkeys(PARTS, seeds) for seeds in ([777, 888, 999], [777, 888, 999], [777, 999])]


def write(path, content) -> None:
    """As `pickle_save` does."""
    with bz2.BZ2File(path, "wb") as file:
        pickle.dump(content, file, protocol=4)


def content(arch: int) -> OrderedDict:
    return OrderedDict((("12", results(arch, 12, SHORT)), ("200", results(arch, 200, LONG[arch]))))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "NATS-tss-v1_0-3ffb9-simple"
    path.mkdir()
    meta = {"meta_archs": ARCHITECTURES, "total_archs": 3, "arch2infos": None, "evaluated_indexes": set()}
    write(path / "meta.pickle.pbz2", meta)
    for arch in range(3):
        write(path / f"{arch:06d}.pickle.pbz2", content(arch))
    return path


def test_every_column_is_what_its_name_says(folder):
    table = read_folder(folder)
    assert table["arch"].tolist() == ARCHITECTURES
    assert table["index"].tolist() == [0, 1, 2]
    assert table["n_seeds_200"].tolist() == [3, 3, 2]
    assert {len(column) for column in table.values()} == {3}
    assert not any(column.dtype == object for column in table.values())
    of = lambda arch, data, seeds, part, epochs: np.mean([score(arch, data, s, part, epochs - 1) for s in seeds])
    for arch in range(3):
        long = LONG[arch]["cifar10"]
        right = {
            "c10valid_val_12": of(arch, "cifar10-valid", [111, 777], "x-valid", 12),
            "c10_test_12": of(arch, "cifar10", [111], "ori-test", 12),
            "c100_val_12": of(arch, "cifar100", [111], "x-valid", 12),
            "in16_test_12": of(arch, "ImageNet16-120", [111], "x-test", 12),
            "c10valid_val_200": of(arch, "cifar10-valid", long, "x-valid", 200),
            "c10_test_200": of(arch, "cifar10", long, "ori-test", 200),
            "c100_test_200": of(arch, "cifar100", long, "x-test", 200),
            "in16_val_200": of(arch, "ImageNet16-120", long, "x-valid", 200),
            "c100_valtest_200_s999": of(arch, "cifar100", [999], "ori-test", 200),
            "c10valid_val_200_s777": of(arch, "cifar10-valid", [777], "x-valid", 200),
            "train_s_12_c100": 12 * 0.5 * (arch + 1),
            "train_s_200_c10valid": 200 * 0.5 * (arch + 1),
            "params_m_in16": 0.1 * (arch + 1),
            "flops_m_c10": 20.0 + arch,
        }
        assert {name: table[name][arch] for name in right} == pytest.approx(right)
    assert np.isnan(table["c10valid_val_200_s888"]).tolist() == [False, False, True]


def test_the_columns_are_those_of_the_table_that_it_stands_for(folder):
    names = [f"{name}_{epochs}" for epochs in (12, 200) for name in nats.SCORED]
    names += [f"{name}_200_s{seed}" for name in nats.BY_SEED for seed in (777, 888, 999)]
    names += [f"train_s_{epochs}_{data}" for epochs in (12, 200) for data in ("c10valid", "c100", "in16")]
    names += [f"{name}_{data}" for name in ("params_m", "flops_m") for data in ("c10", "c100", "in16")]
    assert list(read_folder(folder)) == ["index", "arch", "n_seeds_200", *names]


def test_numbers_may_be_numpys(tmp_path):
    """Scalars and arrays of either byte order come as numbers; in the old and in the new name of numpy's module."""
    values = {"a": np.float32(1.5), "b": np.arange(6, dtype=">i2").reshape(2, 3), "c": np.asfortranarray(np.eye(3))}
    write(tmp_path / "new", values | {"d": np.bool_(True), "e": np.int64(7)})
    found = load(tmp_path / "new")
    assert (found["a"], found["d"], found["e"]) == (1.5, True, 7)
    np.testing.assert_array_equal(np.asarray(found["b"]), values["b"])
    np.testing.assert_array_equal(np.asarray(found["c"]), values["c"])
    old = b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'f8'\nI00\nI01\ntRC\x08" + struct.pack("<d", 2.5) + b"tR."
    (tmp_path / "old").write_bytes(bz2.compress(old))
    assert load(tmp_path / "old") == pickle.loads(old) == 2.5


class Harm:
    """Unpickled by `pickle.load`, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_file_that_would_run_code_is_refused_and_nothing_runs(folder, tmp_path):
    harmful = content(1)
    harmful["200"]["all_results"]["cifar10", 777]["latency"] = Harm(tmp_path / "harm")
    write(folder / "000001.pickle.pbz2", harmful)
    with pytest.raises(ValueError, match=r"000001.pickle.pbz2 names (_io|io).open, which is no plain data"):
        read_folder(folder)
    assert not (tmp_path / "harm").exists()
    with bz2.open(folder / "000001.pickle.pbz2") as file:
        pickle.load(file)["200"]["all_results"]["cifar10", 777]["latency"].close()
    assert (tmp_path / "harm").exists()  # it would have


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"cos\nsystem\n(S'exit 1'\ntR.", "names os.system"),
        (b"\x80\x04cbuiltins\neval\n.", "names builtins.eval"),
        (pickle.dumps(np.array([{}]), protocol=4), "numbers of kind 'O8'"),
        (pickle.dumps(np.dtype("V8"), protocol=4), "numbers of kind 'V8'"),
        (b"\x80\x04P1\n.", "is damaged"),  # a persistent id
        (b"", "is damaged"),
        (b"\x80\x04]", "is damaged"),
        (b"\x80\x04q\xff.", "is damaged"),
    ],
)
def test_what_is_no_plain_data_is_refused(tmp_path, raw, message):
    (tmp_path / "x").write_bytes(bz2.compress(raw))
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "x")


def test_what_a_file_would_set_up_in_a_dtype_is_ignored(tmp_path):
    """numpy's own would take the flags that a file gives it, and with them bytes for addresses."""
    raw = pickle.dumps(np.float64(1.0), protocol=4)
    flagged = raw.replace(b"K\x00t\x94b", b"K\x3ft\x94b")
    assert flagged != raw
    (tmp_path / "x").write_bytes(bz2.compress(flagged))
    assert load(tmp_path / "x") == 1.0


def test_damage_is_named(folder):
    file = folder / "000002.pickle.pbz2"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"000002.pickle.pbz2 is damaged"):
        read_folder(folder)
    file.write_bytes(b"no bzip2")
    with pytest.raises(ValueError, match=r"000002.pickle.pbz2 is damaged"):
        read_folder(folder)
    file.unlink()
    with pytest.raises(ValueError, match="lacks 1 of 3 files, the first is 000002"):
        read_folder(folder)
    (folder / "meta.pickle.pbz2").unlink()
    with pytest.raises(ValueError, match=r"has no meta.pickle.pbz2: give the folder NATS-tss-v1_0-3ffb9-simple"):
        read_folder(folder)


def test_another_layout_is_named(folder, monkeypatch):
    file = folder / "000000.pickle.pbz2"
    write(file, OrderedDict((("01", {}), ("90", {}))))  # the size space's trainings
    with pytest.raises(ValueError, match="holds no '12'"):
        read_architecture(file)
    short = content(0)
    del short["200"]["all_results"]["cifar100", 888]
    write(file, short)
    with pytest.raises(ValueError, match="has another layout than NATS-tss"):
        read_architecture(file)
    write(file, content(1))
    with pytest.raises(ValueError, match=r"000000.pickle.pbz2 is of \|nor_conv_3x3~0\|"):
        read_folder(folder)
    monkeypatch.setattr(nats, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="unpacks to more than 1,000 bytes"):
        load(file)
