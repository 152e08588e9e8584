"""Settings as plain values, as the ledger and checkpoints record them, and how two records differ."""

import dataclasses

LONGEST = 300
"""Characters of a value in a message."""


def describe(value):
    """Settings as plain JSON values: each dataclass a dict of its fields and, under "type", its class name."""
    if dataclasses.is_dataclass(value):
        named = {f.name: describe(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__qualname__} | named
    if isinstance(value, dict):
        return {name: describe(v) for name, v in value.items()}
    if isinstance(value, tuple | list):
        return [describe(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def flatten(description: dict, prefix: str = "") -> dict[str, object]:
    """Nested descriptions as one dict with dotted names: {"strategy.learning_rate": 0.01, ...}."""
    flat = {}
    for name, value in description.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def differing(recorded: dict, wanted: dict) -> dict[str, str]:
    """The settings in which two descriptions differ, by dotted name: how, in words."""
    a, b = flatten(recorded), flatten(wanted)
    names = [name for name in dict.fromkeys((*a, *b)) if a.get(name) != b.get(name)]
    return {n: f"{n}: {_shown(a.get(n, 'absent'))} there, {_shown(b.get(n, 'absent'))} now" for n in names}


def _shown(value: object) -> str:
    """A value as a message has it: of a long one, such as a vocabulary, the beginning."""
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
