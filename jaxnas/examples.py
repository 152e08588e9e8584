"""The configs that come with jaxnas, which go by their names: ``jaxnas search digits``. Nothing that takes long is
imported here.

They lie in ``configs`` of a checkout, and in ``jaxnas/configs`` of what is installed from a wheel.
"""

import ast
import difflib
from pathlib import Path

PLACES = (Path(__file__).parent / "configs", Path(__file__).parents[1] / "configs")
FOLDER = next((place for place in PLACES if (place / "digits.py").is_file()), PLACES[0])


def names() -> list[str]:
    """What there is, by the alphabet."""
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def lines(kind: str) -> list[str]:
    """Name and first line of each that sets a variable of this name, `experiment` or `comparison`."""
    texts = {name: (FOLDER / f"{name}.py").read_text(encoding="utf-8") for name in names()}
    of_kind = {name: text for name, text in texts.items() if f"\n{kind} = " in text}
    width = max(map(len, of_kind), default=0)
    return [f"  {name:{width}}  {_first_line(text)}" for name, text in of_kind.items()]


def _first_line(text: str) -> str:
    head = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0]
    return " ".join(head.split()).partition(". ")[0].removesuffix(".")


def found(given: str) -> Path:
    """The file that is meant: one of that name, else the shipped config of that name. A directory is no config.

    Raises:
        ValueError: there is neither, with the names that are most like it.
    """
    path = Path(given)
    if path.is_file() or path.suffix == ".py":
        if not path.exists() and path.stem in names():
            raise ValueError(f"cannot read {path}: no such file; the config that comes with jaxnas is {path.stem!r}")
        return path
    if given in names():
        return FOLDER / f"{given}.py"
    near = difflib.get_close_matches(given, names(), 2)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ValueError(f"there is no config {given!r}: {hint}Give a Python file, or a name: {', '.join(names())}")


def shown(config: Path) -> str:
    """What a user types for it: the name alone of one that was found by it."""
    return config.stem if config.parent == FOLDER else str(config)
