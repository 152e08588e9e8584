#!/usr/bin/env python3
"""Recurrent cells an hour: jaxnas against what a user would run instead, on the same cells, text and training.

    python benchmarks/cell_throughput.py configs/shakespeare_cells.py [--children 64] [--few 4] [--repeats 3]
        [--sizes 1,4,16,64,256] [--torch PYTHON] [--compiled] [--only PART,...] [--SETTING VALUE ...]

First table, contenders each in processes of their own, in turns: jaxnas with all children in one program, by the
branching engine and by selection ("padded"); JAX one cell at a time, each its own exact program, as one process with
all cores and as one process a core; PyTorch one cell at a time, eager (`torch_cells.py`; with --compiled each time step
also by torch.compile), likewise. One at a time only the first few cells are trained (`--few`). PyTorch is wanted:
`pip install torch==2.13.0`, or name the Python that has it with --torch; the losses of its first steps are compared
with ours before anything is timed.

Columns: cells trained; cells an hour with all compilation, and without; symbols a second in training; *useful* GFLOP/s
(multiply-adds x 2 x 3); seconds and number of compilations. Imports and reading the text are left out for all, scoring
after each epoch is in. Rows are medians of --repeats.

Second table: what it costs that cells differ. One child on one device (a CPU: on one core) in its exact program, in the
branching and in the selecting one: milliseconds a step for each of the few cells, and the programs' compilation.

Third table: symbols a second by number of children in one program, by the config's engine, compilation apart.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import cell_workloads
import jax
import numpy as np
import workloads

from jaxnas import setup
from jaxnas.children import alone, unpadded
from jaxnas.children.engines import Branching, Padded
from jaxnas.evaluators.train import Trainer

HERE = Path(__file__).parent
CLOSE = 1e-4
"""Greatest difference between losses, as a share of them where they are more than 1."""
ROW = "{:43} {:>6} {:>8} {:>9} {:>10} {:>8} {:>10} {:>9}"
HEAD = "contender", "cells", "cells/h", "no comp.", "symbols/s", "GFLOP/s", "compile s", "programs"
FORMS = "exact", "branching", "selecting"


def run_together(found, options) -> dict:
    """All children in one program, by the evaluator of a search."""
    tokens = workloads.sample(found, options.children)
    evaluate = _bound(found, options.children, options.run)
    began = _ready()
    done = [row for rows, _ in evaluate(tokens, np.arange(len(tokens))) for row in rows]
    return _answer(began, evaluate.trainer, len(done))


def run_alone(found, options) -> dict:
    """Some cells, each in its own tight envelope: an exact program of its own."""
    trainer, cells = _trainer(found), _cells(found, options.children)
    began = _ready()
    for number in options.cells:
        inside = unpadded(trainer.children, cells[number])
        trainer.run(inside, [trainer.children.place(cells[number], inside)], [number])
    return _answer(began, trainer, len(options.cells))


def run_forms(found, options) -> dict:
    """Milliseconds a step of each of the few cells, by the form of its program."""
    trainer = _trainer(found)
    children, cells = trainer.children, _cells(found, min(options.few, options.children))
    steps = trainer.steps * trainer.train.epochs
    took = {form: [[] for _ in cells] for form in FORMS}
    compiling = {form: [] for form in FORMS}
    _ready()
    for _ in range(options.repeats):
        for number, cell in enumerate(cells):
            common = [children.envelope([], engine, ()) for engine in (Branching((), ()), Padded())]
            insides = unpadded(children, cell), *common
            for form, inside in zip(FORMS, insides, strict=True):
                programs, before = len(trainer.programs), trainer.compile_seconds
                result = trainer.run(inside, [children.place(cell, inside)], [number], scored=())
                took[form][number].append(1000 * result.seconds / steps)
                if len(trainer.programs) > programs:
                    compiling[form].append(trainer.compile_seconds - before)
    return {
        form: {"step": [statistics.median(some) for some in took[form]], "compile": statistics.median(compiling[form])}
        for form in FORMS
    }


def run_sizes(found, options) -> dict:
    """Seconds in which so many children train, compilation apart."""
    bound = {size: _bound(found, size, found.evaluator.engine) for size in options.sizes}
    took = {size: [] for size in bound}
    _ready()
    for _ in range(options.repeats):
        for size, evaluate in bound.items():
            answers = evaluate(workloads.sample(found, size), np.arange(size))
            took[size].append(sum(float(outcome.seconds.sum()) for _, outcome in answers))
    return {size: statistics.median(seconds) for size, seconds in took.items()}


RUNS = {
    "branching": run_together,
    "padded": run_together,
    "alone": run_alone,
    "forms": run_forms,
    "sizes": run_sizes,
}


def _bound(found, children: int, engine: str):
    evaluator = replace(found.evaluator, group_size=children, engine=engine)
    return evaluator.bind(found.space, found.task, found.seed, children)


def _trainer(found) -> Trainer:
    spec, data = cell_workloads.spec_and_data(found)
    return Trainer(spec, found.task, data, found.evaluator.train, found.seed, devices=1)


def _cells(found, children: int) -> list:
    return [found.space.decode(row) for row in workloads.sample(found, children)]


def _ready() -> float:
    """Wait for the word to begin, as `torch_cells.py` does."""
    print("ready", flush=True)
    sys.stdin.readline()
    return perf_counter()


def _answer(began: float, trainer: Trainer, cells: int) -> dict:
    seconds, programs = perf_counter() - began, len(trainer.programs)
    return {"seconds": seconds, "compile": trainer.compile_seconds, "programs": programs, "cells": cells}


def at_once(commands: list[list[str]]) -> list[dict]:
    """Start processes, let them begin together, and read what they answer."""
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    running = [subprocess.Popen(command, **pipes) for command in commands]
    for process, command in zip(running, commands, strict=True):
        if process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{' '.join(command)} did not start: is PyTorch installed for {commands[0][0]}?")
    for process in running:
        print("go", file=process.stdin, flush=True)
    return [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]


def measured(commands: list[list[str]], cells: int) -> dict:
    """One contender's figures: those of the slowest of its processes."""
    answers = at_once(commands)
    most = lambda value: max(value(answer) for answer in answers)
    return {
        "seconds": most(lambda a: a["seconds"]),
        "busy": most(lambda a: a["seconds"] - a["compile"]),
        "compile": most(lambda a: a["compile"]),
        "programs": sum(a["programs"] for a in answers),
        "cells": cells,
    }


