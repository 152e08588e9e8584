#!/usr/bin/env python3
"""The networks of `elastic.py`, one after the other in PyTorch; that script starts and times it.

    python benchmarks/torch_elastic.py WORKLOAD.npz CHILDREN,... [--threads 1]

Says "ready" when PyTorch and the data are loaded, begins at the first line on its standard input, and answers with one
line of JSON: seconds and scores.
"""

import argparse
import json
import sys
import time

import numpy as np
import torch
from torch import nn

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def mlp(width: int, depth: int, dropout: float) -> nn.Module:
    parts = [nn.Flatten(), nn.Linear(64, width), nn.ReLU()]
    for _ in range(depth):
        parts += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*parts, nn.Dropout(dropout), nn.Linear(width, 10))


def cnn(width: int, depth: int, dropout: float) -> nn.Module:
    layer = lambda channels, filters: [
        nn.Conv2d(channels, filters, 3, padding=1, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(inplace=True),
    ]
    parts = layer(1, width)
    for _ in range(depth):
        parts += layer(width, width)
    parts += [nn.MaxPool2d(2), *layer(width, 2 * width)]
    return nn.Sequential(*parts, nn.Flatten(), nn.Dropout(dropout), nn.Linear(2 * width * 16, 10))


def train(child: dict, data: dict) -> float:
    """SGD with momentum over the given batches, then the share of held-out images that are named right."""
    make = {"mlp": mlp, "cnn": cnn}[child["kind"]]
    net = make(child["width"], child["depth"], child["dropout"])
    net = net.to(DEVICE, memory_format=torch.channels_last) if child["kind"] == "cnn" else net.to(DEVICE)
    optimiser = torch.optim.SGD(net.parameters(), lr=child["learning_rate"], momentum=0.9, foreach=True)
    for rows in data["order"]:
        optimiser.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(net(data["x"][rows]), data["y"][rows]).backward()
        optimiser.step()
    net.eval()
    with torch.no_grad():
        return float((net(data["held_x"]).argmax(1) == data["held_y"]).float().mean())


def load(path: str) -> tuple[dict, list[dict]]:
    """Images to ``[N, 1, 8, 8]`` on the device, and the children."""
    file = np.load(path)
    data = {name: torch.from_numpy(file[name]).to(DEVICE) for name in ("x", "y", "held_x", "held_y", "order")}
    for name in ("x", "held_x"):
        data[name] = data[name].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return data, json.loads(str(file["children"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload")
    parser.add_argument("children", type=lambda text: [int(i) for i in text.split(",")])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data, children = load(options.workload)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    scores = [train(children[i], data) for i in options.children]
    print(json.dumps({"seconds": time.perf_counter() - began, "scores": scores}))


if __name__ == "__main__":
    main()
