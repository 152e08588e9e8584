"""A process in which an objective is called: run as a script, so that it imports nothing but what the objective does.

It is told by a `Connection` what to load, then one call after another, and answers with plain values. It ends itself,
and all that the objective has started, when the other end is closed, as by a kill.
"""

import importlib
import math
import os
import pickle
import queue
import random
import resource
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from numbers import Real
from typing import Any

import numpy as np

LONGEST = 300
"""Characters of an exception in a message."""


class WrongError(Exception):
    """What was returned is no score; the message says what it is."""


def main(descriptor: int) -> None:
    """Answer until told to end, by no bytes at all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who has started this process hears it, and ends it
    os.set_inheritable(descriptor, False)
    sys.modules["jaxnas_worker"] = sys.modules["__main__"]  # who runs a search looks whether this is none to run one in
    sys.stdout.reconfigure(line_buffering=True)
    parent, asked = Connection(descriptor), queue.SimpleQueue()
    start = parent.recv()
    threading.Thread(target=_listen, args=(parent, asked), daemon=True).start()
    try:
        fn = loaded(**start)
    except BaseException as error:
        parent.send({"kind": "unusable", "words": _words(error)})
        return
    parent.send({"kind": "ready"})
    while call := asked.get():
        parent.send(answer(fn, start["file"], call))


def _listen(parent: Connection, asked: queue.SimpleQueue) -> None:
    try:
        while True:
            asked.put(parent.recv_bytes())
    except (EOFError, OSError):
        os.killpg(os.getpgrp(), signal.SIGKILL)


def loaded(path: list[str], module: str, name: str, file: str, source: bytes | None) -> Callable:
    """The function of that name: of a module that can be imported, or of a file's text."""
    sys.path[:] = path
    if source is None:
        found = importlib.import_module(module)
    else:
        # in a script, `if __name__ == "__main__":` must not hold here
        found = types.ModuleType("__mp_main__" if module == "__main__" else module)
        found.__file__ = file
        sys.modules[module] = sys.modules[found.__name__] = found
        exec(compile(source, file, "exec"), vars(found))
    for part in name.split("."):
        found = getattr(found, part)
    return found


def class_name(kind: type) -> str:
    """A class by its module and name, "__main__" of what stands in the objective's file, whatever it is called here."""
    return f"{kind.__module__}:{kind.__qualname__}".replace("__mp_main__:", "__main__:")


def answer(
    fn: Callable,
    file: str,
    call: bytes,
    raised: type[BaseException] | tuple = (),
    name: Callable[[type], str] = class_name,
) -> dict:
    """One call, and what came of it; "kind" says which: scored, failed, raised, wrong, unusable. Exceptions of the kind
    ``raised`` are raised, the classes of others written by ``name``.
    """
    try:
        arguments, seed = pickle.loads(call)
    except BaseException as error:
        return {"kind": "unusable", "words": _words(error)}
    random.seed(seed)
    np.random.seed(seed)
    began = time.perf_counter()
    try:
        said = checked(fn(*arguments))
    except WrongError as error:
        said = {"kind": "wrong", "words": str(error)}
    except raised:
        raise
    except BaseException as error:
        if "JAXNAS_DEBUG" in os.environ:
            traceback.print_exc()
        kinds = [name(kind) for kind in type(error).__mro__]
        said = {"kind": "raised", "kinds": kinds, "words": _words(error), "where": _where(error, file)}
    return said | {"seconds": time.perf_counter() - began, "memory": _memory()}


def checked(returned: Any) -> dict:
    """A score and other figures as floats, or which of them is not finite. Raises WrongError where there are none."""
    named = returned if isinstance(returned, Mapping) else {"score": returned}
    if "score" not in named:
        raise WrongError(f"returned a dict of {', '.join(map(repr, named)) or 'nothing'}, without 'score'")
    found = {}
    for name, value in named.items():
        if not isinstance(name, str):
            raise WrongError(f"returned a dict with the name {name!r}, which is no text")
        what = "" if named is not returned else f"{name!r}: "
        found[name] = _number(what, value)
    bad = [f"{name} is {value}" for name, value in found.items() if not math.isfinite(value)]
    if bad:
        return {"kind": "failed", "reason": ", ".join(bad)}
    score = found.pop("score")
    return {"kind": "scored", "score": score, "figures": found}


def _number(what: str, value: Any) -> float:
    if value is None:
        raise WrongError(f"returned {what}None" + ("" if what else " (does it lack a `return`?)"))
    if isinstance(value, bool | np.bool_ | str | bytes):
        raise WrongError(f"returned {what}{value!r}")
    if isinstance(value, Real):
        return _float(value)
    try:
        shape, kind = tuple(value.shape), str(value.dtype)
    except (AttributeError, TypeError):
        raise WrongError(f"returned {what}a {type(value).__name__}") from None
    if shape or "bool" in kind or "complex" in kind:
        raise WrongError(f"returned {what}a {type(value).__name__} of shape {shape} and type {kind}")
    return _float(value)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # of an integer of 400 digits
        return math.inf


def _memory() -> int:
    """Bytes that this process takes; where the system does not tell, the most that it has taken."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes, as macOS has it


def _words(error: BaseException) -> str:
    """An exception in one line."""
    try:
        said = " ".join(str(error).split())
    except Exception:  # of a class of its own, that cannot be written
        said = ""
    line = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def _where(error: BaseException, file: str) -> str:
    """The line of the objective's own file that an exception comes from, else the last one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file]
    last = (own or frames)[-1]
    return f"{os.path.basename(last.filename)}, line {last.lineno}"


if __name__ == "__main__":
    main(int(sys.argv[1]))
