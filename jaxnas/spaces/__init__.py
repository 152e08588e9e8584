"""Search spaces: the decisions a strategy makes, and the architectures that they mean.

Letters: T decisions.
"""

from typing import Protocol, runtime_checkable

from jaxnas.decisions import Decisions
from jaxnas.spaces.chain import ChainCNN

SPACES = {"ChainCNN": ChainCNN}
"""Every space of the library by name; the laws are tested over this table."""


@runtime_checkable
class Space(Protocol):
    """A frozen dataclass of settings with these functions; see `ChainCNN`."""

    @property
    def decisions(self) -> Decisions: ...

    def decode(self, tokens):
        """tokens ``[T]`` -> architecture."""

    def encode(self, architecture):
        """architecture -> tokens ``[T]``; ``decode(encode(a)) == a``."""

    def children(self, input_shape: tuple[int, int, int], classes: int):
        """How the architectures of this space compute on images of this shape."""


__all__ = ["SPACES", "ChainCNN", "Space"]
