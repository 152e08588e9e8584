"""Export: a finally trained network as files that need no jaxnas."""

from jaxnas.export.bundle import Exported, export
from jaxnas.export.module import module

__all__ = ["Exported", "export", "module"]
