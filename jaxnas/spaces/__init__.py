"""Search spaces: the decisions a strategy makes, and the architectures that they mean."""

from jaxnas.children.recurrent.network import Dropout
from jaxnas.spaces.cell201 import Cell201
from jaxnas.spaces.chain import ChainCNN
from jaxnas.spaces.choices import Choices
from jaxnas.spaces.contract import Grows, Parses, Restores, Space, grows_after, present_columns
from jaxnas.spaces.mlp import MLP
from jaxnas.spaces.module import ModuleSpace
from jaxnas.spaces.recurrent import LanguageModel, RecurrentCell, StandardCell
from jaxnas.spaces.skip import Growth, SkipCNN
from jaxnas.spaces.tuned import Tuned

SPACES = {
    "Cell201": Cell201,
    "ChainCNN": ChainCNN,
    "MLP": MLP,
    "RecurrentCell": RecurrentCell,
    "SkipCNN": SkipCNN,
    "StandardCell": StandardCell,
}
"""Every space of the library by name; the laws are tested over this table."""


__all__ = [
    "MLP",
    "SPACES",
    "Cell201",
    "ChainCNN",
    "Choices",
    "Dropout",
    "Grows",
    "Growth",
    "LanguageModel",
    "ModuleSpace",
    "Parses",
    "RecurrentCell",
    "Restores",
    "SkipCNN",
    "Space",
    "StandardCell",
    "Tuned",
    "grows_after",
    "present_columns",
]
