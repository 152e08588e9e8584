"""A network as a picture, drawn by Graphviz.

References:
    https://graphviz.org: `dot` lays out directed graphs; its language is https://graphviz.org/doc/info/lang.html.
"""

import html
import os
import shutil
import subprocess
from pathlib import Path

from jaxnas.report.graph import Box, boxes
from jaxnas.report.layout import rectangles, routes
from jaxnas.report.trees import tree_lines

FORMATS = (".svg", ".png")
FILLS = {
    "image": "#eceff1",
    "convolution": "#dbe9f6",
    "max_pool": "#fde3cf",
    "average_pool": "#fff3c9",
    "node": "#f5f5f5",
    "block": "#e1e0f2",
    "classifier": "#e3f1df",
}
LINES = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17a2a8", "#8c564b", "#e377c2", "#7a8b00")
"""Colours of skips: those from one box have one colour."""
HEAD = """digraph network {
  graph [fontname="Helvetica", labelloc=t, fontsize=14, pad=0.2];
  node [shape=box, style="rounded,filled", color="#90a4ae", fontname="Helvetica", fontsize=11, fixedsize=true];
  edge [arrowsize=0.6];"""


def dot_text(architecture: dict, title: str = "") -> str:
    """The network, or the cell of a recurrent one, in Graphviz's language, for ``dot -Kneato -n2``.

    ``title`` may have several lines.

    Raises:
        ValueError: a type of architecture that has no drawing.
    """
    first, *rest = html.escape(title).splitlines() or [""]
    lines = [HEAD, f"  label=<{'<BR/>'.join([f'<B>{first}</B>', *rest])}<BR/> >;"] if title else [HEAD]
    body = tree_lines if architecture.get("type") == "recurrent" else _box_lines
    return "\n".join([*lines, *body(architecture), "}\n"])


def _box_lines(architecture: dict) -> list[str]:
    """Boxes one below the other, and an edge from each that a box reads.

    Where all lies is settled here (`layout`), because Graphviz tangles dense skips.
    """
    found = boxes(architecture)
    texts = [_label(number if 0 < number < len(found) - 1 else None, box) for number, box in enumerate(found)]
    placed, lines = rectangles(found, texts), []
    for number, (box, text, at) in enumerate(zip(found, texts, placed, strict=True)):
        label = "<BR/>".join([f"<B>{text[0]}</B>", *text[1:]])
        size = f"width={(at.right - at.left) / 72:.3f}, height={(at.top - at.bottom) / 72:.3f}"
        where = f'pos="0,{(at.top + at.bottom) / 2:.1f}", {size}'
        lines.append(f'  n{number} [label=<{label}>, fillcolor="{FILLS[box.kind]}", {where}];')
    for (source, number), line in sorted(routes(found, placed).items()):
        style = 'color="#455a64", penwidth=2' if source == number - 1 else f'color="{LINES[source % len(LINES)]}"'
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in line.points)
        lines.append(f'  n{source} -> n{number} [{style}, pos="e,{line.tip[0]:.1f},{line.tip[1]:.1f} {points}"];')
    return lines


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
    command = [program, "-Kneato", "-n2", f"-T{kind[1:]}", *(["-Gdpi=120"] if kind == ".png" else [])]
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


def _label(number: int | None, box: Box) -> list[str]:
    """The lines in a box."""
    name = box.words if number is None else f"{number}  {box.words}"
    lines = [f"{name}, {box.size[2]} filters" if box.kind == "convolution" else name]
    lines += [", ".join(box.details)] if box.details else []
    figures = [" x ".join(map(str, box.size))] if box.size else []
    figures += [f"{box.parameters:,} parameters"] if box.parameters is not None else []
    return lines + ([" · ".join(figures)] if figures else [])
