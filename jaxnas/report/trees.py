"""A recurrent cell as a picture: its tree in Graphviz's language, the leaves below and the root above.

Graphviz lays it out itself: ``layout=dot`` holds whatever the command line says.
"""

from jaxnas.report.cells import Node, tree

HEAD = """  graph [layout=dot, rankdir=BT, nodesep=0.15, ranksep=0.4, outputorder=edgesfirst];
  node [fixedsize=false, margin="0.1,0.05", width=0.6, height=0.4];
  edge [color="#78909c", fontname="Helvetica", fontsize=9, weight=8];"""
STATES = {
    "x": "x<SUB>t</SUB>",
    "h": "h<SUB>t-1</SUB>",
    "c": "c<SUB>t-1</SUB>",
    "h1": "h<SUB>t</SUB>",
    "c1": "c<SUB>t</SUB>",
}
RANKS = """  {rank=source; edge [style=invis]; x -> h -> c;}
  {rank=sink; h1; c1;}"""
FILLS = {"leaf": "#dbe9f6", "inner": "#f5f5f5", "inject": "#fde3cf", "state": "#e3f1df"}
X, H, C = 'color="#1f77b4"', 'color="#2ca02c"', 'color="#d62728"'
"""Colours of what comes from x_t, of h and of c."""
FAN, MEMORY = "minlen=2, weight=1", "penwidth=1.5, weight=0"
"""Lines to the leaves have more room, and those of the memory do not bend the tree."""
SIGNS = {"add": "+", "multiply": "×"}


def tree_lines(architecture: dict) -> list[str]:
    """Nodes and edges: ``n0`` ... are the nodes of the tree, ``x``, ``h`` and ``c`` what a step is given, ``inject``
    where the memory enters, ``h1`` and ``c1`` what the step leaves.
    """
    nodes = tree(architecture)
    value = {node.number: "inject" if node.injected else f"n{node.number}" for node in nodes}
    leaves = " -> ".join(f"n{node.number}" for node in nodes if node.reads is None)
    lines = [HEAD, *(_state(name, label) for name, label in STATES.items()), RANKS]
    lines.append(f"  {{rank=same; edge [style=invis]; {leaves};}}")
    for node in nodes:
        kind = "inner" if node.reads else "leaf"
        lines.append(_node(f"n{node.number}", str(node.number), (node.combination, node.activation), kind))
        lines += _edges(node, value)
    return lines


def _edges(node: Node, value: dict[int, str]) -> list[str]:
    """What enters a node, its inject with that, and what leaves the cell from it."""
    name = f"n{node.number}"
    if node.reads:
        lines = [f"  {value[i]} -> {name};" for i in node.reads]
    else:
        lines = [f"  x:n -> {name}:s [{X}, {FAN}];", f"  h:n -> {name}:s [{H}, {FAN}];"]
    if node.injected:
        lines.append(_node("inject", "inject", node.injected, "inject"))
        lines += [f"  {name} -> inject;", f"  c -> inject [{C}, {MEMORY}];"]
    if node.remembered:
        before = "" if node.activation == "identity" else f', label=" before\\n {node.activation}"'
        lines.append(f"  {name} -> c1 [{C}, {MEMORY}, style=dashed{before}];")
    return lines + ([f"  {value[node.number]} -> h1 [{H}];"] if node.root else [])


def _node(name: str, head: str, pair: tuple[str, str], kind: str) -> str:
    combination, activation = pair
    sign = SIGNS.get(combination, combination)
    return f'  {name} [label=<<B>{head}</B>  {sign}<BR/>{activation}>, fillcolor="{FILLS[kind]}"];'


def _state(name: str, label: str) -> str:
    return f'  {name} [label=<{label}>, shape=ellipse, fillcolor="{FILLS["state"]}"];'
