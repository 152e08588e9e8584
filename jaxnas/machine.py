"""What results depend on beside the configuration."""

import contextlib
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

import jax

from jaxnas.version import version


def machine() -> dict:
    """What results depend on beside the configuration: versions, device, flags, git revision."""
    packages = ("jax", "jaxlib", "flax", "optax", "numpy")
    versions = {"jaxnas": version()} | {p: importlib.metadata.version(p) for p in packages}
    versions["python"] = platform.python_version()
    devices = jax.devices()
    return {
        "versions": versions,
        "device": {"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)},
        "flags": _flags(),
        "git_revision": _revision(),
    }


def _flags() -> str:
    """XLA_FLAGS, but for where choices among kernels are kept, and whether there were any: no result depends on it."""
    kept = r'\s*--xla_gpu_\w+_autotune_results_\w+=("(\\.|[^"])*"|\S*)'
    return re.sub(kept, "", os.environ.get("XLA_FLAGS", "")).strip()


def _revision() -> str:
    """The checked-out revision of jaxnas, "-dirty" where files differ from it; "none" where it is no checkout."""
    here = Path(__file__)
    with contextlib.suppress(OSError):  # no git on this machine
        for command in (["ls-files", "--error-unmatch", here.name], ["describe", "--always", "--dirty", "--abbrev=40"]):
            answer = subprocess.run(
                ["git", "-C", str(here.parent), *command], capture_output=True, text=True, check=False
            )
            if answer.returncode != 0:
                return "none"
        return answer.stdout.strip()
    return "none"


def moved(recorded: dict, here: dict) -> list[str]:
    """What of it has changed since it was recorded, a line each."""
    names = [name for name in ("versions", "device", "flags") if recorded.get(name) != here.get(name)]
    words = "results may differ in their last digits"
    return [f"{name} was {recorded.get(name)}, is {here.get(name)}; {words}" for name in names]
