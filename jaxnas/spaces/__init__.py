"""Search spaces: the decisions a strategy makes, and the architectures that they mean.

Letters: T decisions.
"""

from typing import Protocol, runtime_checkable

from jaxnas.children.recurrent.network import Dropout
from jaxnas.spaces.cell201 import Cell201
from jaxnas.spaces.chain import ChainCNN
from jaxnas.spaces.recurrent import LanguageModel, RecurrentCell, StandardCell
from jaxnas.spaces.skip import Growth, SkipCNN

SPACES = {
    "Cell201": Cell201,
    "ChainCNN": ChainCNN,
    "RecurrentCell": RecurrentCell,
    "SkipCNN": SkipCNN,
    "StandardCell": StandardCell,
}
"""Every space of the library by name; the laws are tested over this table."""


@runtime_checkable
class Space(Protocol):
    """A frozen dataclass of settings with these functions and ``decisions``, a `Decisions`; see `ChainCNN`.

    A space that grows during a search has one function more, ``present(trials)`` -> bool ``[T]``: which columns exist
    in a round before which so many trials were made; they are the first ones.

    (``decisions`` is not declared here: the command line follows only protocols whose members are all functions.)
    """

    def decode(self, tokens):
        """tokens ``[T]`` -> architecture."""

    def encode(self, architecture):
        """architecture -> tokens ``[T]``; ``decode(encode(a)) == a``."""

    def children(self, input_shape: tuple[int, ...], classes: int):
        """How the architectures of this space compute on examples of this shape."""


__all__ = [
    "SPACES",
    "Cell201",
    "ChainCNN",
    "Dropout",
    "Growth",
    "LanguageModel",
    "RecurrentCell",
    "SkipCNN",
    "Space",
    "StandardCell",
]
