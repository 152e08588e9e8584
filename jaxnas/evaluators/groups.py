"""What a plan of a round consists of.

Letters: N children.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Group:
    """Children that share an envelope.

    Attributes:
        places: the row of the round that is trained in each place of the program, None where nothing is; each device
            has as many places in a row.
        inside: the envelope they run in.
    """

    places: tuple[int | None, ...]
    inside: Any

    @property
    def rows(self) -> tuple[int, ...]:
        return tuple(row for row in self.places if row is not None)

    @property
    def filled(self) -> list[int]:
        """A row for every place: in those where nothing is trained, the first."""
        return [self.rows[0] if row is None else row for row in self.places]

    @property
    def live(self) -> list[bool]:
        """Whether something is trained in a place."""
        return [row is not None for row in self.places]

    def without(self, rows: Collection[int]) -> "Group":
        """The same places, those of some rows empty."""
        return Group(tuple(None if row in rows else row for row in self.places), self.inside)

    @property
    def program(self) -> tuple[Any, int]:
        """What its program is known by: envelope and number of places."""
        return self.inside, len(self.places)


@dataclass(frozen=True)
class Plan:
    """A round's groups, and what they are expected to cost.

    Attributes:
        groups: each row of the round stands in exactly one.
        executed: multiply-adds that run for one example of each child, forward, summed; by group.
        useful: those of the children themselves.
        bytes: memory of each group on one device, as the model has it.
        new_programs: how many are not compiled yet.
        seconds: predicted, compilation included; None where the device has not been measured.
        compile_seconds: the part of it that is compilation.
    """

    groups: tuple[Group, ...]
    executed: tuple[int, ...]
    useful: tuple[int, ...]
    bytes: tuple[int, ...]
    new_programs: int
    seconds: float | None
    compile_seconds: float | None


@dataclass(frozen=True)
class Workload:
    """What a child goes through, and on what.

    Attributes:
        images: examples that a child is trained on, all epochs together.
        batch_size: examples a step.
        platform: kind of device, as JAX names it.
        devices: over how many the children are spread.
        budget: bytes of memory a group may take on one device.
        epochs: that these images are.
        kept: bytes of each child's outputs, where its score wants all of them.
    """

    images: int
    batch_size: int
    platform: str
    devices: int
    budget: int
    epochs: int = 1
    kept: int = 0

    def of(self, own: Mapping[str, Any]) -> "Workload":
        """That of children with other epochs or batches."""
        if not own.keys() & {"epochs", "batch_size"}:
            return self
        epochs = own.get("epochs", self.epochs)
        images, size = self.images * epochs // self.epochs, own.get("batch_size", self.batch_size)
        return replace(self, images=images, epochs=epochs, batch_size=size)
