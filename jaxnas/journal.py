"""A file of JSON lines that grows: the first says what it is of, each further one is a result, on the disk before the
next one begins. A line that a kill or a full disk has torn is dropped.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxnas.settings import differing


class Journal:
    """The lines of one file.

    Args:
        path: where it lies.
        file: the same, open for reading and appending, without a buffer.
        about: what its results are of, as JSON values.

    Raises:
        ValueError: it is of something else, or it is no such file; it stays as it is.
    """

    def __init__(self, path: Path, file, about: dict):
        self.path, self.file = path, file
        file.seek(0)
        whole, newline, torn = file.read().rpartition(b"\n")
        lines = [self._parsed(line, number) for number, line in enumerate(whole.splitlines(), 1)]
        if not lines:
            if torn and not json.dumps({"about": about}).encode().startswith(torn):
                raise ValueError(f"{path} is something else: move it away, or give another place")
            file.truncate(0)
            self.append({"about": about})
            lines = [{"about": about}]
        if set(lines[0]) != {"about"} or not isinstance(lines[0]["about"], dict):
            raise ValueError(f"{path} does not say what it is of: move it away, or give another place")
        changed = differing(lines[0]["about"], json.loads(json.dumps(about)))
        if changed:
            words = "\n  ".join(changed.values())
            raise ValueError(f"{path} is of other settings:\n  {words}\ngive these again, or another place")
        if torn:
            file.truncate(len(whole) + len(newline))
        self.results: list[dict] = lines[1:]

    def append(self, values: dict) -> None:
        """Write one line to the disk."""
        line = memoryview(json.dumps(values).encode() + b"\n")
        while line:
            line = line[self.file.write(line) :]
        os.fsync(self.file.fileno())

    def _parsed(self, line: bytes, number: int) -> dict:
        try:
            values = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} of {self.path} is damaged: move that file away, and begin anew") from error
        if not isinstance(values, dict):
            raise ValueError(f"line {number} of {self.path} is no JSON object: move that file away")
        return values


@contextmanager
def opened(path: Path, about: dict) -> Iterator[Journal]:
    """A journal, made where there is none. Raises ValueError where it cannot be."""
    try:
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror}): give another place") from error
    with file:
        yield Journal(path, file, about)
