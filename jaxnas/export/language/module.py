"""A language model as the Python source of Flax NNX modules: its cell formula by formula, and the network around it."""

import re
import textwrap
from collections.abc import Sequence

from jaxnas.children.recurrent.architecture import GATES
from jaxnas.export.language import source
from jaxnas.report.cells import Node, tree

COMBINE = {"add": "{} + {}", "multiply": "{} * {}", "max": "jnp.maximum({}, {})"}
ACTIVATE = {
    "identity": "{}",
    "tanh": "jnp.tanh({})",
    "sigmoid": "nnx.sigmoid({})",
    "relu": "nnx.relu({})",
    "sin": "jnp.sin({})",
}


def cell_module(architecture: dict, dtype: str = "float32") -> str:
    """Source of a module with ``Cell``, ``Network`` and ``load``, which needs jax, flax, safetensors and nothing of
    jaxnas.

    Args:
        architecture: its description, as the ledger has it; type "recurrent" or "standard".
        dtype: of the factors in matrix products and of what enters a cell's gates; sums and all else are float32.

    Raises:
        ValueError: another type, or a combination or an activation for which there is no formula.
    """
    found = architecture.get("type") == "recurrent"
    kind = "recurrent" if found else architecture.get("cell")
    if kind not in source.CELLS:
        what = architecture.get("type") if kind is None else kind
        raise ValueError(f"a cell of type {what!r} cannot be written: only {', '.join(source.CELLS)} can")
    hidden, layers, symbols = (architecture[name] for name in ("hidden", "layers", "symbols"))
    tied, whole, table = architecture["tied"], dtype == "float32", symbols * hidden
    parameters = layers * architecture["cell_parameters"] + (1 if tied else 2) * table + symbols
    made = f"self.output = nnx.Linear({hidden}, {symbols}, **PRODUCT, rngs=rngs)"
    tied_logits = source.TIED if whole else source.TIED_REDUCED
    entering = "self.input(inputs)" if found else "self.input(inputs) + self.bias[...]"
    changes = {
        "@CELL_CLASS@": source.CELLS[kind],
        "@ENTERING@": entering if whole else f"({entering}).astype(jnp.{dtype})",
        "@COUNT@": f"{layers} layer{'s' * (layers != 1)} of {hidden} {'' if found else kind.upper() + ' '}units",
        "@PARAMETERS@": f"{parameters:,}",
        "@PRODUCT@": '{"use_bias": False}' if whole else source.REDUCED,
        "@OUTPUT@": "" if tied else made,
        "@LOGITS@": _indent(tied_logits.splitlines() if tied else ["logits = self.output(x)"]),
        "@LOADS@": "" if tied else 'network.output.kernel.set_value(weights["output.kernel"])',
        "@BIAS@": "" if found else 'layer.cell.bias.set_value(weights[f"layers.{number}.bias"])',
        "@HIDDEN@": str(hidden),
        "@SYMBOLS@": str(symbols),
        "@LAYERS@": str(layers),
        "@CELL@": f"{architecture['cell_parameters']:,}",
        "@DTYPE@": dtype,
    } | (_tree(architecture) if found else {"@BASE@": str(GATES[kind])})
    text = source.MODULE
    for mark, value in changes.items():
        text = text.replace(mark, value)
    return re.sub("(?m)^ +\n", "", text)  # where tied, there is no output layer; a bias in ordinary cells alone


def _tree(architecture: dict) -> dict[str, str]:
    """What the class of a found cell says of it."""
    nodes = tree(architecture)
    return {
        "@FORMULAS@": _indent(_formulas(nodes)),
        "@BASE@": str(architecture["base"]),
        "@ROOT@": str(len(nodes) - 1),
    }


def _formulas(nodes: Sequence[Node]) -> list[str]:
    """Lines from the products of inputs ``wx`` and output ``uh`` to the root, and to ``new_c``."""
    lines = []
    for node in nodes:
        name = f"a{node.number}"
        operands = [f"a{i}" for i in node.reads] if node.reads else [f"wx[{node.number}]", f"uh[{node.number}]"]
        inner = _formula(COMBINE, "combination", node.combination, *operands)
        if node.remembered:
            lines.append(f"new_c = {inner}")
            inner = "new_c"
        lines.append(f"{name} = {_formula(ACTIVATE, 'activation', node.activation, inner)}")
        if node.injected:
            combination, activation = node.injected
            inner = _formula(COMBINE, "combination", combination, name, "c")
            lines.append(f"{name} = {_formula(ACTIVATE, 'activation', activation, inner)}  # cell inject")
    return lines


def _formula(known: dict[str, str], kind: str, name: str, *operands: str) -> str:
    if name not in known:
        raise ValueError(f"{kind} {name!r} has no formula to write: only {', '.join(known)} have one")
    return known[name].format(*operands)


def _indent(lines: Sequence[str]) -> str:
    return textwrap.indent("\n".join(lines), " " * 8).lstrip()
