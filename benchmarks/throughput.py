#!/usr/bin/env python3
"""Children an hour: jaxnas against what a user would run instead, on the same children, data and training.

    python benchmarks/throughput.py digits --children 64
    python benchmarks/throughput.py fashion_mnist --source fashion_mnist.npz --children 64

Contenders, each in processes of its own, one after the other: jaxnas with no program known; the same again with those
programs in JAX's persistent cache; JAX one child at a time, each its own exact program (the first few children only:
`--few`); PyTorch one child at a time, channels-last, on CPU as one process with all threads and as one process a core,
on a GPU with automatic mixed precision, eager and compiled. PyTorch is wanted: `pip install torch==2.13.0`, or name the
Python that has it with --torch.

Columns: children an hour with all compilation, and without; images a second in training; *useful* GFLOP/s (the
children's own multiply-adds x 2 x 3) and their share of a large matrix product's; seconds and number of compilations;
greatest memory of the process (on a GPU, of the device); executed / useful work. Loading and imports are left out for
all. With --repeats, contenders alternate and rows are medians.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import workloads

from jaxnas import setup
from jaxnas.children import alone, unpadded
from jaxnas.evaluators.train import Trainer

HERE = Path(__file__).parent
ROW = "{:28} {:>9} {:>9} {:>9} {:>8} {:>6} {:>9} {:>8} {:>8} {:>9}"
HEAD = (
    "contender",
    "child./h",
    "no comp.",
    "images/s",
    "GFLOP/s",
    "share",
    "compile s",
    "programs",
    "GiB",
    "exec./use.",
)


def run_jaxnas(options) -> dict:
    """All children by the evaluator of a search."""
    found = workloads.experiment(options)
    tokens = workloads.sample(found, options.children)
    evaluate = found.evaluator.bind(found.space, found.task, found.seed, options.children)
    plan, began = evaluate.plan(tokens), time.perf_counter()
    done = [row for rows, _ in evaluate(tokens, np.arange(len(tokens))) for row in rows]
    seconds = time.perf_counter() - began
    trainer = evaluate.trainer
    facts = {"compile": trainer.compile_seconds, "programs": len(trainer.programs), "children": len(done)}
    return facts | {"seconds": seconds, "executed": sum(plan.executed) / sum(plan.useful), "memory": _memory()}


def run_jax(options) -> dict:
    """The first few children, each in its own tight envelope: an exact, unpadded program of its own."""
    found = workloads.experiment(options)
    data = found.task.search_data(found.seed)
    spec = found.space.children(data.input_shape, data.classes, found.evaluator.train.dtype)
    trainer = Trainer(spec, found.task, data, found.evaluator.train, found.seed, devices=1)
    began = time.perf_counter()
    for i, row in enumerate(workloads.sample(found, min(options.few, options.children))):
        architecture = found.space.decode(row)
        inside = unpadded(spec, architecture)
        trainer.run(inside, [spec.place(architecture, inside)], [i])
    facts = {"seconds": time.perf_counter() - began, "compile": trainer.compile_seconds, "memory": _memory()}
    return facts | {"programs": len(trainer.programs), "children": i + 1, "executed": 1.0}


def run_torch(options, workload: Path, processes: int, threads: int, compiled: bool = False) -> dict:
    """All children by so many processes at a time; each takes about the same work."""
    costs = _costs(options)
    shares = [sorted(range(len(costs)), key=lambda i: -costs[i])[p::processes] for p in range(processes)]
    command = [options.torch, str(HERE / "torch_children.py"), str(workload)]
    more = ["--threads", str(threads)] + ["--compile"] * compiled
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([*command, ",".join(map(str, share)), *more], **pipes) for share in shares]
    for process in running:
        if process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{options.torch} did not start torch_children.py: is PyTorch installed there?")
    began = time.perf_counter()
    for process in running:
        print("go", file=process.stdin, flush=True)
    answers = [json.loads(process.communicate()[0]) for process in running]
    facts = {"seconds": time.perf_counter() - began, "compile": 0.0, "programs": 0, "executed": 1.0}
    return facts | {"children": len(costs), "memory": sum(answer["memory"] for answer in answers)}


def _memory() -> float:
    """GiB: the device's greatest use where it tells, else the process's."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"] / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _costs(options) -> list[int]:
    """Multiply-adds of each child."""
    found = workloads.experiment(options)
    data = found.task.search_data(found.seed)
    spec = found.space.children(data.input_shape, data.classes)
    return [alone(spec, found.space.decode(row)).multiply_adds for row in workloads.sample(found, options.children)]


