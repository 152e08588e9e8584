"""What a compiler says of a round's programs, in words and numbers."""

from collections.abc import Sequence

from rich.table import Table


def target_table(found: Sequence, budget: int) -> Table:
    """A row a program.

    Args:
        found: as `jaxnas.targets.compiled.Compiled` names it.
        budget: bytes that a group may take.
    """
    table = Table(title="The first round", title_justify="left", box=None, pad_edge=False)
    for name in ("children", "engine", "executed / useful work", "trace s", "compile s", "GiB", "operations a step"):
        table.add_column(name, justify="left" if name == "engine" else "right")
    table.add_column("", no_wrap=False)
    for one in found:
        numbers = [""] * 4
        if one.failure is None:
            numbers = [f"{one.trace_seconds:.1f}", f"{one.compile_seconds:.1f}", _gib(one.memory)]
            numbers.append(f"{one.operations:,.0f}")
        table.add_row(str(one.children), one.engine, f"{one.ratio:.2f}", *numbers, _remark(one, budget))
    return table


def _gib(size: int) -> str:
    """Three figures, since a group may take a thousandth of a chip; of what is larger than any, all."""
    gib = size / 2**30
    return f"{gib:.3g}" if gib < 100 else f"{gib:,.0f}"


def _remark(one, budget: int) -> str:
    if one.failure is not None:
        return f"does not compile: {one.failure}"
    if not one.fits(budget):
        return f"does not fit into {_gib(budget)} GiB" + (", a search halves it" if one.children > 1 else "")
    return "products by cuBLAS alone: a kernel of XLA's is not made untimed" if one.by_library else ""


def target_lines(found: Sequence, target, budget: int) -> list[str]:
    """What follows from the rows.

    Args:
        found: as `target_table` has it.
        target: as `jaxnas.targets.Target` names it.
        budget: bytes that a group may take.
    """
    fitting = [one for one in found if one.fits(budget)]
    lines = [f"One {target.title} has {_gib(target.memory)} GiB, of which a group may take {_gib(budget)}."]
    if any(one.hopeless(budget) and one.failure is None for one in found):
        lines.append(
            "Not one such child fits: lower --evaluator.train.batch-size, make the space smaller or give it more."
        )
    for one in fitting:
        lines.append(f"About {one.at_once(budget):,} such children fit at once ({one.children} were compiled).")
        waits = one.conditionals + one.open_loops
        if target.platform == "cuda" and waits >= 1:
            lines.append(f"The host waits {waits:,.0f} times a step for what the device says: that will be slow.")
        if one.cycles:
            step, hour = 1000 * one.cycles / target.clock, 3600 * one.children / one.seconds(target.clock)
            lines.append(
                f"The compiler's estimate, no measurement: {step:.3g} ms a step, {hour:,.0f} children an hour."
            )
    return [
        *lines,
        "Nothing has run: kernels were chosen without being timed, and there may be others on a real device.",
    ]
