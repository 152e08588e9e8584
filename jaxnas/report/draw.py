"""Architectures as text, from the JSON values of the ledger."""

BAR = 24


def draw(architecture: dict) -> str:
    """The network from the image downwards, a line a layer: kernel, map, parameters, and a bar for the filters.

    Raises:
        ValueError: a type of architecture that has no drawing.
    """
    if architecture.get("type") != "chain":
        raise ValueError(f"architecture type {architecture.get('type')!r} has no drawing: only 'chain' has one")
    height, width, channels = architecture["input"]
    widest = max(layer["filters"] for layer in architecture["layers"])
    lines = [f"     {'image':<30}{f'{height} x {width} x {channels}':>14}"]
    for number, layer in enumerate(architecture["layers"], 1):
        bar = "█" * max(1, round(BAR * layer["filters"] / widest))
        size = f"{layer['map'][0]} x {layer['map'][1]} x {layer['filters']}"
        lines += ["       │", f"{number:>3}  {_words(layer):<30}{size:>14}{layer['parameters']:>11,}  {bar}"]
    lines += ["       │", f"     {'average over the map, dense':<30}"]
    return "\n".join(lines)


def pretty(architecture: dict) -> str:
    """One line: "5x3:24 3x3:16/2 ..." is kernel height x width : filters, and pooling or strides after a slash."""
    if architecture.get("type") != "chain":
        return str(architecture)
    return " ".join(_short(layer) for layer in architecture["layers"])


def _words(layer: dict) -> str:
    words = f"conv {layer['kernel'][0]} x {layer['kernel'][1]}"
    if layer["stride"] != [1, 1]:
        words += f", stride {layer['stride'][0]} x {layer['stride'][1]}"
    return words + (f", max pool {layer['pool']}" if layer["pool"] > 1 else "")


def _short(layer: dict) -> str:
    stride = "" if layer["stride"] == [1, 1] else f"s{layer['stride'][0]}x{layer['stride'][1]}"
    pool = f"/{layer['pool']}" if layer["pool"] > 1 else ""
    return f"{layer['kernel'][0]}x{layer['kernel'][1]}:{layer['filters']}{stride}{pool}"
