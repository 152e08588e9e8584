"""Before a search: the experiment from its config file and the command line, and the devices."""

import contextlib
import io
import os
import re
import sys
import tokenize
import types
from dataclasses import replace
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import jax

from jaxnas.absent import NVIDIA
from jaxnas.compare import Comparison
from jaxnas.experiment import Experiment
from jaxnas.interrupts import Stopped
from jaxnas.numerics import pinned
from jaxnas.overrides import override
from jaxnas.program_cache import keep_programs
from jaxnas.tasks import augmentation_of

MOST_CPU_DEVICES = 8
TUNING = "autotune.txt"
"""Where a search's directory keeps XLA's choices among kernels; the ending says that it is text."""
DUMP = "xla_gpu_dump_autotune_results_to"
DETERMINISTIC = {"xla_gpu_deterministic_ops", "xla_gpu_exclude_nondeterministic_ops"}
COMPILER = "xla_cuda13"
"""JAX's plugin for CUDA, which brings the compiler too."""
SHIPPED_COMPARISON = Path(__file__).parent / "shipped.py"
"""The config that `compare` runs where none is given: on the shipped table."""
Settings = TypeVar("Settings", Experiment, Comparison)
BEING_READ: list[Path] = []
"""The config that is executed now."""
SAID: list[str] = []
"""What `prepare` has said, which it says once."""


def use_all_cores() -> None:
    """One CPU device a core (8 at most), so that children spread over cores; call before JAX computes anything.

    On two cores this trains the digits space half as fast again as one device with two threads does.
    """
    if _free_to_choose():
        jax.config.update("jax_num_cpu_devices", min(cores(), MOST_CPU_DEVICES))


def _free_to_choose() -> bool:
    """Whether nobody has said how many CPU devices there are to be."""
    flagged = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    return not flagged and "JAX_NUM_CPU_DEVICES" not in os.environ


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_flags(experiment: Experiment, workdir: Path | None = None) -> None:
    """Deterministic GPU operations, where the experiment asks for them; what the user's XLA_FLAGS name stays as it is.

    XLA measures which kernel is fastest, and another choice is another order of additions. With a directory these
    choices are written there and read again by whoever goes on, so that programs are fast and go on as they began;
    without one XLA must not measure at all, which makes convolutions and products slower.

    Args:
        experiment: what is run.
        workdir: of the search; it need not be there yet. None: there is none.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    named = set(re.findall(r"(?:^|\s)--(\w+)", flags))
    said = named & DETERMINISTIC or (flags.strip() and not named)  # or in a file: XLA takes nothing beside it
    if not experiment.deterministic or said or not _gpu_expected():
        return
    wanted = {"xla_gpu_deterministic_ops": "true"} if workdir is None else _tuning(workdir.absolute())
    more = [f"--{name}={value}" for name, value in wanted.items() if name not in named]
    os.environ["XLA_FLAGS"] = " ".join([flags, *more]).strip()


def _gpu_expected() -> bool:
    """Whether JAX may find a GPU, as far as can be told before it looks: by JAX_PLATFORMS, else by what is installed.

    Elsewhere no flag is set, because each one, the directory in it too, is part of the key of a kept program.
    """
    named = jax.config.jax_platforms
    found = [named] if named else _plugins()
    return any(kind in name for name in found for kind in ("gpu", "cuda", "rocm"))


def _plugins() -> list[str]:
    """The kinds of devices for which something is installed, as JAX's plugins name them."""
    return [plugin.name for plugin in entry_points(group="jax_plugins")]


def _tuning(workdir: Path) -> dict[str, str]:
    """The flags that keep XLA's choices in a directory, and read those that are there."""
    kept = workdir / TUNING
    place = next(path for path in (kept, *kept.parents) if path.exists())
    if not os.access(place, os.W_OK):
        return {"xla_gpu_deterministic_ops": "true"}
    wanted = {"xla_gpu_exclude_nondeterministic_ops": "true", DUMP: _quoted(kept)}
    if _is_whole(kept):
        wanted["xla_gpu_load_autotune_results_from"] = _quoted(kept)
    return wanted


def _is_whole(kept: Path) -> bool:
    """Whether there are choices, and none is cut off by a kill: XLA would refuse to compile. It writes a message as
    text, a field or a brace a line.
    """
    lines = kept.read_text(encoding="utf-8", errors="replace").splitlines() if kept.exists() else []
    opened = sum(line.endswith("{") for line in lines)
    return opened > 0 and opened == sum(line.strip() == "}" for line in lines)


