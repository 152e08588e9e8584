"""What is written of one network, whatever its kind, and what holds it against the trained one."""

from dataclasses import dataclass

import jax
import numpy as np
from flax import nnx


@dataclass(frozen=True)
class Written:
    """The files of an export but for the program, which is made of them.

    Attributes:
        description: architecture.json.
        module: network.py, with ``load``, whose network takes the program's inputs; None: there is none.
        weights: weights.safetensors, all float32.
        page: README.md.
        inputs: of the program, with free sizes.
        probes: such inputs, noise.
        wanted: the trained network's logits of them.
        network: what takes the program's inputs, where there is no module.
    """

    description: dict
    module: str | None
    weights: dict[str, np.ndarray]
    page: str
    inputs: jax.ShapeDtypeStruct
    probes: np.ndarray
    wanted: np.ndarray
    network: nnx.Module | None = None
