#!/usr/bin/env python3
"""Children an hour: jaxnas against the tools that people would pick, each by its own trial loop, on CPU.

    python benchmarks/peers.py digits --children 192 --python PEERS/bin/python
    python benchmarks/peers.py fashion_mnist --source fashion_mnist.npz --limit 22000 --children 64 --python ...

--python names the Python that has the peers; tried with Python 3.11 and

    pip install torch==2.13.0 optuna==5.0.0 keras==3.15.1 keras-tuner==1.4.8 six==1.17.0 "ray[tune]==2.60.0" \\
        nni==3.0 jax==0.10.2

(keras-tuner needs six and does not say so; of torch the CPU build suffices). A peer that does not import is named and
left out. All run on two cores or as many as there are: Optuna as one thread, as a thread a core in PyTorch, and as a
job a core; Keras Tuner (GridSearch) as Keras has it, on PyTorch and on JAX; Ray Tune and NNI with a trial a core.

Equal for all: architectures, images and their split, batch size, epochs, full batches only, SGD with Nesterov momentum
and the cosine rate, batch normalisation (0.9, 1e-5), float32. PyTorch is channels-last without workers for the data
(`torch_children.py`). Not equal: initial weights (each framework's own: on 32 digits children PyTorch's mean was 0.90
with its own and 0.84 with jaxnas' distribution, where jaxnas came to 0.84 to 0.86), the order of batches, weight decay
(Keras' own passes momentum by, and is set ten times as large to come to the same), in Keras the images of the
incomplete last batch (always the same), and scores: jaxnas and PyTorch score after every epoch, Keras once at the end.

Every contender runs twice, each time as a process of its own. Before its first start no program is known to JAX, at the
second those of the first are in JAX's persistent cache; PyTorch keeps none. Columns: children an hour of the trial
loop alone (after imports and data, and after Ray's and NNI's managers have started, not their workers) at both starts;
the same from the start of the process to its end; seconds outside of the loop (second start); greatest memory, GiB: of
the process as the kernel counts it, with Ray and NNI the greatest sum over all processes, looked at twice a second,
shared pages once; validation accuracy after the last epoch at the second start: mean, mean of the first --few, best.
Keras on JAX and NNI train only the first --few; their hours are scaled from these, the time outside of the loop counted
once. With --repeats contenders alternate and figures are medians.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import peer_loops
import workloads

from jaxnas import setup
from jaxnas.spaces import ChainCNN

HERE = Path(__file__).resolve().parent
ROW = "{:34} {:>8} {:>9} {:>9} {:>9} {:>9} {:>8} {:>6} {:>6} {:>6} {:>6}"
HEAD = (
    ("", "", "loop/h", "loop/h", "all/h", "all/h", "outside", "", "", "mean,", ""),
    ("contender", "children", "first", "second", "first", "second", "s", "GiB", "mean", "few", "best"),
)
PACKAGES = {"optuna": "optuna", "keras": "keras keras-tuner six", "ray": '"ray[tune]"', "nni": "nni"}
IMPORTS = {"optuna": "optuna", "keras": "keras_tuner", "ray": "ray.tune", "nni": "nni.experiment"}
LOOK = 0.5
"""Seconds between looks at the memory of a tree of processes: one costs some milliseconds of a core."""


@dataclass(frozen=True)
class Contender:
    """``loop``: of `peer_loops.LOOPS`, or jaxnas; ``backend``: of Keras, else what trains; ``tree``: it has processes
    of its own; ``slow``: the first few children suffice."""

    loop: str
    backend: str = "torch"
    threads: int = 1
    at_once: int = 1
    tree: bool = False
    slow: bool = False


def contenders(options) -> dict[str, Contender]:
    """Those that are asked for, by name."""
    cores = max(2, len(os.sched_getaffinity(0)))
    found = {
        "jaxnas": Contender("jaxnas"),
        "Optuna + PyTorch, 1 thread": Contender("optuna"),
        f"Optuna + PyTorch, {cores} threads": Contender("optuna", threads=cores),
        f"Optuna + PyTorch, {cores} jobs x 1": Contender("optuna", at_once=cores),
        "Keras Tuner on PyTorch": Contender("keras"),
        "Keras Tuner on JAX": Contender("keras", "jax", slow=True),
        f"Ray Tune + PyTorch, {cores} trials x 1": Contender("ray", at_once=cores, tree=True),
        f"NNI + PyTorch, {cores} trials x 1": Contender("nni", at_once=cores, tree=True, slow=True),
    }
    return {name: one for name, one in found.items() if any(part in name for part in options.only.split(","))}


def run_jaxnas(options) -> dict:
    """All children by the evaluator of a search."""
    setup.use_all_cores()
    found = workloads.experiment(options)
    tokens = workloads.sample(found, options.children)
    evaluate = found.evaluator.bind(found.space, found.task, found.seed, options.children)
    scores, began = np.full(len(tokens), np.nan), time.perf_counter()
    for rows, outcome in evaluate(tokens, np.arange(len(tokens))):
        scores[rows] = outcome.curve[:, -1]
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "scores": scores.tolist(), "memory": peer_loops.memory()}


def environment(contender: Contender, programs: Path) -> dict[str, str]:
    """No GPUs; JAX, whoever uses it, keeps every program."""
    cpu = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": contender.backend}
    kept = {"JAX_COMPILATION_CACHE_DIR": str(programs), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return os.environ | cpu | kept


def missing(options, contender: Contender) -> str | None:
    """What to say of a peer that does not import."""
    if contender.loop == "jaxnas":
        return None
    wanted, packages = IMPORTS[contender.loop], PACKAGES[contender.loop]
    command = [options.python, "-c", f"import {contender.backend}, {wanted}"]
    tried = subprocess.run(command, env=environment(contender, Path()), capture_output=True, text=True)
    if not tried.returncode:
        return None
    why = (tried.stderr.splitlines() or ["no message"])[-1]
    return f"{wanted} does not import in {options.python} ({why}): pip install {contender.backend} {packages}"


def run(options, contender: Contender, folder: Path) -> dict:
    """Once, in a process of its own; what it answers, and the seconds from its start to its end."""
    answer, children = folder / "answer.json", _children(options, contender)
    answer.unlink(missing_ok=True)
    command = [sys.executable, __file__, *sys.argv[1:], "--answer", str(answer)]
    if contender.loop != "jaxnas":
        command = [options.python, str(HERE / "peer_loops.py"), contender.loop, str(folder / "workload.npz")]
        command += [str(answer), "--children", str(children)]
        command += ["--threads", str(contender.threads), "--at-once", str(contender.at_once)]
    began, most = time.perf_counter(), 0.0
    with open(folder / "log.txt", "w+") as log:
        known = environment(contender, folder / "programs")
        process = subprocess.Popen(command, env=known, stdout=log, stderr=subprocess.STDOUT)
        while contender.tree and process.poll() is None:
            most = max(most, tree_memory(process.pid))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK)
        status, everything = process.wait(), time.perf_counter() - began
        log.seek(0)
        if status:
            raise SystemExit(f"{' '.join(command)} failed:\n{''.join(log.readlines()[-30:])}")
    said = json.loads(answer.read_text())
    outside = everything - said["seconds"]
    return said | {"outside": outside, "memory": max(most, said["memory"]), "children": children}


def tree_memory(root: int) -> float:
    """GiB of a process and all that descend from it; a page that k of them share counts 1/k for each."""
    children, total = {}, 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    todo = [root]
    while todo:
        process = todo.pop()
        todo += children.get(process, [])
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 2**20


def _children(options, contender: Contender) -> int:
    return min(options.few, options.children) if contender.slow else options.children


def row(name: str, pairs: list[tuple[dict, dict]], options) -> str:
    """One contender's line, medians of its (first, second) starts."""
    n, trained = options.children, pairs[0][0]["children"]
    starts = list(zip(*pairs, strict=True))
    middle = lambda start, number: statistics.median(number(run) for run in start)
    scaled = lambda run: run["seconds"] * n / trained
    loops = [f"{middle(start, lambda run: 3600 * n / scaled(run)):,.0f}" for start in starts]
    everything = [f"{middle(start, lambda run: 3600 * n / (run['outside'] + scaled(run))):,.0f}" for start in starts]
    outside = f"{middle(starts[1], lambda run: run['outside']):.1f}"
    memory = f"{max(run['memory'] for pair in pairs for run in pair):.2f}"
    scores = np.array(pairs[-1][1]["scores"])
    means = [f"{value:.3f}" for value in (np.nanmean(scores), np.nanmean(scores[: options.few]), np.nanmax(scores))]
    line = ROW.format(name, trained, *loops, *everything, outside, memory, *means)
    failed = int(np.isnan(scores).sum())
    notes = [f"scaled from the first {trained}"] * (trained < n) + [f"{failed} children failed"] * (failed > 0)
    return " ".join([line, *(f"({note})" for note in notes)])