def _apart(options, contender: str, environment: dict[str, str]) -> dict:
    """Run one of ours in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--run", contender]
    answer = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def contenders(options, folder: Path) -> dict:
    """Name -> function that runs it once."""
    programs = folder / "programs"
    cold = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    kept = {"JAX_COMPILATION_CACHE_DIR": str(programs), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}

    def first_time():
        shutil.rmtree(programs, ignore_errors=True)
        return _apart(options, "jaxnas", kept)

    found = {
        "jaxnas": first_time,
        "jaxnas, programs cached": lambda: _apart(options, "jaxnas", kept),
        "JAX, one at a time": lambda: _apart(options, "jax", cold),
    }
    workload, cores = folder / "workload.npz", len(os.sched_getaffinity(0))
    if jax.default_backend() == "cpu":
        found[f"PyTorch, 1 process x {cores}"] = lambda: run_torch(options, workload, 1, cores)
        found[f"PyTorch, {cores} processes x 1"] = lambda: run_torch(options, workload, cores, 1)
    else:
        found["PyTorch eager, mixed"] = lambda: run_torch(options, workload, 1, cores)
        found["PyTorch compiled, mixed"] = lambda: run_torch(options, workload, 1, cores, compiled=True)
    return {name: run for name, run in found.items() if any(part in name for part in options.only.split(","))}


def row(name: str, runs: list[dict], images: int, work: float, peak: float) -> str:
    """One contender's line, medians of its runs. ``images``: a child's; ``work``: operations for one of its images."""
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    n, busy = middle["children"], middle["seconds"] - middle["compile"]
    speed = n * images / busy
    per_hour = 3600 * n / middle["seconds"]
    useful = speed * work / 1e9
    numbers = f"{per_hour:,.0f}", f"{3600 * n / busy:,.0f}", f"{speed:,.0f}", f"{useful:.1f}", f"{useful / peak:.0%}"
    rest = (
        f"{middle['compile']:.1f}",
        f"{middle['programs']:.0f}",
        f"{middle['memory']:.2f}",
        f"{middle['executed']:.2f}",
    )
    return ROW.format(name, *numbers, *rest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    workloads.arguments(parser)
    parser.add_argument("--children", type=int, default=64)
    parser.add_argument("--few", type=int, default=4, help="children that JAX trains one at a time")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", default="", help="parts of contenders' names, separated by commas")
    parser.add_argument("--torch", default=sys.executable, help="a Python with PyTorch")
    parser.add_argument("--run", choices=["jaxnas", "jax"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    setup.use_all_cores()
    if options.run:
        print(json.dumps({"jaxnas": run_jaxnas, "jax": run_jax}[options.run](options)))
        return
    found = workloads.experiment(options)
    train, examples = found.evaluator.train, len(found.task.search_data(found.seed).train)
    images, costs = examples // train.batch_size * train.batch_size * train.epochs, _costs(options)
    peak = workloads.matrix_peak("float32" if jax.default_backend() == "cpu" else "bfloat16")
    print(f"{workloads.machine()}; large matrix product: {peak:,.0f} GFLOP/s")
    print(f"{options.workload}: {options.children} children x {images:,} images, batch {train.batch_size}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        workloads.write(found, workloads.sample(found, options.children), Path(folder) / "workload.npz")
        todo = contenders(options, Path(folder))
        runs = {name: [] for name in todo}
        print(ROW.format(*HEAD), flush=True)
        for repeat in range(options.repeats):
            for name, run in todo.items():
                runs[name].append(run())
                if repeat == options.repeats - 1:
                    few = " (the first few)" if name.startswith("JAX") and options.few < options.children else ""
                    work = 6 * float(np.mean(costs[: options.few] if few else costs))
                    print(row(name, runs[name], images, work, peak), few, flush=True)


if __name__ == "__main__":
    main()
