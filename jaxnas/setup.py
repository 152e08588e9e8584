"""Before a search: the experiment from its config file and the command line, and the devices."""

import io
import os
import sys
import tokenize
import types
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import jax

from jaxnas.compare import Comparison
from jaxnas.experiment import Experiment
from jaxnas.interrupts import Stopped
from jaxnas.numerics import pinned
from jaxnas.overrides import override
from jaxnas.program_cache import keep_programs
from jaxnas.tasks import augmentation_of

MOST_CPU_DEVICES = 8
SHIPPED_COMPARISON = Path(__file__).parent / "shipped.py"
"""The config that `compare` runs where none is given: on the shipped table."""
Settings = TypeVar("Settings", Experiment, Comparison)


def use_all_cores() -> None:
    """One CPU device a core (8 at most), so that children spread over cores; call before JAX computes anything.

    On two cores this trains the digits space half as fast again as one device with two threads does.
    """
    flagged = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not flagged and "JAX_NUM_CPU_DEVICES" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        jax.config.update("jax_num_cpu_devices", min(cores, MOST_CPU_DEVICES))


def set_flags(experiment: Experiment) -> None:
    """Deterministic GPU operations, where the experiment asks for them and the user's XLA_FLAGS do not say."""
    flags, wanted = os.environ.get("XLA_FLAGS", ""), "--xla_gpu_deterministic_ops"
    if experiment.deterministic and wanted not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {wanted}=true".strip()


def start() -> None:
    """To be called by a command before JAX computes anything."""
    use_all_cores()
    keep_programs()
    pinned()  # to the end of the process


def use(experiment: Experiment) -> None:
    """What an experiment asks of the machine. Raises ValueError where the device that the user names is not there."""
    set_flags(experiment)
    check_devices()


def check_devices() -> None:
    """Raises ValueError where there is no device of the kind that JAX_PLATFORMS names."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        named = os.environ.get("JAX_PLATFORMS", "")
        extra = next((name for name in ("cuda", "tpu") if name in named), None)
        remedy = f'pip install "jaxnas[{extra}]" on a machine that has one, or ' if extra else ""
        why = str(error).strip().partition("\n")[0][:200] or "JAX does not know this platform here"
        raise ValueError(f"JAX_PLATFORMS={named}: no such device ({why}): {remedy}unset JAX_PLATFORMS") from error


def load(config: Path, overrides: list[str], kind: type[Settings] = Experiment) -> tuple[Settings, str]:
    """The experiment (or comparison) of a config file with the command line's settings in it, and the file's text.

    Raises:
        ValueError: no such file, nothing of this kind in it, or an unknown setting.
        SystemExit: a value of the wrong type (status 2, after a message), or --help.
    """
    try:
        raw = config.read_bytes()
        source = raw.decode(tokenize.detect_encoding(io.BytesIO(raw).readline)[0])  # a byte order mark, a coding line
    except (OSError, UnicodeDecodeError, SyntaxError, LookupError) as error:
        raise ValueError(f"cannot read {config} ({error}): give a Python file that sets `{_named(kind)}`") from error
    return restore(source, config, overrides, kind), source


def restore(source: str, config: Path, overrides: list[str], kind: type[Settings] = Experiment) -> Settings:
    """As `load`, from the text of a config; ``config`` is where it lay."""
    module = types.ModuleType("jaxnas_config")
    module.__file__ = str(config)
    sys.modules[module.__name__] = module  # where dataclasses look up the annotations of a config's own classes
    folder = str(config.absolute().parent)
    sys.path.insert(0, folder)  # a config may import what lies beside it
    try:
        exec(compile(source, str(config), "exec"), vars(module))
    except Stopped:
        raise
    except BaseException as error:  # of a config's own
        raise ValueError(f"{config} does not run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    settings = getattr(module, _named(kind), None)
    if not isinstance(settings, kind):
        raise ValueError(f"{config} sets no `{_named(kind)}`: it needs a line `{_named(kind)} = {kind.__name__}(...)`")
    if isinstance(settings, Experiment):
        settings = _with_own_augmentation(settings, overrides)
    return override(settings, overrides, config)


def _named(kind: type) -> str:
    """What a config file calls it: `experiment`."""
    return kind.__name__.lower()


def _with_own_augmentation(experiment: Experiment, overrides: list[str]) -> Experiment:
    """What is not named of the final training's augmentation stays as it is in the search."""
    if any(argument.startswith("--final.augment.") for argument in overrides) and experiment.final.augment is None:
        return replace(experiment, final=replace(experiment.final, augment=augmentation_of(experiment.task)))
    return experiment