def measure(options, folder: Path) -> None:
    """Run everybody and print the table."""
    todo = contenders(options)
    for name, contender in list(todo.items()):
        if why := missing(options, contender):
            print(f"left out: {name}: {why}", flush=True)
            del todo[name]
    pairs = {name: [] for name in todo}
    for head in HEAD:
        print(ROW.format(*head), flush=True)
    for repeat in range(options.repeats):
        for name, contender in todo.items():
            shutil.rmtree(folder / "programs", ignore_errors=True)
            pairs[name].append((run(options, contender, folder), run(options, contender, folder)))
            if repeat == options.repeats - 1:
                print(row(name, pairs[name], options), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    workloads.arguments(parser)
    parser.add_argument("--children", type=int, default=192)
    parser.add_argument("--few", type=int, default=16, help="children of the slow: Keras Tuner on JAX, and NNI")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", default="", help="parts of contenders' names, separated by commas")
    parser.add_argument("--python", default=sys.executable, help="a Python with the peers")
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        options.answer.write_text(json.dumps(run_jaxnas(options)))
        return
    found = workloads.experiment(options)
    if not isinstance(found.space, ChainCNN):
        parser.error(f"{type(found.space).__name__} is not written out for Keras: take a workload of chains")
    train, data = found.evaluator.train, found.task.search_data(found.seed)
    images = len(data.train) // train.batch_size * train.batch_size * train.epochs
    print(workloads.machine())
    print(f"{options.workload}: {options.children} children x {images:,} images, batch {train.batch_size}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        workloads.write(found, workloads.sample(found, options.children), Path(folder) / "workload.npz")
        measure(options, Path(folder))


if __name__ == "__main__":
    main()
