"""The house: imports point downwards only, rooms keep their size, no cupboard."""

import ast
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent / "jaxnas"
FLOORS = {
    "absent": 0, "archive": 0, "caches": 0, "called": 0, "code": 0, "decisions": 0, "examples": 0,
    "fingerprint": 0, "inputs": 0, "interrupts": 0, "machine": 0,
    "numerics": 0, "outcome": 0, "plain": 0, "ranges": 0, "rng": 0, "settings": 0,
    "version": 0,
    "elastic": 0, "values": 1, "children": 1,
    "journal": 1, "ledger_rows": 1, "locks": 0,
    "spaces": 2, "tasks": 2, "rewards": 2, "ledger": 2, "checkpoint": 2, "tables": 2,
    "learners": 3, "evaluators": 3, "strategies": 3, "report": 3,
    "named_trial": 3, "contracts": 3, "stopping": 3, "repeats": 3,
    "experiment": 4, "export": 4, "final": 4, "final_data": 4, "trained": 4, "record": 4, "starting": 4,
    "proposing": 4, "search": 4,
    "compiled_search": 4, "compare": 4, "tabulate": 4,
    "by_name": 5, "program_cache": 5, "overrides": 5, "setup": 5, "targets": 5, "shipped": 5,
    "found": 5, "recorded": 5, "running": 5, "tuning": 5,
    "commands": 6, "cli": 7, "__main__": 8,
}  # fmt: skip
ONLY = {"strategies": {"decisions", "ranges", "settings"}, "report": {"called", "ledger", "outcome"}}
SAME_FLOOR = {
    ("machine", "version"),
    ("plain", "ranges"),
    ("children", "values"),
    ("settings", "plain"),
    ("settings", "ranges"),
    ("evaluators", "learners"),
    ("search", "experiment"),
    ("search", "record"),
    ("record", "experiment"),
    ("starting", "experiment"),
    ("search", "starting"),
    ("proposing", "experiment"),
    ("search", "proposing"),
    ("final", "final_data"),
    ("experiment", "final"),
    ("trained", "final"),
    ("export", "trained"),
    ("compare", "compiled_search"),
    ("tabulate", "experiment"),
    ("contracts", "strategies"),
    ("tables", "spaces"),
    ("setup", "overrides"),
    ("overrides", "by_name"),
    ("recorded", "setup"),
    ("found", "recorded"),
    ("found", "setup"),
    ("running", "found"),
    ("running", "setup"),
    ("tuning", "found"),
    ("tuning", "running"),
    ("tuning", "setup"),
    ("targets", "setup"),
    ("setup", "program_cache"),
}
FILES = sorted(HOUSE.rglob("*.py"))


def room(file: Path) -> str:
    return file.relative_to(HOUSE).with_suffix("").parts[0]


def imported_rooms(tree: ast.Module) -> set[str]:
    """The rooms that a module imports, wherever in it the import stands."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" if node.module == "jaxnas" else node.module for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("jaxnas.")}


def allowed(source: str, target: str) -> bool:
    if source == target or (source, target) in SAME_FLOOR:
        return True
    return FLOORS[target] < FLOORS[source] and target in ONLY.get(source, FLOORS)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(HOUSE)))
def test_no_room_reaches_upward(file):
    if file.name == "__init__.py" and file.parent == HOUSE:
        return
    tree = ast.parse(file.read_text())
    upward = [target for target in imported_rooms(tree) if not allowed(room(file), target)]
    assert upward == [], f"{file.name} on floor {FLOORS[room(file)]} may not import {upward}"


FAMILIES = {"chain", "skip", "cell201", "recurrent", "mlp", "module", "tuned"}
COMMON = {"engines": 0, "cost": 0, "normalised": 0, "layers": 1}
"""What all families may use, beside the contract itself."""


def imported_in_children(tree: ast.Module) -> set[str]:
    """Of `jaxnas.children`: the folders and files that a module imports; "" is the contract."""
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "jaxnas.children"
        for alias in node.names
        if (HOUSE / "children" / alias.name).exists() or (HOUSE / "children" / f"{alias.name}.py").exists()
    ]
    parts = [name.split(".") for name in names if name.startswith("jaxnas.children")]
    return {(name + [""])[2] for name in parts}


@pytest.mark.parametrize("file", sorted((HOUSE / "children").rglob("*.py")), ids=lambda f: str(f.relative_to(HOUSE)))
def test_no_family_sees_another(file):
    """Engines, layers and costs know no family; the contract knows engines alone."""
    own, seen = (
        file.relative_to(HOUSE / "children").with_suffix("").parts[0],
        imported_in_children(ast.parse(file.read_text())),
    )
    if own in FAMILIES:
        assert seen <= {own, "", *COMMON}
    elif own == "__init__":
        assert seen <= {"engines"}
    else:
        assert {name for name in seen - {own} if name not in COMMON or COMMON[name] >= COMMON[own]} == set()


def test_the_rule_itself_can_say_no():
    assert not allowed("children", "evaluators")
    assert not allowed("strategies", "spaces")
    assert not allowed("report", "search")
    assert imported_in_children(
        ast.parse("from jaxnas.children import layers\nfrom jaxnas.children.skip.genes import x")
    ) == {
        "layers",
        "skip",
        "",
    }
    assert imported_rooms(ast.parse("def f():\n    from jaxnas import search\n    import jaxnas.cli")) == {
        "search",
        "cli",
    }


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(HOUSE)))
def test_files_and_functions_stay_small(file):
    text = file.read_text()
    assert text.count("\n") <= 300
    assert file.stem not in ("utils", "common", "helpers", "core")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            doc = ast.get_docstring(node) or ""
            assert node.end_lineno - node.lineno - doc.count("\n") <= 40, node.name


def test_the_loop_stays_short():
    tree = ast.parse((HOUSE / "search.py").read_text())
    [loop] = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "search"]
    assert loop.end_lineno - loop.lineno <= 60