def ours(contender: str, *more: str) -> list[str]:
    """The command of one of ours."""
    return [sys.executable, __file__, *sys.argv[1:], "--run", contender, *more]


def contenders(options, workload: Path) -> dict:
    """Name -> commands, number of cells."""
    few, cores = min(options.few, options.children), len(os.sched_getaffinity(0))
    many = cores if jax.default_backend() == "cpu" else 1
    numbers = lambda processes: [",".join(map(str, range(p, few, processes))) for p in range(min(processes, few))]

    def in_torch(processes: int, threads: int, *more: str) -> list[list[str]]:
        command = [options.torch, str(HERE / "torch_cells.py"), str(workload)]
        return [[*command, share, "--threads", str(threads), *more] for share in numbers(processes)]

    whole = {name: ([ours(name)], options.children) for name in ("branching", "padded")}
    found = {"jaxnas, branching": whole["branching"], "jaxnas, selecting": whole["padded"]}
    one = "one at a time, 1 process"
    found[f"JAX, {one}"] = [ours("alone", "--cells", numbers(1)[0])], few
    found[f"PyTorch, {one}"] = in_torch(1, cores), few
    if options.compiled:
        found[f"PyTorch compiled, {one}"] = in_torch(1, cores, "--compile"), few
    if many > 1:
        pinned = [ours("alone", "--cells", share, "--core", str(p)) for p, share in enumerate(numbers(many))]
        found[f"JAX, one at a time, {many} processes"] = pinned, few
        found[f"PyTorch, one at a time, {many} processes"] = in_torch(many, 1), few
    return {name: run for name, run in found.items() if any(part in name for part in options.only.split(","))}


