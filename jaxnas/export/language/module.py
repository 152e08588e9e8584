"""A language model as the Python source of Flax NNX modules: its cell formula by formula, and the network around it."""

import re
import textwrap
from collections.abc import Sequence

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
        architecture: its description, as the ledger has it; type "recurrent".
        dtype: of the factors in matrix products; their sums and all else are float32.

    Raises:
        ValueError: another type, or a combination or an activation for which there is no formula.
    """
    if architecture.get("type") != "recurrent":
        raise ValueError(f"architecture type {architecture.get('type')!r} has no cell to write: only 'recurrent' has")
    hidden, layers, symbols = (architecture[name] for name in ("hidden", "layers", "symbols"))
    tied, whole, table = architecture["tied"], dtype == "float32", symbols * hidden
    parameters = layers * architecture["cell_parameters"] + (1 if tied else 2) * table + symbols
    made = f"self.output = nnx.Linear({hidden}, {symbols}, **PRODUCT, rngs=rngs)"
    tied_logits = source.TIED if whole else source.TIED_REDUCED
    changes = {
        "@COUNT@": f"{layers} layer{'s' * (layers != 1)} of {hidden} units",
        "@PARAMETERS@": f"{parameters:,}",
        "@PRODUCT@": '{"use_bias": False}' if whole else source.REDUCED,
        "@FORMULAS@": _indent(_formulas(tree(architecture))),
        "@OUTPUT@": "" if tied else made,
        "@LOGITS@": _indent(tied_logits.splitlines() if tied else ["logits = self.output(x)"]),
        "@LOADS@": "" if tied else 'network.output.kernel.set_value(weights["output.kernel"])',
        "@BASE@": str(architecture["base"]),
        "@ROOT@": str(len(architecture["nodes"]) - 1),
        "@HIDDEN@": str(hidden),
        "@SYMBOLS@": str(symbols),
        "@LAYERS@": str(layers),
        "@CELL@": f"{architecture['cell_parameters']:,}",
        "@DTYPE@": dtype,
    }
    text = source.MODULE
    for mark, value in changes.items():
        text = text.replace(mark, value)
    return re.sub("(?m)^ +\n", "", text)  # where tied, there is no output layer


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
