"""How one round is cut into groups that train together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Group:
    """Children that share an envelope.

    Attributes:
        rows: their rows in the round.
        inside: the envelope they run in.
        size: how many places its program has, at least ``len(rows)``; what is left over is filled with copies.
    """

    rows: tuple[int, ...]
    inside: Any
    size: int


def plan(architectures: Sequence, children, group_size: int, devices: int = 1) -> list[Group]:
    """Cut a round into as few groups as possible, children of similar depth together.

    Each group runs in the space's own envelope, cut to its deepest child (`roof`), so that a whole search needs no more
    programs than its space has depths. The result depends on the arguments alone: a resumed round is cut as it was.

    Args:
        architectures: the round's, in the order of its tokens.
        children: how they compute (`roof`, `cost`).
        group_size: the greatest number of children in a group.
        devices: a group's size is a multiple of it.

    Returns:
        Groups in which each row stands exactly once.
    """
    n = len(architectures)
    groups = -(-n // group_size)
    share = -(-n // groups)
    size = -(-share // devices) * devices
    order = sorted(range(n), key=lambda row: children.depth(architectures[row]))
    cuts = [tuple(order[i : i + share]) for i in range(0, n, share)]
    return [Group(rows, children.roof([architectures[r] for r in rows]), size) for rows in cuts]
