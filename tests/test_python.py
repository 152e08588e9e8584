"""jaxnas from Python: the names that `import jaxnas` gives."""

import ast
import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import jaxnas
from jaxnas import version
from jaxnas.cli import main

HOUSE = Path(jaxnas.__file__).parent
PROJECT = tomllib.loads((HOUSE.parent / "pyproject.toml").read_text())


def typed_names() -> dict[str, str]:
    """What the block for who reads types names, and from which module."""
    [block] = [node for node in ast.parse((HOUSE / "__init__.py").read_text()).body if isinstance(node, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert all(alias.asname == alias.name for node in imports for alias in node.names)  # re-exported
    found = {alias.name: node.module for node in imports for alias in node.names}
    return found | {node.target.id: "jaxnas" for node in block.body if isinstance(node, ast.AnnAssign)}


def test_types_and_the_lazy_table_name_the_same():
    modules = {name: f"jaxnas.{place}" for name, place in jaxnas._PLACES.items()}
    assert typed_names() == modules | dict.fromkeys((*jaxnas._MODULES, "__version__"), "jaxnas")
    assert (HOUSE / "py.typed").is_file()
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["jaxnas"]


@pytest.mark.parametrize("name", jaxnas.__all__)
def test_every_public_name_is_there(name):
    assert getattr(jaxnas, name) is not None
    assert name in dir(jaxnas)


def test_nothing_that_takes_long_is_imported_for_the_names():
    asked = "import sys, jaxnas; print(jaxnas.__version__, [m for m in sys.modules if m in ('jax', 'flax', 'numpy')])"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"{jaxnas.__version__} []"


def test_a_name_that_is_not_there_is_said():
    with pytest.raises(AttributeError, match="no attribute 'runs'"):
        _ = jaxnas.runs


def test_the_version_is_that_of_the_project_also_where_nobody_has_installed_it(monkeypatch, capsys):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert version.version() == PROJECT["project"]["version"] == jaxnas.__version__
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"jaxnas {jaxnas.__version__}\n"
