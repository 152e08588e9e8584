"""Before a search: the experiment from its config file and the command line."""

import contextlib
import difflib
import os
import platform
import sys
import types
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import jax
import tyro

from jaxnas.compare import Comparison
from jaxnas.experiment import Experiment, describe, flatten
from jaxnas.tasks.classification import Augment

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


def keep_programs() -> None:
    """JAX's persistent compilation cache in the user's cache directory, unless the user has set one.

    A directory for each kind of processor: a home may be shared by machines, and code for one is no code for another.
    """
    if jax.config.jax_compilation_cache_dir is None:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "jaxnas" / _processor()))


def _processor() -> str:
    """A short name for the kind of processor."""
    with contextlib.suppress(OSError):  # no such file but on Linux
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        kind = "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
        return f"{platform.machine()}-{zlib.crc32(kind.encode()):08x}"
    return platform.machine()


def set_flags(experiment: Experiment) -> None:
    """Deterministic GPU operations, where the experiment asks for them and the user's XLA_FLAGS do not say."""
    flags, wanted = os.environ.get("XLA_FLAGS", ""), "--xla_gpu_deterministic_ops"
    if experiment.deterministic and wanted not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {wanted}=true".strip()


def load(config: Path, overrides: list[str], kind: type[Settings] = Experiment) -> tuple[Settings, str]:
    """The experiment (or comparison) of a config file with the command line's settings in it, and the file's text.

    Raises:
        ValueError: no such file, nothing of this kind in it, or an unknown setting.
        SystemExit: a value of the wrong type (status 2, after a message), or --help.
    """
    try:
        source = config.read_text()
    except (OSError, UnicodeDecodeError) as error:
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
    except Exception as error:
        raise ValueError(f"{config} does not run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    settings = getattr(module, _named(kind), None)
    if not isinstance(settings, kind):
        raise ValueError(f"{config} sets no `{_named(kind)}`: it needs a line `{_named(kind)} = {kind.__name__}(...)`")
    if isinstance(settings, Experiment):
        settings = _with_own_augmentation(settings, overrides)
    return _override(settings, overrides, config)


def _named(kind: type) -> str:
    """What a config file calls it: `experiment`."""
    return kind.__name__.lower()


def _with_own_augmentation(experiment: Experiment, overrides: list[str]) -> Experiment:
    """What is not named of the final training's augmentation stays as it is in the search."""
    if any(argument.startswith("--final.augment.") for argument in overrides) and experiment.final.augment is None:
        own = getattr(experiment.task, "augment", Augment())
        return replace(experiment, final=replace(experiment.final, augment=own))
    return experiment


def _override(settings: Settings, overrides: list[str], config: Path) -> Settings:
    valid = [n for n in flatten(describe(settings)) if n.split(".")[-1] != "type"]
    for argument in overrides:
        name = argument.removeprefix("--").split("=")[0].replace("-", "_")
        parent, dot, last = name.rpartition(".")
        switched_off = f"{parent}{dot}{last.removeprefix('no_')}"  # --task.augment.no-flip
        if argument.startswith("--") and not {name, switched_off} & {*valid, "help"}:
            near = difflib.get_close_matches(name, valid, 1, 0.5)
            hint = f" (did you mean --{near[0].replace('_', '-')}?)" if near else ""
            names = ", ".join(n.replace("_", "-") for n in valid)
            raise ValueError(f"unknown setting {argument}{hint}; the settings of {config} are: {names}")
    return tyro.cli(
        type(settings),
        args=overrides,
        default=settings,
        prog=f"python -m jaxnas {'search' if isinstance(settings, Experiment) else 'compare'} {config}",
        config=(tyro.conf.AvoidSubcommands,),  # settings that may be None stay settings
    )
