"""The directory that an export writes: all files of one trained network, held against each other before it appears."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.export
import numpy as np
from flax import __version__ as flax_version
from flax import nnx
from safetensors.numpy import save

from jaxnas.export.artifact import PLATFORMS, artifact
from jaxnas.export.module import module
from jaxnas.export.readme import readme
from jaxnas.trained import Trained

ARCHITECTURE, WEIGHTS, ARTIFACT, MODULE, README = FILES = (
    "architecture.json",
    "weights.safetensors",
    "network.stablehlo",
    "network.py",
    "README.md",
)
PROBES = 16
"""Images of noise on which the files are compared."""
FAR = 0.01
"""A difference that no rounding explains: even bfloat16 factors keep three digits."""


@dataclass(frozen=True)
class Exported:
    """out: the new directory; files: names in it; difference: of the logits of artifact and module from those of the
    trained network on images of noise, the greatest, relative to the greatest logit.
    """

    out: Path
    files: tuple[str, ...]
    difference: float


class FarOffError(RuntimeError):
    """What was written does not compute what was trained: a fault of the export."""


def export(trained: Trained, out: Path) -> Exported:
    """Write a trained network into a new directory. It appears there whole or not at all.

    Args:
        trained: what final training left.
        out: the directory, which must not exist; directories above it are made.

    Raises:
        ValueError: it exists or cannot be made, or the architecture's type has no writer.
        FarOffError: the written files compute another function than the trained network.
    """
    check_free(out)
    contents, input_shape = _contents(trained), tuple(trained.children.input_shape)
    with appears(out) as partial:
        for name, data in contents.items():
            (partial / name).write_bytes(data)
        network = _loaded(partial)
        (partial / ARTIFACT).write_bytes(artifact(network, input_shape))
        difference = _difference(trained, network, partial)
        if not difference < FAR:
            raise FarOffError(f"the exported files differ by {difference:.1e} from the trained network: nothing kept")
    return Exported(out, FILES, difference)


def check_free(out: Path) -> None:
    """Raises ValueError where ``out`` exists."""
    if os.path.lexists(out):
        raise ValueError(f"{out} exists, and an export overwrites nothing: give a directory that does not exist yet")


def _contents(trained: Trained) -> dict[str, bytes]:
    """All files but the program, by name."""
    children, description = trained.children, trained.children.describe(trained.architecture)
    norm = children.norm
    code = module(description, trained.classes, norm.epsilon, norm.momentum, children.dtype)
    weights = {"images.mean": trained.mean, "images.std": trained.std}
    weights |= children.weights(trained.network, trained.architecture)
    weights = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}
    text = readme(description, trained.facts, trained.classes, jax.__version__, flax_version, PLATFORMS)
    return {
        ARCHITECTURE: (json.dumps(description, indent=1) + "\n").encode(),
        WEIGHTS: save(weights),
        MODULE: code.encode(),
        README: text.encode(),
    }


@contextmanager
def appears(out: Path) -> Iterator[Path]:
    """A directory beside ``out`` that becomes ``out`` at the end; after an error nothing of it is left."""
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise ValueError(f"{out} cannot be made ({error.strerror}): give another directory") from error
    try:
        yield partial
        check_free(out)  # rename would replace an empty directory
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _loaded(folder: Path) -> nnx.Module:
    """The network of the module in a folder, by its own ``load``."""
    names = {"__name__": "network", "__file__": str(folder / MODULE)}
    exec(compile((folder / MODULE).read_text(), names["__file__"], "exec"), names)
    return names["load"]()


def _difference(trained: Trained, network: nnx.Module, folder: Path) -> float:
    """See `Exported`."""
    images = np.random.default_rng(0).integers(0, 256, (PROBES, *trained.children.input_shape)).astype(np.float32)
    graph, state = nnx.split(trained.network)
    logits = jax.jit(lambda state, x: nnx.merge(graph, state, copy=True)(x, trained.genes))
    wanted = np.asarray(logits(state, np.float32((images - trained.mean) / trained.std)))
    program = jax.export.deserialize(bytearray((folder / ARTIFACT).read_bytes()))
    found = program.call(images), network(images)
    return max(float(np.abs(np.asarray(f) - wanted).max() / np.abs(wanted).max()) for f in found)
