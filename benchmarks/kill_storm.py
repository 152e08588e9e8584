"""Kill running commands, again and again, and hold what they come to against undisturbed runs.

    python benchmarks/kill_storm.py [--kills 60] [--seed 0] [--only NAME]

Each command (a search, one with early stopping, one on text, a final training, a table, a comparison) is started as a
user starts it, killed with SIGKILL at a moment drawn by the seed, and started again, until it has had its share of the
kills; the last start runs to its end. Its results must then be those of a run that nobody killed: every row of the
ledger but for the seconds, test scores and parameters of the final training, the table and its facts byte for byte,
the files of the comparison but for the seconds. Exit status 1 where one is not. About ten minutes on two CPU cores.
"""

import argparse
import contextlib
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jaxnas.checkpoint import Checkpoints

SPACE = """
from jaxnas.evaluators import SuccessiveHalving, Population, Table, Train
from jaxnas.experiment import Experiment
from jaxnas.final import Final
from jaxnas.spaces import ChainCNN, LanguageModel, RecurrentCell
from jaxnas.strategies import Evolution, Reinforce
from jaxnas.tasks import Digits, Text

space = ChainCNN(layers=2, depths=(1, 2), kernel_heights=(1, 3), kernel_widths=(3,), filters=(4, 8), pool_after=(1,))
"""
IMAGES = (
    SPACE
    + """
experiment = Experiment(
    space, Digits(), Reinforce(0.05), evaluator=Population(Train(epochs=3, batch_size=64), group_size=4),
    final=Final(Train(epochs=40), seeds=2), rounds=12, children=8,
)
"""
)
HALVING = IMAGES.replace("group_size=4)", "group_size=4, halving=SuccessiveHalving((1, 2)))")
TEXT = (
    SPACE
    + """
from jaxnas.rewards import Perplexity

experiment = Experiment(
    RecurrentCell(base=2, model=LanguageModel(hidden=16)), Text(limit=20_000, unroll=16), Reinforce(0.05), Perplexity(),
    Population(Train(epochs=2, batch_size=16), group_size=4), rounds=6, children=4,
)
"""
)
COMPARISON = """
import dataclasses
from jaxnas.shipped import comparison

comparison = dataclasses.replace(comparison, seeds=60)
"""


@dataclass(frozen=True)
class Command:
    """What is typed (OUT stands for what it writes), the config, and what of its results must be equal."""

    words: str
    config: str
    results: Callable[[Path], object]
    begins_with: str = ""


def ledger(out: Path) -> list:
    """Rows of the trials but for the time they took."""
    with sqlite3.connect(out / "ledger.sqlite") as db:
        names = [row[1] for row in db.execute("PRAGMA table_info(trials)") if row[1] != "seconds"]
        return db.execute(f"SELECT {', '.join(names)} FROM trials ORDER BY trial_id").fetchall()


def final(out: Path) -> object:
    """Test scores, and the trained numbers."""
    with sqlite3.connect(out / "ledger.sqlite") as db:
        [value] = db.execute("SELECT value FROM run WHERE key = 'final:0'").fetchone()
    arrays = Checkpoints(out / "final" / "0").arrays()
    return json.loads(value)["test_scores"], {name: array.tobytes() for name, array in sorted(arrays.items())}


def table(out: Path) -> object:
    """The file, which holds no measured time."""
    return out.with_name(out.name + ".csv.gz").read_bytes()


def comparison(out: Path) -> object:
    """The CSV files without the column of seconds, the last of results.csv."""
    results = [line.rpartition(",")[0] for line in (out / "results.csv").read_text().splitlines()]
    return results, (out / "seeds.csv").read_bytes(), (out / "curves.csv").read_bytes()


COMMANDS = {
    "search": Command("search CONFIG --workdir OUT", IMAGES, ledger),
    "halving": Command("search CONFIG --workdir OUT", HALVING, ledger),
    "text": Command("search CONFIG --workdir OUT", TEXT, ledger),
    "final": Command("final OUT --trial 0", IMAGES, final, "search CONFIG --workdir OUT --rounds 1"),
    "tabulate": Command("tabulate CONFIG OUT.csv.gz --seeds 6", IMAGES.replace("epochs=3", "epochs=9"), table),
    "compare": Command("compare CONFIG --out OUT", COMPARISON, comparison),
}


class Broken(RuntimeError):  # noqa: N818 - what the storm looks for
    """A start that did not end well."""


def started(words: str, config: Path, out: Path) -> subprocess.Popen:
    """The command as a user starts it."""
    typed = words.replace("CONFIG", str(config)).replace("OUT", str(out)).split()
    command = [sys.executable, "-m", "jaxnas", *typed]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


class AlreadyThere(Broken):
    """What the command makes is there, and it overwrites nothing."""


def ended(process: subprocess.Popen) -> None:
    """Wait. Raises Broken for another status than 0."""
    error = process.communicate()[1]
    if process.returncode:
        there = "exists" in error or "holds a comparison already" in error
        raise (AlreadyThere if there else Broken)(f"status {process.returncode}: {error.strip()[-500:]}")


def whole(command: Command, config: Path, out: Path) -> float:
    """Run undisturbed; the seconds it takes."""
    if command.begins_with:
        ended(started(command.begins_with, config, out))
    began = time.monotonic()
    ended(started(command.words, config, out))
    return time.monotonic() - began


def stormed(command: Command, config: Path, out: Path, kills: int, seconds: float, draw: random.Random) -> int:
    """Start and kill so many times, then run to the end; how many starts had to go on from something."""
    if command.begins_with:
        ended(started(command.begins_with, config, out))
    killed = went_on = 0
    while killed < kills:
        went_on += any(out.parent.glob(f"{out.name}*"))
        process = started(command.words, config, out)
        try:
            process.wait(draw.uniform(0.05, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
            continue
        with contextlib.suppress(AlreadyThere):  # the kill before came when all was written
            ended(process)
        for path in out.parent.glob(f"{out.name}*"):  # done, and kills are left: from the start again
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if command.begins_with:
            ended(started(command.begins_with, config, out))
    with contextlib.suppress(AlreadyThere):
        ended(started(command.words, config, out))
    return went_on


def main() -> int:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("--kills", type=int, default=60, help="in all, shared by the commands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=COMMANDS)
    options = parser.parse_args()
    chosen = [options.only] if options.only else list(COMMANDS)
    draw, bad, total = random.Random(options.seed), 0, 0
    print(f"{'command':<10}{'seconds':>9}{'kills':>7}{'went on':>9}  results", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            command, place = COMMANDS[name], Path(folder) / name
            place.mkdir()
            config = place / "config.py"
            config.write_text(command.config)
            whole(command, config, place / "warm")  # compiles: the others take the programs from the cache
            seconds = whole(command, config, place / "whole")
            kills = -(-options.kills // len(chosen))
            went_on = stormed(command, config, place / "stormed", kills, seconds, draw)
            same = command.results(place / "stormed") == command.results(place / "whole")
            bad, total = bad + (not same), total + kills
            verdict = "equal" if same else "DIFFERENT"
            print(f"{name:<10}{seconds:>9.1f}{kills:>7}{went_on:>9}  {verdict}", flush=True)
    print(f"{total} kills, {bad} of {len(chosen)} commands with other results")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
