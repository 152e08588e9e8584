"""A file of JSON lines that grows: the first says what it is of, each further one is a result, on the disk before the
next one begins. A line that a kill or a full disk has torn is cut off.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxnas.locks import hold
from jaxnas.settings import differing

HEAD = b'{"about": '
"""How a journal begins."""


class Journal:
    """The lines of one file. One without any result is begun anew; all else that does not fit stays as it is.

    Args:
        path: where it lies.
        file: the same, open for reading and appending, without a buffer.
        kind: of what, in words: "table".
        about: what its results are of, as JSON values; another one's file is refused.
        beside: what else the first line says, a dict each, which may have been something else when it was begun.
        check: of a result, as JSON values; raises ValueError where it is none.

    Attributes:
        beside: as the first line has it.
        results: the others.

    Raises:
        ValueError: it is of something else, damaged, or no such file.
    """

    def __init__(self, path: Path, file, kind: str, about: dict, beside: dict, check: Callable[[dict], object]):
        self.path, self.file, self.kind = path, file, kind
        whole, newline, torn = self._read()
        lines = [self._parsed(line, number) for number, line in enumerate(whole.split(b"\n"), 1)] if newline else []
        if not (_is_head(lines[0], beside) if lines else torn.startswith(HEAD[: len(torn)])):
            raise self._foreign()
        self.beside, self.results = beside, lines[1:]
        if self.results:
            self._go_on(lines[0], about, check)
            file.truncate(len(whole) + len(newline))
        else:
            file.truncate(0)
            self.append({"about": about, **beside})

    def append(self, values: dict) -> None:
        """Write one line to the disk.

        Raises:
            OSError: the disk is full, say.
        """
        line = memoryview(json.dumps(values).encode() + b"\n")
        while line:
            line = line[self.file.write(line) :]
        os.fsync(self.file.fileno())

    def remove(self) -> None:
        """Its work is done."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[bytes, bytes, bytes]:
        """Whole lines, the end of the last one, and what is torn."""
        self.file.seek(0)
        return self.file.read().rpartition(b"\n")

    def _go_on(self, head: dict, about: dict, check: Callable[[dict], object]) -> None:
        """Hold what is there against what is wanted."""
        changed = differing(head["about"], json.loads(json.dumps(about)))
        if changed:
            words = "\n  ".join(changed.values())
            again = "give the old settings, or another place, or move that file away"
            raise ValueError(f"{self.path} holds another {self.kind}:\n  {words}\n{again}")
        self.beside = {name: part for name, part in head.items() if name != "about"}
        for number, values in enumerate(self.results, 2):
            self._check(values, number, check)

    def _parsed(self, line: bytes, number: int):
        try:
            return json.loads(line)
        except (ValueError, RecursionError) as error:
            raise (self._foreign() if number == 1 else self._damaged(number)) from error

    def _check(self, values, number: int, check: Callable[[dict], object]) -> None:
        try:
            if not isinstance(values, dict):
                raise ValueError("no JSON object")
            check(values)
        except ValueError as error:
            raise self._damaged(number) from error

    def _damaged(self, number: int) -> ValueError:
        return ValueError(f"line {number} of {self.path} is damaged: move that file away, and begin anew")

    def _foreign(self) -> ValueError:
        return ValueError(f"{self.path} is no working file of a {self.kind}: move it away, or give another name")


def _is_head(values, beside: dict) -> bool:
    """Whether a first line says what a file is of, and what we say beside it."""
    named = isinstance(values, dict) and values.keys() == {"about", *beside}
    return named and all(isinstance(part, dict) for part in values.values())


@contextmanager
def opened(
    path: Path, kind: str, about: dict, check: Callable[[dict], object], beside: dict | None = None
) -> Iterator[Journal]:
    """Hold a `Journal` (made if missing) for this process; a kill releases it.

    Raises:
        ValueError: another process holds it, it cannot be made, or it is none of these.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror}): give another place") from error
    with file:
        hold(file, f"another process writes {path}: wait for it, or give another file")
        yield Journal(path, file, kind, about, beside or {}, check)
