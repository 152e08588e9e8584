"""A round's plan in words and numbers."""

from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.table import Table


@runtime_checkable
class HasClasses(Protocol):
    """An engine that rounds the filters of a layer up to the next of some numbers."""

    filters: tuple[int, ...]


def print_plan(console: Console, plan, seconds: float) -> None:
    """One row a group, then the sums.

    Args:
        console: where to.
        plan: groups with their envelopes, work and memory, as `evaluators.plan.Plan` names them.
        seconds: how long planning took.
    """
    table = Table(title="The first round", title_justify="left", box=None, pad_edge=False)
    for name in ("group", "children", "places", "engine", "executed / useful work", "MiB a device"):
        table.add_column(name, justify="left" if name == "engine" else "right", no_wrap=name == "engine")
    for i, group in enumerate(plan.groups):
        envelope, ratio = group.inside, plan.executed[i] / plan.useful[i]
        row = i + 1, len(group.rows), len(group.places), _engine(envelope.engine), f"{ratio:.2f}"
        table.add_row(*map(str, row), f"{plan.bytes[i] / 2**20:,.0f}")
    console.print(table)
    ratio = sum(plan.executed) / sum(plan.useful)
    print(f"Executed work: {ratio:.2f} times the children's own. Programs to compile: {plan.new_programs}.")
    if plan.seconds is None:
        print("Predicted time: none, this kind of device has not been measured.")
    else:
        print(f"Predicted: {plan.seconds:,.0f} s, of which {plan.compile_seconds:,.0f} s compile (0 if cached).")
    print(f"Planned in {1000 * seconds:,.0f} ms.")


def _engine(engine) -> str:
    """Its name and settings: "branching 16, 32" for the classes of filters."""
    classes = engine.filters if isinstance(engine, HasClasses) else ()
    return f"{type(engine).__name__.lower()} {', '.join(map(str, classes))}".strip()
