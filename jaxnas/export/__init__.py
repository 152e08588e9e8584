"""Export: a finally trained network as files that need no jaxnas."""

from jaxnas.export.bundle import Exported, FarOffError, check_free, export
from jaxnas.export.module import module

__all__ = ["Exported", "FarOffError", "check_free", "export", "module"]
