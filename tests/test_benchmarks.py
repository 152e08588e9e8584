"""Benchmarks, which no test runs: what they name of jaxnas and of each other is there."""

import ast
import importlib
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parent.parent / "benchmarks").glob("*.py"))
TREES = {file.stem: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}


def defined(stem: str) -> set[str]:
    """What stands at the top of a benchmark."""
    found = set()
    for node in TREES[stem].body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        found |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def has(module: str, name: str) -> bool:
    """Whether a benchmark or a module of ours has a name, or a module of that name in it."""
    if module in TREES:
        return name in defined(module)
    return name in dir(importlib.import_module(module)) or is_module(f"{module}.{name}")


def asked(stem: str) -> list[tuple[str, str]]:
    """Module and name of what a benchmark takes from modules of ours, by import or as an attribute."""
    ours = lambda module: module.split(".")[0] == "jaxnas" or module in TREES
    found, modules = [], {}
    for node in ast.walk(TREES[stem]):
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name: alias.name for alias in node.names if ours(alias.name)}
        elif isinstance(node, ast.ImportFrom) and ours(node.module):
            found += [(node.module, alias.name) for alias in node.names]
            modules |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(TREES[stem]):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            module = modules[node.value.id]
            if module in TREES or is_module(module):
                found.append((module, node.attr))
    return found


def is_module(name: str) -> bool:
    try:
        return bool(importlib.import_module(name))
    except ModuleNotFoundError:  # a class or a function
        return False


@pytest.mark.parametrize("stem", TREES)
def test_what_a_benchmark_names_is_there(stem):
    assert [f"{module}.{name}" for module, name in asked(stem) if not has(module, name)] == []


def test_what_is_not_there_is_found():
    assert has("jaxnas.setup", "load")
    assert has("jaxnas", "setup")
    assert not has("jaxnas.setup", "use_all_core")
    assert not has("workloads", "sampled")
    assert ("jaxnas.setup", "use_all_cores") in asked("difference")
    assert ("workloads", "machine") in asked("tuners")
