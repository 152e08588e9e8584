"""Ctrl-C, SIGTERM and closed streams, from the first moment on: nothing that takes long is imported here.

Before a command runs there is nothing to save, and a signal ends the process at once. While it runs, the first signal
is raised, so that files are closed; a second one ends the process at once.
"""

import codecs
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LINES = {
    signal.SIGINT: "jaxnas: interrupted. The same command goes on from here",
    signal.SIGTERM: "jaxnas: terminated. The same command goes on from here",
}
AGAIN = 0.02
"""Seconds."""
CLOSED_PIPE = 141
"""Exit status where nobody reads what is printed, as a shell has it."""
DRAWN = {
    **dict.fromkeys("─━╌┄╴╶╸╺", "-"),
    **dict.fromkeys("│┃╎┆", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╯╰┏┓┗┛╔╗╚╝●○◉", "+"),
    **dict.fromkeys("█▓▒░▉▊▋▌▍▎▏", "#"),
    **{
        "·": ".",
        "×": "x",
        "→": "->",
        "↓": "v",
        "↑": "^",
        "…": "...",
        "±": "+-",
        "≤": "<=",
        "≥": ">=",
        "▼": "v",
        "▲": "^",
    },
}
"""What stands for the characters that we draw with, where an encoding lacks them."""


class Stopped(KeyboardInterrupt):  # noqa: N818 - it is no error
    """A signal that is to end the command. ``status``: the exit status."""

    def __init__(self, number: int):
        self.number, self.status = signal.Signals(number), 128 + number
        super().__init__(LINES[self.number])


def behind(error: BaseException) -> Stopped | None:
    """The signal that an error came of: what is raised while a class is made, Python raises on as a RuntimeError."""
    while error is not None and not isinstance(error, Stopped):
        error = error.__cause__
    return error


def end_at_once() -> None:
    """From now on a signal ends the process, with one line."""
    for number in SIGNALS:
        signal.signal(number, _end)


@contextmanager
def first_is_raised() -> Iterator[None]:
    """Inside, the first signal raises `Stopped`; afterwards all is as it was.

    Where Python drops it, as in a callback of the garbage collector, it is raised again a moment later.
    """
    before, hook = {number: signal.signal(number, _raise) for number in SIGNALS}, sys.unraisablehook
    before[signal.SIGALRM] = signal.getsignal(signal.SIGALRM)

    def dropped(what):
        if not isinstance(what.exc_value, Stopped):
            return hook(what)
        number = what.exc_value.number
        signal.signal(signal.SIGALRM, lambda again, frame: _raise(number, frame))
        signal.setitimer(signal.ITIMER_REAL, AGAIN)

    sys.unraisablehook = dropped
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(status: int) -> None:
    """End the process. After a signal without Python's own end, in which threads that still compile for JAX crash."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if status in (128 + number for number in SIGNALS):
        os._exit(status)
    sys.exit(status)


def _end(number: int, frame) -> None:
    os.write(2, f"\n{LINES[signal.Signals(number)].partition('.')[0]}\n".encode())  # nothing had begun
    os._exit(128 + number)


def _raise(number: int, frame) -> None:
    for other in SIGNALS:
        signal.signal(other, lambda again, frame: os._exit(128 + again))
    raise Stopped(number)


def open_streams() -> None:
    """Closed standard streams read and write nothing (or a file opened next would be taken for one), and characters
    that their encoding lacks are written as others.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    codecs.register_error("jaxnas", _other_characters)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for the life of the process
        else:
            stream.reconfigure(errors="jaxnas")


def _other_characters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    there = error.object[error.start : error.end]
    return "".join(DRAWN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in there), error.end


def close_streams() -> bool:
    """Write out what was printed; False: nobody reads it, and nothing more is written."""
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(nowhere, number)
        return False
    return True
