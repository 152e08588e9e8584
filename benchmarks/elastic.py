#!/usr/bin/env python3
"""Networks of different width, depth, dropout and learning rate: elastic in one program, against what else there is.

    python benchmarks/elastic.py --mlps 256 --cnns 64 --steps 500
    python benchmarks/elastic.py --mlps 16 --cnns 0 --steps 50 --vmap

Contenders, each in processes of its own, one after the other: layers of `jaxnas.elastic`, all children in one program,
spread over all cores, on each of them in turn (with --vmap side by side); the exact network of each child, a program
for each width and depth; PyTorch one child at a time, on CPU as one process with all threads and as one process a
core. All learn from the same batches of 8x8 digits by SGD with momentum. Imports and loading are left out for all.

Columns: children an hour with all compilation, and without; seconds of compilation; programs; held-out accuracy, mean
of all children: it says that they did the same. With --repeats, contenders alternate and rows are medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import workloads
from flax import nnx
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec

from jaxnas import elastic, setup
from jaxnas.rng import key_for

HERE, BATCH = Path(__file__).parent, 64
RANGES = {"mlp": {"width": (16, 256), "depth": (1, 4)}, "cnn": {"width": (4, 32), "depth": (0, 3)}}
"""Of widths (drawn on a logarithmic scale) and depths; both ends occur."""
ROW = "{:36} {:>10} {:>10} {:>10} {:>9} {:>9}"
HEAD = "contender", "child./h", "no comp.", "compile s", "programs", "accuracy"


class Mlp(nnx.Module):
    def __init__(self, *, width, depth, dropout, rngs):
        self.first, self.blocks = elastic.Linear(64, width, rngs=rngs), nnx.List([])
        for i in range(elastic.most(depth)):
            layer = nnx.Sequential(elastic.Linear(width, width, rngs=rngs), nnx.relu)
            self.blocks.append(elastic.Skippable(layer, i < depth))
        self.dropout = elastic.Dropout(dropout, rngs=rngs)
        self.last = elastic.Linear(width, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.first(x.reshape(x.shape[0], -1)))
        for block in self.blocks:
            x = block(x)
        return self.last(self.dropout(x))


class Cnn(nnx.Module):
    def __init__(self, *, width, depth, dropout, rngs):
        def layer(channels, filters):
            conv = elastic.Conv(channels, filters, (3, 3), use_bias=False, rngs=rngs)
            return nnx.Sequential(conv, elastic.BatchNorm(filters, momentum=0.9, rngs=rngs), nnx.relu)

        self.first, self.last = layer(1, width), layer(width, width * 2)
        blocks = [elastic.Skippable(layer(width, width), i < depth) for i in range(elastic.most(depth))]
        self.blocks, self.dropout = nnx.List(blocks), elastic.Dropout(dropout, rngs=rngs)
        self.dense = elastic.Linear(width * 2 * 16, 10, rngs=rngs)

    def __call__(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        x = self.last(nnx.max_pool(x, (2, 2), (2, 2)))
        return self.dense(self.dropout(elastic.flatten(x)))


NETS = {"mlp": Mlp, "cnn": Cnn}


def draw(kind: str, number: int, seed: int) -> list[dict]:
    """So many children."""
    rng, (low, high) = np.random.default_rng(seed), RANGES[kind]["width"]
    first, last = RANGES[kind]["depth"]
    return [
        {
            "kind": kind,
            "width": int(np.clip(round(np.exp(rng.uniform(np.log(low), np.log(high)))), low, high)),
            "depth": int(rng.integers(first, last + 1)),
            "dropout": float(np.float32(rng.uniform(0, 0.6))),
            "learning_rate": float(np.float32(np.exp(rng.uniform(np.log(0.003), np.log(0.1))))),
        }
        for _ in range(number)
    ]


def learnt(kind: str, data: dict, width, depth, dropout, rate, key) -> jax.Array:
    """Trains one child; its held-out accuracy. Widths and depths are ints or sizes, the rest is traced."""
    rngs = nnx.Rngs(params=key_for(key, "params"), dropout=key_for(key, "dropout"))
    net = NETS[kind](width=width, depth=depth, dropout=dropout, rngs=rngs)
    net.train()
    graph, parameters, rest = nnx.split(net, nnx.Param, ...)
    row, unravel = ravel_pytree(parameters)
    optimiser = optax.sgd(rate, momentum=0.9)

    def loss(row, rest, rows):
        net = nnx.merge(graph, unravel(row), rest, copy=True)
        losses = optax.softmax_cross_entropy_with_integer_labels(net(data["x"][rows]), data["y"][rows])
        return losses.mean(), nnx.state(net, nnx.Not(nnx.Param))

    def step(carry, rows):
        row, rest, state = carry
        gradient, rest = jax.grad(loss, has_aux=True)(row, rest, rows)
        updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(row, updates), rest, state), None

    (row, rest, _), _ = jax.lax.scan(step, (row, rest, optimiser.init(row)), data["order"])
    net = nnx.merge(graph, unravel(row), rest, copy=True)
    net.eval()
    return (net(data["held_x"]).argmax(-1) == data["held_y"]).mean()


def columns(children: list[dict]) -> list[jax.Array]:
    """Widths, depths, dropout rates, learning rates and keys, ``[N]`` each."""
    numbers = [
        jnp.array([child[name] for child in children]) for name in ("width", "depth", "dropout", "learning_rate")
    ]
    return [*numbers, jax.vmap(lambda i: key_for(0, "child", i))(jnp.arange(len(children)))]


def run_elastic(kind: str, children: list[dict], data: dict, side_by_side: bool) -> dict:
    """All in one program; each device takes as many."""
    greatest = {name: high for name, (_, high) in RANGES[kind].items()}

    def one(data, width, depth, *rest):
        width, depth = elastic.Size(width, greatest["width"]), elastic.Size(depth, greatest["depth"])
        return learnt(kind, data, width, depth, *rest)

    def block(data, *numbers):
        if side_by_side:
            return jax.vmap(lambda *child: one(data, *child))(*numbers)
        return jax.lax.map(lambda child: one(data, *child), numbers)

    devices = jax.local_devices()
    filled = np.resize(np.arange(len(children)), len(children) + -len(children) % len(devices))
    numbers = [part[filled] for part in columns(children)]
    mesh, each = Mesh(np.array(devices), ("children",)), PartitionSpec("children")
    specs = PartitionSpec(), *[each] * len(numbers)
    spread = jax.shard_map(block, mesh=mesh, in_specs=specs, out_specs=each, check_vma=False)
    began = time.perf_counter()
    program = jax.jit(spread).lower(data, *numbers).compile()
    compiled = time.perf_counter() - began
    scores = np.asarray(program(data, *numbers))[: len(children)]
    return facts(time.perf_counter() - began, compiled, 1, scores)


def run_exact(kind: str, children: list[dict], data: dict, _: bool) -> dict:
    """One after the other, children of one width and depth by the same program."""
    numbers, programs, compiled, scores = columns(children), {}, 0.0, []
    began = time.perf_counter()
    for i, child in enumerate(children):
        shape, rest = (child["width"], child["depth"]), [part[i] for part in numbers[2:]]
        if shape not in programs:
            start = time.perf_counter()
            own = lambda data, *rest, shape=shape: learnt(kind, data, *shape, *rest)
            programs[shape] = jax.jit(own).lower(data, *rest).compile()
            compiled += time.perf_counter() - start
        scores.append(float(programs[shape](data, *rest)))
    return facts(time.perf_counter() - began, compiled, len(programs), scores)


def facts(seconds: float, compiled: float, programs: int, scores) -> dict:
    return {"seconds": seconds, "compile": compiled, "programs": programs, "accuracy": float(np.mean(scores))}


def run_torch(workload: Path, children: int, processes: int, threads: int) -> dict:
    """All children by so many processes at a time, in turn."""
    shares = [range(p, children, processes) for p in range(min(processes, children))]
    command = [sys.executable, str(HERE / "torch_elastic.py"), str(workload)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    more = ["--threads", str(threads)]
    running = [subprocess.Popen([*command, ",".join(map(str, share)), *more], **pipes) for share in shares]
    for process in running:
        if process.stdout.readline().strip() != "ready":
            raise SystemExit("torch_elastic.py did not start: is PyTorch installed?")
    began = time.perf_counter()
    for process in running:
        print("go", file=process.stdin, flush=True)
    answers = [json.loads(process.communicate()[0]) for process in running]
    return facts(time.perf_counter() - began, 0.0, 0, [score for answer in answers for score in answer["scores"]])


def write(path: Path, children: list[dict], steps: int) -> None:
    """The children, 1,400 digits to learn from, the others to be held out, and which of them each step reads."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(len(x))
    x, y = (x[shuffled] / 16).astype(np.float32).reshape(-1, 8, 8, 1), y[shuffled].astype(np.int64)
    arrays = {"x": x[:1400], "y": y[:1400], "held_x": x[1400:], "held_y": y[1400:]}
    np.savez(path, children=json.dumps(children), order=rng.integers(0, 1400, (steps, BATCH)), **arrays)


