"""Where jaxnas may keep what it can make anew: folders in the user's cache directory.

References:
    https://specifications.freedesktop.org/basedir-spec/latest/
"""

import os
from pathlib import Path


def place(name: str) -> Path | None:
    """The folder of that name, which need not exist yet; None where there is no home directory."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "jaxnas" / name
    try:
        return Path.home() / ".cache" / "jaxnas" / name
    except RuntimeError:  # neither HOME nor a name of the user
        return None
