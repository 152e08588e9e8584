"""Objectives for tests: what a user may do, and what may go wrong. Workers load this file, so it imports little."""

import ctypes
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

KEPT = []


class OwnError(Exception):
    pass


def smooth(values, seed):
    """Best where x is 0.25; it forgets its seed where it draws."""
    return {"score": 1 - (values["x"] - 0.25) ** 2, "seed": seed, "drawn": random.random() + np.random.rand()}


def slow(values, seed):
    """Later trials are done first; each leaves its process' number."""
    (Path(os.environ["PIDS"]) / f"{os.getpid()}").touch()
    time.sleep(0.02 + 0.1 * random.random())
    return smooth(values, seed)


def anything(values, seed):
    """What ``what`` says."""
    return DEEDS[values["what"]](seed)


def hang(seed):
    while True:
        time.sleep(10)


def fine(seed):
    time.sleep(0.3 * random.random())
    return {"score": seed / 2**31, "seed": seed}


def raised(seed):
    raise OwnError("on\nseveral   lines")


def wrong_seed(seed):
    return np.float32(seed % 7)


DEEDS = {
    "fine": fine,
    "exit": lambda seed: os._exit(3),
    "leave": lambda seed: os._exit(0),
    "kill": lambda seed: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda seed: ctypes.string_at(0),
    "hang": hang,
    "raise": raised,
    "nan": lambda seed: math.nan,
    "figure": lambda seed: {"score": 1.0, "loss": math.inf},
    "numpy": wrong_seed,
}


def stops(values, seed):
    """One of the children ends the search."""
    if values["x"] > 0.5:
        sys.exit("enough")
    return values["x"]


def nothing(values, seed):
    """It lacks a `return`."""


def negative(values, seed):
    return -1 - values["x"]


def prints(values, seed):
    """Through Python and past it, much and without an end of line."""
    print("printed")
    os.write(1, b"x" * 200_000 + b"\nwritten\nunended")
    sys.stderr.write("said\n")
    return 1.0


def who(values, seed):
    return {"score": 1.0, "process": os.getpid()}


def grows(values, seed):
    KEPT.append(np.ones(2**24))  # 128 MiB
    return who(values, seed)


def parent(values, seed):
    """It starts a process and hangs."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    Path(os.environ["PIDS"], str(child.pid)).touch()
    hang(seed)


def of_architecture(architecture, seed):
    return float(sum(architecture))


def takes_one(values):
    return len(values["what"]) + random.random()


def takes_none():
    return 1.0


class Holder:
    """A function may stand in a class."""

    @staticmethod
    def smooth(values, seed):
        return smooth(values, seed)
