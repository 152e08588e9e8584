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
from flax import nnx
from safetensors.numpy import save

from jaxnas.children import Exports
from jaxnas.export import images, language, own
from jaxnas.export.artifact import artifact
from jaxnas.export.written import Written
from jaxnas.numerics import ALL_ROUNDED
from jaxnas.outcome import Status, Trial
from jaxnas.trained import Trained

ARCHITECTURE, WEIGHTS, ARTIFACT, MODULE, README = FILES = (
    "architecture.json",
    "weights.safetensors",
    "network.stablehlo",
    "network.py",
    "README.md",
)
KINDS = {
    "chain": images.written,
    "skip": images.written,
    "cell201": images.written,
    "recurrent": language.written,
    "standard": language.written,
    "module": own.written,
    "mlp": own.written,
}
"""What is written of a trained network, by the type of its architecture."""
FAR = 0.01
"""A difference that no rounding explains: programs that round at other places agree to two digits in bfloat16, too."""
ROUNDED = 4 * float(np.finfo(np.float32).eps) / FAR
"""Of a number's size: in the last digits of float32 two programs may differ."""


@dataclass(frozen=True)
class Exported:
    """out: the new directory; files: names in it; difference: of the logits of artifact and module from those of the
    trained network on noise, the greatest, relative to the greatest logit; of numbers to their range.
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
        ValueError: it exists or cannot be made, or there is nothing to be written for the architecture's type.
        FarOffError: the written files compute another function than the trained network.
    """
    check_free(out)
    written = _written(trained)
    with appears(out) as partial:
        (partial / ARCHITECTURE).write_text(json.dumps(written.description, indent=1) + "\n", encoding="utf-8")
        (partial / WEIGHTS).write_bytes(save(written.weights))
        (partial / README).write_text(written.page, encoding="utf-8")
        if written.module is not None:
            (partial / MODULE).write_text(written.module, encoding="utf-8")
        network = written.network if written.module is None else _loaded(partial)
        (partial / ARTIFACT).write_bytes(artifact(network, written.inputs))
        difference = _difference(written, network, partial)
        if not difference < FAR:
            raise FarOffError(f"the exported files differ by {difference:.1e} from the trained network: nothing kept")
        files = tuple(name for name in FILES if (partial / name).exists())
    return Exported(out, files, difference)


def check_free(out: Path) -> None:
    """Raises ValueError where ``out`` exists."""
    if os.path.lexists(out):
        raise ValueError(f"{out} exists, and an export overwrites nothing: give a directory that does not exist yet")


def check_exportable(trial: Trial, workdir: Path) -> None:
    """Raises ValueError for a trial of which there can be no network; ``workdir``: of its search."""
    if trial.status == Status.DIVERGED.label:
        raise ValueError(
            f"trial {trial.trial_id} diverged in the search, there is no network to export: choose one that has a "
            f"score, `python -m jaxnas trials {workdir}` lists them"
        )


def _written(trained: Trained) -> Written:
    """By the writer for its type of architecture."""
    kind = trained.children.describe(trained.architecture).get("type")
    if kind not in KINDS or not isinstance(trained.children, Exports):
        raise ValueError(f"architecture type {kind!r} cannot be exported: only {', '.join(KINDS)} can")
    return KINDS[kind](trained)


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


def _difference(written: Written, network: nnx.Module, folder: Path) -> float:
    """See `Exported`."""
    program = jax.export.deserialize(bytearray((folder / ARTIFACT).read_bytes()))
    call = jax.jit(program.call, compiler_options=ALL_ROUNDED)
    found, wanted = (call(written.probes), network(written.probes)), written.wanted
    return max(float(np.abs(np.asarray(f) - wanted).max() / _scale(wanted)) for f in found)


def _scale(wanted: np.ndarray) -> float:
    """Of outputs. Numbers in a target's unit, one an input, may lie far from 0: their range, and their own rounding."""
    greatest = np.abs(wanted).max()
    return float(greatest if wanted.shape[-1] > 1 else np.ptp(wanted) + ROUNDED * greatest)
