"""NAS-Bench-201's network in PyTorch, from the description that jaxnas gives of one; see `torch_children.py`."""

import torch
from torch import nn

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


def conv_norm(channels: int, filters: int, side: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(channels, filters, side, stride, side // 2, bias=False), nn.BatchNorm2d(filters)]


def edge(operation: str, channels: int) -> nn.Module | None:
    """None: nothing comes over it."""
    if operation == "skip_connect":
        return nn.Identity()
    if operation == "avg_pool_3x3":
        return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    if operation == "none":
        return None
    return nn.Sequential(nn.ReLU(), *conv_norm(channels, channels, int(operation[-1])))


class Cell(nn.Module):
    def __init__(self, operations: list[str], channels: int):
        super().__init__()
        self.edges = nn.ModuleList([edge(operation, channels) for operation in operations])

    def forward(self, x):
        nodes = [x, 0, 0, 0]
        for (start, end), part in zip(EDGES, self.edges, strict=True):
            if part is not None and torch.is_tensor(nodes[start]):
                nodes[end] = nodes[end] + part(nodes[start])
        return nodes[3] if torch.is_tensor(nodes[3]) else torch.zeros_like(x)


class Reduction(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        first, second = conv_norm(channels, 2 * channels, 3, 2), conv_norm(2 * channels, 2 * channels, 3)
        self.main = nn.Sequential(nn.ReLU(), *first, nn.ReLU(), *second)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels, 2 * channels, 1, bias=False))

    def forward(self, x):
        return self.main(x) + self.shortcut(x)


def network(architecture: dict, classes: int) -> nn.Module:
    """Stem, three stages of cells with a residual block between them, and the dense layer."""
    channels, parts = architecture["stages"][0]["map"][2], []
    parts += conv_norm(architecture["input"][2], channels, 3)
    for number, stage in enumerate(architecture["stages"]):
        width = stage["map"][2]
        parts += [Reduction(width // 2)] if number else []
        parts += [Cell(architecture["operations"], width) for _ in range(architecture["cells"])]
    return nn.Sequential(
        *parts, nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)
    )
