#!/usr/bin/env python3
"""Settings of a perceptron on the wines, trained in a minute: jaxnas, Optuna with PyTorch, Keras Tuner; on CPU.

    python benchmarks/tuned_mlp.py --settings 1000 --python PEERS/bin/python

--python names the Python that has the peers: pip install torch==2.13.0 optuna==5.0.0 keras==3.15.1 keras-tuner==1.4.8
six==1.17.0. The settings are drawn from configs/tune_wine.py (widths, depth, activation, dropout, learning rate,
weight decay) and are the same for all; so are rows, batches of 57, 100 epochs, SGD with Nesterov momentum and the
cosine rate, and He's initial weights. jaxnas scores after each epoch and PyTorch too, Keras at the end. A line each:
settings trained, seconds from the start of the process to its end (compilation included), settings a minute, median and
best of the last log losses. Peers train the first --few (Keras a tenth of these) in a process of one thread, since a
second makes networks of this size slower; their rates are of these.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "configs" / "tune_wine.py"
ROW = "{:26} {:>9} {:>9} {:>16} {:>10} {:>10}"


def ours(count: int) -> dict:
    """All settings by the evaluator of a search."""
    from jaxnas import setup

    setup.start()
    from workloads import sample

    found, _ = setup.load(CONFIG, [])
    tokens = sample(found, count)
    evaluate = found.evaluator.bind(found.space, found.task, found.seed, count)
    scores = np.full(count, np.nan)
    for rows, outcome in evaluate(tokens, np.arange(count)):
        scores[rows] = outcome.curve[:, -1]
    return {"trained": count, "losses": (-scores).tolist()}


def workload(count: int, folder: Path) -> Path:
    """The same settings, rows and classes, for the peers."""
    from workloads import sample

    from jaxnas import setup

    found, _ = setup.load(CONFIG, [])
    data, settings = found.task.search_data(found.seed), []
    for row in sample(found, count):
        one = found.space.decode(row)
        network = one.architecture
        about = {"widths": network.widths, "activation": network.activation, "dropout": network.dropout}
        settings.append(about | dict(one.training))
    x, held_out = (np.asarray(found.task.inputs(part.examples, data)) for part in (data.train, data.held_out))
    file = folder / "workload.npz"
    np.savez(file, x=x, y=data.train.labels, held_out=held_out, labels=data.held_out.labels)
    train = found.evaluator.train
    about = {"epochs": train.epochs, "batch": train.batch_size, "momentum": train.optimiser.momentum}
    (folder / "settings.json").write_text(json.dumps(about | {"settings": settings}))
    return file


def timed(name: str, command: list[str], answer: Path) -> None:
    """Run a contender, and print its line."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "torch"}
    environment["JAX_COMPILATION_CACHE_DIR"] = str(answer.with_name("programs"))  # empty at first
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        print(f"{name}: left out: {(done.stderr.splitlines() or ['no message'])[-1]}", flush=True)
        return
    said = json.loads(answer.read_text())
    losses = np.array([np.nan if loss is None else loss for loss in said["losses"]])
    rate, middle, best = 60 * said["trained"] / seconds, np.nanmedian(losses), np.nanmin(losses)
    line = name, said["trained"], f"{seconds:.1f}", f"{rate:,.0f}", f"{middle:.3f}", f"{best:.4f}"
    print(ROW.format(*line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, default=1000)
    parser.add_argument("--few", type=int, default=100, help="of these the peers train so many")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the peers")
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        options.answer.write_text(json.dumps(ours(options.settings)))
        return
    print(ROW.format("contender", "settings", "seconds", "settings a minute", "median", "best"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        answer, file = folder / "answer.json", workload(options.settings, folder)
        own = [sys.executable, __file__, "--settings", str(options.settings), "--answer", str(answer)]
        timed("jaxnas, first start", own, answer)
        timed("jaxnas, again", own, answer)
        peers = {"Optuna + PyTorch": ("optuna", options.few), "Keras Tuner on PyTorch": ("keras", options.few // 10)}
        for title, (peer, few) in peers.items():
            command = [options.python, str(HERE / "tuned_mlp_peers.py"), peer, str(file), str(answer), str(few)]
            timed(title, command, answer)


if __name__ == "__main__":
    main()
