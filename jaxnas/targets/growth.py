"""What of a compiled program's memory grows with the number of children in it.

Letters: N children.
"""

import math
import re

ARGUMENTS = re.compile(r"entry_computation_layout=\{\((.*?)\)->")
SHAPE = re.compile(r"\b([a-z]+)(\d*)[a-z\d]*\[([\d,]*)\]")
"""A type: its kind, its bits (none: a byte), its sides."""
COPIES = {"cpu": 1, "gpu": 1, "tpu": 2}
"""Of the children's states that a loop over children in turn holds beside them, by platform: as groups of 4 and of 64
were compiled. On TPUs there were none in one program and two in another; of these the greater."""


def once(compiled, text: str, n: int, platform: str, in_turn: bool) -> int:
    """Bytes that are there once, however many children there are: the examples, and where children run in turn what
    one of them takes while it runs.

    All temporaries of children that run together grow with N. Of those of children in turn `COPIES` of the states do,
    in which the loop over the children collects what it gives; each as large as what the program gives in the end.

    Args:
        compiled: a program for N children, `jax.stages.Compiled`.
        text: its text.
        n: N.
        platform: of the device, as JAX names it.
        in_turn: whether children run one after the other.
    """
    found = compiled.memory_analysis()
    shared = max(0, found.temp_size_in_bytes - COPIES[platform] * found.output_size_in_bytes) if in_turn else 0
    return shared + min(_common(text, n), found.argument_size_in_bytes)


def _common(text: str, n: int) -> int:
    """Bytes of the arguments that are not the children's: theirs have N in front. What a program does not use is no
    argument of it any more, so the shapes are asked of the program.
    """
    total = 0
    for _, bits, sides in SHAPE.findall(ARGUMENTS.search(text)[1]):
        shape = [int(side) for side in sides.split(",") if side]
        if shape[:1] != [n]:
            total += math.prod(shape) * int(bits or 8) // 8
    return total