def _quoted(path: Path) -> str:
    """As XLA_FLAGS want a value with spaces or quotes in it."""
    if not re.search(r"[\s'\"]", str(path)):
        return str(path)
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def skip_absent_devices() -> None:
    """What compiles for a device that is not here (`jaxnas.targets`) is the device's own software: JAX would look for
    the device at each start, and say that it finds none. Where there is nothing else, it is told to use the CPU.
    """
    # where JAX sees a TPU it has named its platform when it was imported
    if jax.config.jax_platforms or any(map(os.path.exists, NVIDIA)):
        return
    plugins = set(_plugins())
    if plugins <= {COMPILER} and (plugins or find_spec("libtpu") is not None):
        jax.config.update("jax_platforms", "cpu")


def start() -> None:
    """To be called by a command before JAX computes anything."""
    skip_absent_devices()
    use_all_cores()
    keep_programs()
    pinned()  # to the end of the process


def begin() -> None:
    """`start` for a call from Python, which leaves JAX's number types as they are, and the devices, where JAX has
    computed something already.
    """
    skip_absent_devices()
    with contextlib.suppress(RuntimeError):  # "before backends are initialized"
        use_all_cores()
    keep_programs()


def prepare(experiment: Experiment, workdir: Path) -> None:
    """`begin` and `use` for a search from Python. What is lost where JAX has computed something already is said."""
    from jax._src.xla_bridge import backends_are_initialized  # there is no public way to ask

    begun, flags = backends_are_initialized(), os.environ.get("XLA_FLAGS", "")
    begin()
    use(experiment, workdir)
    if begun:
        kept = _quoted(workdir.absolute() / TUNING)
        elsewhere = experiment.deterministic and f"--{DUMP}=" in flags and f"--{DUMP}={kept}" not in flags
        _say_what_is_lost(flags, workdir if elsewhere and _gpu_expected() else None)


def _say_what_is_lost(flags: str, bare: Path | None) -> None:
    """Once, of devices and flags that came too late; ``flags``: those in force; ``bare``: a directory whose choices
    among kernels they keep in another place.
    """
    wanted, devices, remedy = min(cores(), MOST_CPU_DEVICES), jax.devices(), "begin with jaxnas in a fresh process"
    lost = []
    if _free_to_choose() and devices[0].platform == "cpu" and len(devices) < wanted:
        more = f'jax.config.update("jax_num_cpu_devices", {wanted})'
        lost.append(f"children train on {len(devices)} of {wanted} cores, to equal numbers: {remedy}, or with {more}")
    if os.environ.get("XLA_FLAGS", "") != flags:
        os.environ["XLA_FLAGS"] = flags
        lost.append(f"operations of the GPU are not made deterministic: {remedy}")
    if bare is not None:
        lost.append(
            f"XLA's choices among kernels are not kept in {bare}, and who goes on there may come to other last digits: "
            f"{remedy}"
        )
    for what in lost:
        if what not in SAID:
            SAID.append(what)
            print(f"jaxnas: note: JAX has computed something before, so {what}", file=sys.stderr)


def use(experiment: Experiment, workdir: Path | None = None) -> None:
    """What an experiment asks of the machine; ``workdir`` as in `set_flags`.

    Raises:
        ValueError: the device that the user names is not there.
    """
    set_flags(experiment, workdir)
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
        source = text_of(config)
    except (OSError, UnicodeDecodeError, SyntaxError, LookupError) as error:
        raise ValueError(f"cannot read {config} ({error}): give a Python file that sets `{_named(kind)}`") from error
    return restore(source, config, overrides, kind), source


def text_of(file: Path) -> str:
    """Of a file of Python, which may begin with a byte order mark or a coding line. Raises OSError, UnicodeDecodeError,
    SyntaxError or LookupError.
    """
    raw = file.read_bytes()
    return raw.decode(tokenize.detect_encoding(io.BytesIO(raw).readline)[0])


def restore(source: str, config: Path, overrides: list[str], kind: type[Settings] = Experiment) -> Settings:
    """As `load`, from the text of a config; ``config`` is where it lay."""
    module = types.ModuleType("jaxnas_config")
    module.__file__ = str(config)
    sys.modules[module.__name__] = module  # where dataclasses look up the annotations of a config's own classes
    folder = str(config.absolute().parent)
    sys.path.insert(0, folder)  # a config may import what lies beside it
    BEING_READ.append(config)
    try:
        exec(compile(source, str(config), "exec"), vars(module))
    except Stopped:
        raise
    except BaseException as error:  # of a config's own
        raise ValueError(f"{config} does not run: {type(error).__name__}: {error}") from error
    finally:
        BEING_READ.pop()
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
