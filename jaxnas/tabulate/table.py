"""The table as a file: gzipped CSV with fixed formatting, so that equal numbers are equal bytes.

Letters: N architectures, T decisions.
"""

import csv
import gzip
import hashlib
import io
import json
import os
import statistics
from pathlib import Path

import numpy as np
from jaxtyping import Int

from jaxnas.outcome import Measure

SPEED = 1e9
"""Multiply-adds a second of the column ``seconds``: a round figure. Two CPU cores train the shipped table at 6e9,
counted by processor time."""
SHORT = 0.001
"""Seconds: less are written with 3 digits, not 4 decimals, so that nothing costs 0."""
TRAINING = 3
"""Forward and two gradients: work of a training step over that of a forward pass."""
SUFFIX = ".csv.gz"


def partial(out: Path) -> Path:
    """The working file of a table."""
    return out.with_name(out.name + ".partial")


def side(out: Path) -> Path:
    """The file that says what a table came from."""
    return out.with_name(out.name.removesuffix(SUFFIX) + ".json")


def check_free(out: Path) -> None:
    """Raises ValueError where the table or the file beside it would overwrite something, or has another ending."""
    if not out.name.endswith(SUFFIX) or out.name == SUFFIX:
        raise ValueError(f"{out}: give a name that ends in {SUFFIX}")
    taken = [path for path in (out, side(out)) if path.exists()]
    if taken and (taken[0] == out or not partial(out).exists()):  # a kill may have left the side file alone
        raise ValueError(f"{taken[0]} exists: give another name, or move it away")


def write(
    out: Path,
    tokens: Int[np.ndarray, "N T"],
    seeds: list[dict[int, dict]],
    speed: float,
    origin: dict,
    measure: Measure = Measure.SCORE,
    curves: bool = True,
) -> dict:
    """Write a table and the file beside it.

    Args:
        out: the file, which appears when it is whole.
        tokens: of its rows.
        seeds: for each seed its trainings by row, see `Working.rows`.
        speed: multiply-adds a second.
        origin: more for the file beside it, as JSON values.
        measure: what scores are.
        curves: whether there is a column for each epoch.

    Returns:
        What the file beside it holds.

    Raises:
        OSError: the disk is full, say.
    """
    first = seeds[0][0]
    names = columns(len(first["curve"]) if curves else 0, len(seeds))
    text = io.StringIO()
    lines = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
    lines.writeheader()
    every = enumerate(tokens.tolist())
    lines.writerows(row(one, [rows[i] for rows in seeds], speed, measure) for i, one in every)
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=9, fileobj=packed, mtime=0) as file:
        file.write(text.getvalue().encode())
    facts = {
        "table": out.name,
        "md5": hashlib.md5(packed.getvalue()).hexdigest(),
        "rows": len(tokens),
        "seeds": len(seeds),
        "epochs": len(first["curve"]),
        "images": first["images"],
        "speed": speed,
        "failed": sum(one["status"] != "ok" for rows in seeds for one in rows.values()),
        "columns": names,
    } | origin
    _place(side(out), json.dumps(facts, indent=1).encode() + b"\n")
    _place(out, packed.getvalue())
    return facts


def columns(epochs: int, seeds: int) -> list[str]:
    """The names of a table's columns."""
    return [
        *("tokens", "parameters", "multiply_adds", "seconds"),
        *(f"valid_{epoch}" for epoch in range(1, epochs + 1)),
        *("valid", "test"),
        *(f"{name}_s{seed}" for seed in range(seeds) for name in ("valid", "test")),
    ]


def row(tokens: list[int], seeds: list[dict], speed: float, measure: Measure = Measure.SCORE) -> dict[str, str]:
    """One line. A mean is that of all seeds: where one failed, the cell is empty."""
    first = seeds[0]
    seconds = TRAINING * first["multiply_adds"] * first["images"] / speed
    made = {
        "tokens": " ".join(map(str, tokens)),
        "parameters": str(first["parameters"]),
        "multiply_adds": str(first["multiply_adds"]),
        "seconds": f"{seconds:.4f}" if seconds >= SHORT else f"{seconds:.3g}",
    }
    for epoch in range(len(first["curve"])):
        made[f"valid_{epoch + 1}"] = _mean([one["curve"][epoch] for one in seeds], measure)
    made["valid"], made["test"] = (_mean([last(one)[which] for one in seeds], measure) for which in (0, 1))
    for seed, one in enumerate(seeds):
        made[f"valid_s{seed}"], made[f"test_s{seed}"] = (_mean([score], measure) for score in last(one))
    return made


def last(one: dict) -> tuple[float | None, float | None]:
    """Validation and test score of a training after its last epoch."""
    return one["curve"][-1], one["test"]


def _mean(scores: list[float | None], measure: Measure) -> str:
    """Shares of 1 rounded to 4 decimals, ties to even, others to 5 digits; "" where one is None."""
    if None in scores:
        return ""
    return f"{statistics.fmean(scores):{'.4f' if measure.share or measure.logarithmic else '.5g'}}"


def _place(path: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all."""
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