def same_losses(options, losses: list[list[float]], workload: Path) -> str:
    """What the comparison with PyTorch gives; stops where it computes something else."""
    numbers = ",".join(map(str, range(len(losses))))
    command = [options.torch, str(HERE / "torch_cells.py"), str(workload), numbers, "--check"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode != 0:
        raise SystemExit(f"{options.torch} did not run torch_cells.py: is PyTorch installed there?")
    theirs, own = np.array(json.loads(answer.stdout.splitlines()[-1])), np.array(losses)
    steady = np.maximum.accumulate(own, 1) <= own[:, :1] + 1  # rounding decides how a cell that diverges does it
    apart = (np.abs(theirs - own) / np.maximum(1, np.abs(own)))[steady].max()
    if not apart <= CLOSE:
        raise SystemExit(f"PyTorch's cells compute something else: losses {theirs.tolist()}, ours {losses}")
    return f"PyTorch's losses of {steady.sum()} steps of {len(own)} cells are ours, within {apart:.1e}"


def line(name: str, runs: list[dict], symbols: int, work: float) -> str:
    """A contender's row. symbols: that a cell is trained on; work: operations for one of them."""
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    cells, speed = middle["cells"], middle["cells"] * symbols / middle["busy"]
    rates = f"{3600 * cells / middle['seconds']:,.0f}", f"{3600 * cells / middle['busy']:,.0f}", f"{speed:,.0f}"
    rest = f"{speed * work / 1e9:.2f}", f"{middle['compile']:.1f}", f"{middle['programs']:.0f}"
    return ROW.format(name, f"{cells:.0f}", *rates, *rest)


def first_table(found, options, symbols: int, work: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workload = Path(folder) / "workload.npz"
        losses = cell_workloads.write(found, _cells(found, min(options.few, options.children)), workload)
        todo = contenders(options, workload)
        if any(name.startswith("PyTorch") for name in todo):
            print(same_losses(options, losses, workload), flush=True)
        runs = {name: [] for name in todo}
        print(ROW.format(*HEAD), flush=True)
        for repeat in range(options.repeats):
            for name, (commands, cells) in todo.items():
                runs[name].append(measured(commands, cells))
                if repeat == options.repeats - 1:
                    print(line(name, runs[name], symbols, work), flush=True)


def second_table(options) -> None:
    pinned = ["--core", "0"] if jax.default_backend() == "cpu" else []
    (forms,) = at_once([ours("forms", *pinned)])
    row = "{:12}" + " {:>10}" * len(forms)
    print("\n" + row.format("ms a step", *forms))
    for number in range(len(forms["exact"]["step"])):
        print(row.format(f"cell {number}", *(f"{form['step'][number]:.2f}" for form in forms.values())))
    print(row.format("mean", *(f"{statistics.fmean(form['step']):.2f}" for form in forms.values())))
    print(row.format("compile s", *(f"{form['compile']:.1f}" for form in forms.values())), flush=True)


def third_table(options, symbols: int, work: float) -> None:
    (sizes,) = at_once([ours("sizes")])
    print(f"\n{'children':>8} {'symbols/s':>10} {'GFLOP/s':>8}")
    for size, seconds in sizes.items():
        speed = int(size) * symbols / seconds
        print(f"{size:>8} {speed:10,.0f} {speed * work / 1e9:8.2f}", flush=True)


def _arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    numbers = lambda text: [int(part) for part in text.split(",") if part]
    parser.add_argument("config", type=Path)
    parser.add_argument("--children", type=int, default=64)
    parser.add_argument("--few", type=int, default=4, help="cells that are trained one at a time")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", type=numbers, default=[], help="third table; default: none")
    parser.add_argument("--compiled", action="store_true", help="a row of PyTorch with torch.compile")
    parser.add_argument("--only", default="", help="parts of contenders' names, separated by commas")
    parser.add_argument("--no-forms", action="store_true", help="no second table")
    parser.add_argument("--torch", default=sys.executable, help="a Python with PyTorch")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--cells", type=numbers, help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    return parser.parse_known_args()


def main() -> None:
    options, overrides = _arguments()
    found, _ = setup.load(options.config, overrides)
    cell_workloads.check(found, options.config)
    if options.core is not None:  # before JAX counts its cores
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[options.core]})
    if options.run not in ("alone", "forms"):
        setup.use_all_cores()
    if options.run:
        print(json.dumps(RUNS[options.run](found, options)))
        return
    train, (spec, data) = found.evaluator.train, cell_workloads.spec_and_data(found)
    symbols = data.seen(train.batch_size) * train.epochs
    work = 6 * alone(spec, _cells(found, 1)[0]).multiply_adds  # of all cells alike
    print(
        f"{workloads.machine()}\n{options.config}: {options.children} cells x {symbols:,} symbols, {train}", flush=True
    )
    first_table(found, options, symbols, work)
    if not options.no_forms:
        second_table(options)
    if options.sizes:
        third_table(options, symbols, work)


if __name__ == "__main__":
    main()
