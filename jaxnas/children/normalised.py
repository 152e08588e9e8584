"""Whether batch normalisation has enough numbers to learn from."""

from typing import NamedTuple, Protocol, runtime_checkable


class Normalised(NamedTuple):
    """A batch normalisation: which layer's, and the height and width of the map that it normalises."""

    layer: str
    size: tuple[int, int]


@runtime_checkable
class BatchNormalised(Protocol):
    """Children with batch normalisation."""

    def least_normalised(self, architecture=None) -> Normalised | None:
        """The normalisation of the smallest map in an architecture, or in any of the space; None: there is none."""


def check_normalised(children, batch_size: int, architecture=None) -> None:
    """A batch normalisation that sees one value a channel gives 0 whatever that is: nothing could be learnt, and its
    running variance would fall towards 0, by which scoring divides.

    Args:
        children: of a space.
        batch_size: examples a step.
        architecture: one of them; None: any.

    Raises:
        ValueError: there is such a normalisation.
    """
    least = children.least_normalised(architecture) if isinstance(children, BatchNormalised) else None
    if least is not None and batch_size * least.size[0] * least.size[1] == 1:
        what = "this network" if architecture is not None else "the smallest network of the space"
        raise ValueError(
            f"batch_size={batch_size}: {least.layer} of {what} has a map of 1x1, so that its batch normalisation sees "
            "one value a channel, from which nothing can be learnt: give 2 or more, or larger maps"
        )
