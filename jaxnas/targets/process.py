"""Compiling for a device that is not here, in a process of its own: what its compiler wants of the environment would
change how a search runs.
"""

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from jaxnas.targets import TARGETS, check_installed, environment
from jaxnas.targets.compiled import Compiled

REFUSED = "refused"
"""By this name the process says why there is nothing to compile."""
UNASKED = ("Could not find cuda drivers", "before absl::InitializeLog()")
"""Words of lines in which NVIDIA's part of JAX says that there is no GPU, whatever level of messages is set."""


def compile_first_round(
    config: Path, overrides: list[str], target: str, budget: int, deterministic: bool = True
) -> list[Compiled]:
    """What the compiler says of each program of a search's first round; see `first_round`.

    Args:
        config: of the search, a Python file.
        overrides: settings as the command line has them.
        target: a name in `TARGETS`.
        budget: bytes that a group may take.
        deterministic: as `Experiment.deterministic`.

    Raises:
        ValueError: the compiler is not installed, or the experiment cannot run on the target.
        ChildProcessError: the process has ended in another way; what it said is on standard error.
    """
    check_installed(TARGETS[target])
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer"
        asked = {"answer": str(answer), "config": str(config), "overrides": overrides, "target": target}
        command = [sys.executable, "-m", "jaxnas.targets", json.dumps(asked | {"budget": budget})]
        status = _run(command, environment(TARGETS[target], deterministic))
        if status:
            raise ChildProcessError(f"the process that compiles for {target} has ended with status {status}")
        lines = [json.loads(line) for line in answer.read_text().splitlines()]
    if REFUSED in lines[0]:
        raise ValueError(lines[0][REFUSED])
    return [Compiled(**line) for line in lines]


def _run(command: list[str], env: dict[str, str]) -> int:
    """The exit status. Ctrl-C reaches a process and all that it has started: here it ends this one, and that the other,
    which does not hear it from its first moment on and so has nothing to say.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)  # inherits what is blocked
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with process:
        try:
            for line in process.stderr:
                if not any(words in line for words in UNASKED):
                    print(line, end="", file=sys.stderr, flush=True)
            return process.wait()
        except BaseException:
            process.kill()
            raise
