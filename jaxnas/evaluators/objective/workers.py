"""Processes that call an objective, from the side of who has started them: each is asked one call at a time, and killed
and replaced where it crashes, is late, or has grown.
"""

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Pipe, wait
from pathlib import Path

from jaxnas.evaluators.objective.named import Function

SCRIPT = Path(__file__).with_name("worker.py")
THREADS = ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR")
"""What reads NAME_NUM_THREADS."""
CALLS = 1000
"""A process is replaced after so many, with all that it has left open."""
GROWTH = 2**29
"""Likewise, where it takes so many bytes more than after its first call."""
GRACE = 2.0
"""Seconds that a process may take to end by itself."""
PATIENCE = 0.5
"""Seconds between looks at whether a process is there, which its closed pipe says at once unless others hold it."""
PIECE, MOST_PIECES = 2**16, 16
"""Bytes of what is printed, and how often as many are taken at a time."""


class Worker:
    """One process, in a session of its own: Ctrl-C does not reach it, and all that it starts is killed with it.

    Args:
        start: `Function.start`.

    Attributes:
        ready: whether it has loaded the function.
        job: the number of what it has been asked; None while it is idle.
        asked: when, in seconds of the monotonic clock.
        deadline: likewise, when it will be late.
        prints: whether anything can still come of what it prints.
    """

    def __init__(self, start: dict):
        self.ready, self.job, self.asked, self.deadline = False, None, 0.0, math.inf
        self._calls, self._memory, self._line, self.prints = 0, None, b"", True
        self.connection, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(SCRIPT), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                pass_fds=[theirs.fileno()],
                env={f"{name}_NUM_THREADS": "1" for name in THREADS} | os.environ | {"JAX_PLATFORMS": "cpu"},
                start_new_session=True,
            )
        os.set_blocking(self.process.stdout.fileno(), False)
        with contextlib.suppress(OSError):  # it has ended, which is heard next
            self.connection.send(start)

    def ask(self, job: int, call: bytes, timeout: float | None) -> None:
        """Have one call made: its arguments and the seed of the generators, pickled."""
        self.job, self.asked = job, time.monotonic()
        self.deadline = math.inf if timeout is None else self.asked + timeout
        with contextlib.suppress(OSError):
            self.connection.send_bytes(call)

    def heard(self) -> dict | None:
        """What it says, or how it has ended, or that it is late: then it is killed. None: nothing yet."""
        self.forward()
        late, status = time.monotonic() > self.deadline, self.process.poll()
        try:
            if self.connection.poll():
                return self.connection.recv()
        except (EOFError, OSError):
            status = self.kill()
        if status is not None:
            self.kill()
            return {"kind": "ended", "words": _ended(status)}
        if late:
            self.kill()
            return {"kind": "late"}
        return None

    def worn(self, memory: int) -> bool:
        """Whether it is to be replaced after a call, when it takes so many bytes."""
        self._calls += 1
        self._memory = memory if self._memory is None else self._memory
        return self._calls >= CALLS or memory > self._memory + GROWTH

    def forward(self) -> None:
        """What it has printed, to standard error, in whole lines: a display that stays in place puts them above."""
        for _ in range(MOST_PIECES):  # of who prints without end the rest comes later
            piece = self.process.stdout.read(PIECE)
            if not piece:
                self.prints = piece is None
                return
            *lines, self._line = (self._line + piece).split(b"\n")
            if len(self._line) > PIECE:
                lines, self._line = [*lines, self._line], b""
            for line in lines:
                print(line.decode(errors="replace"), file=sys.stderr)

    def finish(self) -> None:
        """Ask it to end by itself."""
        with contextlib.suppress(OSError):
            self.connection.send_bytes(b"")

    def gone(self) -> None:
        """After `finish`: wait for a moment, then kill it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        self.kill()

    def kill(self) -> int:
        """End it and all that it has started; its exit status."""
        if self.connection.closed:
            return self.process.returncode
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        status = self.process.wait()
        self.forward()
        if self._line:
            print(self._line.decode(errors="replace"), file=sys.stderr)
            self._line = b""
        self.process.stdout.close()
        self.connection.close()
        return status


class Workers:
    """As many processes as there is work for, up to a number; they stay until `close`.

    Args:
        function: what they call.
        processes: how many at most.
        timeout: seconds that a call may take; None: as long as it wants.
    """

    def __init__(self, function: Function, processes: int, timeout: float | None):
        self.function, self.processes, self.timeout = function, processes, timeout
        self._workers: list[Worker] = []
        self._start: dict | None = None
        weakref.finalize(self, _kill, self._workers)

    def answers(self, calls: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, dict]]:
        """Make numbered calls; what came of each, by its number, as it is done. Who stops listening ends the processes.

        "kind" is as in ``worker.answer``, or "failed" with a "reason" where a process has crashed or was late.

        Raises:
            ValueError: the function cannot be loaded.
        """
        waiting = deque(calls)
        try:
            while waiting or any(worker.job is not None for worker in self._workers):
                self._hand_out(waiting)
                self._wait()
                done = self._heard()
                self._hand_out(waiting)
                yield from done
        except BaseException:
            _kill(self._workers)
            raise

    def close(self) -> None:
        """End all processes, those that are idle by themselves."""
        for worker in self._workers:
            worker.finish() if worker.ready and worker.job is None else worker.kill()
        for worker in self._workers:
            worker.gone()
        self._workers.clear()

    def _hand_out(self, waiting: deque) -> None:
        """Work to those who are idle, and new ones for the rest of it."""
        for worker in self._workers:
            if waiting and worker.ready and worker.job is None:
                worker.ask(*waiting.popleft(), self.timeout)
        starting = sum(not worker.ready for worker in self._workers)
        for _ in range(min(len(waiting) - starting, self.processes - len(self._workers))):
            self._start = self._start or self.function.start()
            self._workers.append(Worker(self._start))

    def _wait(self) -> None:
        """Until one says or prints something, is late, or a moment has passed."""
        left = min(worker.deadline for worker in self._workers) - time.monotonic()
        wait(
            [w.connection for w in self._workers] + [w.process.stdout for w in self._workers if w.prints],
            max(0.0, min(left, PATIENCE)),
        )

    def _heard(self) -> list[tuple[int, dict]]:
        """The calls that are done."""
        done = []
        for worker in list(self._workers):
            message = worker.heard()
            if message is None:
                continue
            kind, job = message["kind"], worker.job
            if kind == "ready":
                worker.ready = True
            elif kind == "unusable" or (kind == "ended" and not worker.ready):
                raise ValueError(f"a worker could not load {self.function} ({message['words']}): {_LOADING}")
            else:
                self._settle(worker, message)
                if job is not None:
                    done.append((job, message if "seconds" in message else self._failed(message, worker.asked)))
        return done

    def _settle(self, worker: Worker, message: dict) -> None:
        """After a call: the worker is idle, or no more."""
        worker.job, worker.deadline = None, math.inf
        if "memory" not in message:
            self._workers.remove(worker)
        elif worker.worn(message["memory"]):
            worker.finish()
            worker.gone()
            self._workers.remove(worker)

    def _failed(self, message: dict, asked: float) -> dict:
        reason = f"took more than {self.timeout:g} s" if message["kind"] == "late" else message["words"]
        return {"kind": "failed", "reason": reason, "seconds": time.monotonic() - asked}


_LOADING = (
    "it imports the module, or runs the file, that the function stands in; what is not to happen there, such as the "
    'search itself, belongs under `if __name__ == "__main__":`'
)


def _kill(workers: list[Worker]) -> None:
    while workers:
        workers.pop().kill()


def _ended(status: int) -> str:
    """How a process has ended, by its exit status as `subprocess` has it."""
    if status < 0:
        return f"killed by signal {-status} ({signal.strsignal(-status) or 'unknown'})"
    return f"its process ended with exit status {status}"
