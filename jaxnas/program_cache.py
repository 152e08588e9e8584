"""Compiled programs, kept in the user's cache directory from one process to the next.

References:
    https://docs.jax.dev/en/latest/persistent_compilation_cache.html
"""

import contextlib
import os
import platform
import re
import sys
import warnings
import zlib
from pathlib import Path

import jax

from jaxnas import caches

NEVER = 1e9
"""Seconds: nothing that compiles faster is written."""
FAILED = re.compile(r"Error (reading|writing) persistent compilation cache entry for '(.*?)': (.*)", re.DOTALL)
SET_BY_HAND = "JAX_COMPILATION_CACHE_DIR names another place"


def keep_programs() -> None:
    """Use a directory of the user's cache, unless the user has named one. What is wrong with it is said once: a search
    runs without it, too.

    A directory for each kind of processor: a home may be shared by machines, and code for one is no code for another.
    """
    named = jax.config.jax_compilation_cache_dir
    place = Path(named) if named else caches.place(_processor())
    if place is None:
        return _say(f"no home directory, so that compiled programs are not kept: {SET_BY_HAND}")
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        jax.config.update("jax_compilation_cache_dir", None)
        return _say(f"compiled programs are not kept, {place} cannot be made ({error.strerror}): {SET_BY_HAND}")
    jax.config.update("jax_compilation_cache_dir", str(place))
    if not os.access(place, os.W_OK):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", NEVER)
        _say(f"new compiled programs are not kept, {place} cannot be written: {SET_BY_HAND}")
    _hear_of_failures(place)


def _processor() -> str:
    """A short name for the kind of processor."""
    with contextlib.suppress(OSError):  # no such file but on Linux
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        kind = "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
        return f"{platform.machine()}-{zlib.crc32(kind.encode()):08x}"
    return platform.machine()


def _hear_of_failures(place: Path) -> None:
    """JAX warns of an entry that it cannot read, compiles, and leaves the entry where it is, for the next process to
    fail on. Here it is removed; JAX then writes it anew.
    """
    show, said = warnings.showwarning, set()

    def heard(message, category, *where, **more):
        failed = FAILED.match(str(message))
        if not failed:
            return show(message, category, *where, **more)
        what, module, why = failed.groups()
        if what == "reading":
            for path in _damaged(place, module):
                path.unlink(missing_ok=True)
                _say(f"a damaged compiled program was removed, and is compiled again: {path.name[:60]}")
        elif what not in said:
            said.add(what)
            _say(f"new compiled programs are not kept ({why.strip().splitlines()[0][:200]}): {SET_BY_HAND}")

    warnings.filterwarnings("always", message="Error (reading|writing) persistent compilation cache")
    warnings.showwarning = heard


def _damaged(place: Path, module: str) -> list[Path]:
    """The entries of a module that cannot be unpacked; all of them where each one can: the damage lies deeper."""
    entries = list(place.glob(f"{module}-*-cache"))
    return [path for path in entries if not _unpacks(path)] or entries


def _unpacks(path: Path) -> bool:
    from jax._src.compilation_cache import decompress_executable  # there is no public way to look into an entry

    try:
        decompress_executable(path.read_bytes())
    except Exception:  # of zlib or zstandard, whichever JAX has found
        return False
    return True


def _say(line: str) -> None:
    print(f"jaxnas: note: {line}", file=sys.stderr)
