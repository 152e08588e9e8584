"""Engines: how different convolutions run in one program. The same numbers, different work."""

from jaxnas.children.engines.branching import Branching, filter_classes
from jaxnas.children.engines.engine import Engine, Shape, Sides
from jaxnas.children.engines.padded import Padded
from jaxnas.children.engines.ragged import Ragged

__all__ = ["Branching", "Engine", "Padded", "Ragged", "Shape", "Sides", "filter_classes"]
