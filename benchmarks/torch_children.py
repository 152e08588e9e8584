#!/usr/bin/env python3
"""The children of a throughput workload, one after the other in PyTorch; `throughput.py` starts and times it.

    python benchmarks/torch_children.py WORKLOAD.npz CHILDREN,... [--threads 1] [--compile]

Says "ready" when PyTorch and the data are loaded, begins at the first line on its standard input, and answers with one
line of JSON: seconds, the last scores, and the greatest memory of its process (GiB).
"""

import argparse
import json
import resource
import sys
import time

import numpy as np
import torch
import torch_cell201
from torch import nn

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def network(layers: list[dict], channels: int, classes: int) -> nn.Module:
    """The chain with these layers, in channels-last form."""
    parts = []
    for layer in layers:
        (kh, kw), filters = layer["kernel"], layer["filters"]
        before, after = ((kw - 1) // 2, (kh - 1) // 2), (kw // 2, kh // 2)
        pads = (before[0], after[0], before[1], after[1])
        even = pads[0] != pads[1] or pads[2] != pads[3]
        parts += [nn.ZeroPad2d(pads)] if even else []
        padding = 0 if even else (pads[2], pads[0])
        parts += [nn.Conv2d(channels, filters, (kh, kw), tuple(layer["stride"]), padding, bias=False)]
        parts += [nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]
        parts += [nn.MaxPool2d(layer["pool"], ceil_mode=True)] if layer["pool"] > 1 else []
        channels = filters
    net = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
    return net.to(DEVICE, memory_format=torch.channels_last)


class Skips(nn.Module):
    """The network with skip connections of this description."""

    def __init__(self, architecture: dict, classes: int):
        super().__init__()
        self.layers, self.outputs = architecture["layers"], architecture["outputs"]
        channels, parts = [architecture["input"][2]], []
        for layer in self.layers:
            kernel, stride = tuple(layer["kernel"]), tuple(layer["stride"])
            padding = tuple((side - 1) // 2 for side in kernel)
            if layer["type"] == "convolution":
                entering = sum(channels[j] for j in layer["inputs"])
                conv = nn.Conv2d(entering, layer["channels"], kernel, stride, padding, bias=not layer["norm"])
                norm = [nn.BatchNorm2d(layer["channels"])] if layer["norm"] else []
                parts.append(nn.Sequential(conv, *norm, nn.ReLU(inplace=True)))
            elif layer["type"] == "max_pool":
                parts.append(nn.MaxPool2d(kernel, stride, padding))
            else:
                parts.append(nn.AvgPool2d(kernel, stride, padding, count_include_pad=False))
            channels.append(layer["channels"])
        self.parts = nn.ModuleList(parts)
        self.dense = nn.Linear(sum(channels[j] for j in self.outputs), classes)

    def forward(self, x):
        maps = [x]
        for layer, part in zip(self.layers, self.parts, strict=True):
            maps.append(part(join([maps[j] for j in layer["inputs"]])))
        return self.dense(join([maps[j] for j in self.outputs]).mean((2, 3)))


def join(maps: list) -> torch.Tensor:
    """In depth, zeros below and to the right up to the greatest size."""
    height, width = (max(m.shape[axis] for m in maps) for axis in (2, 3))
    grown = [nn.functional.pad(m, (0, width - m.shape[3], 0, height - m.shape[2])) for m in maps]
    return torch.cat(grown, 1) if len(maps) > 1 else maps[0]


def build(architecture: dict, channels: int, classes: int) -> nn.Module:
    if architecture["type"] == "chain":
        return network(architecture["layers"], channels, classes)
    if architecture["type"] == "cell201":
        return torch_cell201.network(architecture, classes).to(DEVICE, memory_format=torch.channels_last)
    return Skips(architecture, classes).to(DEVICE, memory_format=torch.channels_last)


def train(architecture: dict, data: dict, settings: dict, compiled: bool) -> float:
    """Train one child as the trainer of jaxnas does (SGD, Nesterov, cosine, held-out score each epoch)."""
    x, y = data["x"], data["y"]
    net, batch = build(architecture, x.shape[1], settings["classes"]), settings["batch_size"]
    run = torch.compile(net) if compiled else net
    steps = len(x) // batch
    kinds = {"lr": settings["learning_rate"], "momentum": settings["momentum"], "nesterov": True}
    optimiser = torch.optim.SGD(net.parameters(), **kinds, weight_decay=settings["weight_decay"], foreach=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps * settings["epochs"])
    scaler = torch.amp.GradScaler(DEVICE, enabled=DEVICE == "cuda")
    mixed = torch.autocast(DEVICE, enabled=DEVICE == "cuda")
    for _ in range(settings["epochs"]):
        net.train()
        order = torch.randperm(len(x), device=DEVICE)
        for i in range(steps):
            rows = order[i * batch : (i + 1) * batch]
            optimiser.zero_grad(set_to_none=True)
            with mixed:
                loss = nn.functional.cross_entropy(run(x[rows]), y[rows])
            scaler.scale(loss).backward()
            scaler.step(optimiser)
            scaler.update()
            schedule.step()
        net.eval()
        with torch.no_grad(), mixed:
            right = sum(
                (run(xs).argmax(1) == ys).sum()
                for xs, ys in zip(data["held_x"].split(batch), data["held_y"].split(batch), strict=True)
            )
    return float(right) / len(data["held_x"])


def load(path: str) -> tuple[dict, dict]:
    """Images to ``[N, C, H, W]`` in channels-last form on the device, and the settings."""
    file = np.load(path)
    data = {name: torch.from_numpy(file[name]).to(DEVICE) for name in ("x", "y", "held_x", "held_y")}
    for name in ("x", "held_x"):
        data[name] = data[name].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return data, json.loads(str(file["settings"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload")
    parser.add_argument("children", type=lambda text: [int(i) for i in text.split(",")])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data, settings = load(options.workload)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    scores = [train(settings["architectures"][i], data, settings, options.compile) for i in options.children]
    if DEVICE == "cuda":
        torch.cuda.synchronize()
        memory = torch.cuda.max_memory_allocated() / 2**30
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": time.perf_counter() - began, "scores": scores, "memory": memory}))


if __name__ == "__main__":
    main()
