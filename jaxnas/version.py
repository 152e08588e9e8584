"""Which version this is."""

import importlib.metadata
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def version() -> str:
    """Of the installed package; in a checkout that nobody has installed, what its project file says."""
    try:
        return importlib.metadata.version("jaxnas")
    except importlib.metadata.PackageNotFoundError:
        return tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"]