def run_one(contender: str, path: str, side_by_side: bool) -> dict:
    """One of ours, in this process."""
    file = np.load(path)
    data = {name: jnp.asarray(file[name]) for name in ("x", "y", "held_x", "held_y", "order")}
    children = json.loads(str(file["children"]))
    run = {"elastic": run_elastic, "exact": run_exact}[contender]
    return run(children[0]["kind"], children, data, side_by_side)


def contenders(path: Path, children: int) -> dict:
    """Name -> function that runs it once."""

    def apart(contender: str) -> dict:
        command = [sys.executable, __file__, *sys.argv[1:], "--run", contender, "--workload", str(path)]
        environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
        answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(answer.stdout.splitlines()[-1])

    cores = len(os.sched_getaffinity(0))
    found = {
        "elastic, one program": lambda: apart("elastic"),
        "exact, a program for each network": lambda: apart("exact"),
        f"PyTorch, 1 process x {cores}": lambda: run_torch(path, children, 1, cores),
    }
    if jax.default_backend() == "cpu":
        found[f"PyTorch, {cores} processes x 1"] = lambda: run_torch(path, children, cores, 1)
    return found


def row(name: str, children: int, runs: list[dict]) -> str:
    """One contender's line, medians of its runs."""
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    hourly = [3600 * children / seconds for seconds in (middle["seconds"], middle["seconds"] - middle["compile"])]
    speeds = [f"{speed:,.0f}" for speed in hourly]
    rest = f"{middle['compile']:.1f}", f"{middle['programs']:.0f}", f"{middle['accuracy']:.3f}"
    return ROW.format(name, *speeds, *rest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlps", type=int, default=256)
    parser.add_argument("--cnns", type=int, default=64)
    parser.add_argument("--steps", type=int, default=500, help=f"batches of {BATCH} images")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--vmap", action="store_true", help="elastic children side by side, as on a GPU")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="parts of contenders' names, separated by commas")
    parser.add_argument("--run", choices=["elastic", "exact"], help=argparse.SUPPRESS)
    parser.add_argument("--workload", help=argparse.SUPPRESS)
    options = parser.parse_args()
    setup.use_all_cores()
    if options.run:
        print(json.dumps(run_one(options.run, options.workload, options.vmap)))
        return
    print(workloads.machine())
    for kind, number in {"mlp": options.mlps, "cnn": options.cnns}.items():
        if number:
            compare(kind, number, options)


def compare(kind: str, number: int, options) -> None:
    """All contenders on so many children of a kind."""
    children = draw(kind, number, options.seed)
    print(f"{number} {kind}s x {options.steps} steps of {BATCH} images: {RANGES[kind]}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "workload.npz"
        write(path, children, options.steps)
        todo = {
            name: run for name, run in contenders(path, number).items()
            if any(part in name for part in options.only.split(","))
        }  # fmt: skip
        runs = {name: [] for name in todo}
        print(ROW.format(*HEAD), flush=True)
        for repeat in range(options.repeats):
            for name, run in todo.items():
                runs[name].append(run())
                if repeat == options.repeats - 1:
                    print(row(name, number, runs[name]), flush=True)


if __name__ == "__main__":
    main()
