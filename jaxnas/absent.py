"""Compilers for devices that are not here: JAX is not to see them. Nothing that takes long is imported here."""

import os
import sys
import types

NVIDIA = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")
"""Files of which there is one where there is a GPU: on Linux, in containers, under Windows."""
LIBRARIES, PLUGIN = "jax_cuda13_plugin", "jax_plugins.xla_cuda13"
"""What the extra `target-cuda` installs, as JAX imports it."""


def hide_compilers() -> None:
    """Before JAX is imported: what compiles for GPUs says there and then that it finds no driver, and again when JAX
    looks for devices. Without a GPU a search has no use for it; what compiles runs in a process of its own.
    """
    named = os.environ.get("JAX_PLATFORMS", "")
    if "jax" in sys.modules or any(map(os.path.exists, NVIDIA)) or named not in ("", "cpu"):
        return
    sys.modules[LIBRARIES] = None  # as if it were not installed
    nothing = types.ModuleType(PLUGIN)
    nothing.initialize = lambda: None
    sys.modules[PLUGIN] = nothing
