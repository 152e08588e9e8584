"""What the command was called by. Nothing that takes long is imported here."""

import sys
from pathlib import PurePath

MODULE = "python -m jaxnas"


def called() -> str:
    """As it was typed: ``jaxnas`` or ``python -m jaxnas``, which always works, also for a script."""
    name = PurePath(sys.argv[0] if sys.argv else "")
    return "jaxnas" if name.stem == "jaxnas" and name.suffix in ("", ".exe") else MODULE
