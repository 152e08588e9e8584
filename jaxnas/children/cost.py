"""What a child costs, counted from its architecture; and what families say alike."""

from dataclasses import dataclass

HELD = 4
"""Copies of a child's maps that training holds, by `memory_analysis` of compiled programs."""


@dataclass(frozen=True)
class Cost:
    """Exact and unpadded.

    Attributes:
        multiply_adds: for one example, forward.
        parameters: trainable numbers.
        activation_bytes: of one example's maps, float32, forward.
    """

    multiply_adds: int
    parameters: int
    activation_bytes: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.multiply_adds + other.multiply_adds,
            self.parameters + other.parameters,
            self.activation_bytes + other.activation_bytes,
        )


def more(filters: int, factor: float) -> int:
    """So many times the filters, rounded, at least 1."""
    return max(1, round(filters * factor))


def does_not_fit(architecture, envelope) -> ValueError:
    """What is raised where an envelope does not hold an architecture."""
    return ValueError(f"{architecture} does not fit into {envelope}: join its own envelope to it first")
