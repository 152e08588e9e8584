"""What a number among the settings may be: a range in its annotation, ``layers: Annotated[int, Range(1, 1000)]``.

Every number of every setting has one, with two ends: the upper one is where no honest user comes, and what lies beyond
it would run for ever, or out of memory, in silence.
"""

from dataclasses import dataclass
from typing import Annotated

LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class Range:
    """Finite numbers from ``least`` to ``most``; ``ends`` as in mathematics: "[" and "]" belong to it, "(" and ")" do
    not.
    """

    least: int | float
    most: int | float
    ends: str = "[]"

    def holds(self, number: int | float) -> bool:
        """Whether the number lies inside; NaN and infinity lie nowhere."""
        low = number >= self.least if self.ends[0] == "[" else number > self.least
        high = number <= self.most if self.ends[1] == "]" else number < self.most
        return low and high

    def __str__(self) -> str:
        least, most = (f"{end:,.15g}" for end in (self.least, self.most))
        return {
            "[]": f" from {least} to {most}",
            "[)": f" from {least} to less than {most}",
            "(]": f" above {least}, {most} at most",
            "()": f" between {least} and {most}",
        }[self.ends]


@dataclass(frozen=True)
class Such:
    """Beside a protocol in an annotation: an example of what to give; ``none``: or None. (Of a union in the annotation
    the command line would not see the settings.)
    """

    example: str
    none: bool = False

    def __str__(self) -> str:
        return f", such as {self.example}{', or None' * self.none}"


Seed = Annotated[int, Range(0, LARGEST_SEED)]
Epochs = Annotated[int, Range(1, 100_000)]
ChildCount = Annotated[int, Range(1, 10_000)]
Layers = Annotated[int, Range(1, 200)]
Pixels = Annotated[int, Range(1, 1024)]
"""A side of a kernel, a stride."""
Filters = Annotated[int, Range(1, 65_536)]
Limit = Annotated[int, Range(2, 2**31 - 1)]
"""Examples or symbols of a data set: one to learn from and one to be scored on at least."""
LearningRate = Annotated[float, Range(0, 1e3, "(]")]
Probability = Annotated[float, Range(0, 1)]
Share = Annotated[float, Range(0, 1, "[)")]
Part = Annotated[float, Range(0, 1, "()")]
"""A share that leaves something on both sides."""
Weight = Annotated[float, Range(0, 1e6)]
"""Of a term beside others: weight decay, entropy."""
Norm = Annotated[float, Range(0, 1e9, "(]")]
Floor = Annotated[float, Range(-1e9, 1e9)]
"""Of a reward: what a failed child gets."""
