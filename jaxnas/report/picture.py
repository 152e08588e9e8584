"""A network as a picture, drawn by Graphviz.

References:
    https://graphviz.org: `dot` lays out directed graphs; its language is https://graphviz.org/doc/info/lang.html.
"""

import html
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from jaxnas.report.graph import Box, boxes

FORMATS = (".svg", ".png")
FILLS = {
    "image": "#eceff1",
    "convolution": "#dbe9f6",
    "max_pool": "#fde3cf",
    "average_pool": "#fff3c9",
    "classifier": "#e3f1df",
}
LINES = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17a2a8", "#8c564b", "#e377c2")
"""Colours of skips: those from one box have one colour."""
HEAD = """digraph network {
  graph [rankdir=TB, nodesep=0.35, ranksep=0.3, fontname="Helvetica", labelloc=t, fontsize=16, margin=0.15];
  node [shape=box, style="rounded,filled", color="#90a4ae", fontname="Helvetica", fontsize=12, margin="0.14,0.07"];
  edge [color="#455a64", arrowsize=0.7, penwidth=1.3];"""


def dot_text(architecture: dict, title: str = "") -> str:
    """The network in Graphviz's language: a box a layer, one below the other, and an edge from each that it reads.

    Raises:
        ValueError: a type of architecture that has no drawing.
    """
    found = boxes(architecture)
    lines = [HEAD, f"  label=<<B>{html.escape(title)}</B><BR/> >;"] if title else [HEAD]
    for number, box in enumerate(found):
        label = "<BR/>".join(_label(number if 0 < number < len(found) - 1 else None, box))
        lines.append(f'  n{number} [label=<{label}>, fillcolor="{FILLS[box.kind]}"];')
    for number, box in enumerate(found[1:], 1):
        if number - 1 not in box.inputs:  # keeps the boxes one below the other
            lines.append(f"  n{number - 1} -> n{number} [style=invis, weight=100];")
        lines += [f"  n{source} -> n{number} [{_style(source, number)}];" for source in box.inputs]
    return "\n".join([*lines, "}\n"])


def picture(architecture: dict, title: str, out: Path) -> None:
    """Draw a network into a new file, SVG or PNG by the ending of its name.

    Raises:
        ValueError: another ending, a file that exists or cannot be written, Graphviz is missing or fails.
    """
    kind, text = out.suffix.lower(), dot_text(architecture, title)
    if kind not in FORMATS:
        raise ValueError(f"--out {out}: give a name that ends in {' or '.join(FORMATS)}")
    if os.path.lexists(out):
        raise ValueError(f"{out} exists, and nothing is overwritten: give another name")
    program = shutil.which("dot")
    if program is None:
        raise ValueError(
            "Graphviz draws the pictures, and its program `dot` is not on the PATH: install it (apt-get install "
            "graphviz, brew install graphviz or conda install graphviz), or leave --out away and see the drawing here"
        )
    command = [program, f"-T{kind[1:]}", *(["-Gdpi=120"] if kind == ".png" else [])]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise ValueError(f"{program} drew nothing ({done.stderr.decode(errors='replace').strip()}): see `dot -V`")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(done.stdout)
        partial.rename(out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ValueError(f"{out} cannot be written ({error.strerror}): give another name") from error


def _label(number: int | None, box: Box) -> Sequence[str]:
    """The lines in a box."""
    conv, name = box.kind == "convolution", box.words
    lines = [f"<B>{name if number is None else f'{number}  {name}'}{f', {box.size[2]} filters' if conv else ''}</B>"]
    lines += [", ".join(box.details)] if box.details else []
    figures = [" x ".join(map(str, box.size))] if box.size else []
    figures += [f"{box.parameters:,} parameters"] if box.parameters is not None else []
    return lines + ([" · ".join(figures)] if figures else [])


def _style(source: int, number: int) -> str:
    if source == number - 1:
        return "weight=100, penwidth=2"
    return f'color="{LINES[source % len(LINES)]}"'
