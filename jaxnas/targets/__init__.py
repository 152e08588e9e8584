"""Accelerators that programs can be compiled for without being there.

What a compiler says is no measurement: nothing runs, and for GPUs XLA chooses its kernels without timing any.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version


@dataclass(frozen=True)
class Target:
    """A kind of chip.

    Attributes:
        title: what people call it.
        platform: of JAX.
        topology: the name by which its compiler knows the smallest machine with such chips; of these one is taken.
        memory: bytes of one chip.
        clock: cycles a second, in which its compiler counts; 0: it counts none.
        extra: of this package's installation, which brings the compiler.
        package: what that installs.
        environment: variables that the compiler's process needs, set before JAX is imported.
    """

    title: str
    platform: str
    topology: str
    memory: int
    clock: float
    extra: str
    package: str
    environment: Mapping[str, str]


def _tpu(title: str, topology: str, gib: int, clock: float) -> Target:
    """A chip of Google's; what libtpu would ask a machine that has some is answered by variables."""
    asked = {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    asked |= {"TPU_ACCELERATOR_TYPE": "v5litepod-4"}
    return Target(title, "tpu", topology, gib * 2**30, clock, "target-tpu", "libtpu", asked)


TARGETS = {
    "h100": Target("H100", "cuda", "1x1x1", 84942979072, 0.0, "target-cuda", "jax-cuda13-plugin", {}),
    "v5e": _tpu("TPU v5e", "v5e:2x2", 16, 1.5e9),
    "v6e": _tpu("TPU v6e", "v6e:2x2", 32, 1.75e9),
    "v5p": _tpu("TPU v5p", "v5p:2x2x1", 95, 1.75e9),
}
"""Memory as the vendors give it: NVIDIA's device attributes; https://cloud.google.com/tpu/docs/system-architecture."""


def check_installed(target: Target) -> None:
    """Raises ValueError where the compiler for a target is not installed, or is another version's."""
    try:
        found = version(target.package)
    except PackageNotFoundError:
        raise ValueError(
            f"there is no compiler for the {target.title} here: pip install 'jaxnas[{target.extra}]' (it needs no "
            f"{target.title})"
        ) from None
    if target.platform == "cuda" and found != version("jaxlib"):
        raise ValueError(
            f"{target.package} is {found} and jaxlib {version('jaxlib')}: pip install "
            f"'{target.package}=={version('jaxlib')}'"
        )


def environment(target: Target, deterministic: bool) -> dict[str, str]:
    """The variables of a process that compiles for a target: its own, in place of those that choose a device here.

    Args:
        target: what for.
        deterministic: as `Experiment.deterministic`: a search with a directory sets the same flag.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS")}
    exclude = {"XLA_FLAGS": "--xla_gpu_exclude_nondeterministic_ops=true"} if deterministic else {}
    if kept.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":  # as JAX sets it when it is imported
        kept["TF_CPP_MIN_LOG_LEVEL"] = "2"  # without warnings of what timing on a device would make better
    # programs that were kept would take no time to compile
    return kept | dict(target.environment) | exclude | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "0"}
