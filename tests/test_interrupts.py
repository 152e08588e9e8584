"""The first and the last second of a command: Ctrl-C at any moment, nobody who reads, streams that lack characters."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from test_search import CONFIG

from jaxnas import interrupts
from jaxnas.cli import main
from jaxnas.ledger import Ledger

COMMAND = [sys.executable, "-m", "jaxnas"]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def searched(config, tmp_path_factory):
    """The directory of a search of one round."""
    workdir = tmp_path_factory.mktemp("searched") / "run"
    assert main(["search", str(config), "--workdir", str(workdir), "--rounds", "1"]) == 0
    return workdir


@pytest.mark.parametrize("seed", range(5))
def test_a_signal_ends_a_command_at_any_moment_with_one_line(config, tmp_path, seed):
    """During imports, compilation and training; sent once or twice."""
    draw = random.Random(seed)
    number, times = draw.choice([signal.SIGINT, signal.SIGTERM]), draw.choice([1, 2])
    more = ["search", str(config), "--workdir", str(tmp_path / "run"), "--rounds", "100000"]
    process = subprocess.Popen([*COMMAND, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(0.15 + seed * 0.5 * draw.uniform(0.8, 1.2))
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.01)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert err.strip() in ("", interrupts.LINES[number], interrupts.LINES[number].partition(".")[0])
    if (tmp_path / "run" / "ledger.sqlite").exists():
        len(Ledger(tmp_path / "run"))


def test_a_signal_that_python_drops_is_raised_again():
    """As in a callback of the garbage collector, which prints what is raised in it and goes on."""

    class Drops:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)  # the handler runs in here

    before = signal.getsignal(signal.SIGTERM), sys.unraisablehook

    def drop_and_wait():
        Drops()
        time.sleep(5)

    with interrupts.first_is_raised(), pytest.raises(interrupts.Stopped) as stopped:
        drop_and_wait()
    assert (stopped.value.status, stopped.value.number) == (143, signal.SIGTERM)
    assert (signal.getsignal(signal.SIGTERM), sys.unraisablehook) == before


@pytest.mark.parametrize("arguments", [["--help"], ["trials", "run"], ["search", "again"]])
def test_nobody_reads(config, searched, tmp_path, arguments):
    """A closed pipe ends a command quietly, and closed streams do not disturb it."""
    shutil.copytree(searched, tmp_path / "run")
    if arguments[0] == "search":
        arguments = ["search", str(config), "--workdir", "run", "--rounds", "2"]
    arguments = [str(tmp_path / "run") if one == "run" else one for one in arguments]
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    quiet = {0, interrupts.CLOSED_PIPE} if arguments == ["--help"] else {interrupts.CLOSED_PIPE}  # argparse may not say
    assert process.wait(60) in quiet
    closed = subprocess.run(["bash", "-c", '"$@" >&- 2>&- <&-', "bash", *COMMAND, *arguments], timeout=60, check=False)
    assert closed.returncode == 0
    if arguments[0] == "search":
        assert len(Ledger(tmp_path / "run")) == 12


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_that_lacks_characters_gets_others(config, tmp_path, encoding):
    arguments = ["search", str(config), "--workdir", str(tmp_path / "run é"), "--rounds", "1"]
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, env=environment, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    words = done.stdout.decode(encoding)
    assert "Best: trial" in words
    assert "3 x 3" in words
    assert ("run \\xe9" if encoding == "ascii" else "run é") in words
    for one in "│▼█":
        assert one not in words


@pytest.mark.parametrize("drawn", interrupts.DRAWN)
def test_what_is_drawn_has_an_ascii_form(drawn):
    assert interrupts.DRAWN[drawn].isascii()
    error = UnicodeEncodeError("ascii", f"a{drawn}é", 1, 3, "no")
    assert interrupts._other_characters(error) == (interrupts.DRAWN[drawn] + "\\xe9", 3)
