"""The official files of NATS-Bench's topology space (NAS-Bench-201) as columns.

What is read is the folder "NATS-tss-v1_0-3ffb9-simple": `meta.pickle.pbz2` and a file `000000.pickle.pbz2` for each
architecture. Pickles can run code when they are read. These are read by a reader that knows plain data alone: nothing
that a file names is ever imported or called.

References:
    Dong et al., NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size, 2021
    (https://arxiv.org/abs/2009.00437); the layout: `nats_bench/api_topology.py` and `api_utils.py` in
    https://github.com/D-X-Y/NATS-Bench.

Letters: R architectures.
"""

import bz2
import io
import math
import pickle
import statistics
from collections import OrderedDict
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

FOLDER = "NATS-tss-v1_0-3ffb9-simple"
META = "meta.pickle.pbz2"
MOST_BYTES = 2**26
"""Of a file's contents; real ones have 330,000, and the list of architectures 1,400,000."""
SEEDS = (777, 888, 999)
SHORT = {"c10valid": "cifar10-valid", "c10": "cifar10", "c100": "cifar100", "in16": "ImageNet16-120"}
"""The data sets as columns name them, and as the files do. "c10valid" is trained on half of CIFAR-10's training images
and validated on the other half, "c10" on all of them."""
SCORED = {
    "c10valid_val": ("c10valid", "x-valid"),
    "c10_test": ("c10", "ori-test"),
    "c100_val": ("c100", "x-valid"),
    "c100_test": ("c100", "x-test"),
    "in16_val": ("in16", "x-valid"),
    "in16_test": ("in16", "x-test"),
}
"""Accuracies: the data set, and the part of it that is scored."""
BY_SEED = {
    "c10valid_val": ("c10valid", "x-valid"),
    "c100_valtest": ("c100", "ori-test"),
    "in16_valtest": ("in16", "ori-test"),
}
"""Those that are given for each seed: here of validation and test images together, but for CIFAR-10."""


def read_folder(folder: Path) -> dict[str, Shaped[np.ndarray, " R"]]:
    """All results of the benchmark; files are read one by one.

    Returns:
        Columns ``[R]``, R the number of architectures in `meta.pickle.pbz2`, by name:

        - ``index`` and ``arch``, the benchmark's number and string;
        - ``n_seeds_200``, trainings on "c10valid" behind the means after 200 epochs;
        - ``c10valid_val_E``, ``c10_test_E``, ``c100_val_E``, ``c100_test_E``, ``in16_val_E``, ``in16_test_E``, E being
          12 and 200: accuracy in percent after a training of so many epochs, mean over its seeds;
        - ``c10valid_val_200_sK``, ``c100_valtest_200_sK``, ``in16_valtest_200_sK``: of seed K, 777, 888 or 999; NaN
          where there is none;
        - ``train_s_E_c10valid``, ``_c100``, ``_in16``: seconds of a training;
        - ``params_m_c10``, ``_c100``, ``_in16`` and ``flops_m_c10``, ``_c100``, ``_in16``: parameters and
          multiply-adds in millions, as the benchmark reports them.

    Raises:
        ValueError: no such folder, a file that is missing, damaged or of another layout, or one that holds more than
            plain data.
    """
    folder = Path(folder)
    if not (folder / META).is_file():
        raise ValueError(f"{folder} has no {META}: give the folder {FOLDER} of NATS-Bench, unpacked")
    names = _found(load(folder / META), "meta_archs", folder / META)
    files = [_file(folder, number) for number in range(len(names))]
    missing = [number for number, file in enumerate(files) if file is None]
    if missing:
        raise ValueError(f"{folder} lacks {len(missing):,} of {len(names):,} files, the first is {missing[0]:06d}")
    rows = []
    for number, (name, file) in enumerate(zip(names, files, strict=True)):
        row = read_architecture(file)
        if row["arch"] != name:
            raise ValueError(f"{file} is of {row['arch']}, but {META} says {name}")
        rows.append({"index": number} | row)
    if not rows:
        raise ValueError(f"{folder / META} lists no architecture")
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def read_architecture(file: Path) -> dict[str, int | float | str]:
    """The columns of one file, but ``index``. Raises ValueError as `read_folder` does."""
    content = load(file)
    short, long = (_found(content, epochs, file) for epochs in ("12", "200"))
    try:
        row = {"arch": long["arch_str"], "n_seeds_200": len(_trainings(long, "c10valid"))}
        for epochs, results in ((12, short), (200, long)):
            row |= {f"{name}_{epochs}": _accuracy(results, *where, epochs) for name, where in SCORED.items()}
        for name, (data, part) in BY_SEED.items():
            row |= {f"{name}_200_s{seed}": _of_seed(long, data, part, seed) for seed in SEEDS}
        for epochs, results in ((12, short), (200, long)):
            for data in ("c10valid", "c100", "in16"):
                each = [math.fsum(one["train_times"].values()) for one in _trainings(results, data).values()]
                row[f"train_s_{epochs}_{data}"] = statistics.fmean(each)
        for name, key in (("params_m", "params"), ("flops_m", "flop")):
            row |= {f"{name}_{data}": _cost(long, data, key) for data in ("c10", "c100", "in16")}
    except (LookupError, TypeError, AttributeError, statistics.StatisticsError) as error:
        raise ValueError(f"{file} has another layout than {FOLDER} ({type(error).__name__}: {error})") from error
    return row


