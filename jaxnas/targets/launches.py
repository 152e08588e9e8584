"""What a compiled program starts on its device when it runs, counted in its text."""

import re
from collections import Counter
from collections.abc import Callable
from functools import cache

COMPUTATION = re.compile(r"^(ENTRY )?(%[^\s(]+) [^\n]*\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
OPERATION = re.compile(r"^ .*? = (?:\(.*?\)|\S+) ([a-z][\w-]*)\(", re.MULTILINE)
"""The name of an instruction's operation, after the type of what it gives: a tuple or an array."""
CALLED = re.compile(r"(?:body|to_apply|branch_computations|true_computation|false_computation)=\{?([^}=]*)")
TURNS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
END = re.compile(r"^  \S+ = s32\[\]\S* constant\((\d+)\)", re.MULTILINE)
"""Where the text of a loop does not say how many turns it has: what its condition holds the counter against."""
CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "copy-done", "async-done"}
"""Instructions that start nothing."""


def launches(text: str) -> Counter:
    """Operations that a program starts, a fusion being one, in all turns of its loops.

    Args:
        text: `jax.stages.Compiled.as_text` of it.

    Returns:
        By "operations"; "conditionals"; "open loops", those whose number of turns is not in the program; and "cycles",
        the compiler's estimate of all, for TPUs alone. Of an open loop one turn is counted, of a conditional the branch
        that starts most. On GPUs the host waits for what either depends on.
    """
    found = COMPUTATION.findall(text)
    bodies = {name: body for _, name, body in found}

    @cache
    def of(name: str) -> Counter:
        return sum((_one(line, bodies, of) for line in bodies[name].splitlines()), Counter())

    return of(next(name for entry, name, _ in found if entry))


def _one(line: str, bodies: dict[str, str], of: Callable[[str], Counter]) -> Counter:
    """What an instruction starts; ``of`` says it of a computation that it calls."""
    kind = OPERATION.match(line)
    if kind is None or kind[1] in FREE:
        return Counter()
    if kind[1] not in ("while", "conditional", "call"):
        return Counter({"operations": 1, "cycles": int((CYCLES.search(line) or [0, 0])[1])})
    inner = [of(name) for name in re.findall(r"%[^\s,}]+", " ".join(CALLED.findall(line)))]
    if kind[1] == "conditional":
        return max(inner, key=lambda one: one["operations"]) + Counter({"operations": 1, "conditionals": 1})
    if kind[1] == "call":
        return inner[0]
    turns = TURNS.findall(line) or END.findall(bodies[re.search(r"condition=(%[^\s,]+)", line)[1]])
    if len(turns) != 1:
        return inner[0] + Counter({"open loops": 1})
    return Counter({name: count * int(turns[0]) for name, count in inner[0].items()})
