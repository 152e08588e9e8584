"""``python -m jaxnas``, and the script ``jaxnas``."""

import _signal  # what `signal` is made of: that one takes long to import, and a signal would find Python's handler
import os
import sys

LINE = b"\njaxnas: interrupted\n"
_signal.signal(_signal.SIGINT, lambda number, frame: os._exit(128 + number + 0 * os.write(2, LINE)))

from jaxnas import absent, interrupts  # noqa: E402


def run() -> int:
    """What was typed, from the first moment to the last character that is printed."""
    interrupts.end_at_once()  # before anything else that takes long is imported
    interrupts.open_streams()
    absent.hide_compilers()
    from jaxnas.cli import main

    try:
        status = main(sys.argv[1:])
    except SystemExit as stop:  # after help
        status = stop.code if isinstance(stop.code, int) else 0
    return status if interrupts.close_streams() or status else interrupts.CLOSED_PIPE


def script() -> None:
    """What the installed ``jaxnas`` calls."""
    interrupts.leave(run())


if __name__ == "__main__":
    script()
