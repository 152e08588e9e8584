#!/usr/bin/env python3
"""Recurrent cells written out in PyTorch, one after the other; `cell_throughput.py` starts, checks and times it.

    python benchmarks/torch_cells.py WORKLOAD.npz CELLS,... [--threads 1] [--compile] [--check]

Says "ready" when PyTorch and the text are loaded, begins at the first line on its standard input, and answers with one
line of JSON: seconds, those of compilation (an estimate: what the first step takes longer than the second), and each
cell's score (mean log-probability of a held-out symbol). With --check: the losses of the first steps of each cell from
the weights in the workload.
"""

import argparse
import json
import math
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
COMBINE = {"add": torch.add, "multiply": torch.mul, "max": torch.maximum}
ACTIVATE = {"identity": lambda x: x, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu, "sin": torch.sin}


class Layer(nn.Module):
    """A layer of one cell. Letters: U steps, B streams, H units, G leaves."""

    def __init__(self, cell: dict, compiled: bool):
        super().__init__()
        units, self.leaves = cell["hidden"], cell["base"]
        self.input = nn.Parameter(torch.empty(units, self.leaves * units))
        self.recurrent = nn.Parameter(torch.empty(units, self.leaves * units))
        self.nodes = [(COMBINE[combination], ACTIVATE[activation]) for combination, activation in cell["nodes"]]
        self.inject = COMBINE[cell["inject"][0]], ACTIVATE[cell["inject"][1]]
        self.inject_at, self.memory_from = cell["inject_at"], cell["memory_from"]
        self.step = torch.compile(self.one) if compiled else self.one

    def forward(self, x, h, c):
        """x ``[U, B, H]``, h and c ``[B, H]`` -> what each step gives, and the last h and c."""
        values = []
        for entering in (x @ self.input).unbind(0):
            h, c = self.step(entering, h, c)
            values.append(h)
        return torch.stack(values), h, c

    def one(self, entering, h, c):
        """A time step, node by node; entering: the products of x_t ``[B, G * H]``."""
        xs, hs = entering.chunk(self.leaves, 1), (h @ self.recurrent).chunk(self.leaves, 1)
        values = []
        for number, (combine, activate) in enumerate(self.nodes):
            below = 2 * (number - self.leaves)
            before = combine(xs[number], hs[number]) if below < 0 else combine(values[below], values[below + 1])
            value = activate(before)
            if number == self.inject_at:
                value = self.inject[1](self.inject[0](value, c))
            if number == self.memory_from:
                memory = before
            values.append(value)
        return values[-1], memory


class Model(nn.Module):
    """Embedding, layers, softmax; `take` gives it weights."""

    def __init__(self, cell: dict, compiled: bool):
        super().__init__()
        units, symbols = cell["hidden"], cell["symbols"]
        self.embedding = nn.Parameter(torch.empty(symbols, units))
        self.layers = nn.ModuleList([Layer(cell, compiled) for _ in range(cell["layers"])])
        if not cell["tied"]:
            self.kernel = nn.Parameter(torch.empty(units, symbols))
        self.bias = nn.Parameter(torch.empty(symbols))
        self.tied, self.units = cell["tied"], units

    def forward(self, symbols, memory):
        """symbols ``[U, B]``, (h, c) of each layer -> logits ``[U, B, V]``, and (h, c) detached from what was."""
        values, after = nn.functional.embedding(symbols, self.embedding), []
        for layer, (h, c) in zip(self.layers, memory, strict=True):
            values, h, c = layer(values, h, c)
            after.append((h.detach(), c.detach()))
        return values @ (self.embedding.T if self.tied else self.kernel) + self.bias, after

    def nothing(self, streams: int) -> list:
        """(h, c) before the first symbol."""
        return [(torch.zeros(streams, self.units, device=DEVICE),) * 2 for _ in self.layers]

    def take(self, weights: dict) -> None:
        """The weights of jaxnas' network, by their exported names."""
        own = {"embedding": self.embedding, "output.bias": self.bias}
        own |= {} if self.tied else {"output.kernel": self.kernel}
        for number, layer in enumerate(self.layers, 1):
            own |= {f"layers.{number}.input": layer.input, f"layers.{number}.recurrent": layer.recurrent}
        if own.keys() != weights.keys():
            raise SystemExit(f"weights {sorted(weights)} are not those of this network: {sorted(own)}")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(torch.from_numpy(weights[name]))


