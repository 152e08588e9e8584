"""Export: a finally trained network as files that need no jaxnas."""

from jaxnas.export.bundle import Exported, FarOffError, check_free, export
from jaxnas.export.images.module import module
from jaxnas.export.language.module import cell_module

__all__ = ["Exported", "FarOffError", "cell_module", "check_free", "export", "module"]
