"""An architecture without a drawing of its own: its JSON values, as they are."""

import json
from collections.abc import Iterator, Mapping, Sequence

WIDTH = 100
"""Of a line, where values allow it."""
SHORT = 120
"""Characters of an architecture in a single line, at most."""


def draw_values(architecture: object) -> str:
    """The values by name, a line each; what does not fit a line is indented below its name."""
    return "\n".join(_lines(architecture, 0))


def short_values(architecture: object) -> str:
    """The values in one line; what is too long ends in an ellipsis."""
    if isinstance(architecture, Mapping):
        line = " ".join(f"{name}={_json(value)}" for name, value in architecture.items())
    else:
        line = _json(architecture)
    return line if len(line) <= SHORT else f"{line[: SHORT - 1]}…"


def _lines(value: object, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, Mapping) and value:
        named = [(f"{name}:", inner) for name, inner in value.items()]
    elif isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(v, list | dict) for v in value):
        named = [(f"{number}:", inner) for number, inner in enumerate(value)]
    else:
        yield from _wrapped(_json(value), indent)
        return
    for name, inner in named:
        written = _json(inner)
        if len(indent) + len(name) + 1 + len(written) <= WIDTH:
            yield f"{indent}{name} {written}"
        else:
            yield f"{indent}{name}"
            yield from _lines(inner, depth + 1)


def _wrapped(text: str, indent: str) -> Iterator[str]:
    """A text in lines, broken after commas."""
    line = ""
    for piece in text.split(" "):
        if line and len(indent) + len(line) + 1 + len(piece) > WIDTH:
            yield indent + line
            line = ""
        line = f"{line} {piece}" if line else piece
    yield indent + line


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