class Training:
    """One cell in training, as the trainer of jaxnas does it: Adam, clipping, state carried over chunks."""

    def __init__(self, cell: dict, weights: dict, settings: dict, compiled: bool = False):
        self.model, self.settings = Model(cell, compiled), settings
        self.model.take(weights)
        self.model.to(DEVICE)
        self.parameters = list(self.model.parameters())
        kinds = {"betas": (settings["beta1"], settings["beta2"]), "weight_decay": settings["weight_decay"]}
        self.optimiser = torch.optim.AdamW(self.parameters, settings["learning_rate"], fused=True, **kinds)

    def epoch(self, chunks, rate, most: int | None = None) -> list:
        """Train on all chunks, or on the first so many; rate: step -> share of the learning rate. Gives the losses."""
        memory, losses = self.model.nothing(self.settings["batch_size"]), []
        for number, (symbols, labels) in enumerate(chunks[:most]):
            for group in self.optimiser.param_groups:
                group["lr"] = self.settings["learning_rate"] * rate(number)
            logits, memory = self.model(symbols, memory)
            loss = cross_entropy(logits.flatten(0, 1), labels.flatten())
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            if self.settings["clip"] is not None:
                nn.utils.clip_grad_norm_(self.parameters, self.settings["clip"], foreach=True)
            self.optimiser.step()
            losses.append(loss.detach())
        return losses

    def score(self, chunks, weights) -> float:
        """Mean log-probability of the held-out symbols; weights: 1 for those that count, else 0."""
        memory, total = self.model.nothing(self.settings["batch_size"]), 0.0
        with torch.no_grad():
            for (symbols, labels), counts in zip(chunks, weights, strict=True):
                logits, memory = self.model(symbols, memory)
                total -= (cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none") * counts).sum()
        return float(total / sum(counts.sum() for counts in weights))


def train(cell: dict, weights: dict, data: dict, settings: dict, compiled: bool) -> tuple[float, float]:
    """Train one cell and score it after each epoch: the last score, and seconds of compilation."""
    torch.compiler.reset()
    training, steps = Training(cell, weights, settings, compiled), len(data["train"])
    fall = lambda step: 0.5 * (1 + math.cos(math.pi * step / (steps * settings["epochs"])))
    compiling = first_steps(training, data["train"]) if compiled else 0.0
    for epoch in range(settings["epochs"]):
        rate = fall if settings["schedule"] == "cosine" else lambda step: 1.0
        training.epoch(data["train"], lambda number, epoch=epoch, rate=rate: rate(epoch * steps + number))
        score = training.score(data["held_out"], data["weights"])
    return score, compiling


def first_steps(training: Training, chunks) -> float:
    """What the first step at rate 0 takes longer than the second, and the first chunk scored likewise."""
    one = chunks[:1]
    counts = [torch.ones(one[0][0].numel(), device=DEVICE)]
    took = []
    for _ in range(2):
        began = time.perf_counter()
        training.epoch(one, lambda number: 0.0)
        training.score(one, counts)
        took.append(time.perf_counter() - began)
    training.optimiser.state.clear()  # the weights are as they were
    return took[0] - took[1]


def load(path: str, cells: list[int]):
    """Chunks of symbols and labels ``[U, B]`` on the device, settings, and description and weights of each cell."""
    file = np.load(path)
    settings = json.loads(str(file["settings"]))
    pairs = lambda name: [tuple(torch.from_numpy(part).to(DEVICE) for part in pair) for pair in file[name]]
    counts = [torch.from_numpy(some).flatten().to(DEVICE) for some in file["weights"]]
    data = {"train": pairs("train"), "held_out": pairs("held_out"), "weights": counts}
    own = lambda start: {name.removeprefix(start): file[name] for name in file.files if name.startswith(start)}
    return data, settings, [(settings["architectures"][i], own(f"{i}:")) for i in cells]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload")
    parser.add_argument("cells", type=lambda text: [int(i) for i in text.split(",")])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data, settings, cells = load(options.workload, options.cells)
    if options.check:
        trainings = [Training(*cell, settings) for cell in cells]
        losses = [one.epoch(data["train"], lambda number: 1.0, settings["checked"]) for one in trainings]
        print(json.dumps([list(map(float, some)) for some in losses]))
        return
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    done = [train(*cell, data, settings, options.compile) for cell in cells]
    scores, compiling = zip(*done, strict=True)
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    answer = {"seconds": time.perf_counter() - began, "compile": sum(compiling), "programs": 0, "scores": scores}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
