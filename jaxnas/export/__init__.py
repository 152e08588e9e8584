"""Trained networks outside of a search: as files that need no jaxnas, and as what predicts."""

from jaxnas.export.alone import Predictor
from jaxnas.export.bundle import Exported, FarOffError, check_exportable, check_free, export
from jaxnas.export.images.module import module
from jaxnas.export.language.module import cell_module

__all__ = [
    "Exported",
    "FarOffError",
    "Predictor",
    "cell_module",
    "check_exportable",
    "check_free",
    "export",
    "module",
]
