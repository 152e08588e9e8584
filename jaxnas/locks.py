"""A file or a directory belongs to one process at a time."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "lock"
WITHOUT = "JAXNAS_NO_LOCK"
"""Environment variable: 1 does without locks, where a file system has none."""
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
"""What flock answers where a file system has none."""


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Hold a directory (made if missing) for this process; a kill releases it.

    Raises:
        ValueError: another process holds it, it cannot be made, or its file system has no locks.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / LOCK).open("a")
    except OSError as error:
        raise ValueError(f"{workdir} cannot be written to ({error.strerror}): give another directory") from error
    with file:
        hold(file, f"another process works in {workdir}: wait for it, or give another directory")
        yield


def hold(file, busy: str) -> None:
    """Lock an open file for this process until it is closed.

    Raises:
        ValueError: ``busy``, where another process has it; or its file system has no locks.
    """
    if os.environ.get(WITHOUT) == "1":
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(busy) from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise ValueError(
            f"{file.name} cannot be locked, its file system has no locks ({error.strerror}): give a place on another "
            f"one or, where no second process will write there, set {WITHOUT}=1"
        ) from error