def load(file: Path):
    """What a file holds: dicts, lists, tuples, sets, numbers, texts. Nothing in it is run.

    Raises:
        ValueError: it cannot be read, is damaged or too large, or names a class or function that is no plain data.
    """
    try:
        with bz2.open(file) as packed:
            content = packed.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise Refused(f"{file} unpacks to more than {MOST_BYTES:,} bytes: it is no file of {FOLDER}")
        return _Reader(io.BytesIO(content), file).load()
    except Refused:
        raise
    except Exception as error:  # a damaged pickle can end in any
        raise ValueError(f"{file} is damaged ({type(error).__name__}: {error}): unpack the archive again") from error


class Refused(ValueError):  # noqa: N818 - the user reads ValueError's message
    """A file that holds more than plain data."""


class _Dtype:
    """What stands for `numpy.dtype` in a file: plain numbers only.

    numpy's own would not be safe here: set up by a file, one can make numpy take bytes for addresses.
    """

    def __init__(self, code: str, align: bool = False, copy: bool = False):
        if np.dtype(code).kind not in "biuf":
            raise Refused(f"numbers of kind {code!r}, which is no plain data: refused")
        self.code = np.dtype(code).str[1:]
        self.order = "="

    def __setstate__(self, state: tuple):
        self.order = {"<": "<", ">": ">", "|": "|"}[state[1]]

    def values(self, raw: bytes) -> np.ndarray:
        return np.frombuffer(raw, np.dtype(self.order + self.code))


class _Array:
    """What stands for `numpy.ndarray`; ``numpy.asarray`` makes one of it."""

    def __init__(self, *made): ...

    def __setstate__(self, state: tuple):
        _, shape, dtype, fortran, raw = state
        self.values = dtype.values(raw).reshape(shape, order="F" if fortran else "C")

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.values, dtype)


def _scalar(dtype: _Dtype, raw: bytes):
    """Of numpy, as a Python number."""
    return dtype.values(raw)[0].item()


KNOWN = {
    "collections.OrderedDict": OrderedDict,
    "numpy.dtype": _Dtype,
    "numpy.ndarray": _Array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
}
"""All that a file may name, and what is taken for it."""


class _Reader(pickle.Unpickler):
    def __init__(self, content: io.BytesIO, file: Path):
        super().__init__(content)
        self.file = file

    def find_class(self, module: str, name: str):
        known = KNOWN.get(f"{module}.{name}")
        if known is None:
            raise Refused(f"{self.file} names {module}.{name}, which is no plain data: refused, nothing of it was run")
        return known


def _file(folder: Path, number: int) -> Path | None:
    """That of an architecture; None: there is none."""
    files = (folder / f"{number:06d}.pickle.pbz2", folder / f"{number}.pickle.pbz2")
    return next((file for file in files if file.is_file()), None)


def _found(content, key: str, file: Path):
    """Raises ValueError where a file has no such part."""
    if not isinstance(content, dict) or key not in content:
        raise ValueError(f"{file} holds no {key!r}: it is no file of {FOLDER}")
    return content[key]


def _trainings(results: dict, data: str) -> dict[int, dict]:
    """Those on a data set, by seed."""
    return {seed: results["all_results"][SHORT[data], seed] for seed in results["dataset_seed"][SHORT[data]]}


def _accuracy(results: dict, data: str, part: str, epochs: int) -> float:
    each = _trainings(results, data).values()
    return statistics.fmean(one["eval_acc1es"][f"{part}@{epochs - 1}"] for one in each)


def _of_seed(results: dict, data: str, part: str, seed: int) -> float:
    one = _trainings(results, data).get(seed)
    return math.nan if one is None else float(one["eval_acc1es"][f"{part}@199"])


def _cost(results: dict, data: str, key: str) -> float:
    """Where seeds disagree, seed 888 is right: so the benchmark's own reader has it (`fix_legacy_issue`)."""
    each = {seed: float(one[key]) for seed, one in _trainings(results, data).items()}
    agree = len({f"{value:.5f}" for value in each.values()}) == 1
    return statistics.fmean(each.values()) if agree else each[888]
