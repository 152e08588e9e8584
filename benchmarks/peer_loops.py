#!/usr/bin/env python3
"""The children of a workload by the trial loop of one of jaxnas' peers; `peers.py` starts it and reads its answer.

    python benchmarks/peer_loops.py LOOP WORKLOAD.npz ANSWER.json --children 16 [--threads 1] [--at-once 1]

Knows nothing of jaxnas: any Python that has the loop's packages will do. Each loop goes once over an index into the
workload's list of architectures. Loading and imports come before the loop's seconds, as does the start of Ray's and
NNI's own processes; ANSWER.json has the seconds, a score a child and the greatest memory of this process (GiB).
"""

import argparse
import json
import os
import socket
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent  # NNI runs its trials elsewhere
POLL = 0.2
"""Seconds between looks at whether NNI is done; its own `run` looks every ten."""


def torch_child(workload: str, index: int, threads: int) -> float:
    """Train one child as in the other benchmarks; the data of a workload are loaded here, for who has none."""
    import torch
    import torch_children

    torch.set_num_threads(threads)
    data, settings = torch_children.load(workload)
    return torch_children.train(settings["architectures"][index], data, settings, compiled=False)


def optuna_loop(options) -> tuple[float, dict[int, float]]:
    """Optuna, PyTorch; children at once are threads of one process, as Optuna's n_jobs has it."""
    import optuna
    import torch
    import torch_children

    torch.set_num_threads(options.threads)
    data, settings = torch_children.load(options.workload)
    scores = {}

    def objective(trial) -> float:
        index = trial.suggest_int("index", 0, options.children - 1)
        scores[index] = torch_children.train(settings["architectures"][index], data, settings, compiled=False)
        return scores[index]

    began = time.perf_counter()
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler())
    for index in range(options.children):
        study.enqueue_trial({"index": index})
    study.optimize(objective, n_trials=options.children, n_jobs=options.at_once)
    return time.perf_counter() - began, scores


def keras_model(architecture: dict, settings: dict, steps: int):
    """A chain of plain layers, with the other trainings' statistics of batch normalisation, rate and momentum."""
    import keras
    from keras import layers

    net = keras.Sequential([layers.Input(tuple(architecture["input"]))])
    for layer in architecture["layers"]:
        kernel, stride = tuple(layer["kernel"]), tuple(layer["stride"])
        net.add(layers.Conv2D(layer["filters"], kernel, stride, padding="same", use_bias=False))
        net.add(layers.BatchNormalization(momentum=0.9, epsilon=1e-5))  # 0.99 would not settle in so few steps
        net.add(layers.ReLU())
        if layer["pool"] > 1:
            net.add(layers.MaxPooling2D(layer["pool"], padding="same"))
    net.add(layers.GlobalAveragePooling2D())
    net.add(layers.Dense(settings["classes"]))
    rate, momentum = settings["learning_rate"], settings["momentum"]
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps * settings["epochs"])
    # Keras's decay passes momentum by, which would have multiplied it so
    decay = settings["weight_decay"] / (1 - momentum)
    optimiser = keras.optimizers.SGD(schedule, momentum, nesterov=True, weight_decay=decay)
    net.compile(optimiser, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return net


def keras_loop(options) -> tuple[float, dict[int, float]]:
    """Keras Tuner; KERAS_BACKEND says what trains. No checkpoints: `fit` answers the score itself."""
    import keras_tuner

    file = np.load(options.workload)
    data, settings = {name: file[name] for name in ("x", "y", "held_x", "held_y")}, json.loads(str(file["settings"]))
    batch = settings["batch_size"]
    steps = len(data["x"]) // batch
    used = {name: data[name][: steps * batch] for name in ("x", "y")}  # an incomplete batch is a program more

    class Children(keras_tuner.HyperModel):
        def build(self, hp):
            index = hp.Int("index", 0, options.children - 1)
            return keras_model(settings["architectures"][index], settings, steps)

        def fit(self, hp, model, **more):
            model.fit(used["x"], used["y"], batch_size=batch, epochs=settings["epochs"], verbose=0)
            held = model.evaluate(data["held_x"], data["held_y"], batch_size=batch, verbose=0, return_dict=True)
            return {"val_accuracy": held["accuracy"]}

    began = time.perf_counter()
    goal = keras_tuner.Objective("val_accuracy", "max")
    tuner = keras_tuner.GridSearch(Children(), goal, max_trials=options.children, directory=options.folder)
    tuner.search(verbose=0)
    seconds = time.perf_counter() - began
    return seconds, {t.hyperparameters.get("index"): t.score for t in tuner.oracle.trials.values()}


def ray_child(config: dict, workload: str, threads: int) -> dict:
    """A trial of Ray Tune; importable, so that workers need not load it anew."""
    return {"accuracy": torch_child(workload, config["index"], threads)}


def ray_loop(options) -> tuple[float, dict[int, float]]:
    """Ray Tune, PyTorch; its workers are kept from trial to trial, as it advises for short ones."""
    import peer_loops
    import ray
    from ray import tune

    ray.init(num_cpus=options.at_once * options.threads, include_dashboard=False, _temp_dir=options.folder)
    mine = tune.with_parameters(peer_loops.ray_child, workload=options.workload, threads=options.threads)
    began = time.perf_counter()
    tuner = tune.Tuner(
        tune.with_resources(mine, {"cpu": options.threads}),
        param_space={"index": tune.grid_search(list(range(options.children)))},
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", max_concurrent_trials=options.at_once, reuse_actors=True
        ),
        run_config=tune.RunConfig(storage_path=f"{options.folder}/results", verbose=0),
    )
    results = tuner.fit()
    seconds = time.perf_counter() - began
    if results.errors:
        raise results.errors[0]
    scores = {result.config["index"]: result.metrics["accuracy"] for result in results}
    ray.shutdown()
    return seconds, scores


def nni_loop(options) -> tuple[float, dict[int, float]]:
    """NNI, PyTorch; each of its trials is a process of its own."""
    from nni.experiment import Experiment

    found = Experiment("local")
    told = [sys.executable, str(HERE / "peer_loops.py"), "nni-child", options.workload, "-"]
    found.config.trial_command = " ".join([*told, "--threads", str(options.threads)])
    found.config.trial_code_directory = options.folder
    found.config.experiment_working_directory = options.folder
    found.config.search_space = {"index": {"_type": "choice", "_value": list(range(options.children))}}
    found.config.tuner.name = "GridSearch"
    found.config.max_trial_number, found.config.trial_concurrency = options.children, options.at_once
    found.start(_idle_ports())
    try:
        began = time.perf_counter()
        while (status := found.get_status()) not in ("DONE", "STOPPED", "ERROR"):
            time.sleep(POLL)
        seconds = time.perf_counter() - began
        scores = {result.parameter["index"]: float(result.value) for result in found.export_data()}
    finally:
        found.stop()
    if len(scores) < options.children:
        raise RuntimeError(f"NNI ended as {status} with {len(scores)} of {options.children} children")
    return seconds, scores


def _idle_ports() -> int:
    """The first of two ports on which nobody listens: NNI's manager takes both."""
    with socket.socket() as one, socket.socket() as two:
        taken = lambda port: one.connect_ex(("127.0.0.1", port)) == 0 or two.connect_ex(("127.0.0.1", port + 1)) == 0
        return next(port for port in range(18080, 19080, 2) if not taken(port))


def nni_child(options) -> None:
    import nni

    nni.report_final_result(torch_child(options.workload, nni.get_next_parameter()["index"], options.threads))


def memory() -> float:
    """GiB: the greatest that this process has held, by the kernel; unlike `ru_maxrss` without who started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**20


LOOPS = {"optuna": optuna_loop, "keras": keras_loop, "ray": ray_loop, "nni": nni_loop}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("loop", choices=[*LOOPS, "nni-child"])
    parser.add_argument("workload")
    parser.add_argument("answer")
    parser.add_argument("--children", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch, a child")
    parser.add_argument("--at-once", type=int, default=1, help="children that the loop may train at once")
    options = parser.parse_args()
    if options.loop == "nni-child":
        return nni_child(options)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as options.folder:  # daemons may still write logs
        seconds, scores = LOOPS[options.loop](options)
    ordered = [scores[index] for index in range(options.children)]
    Path(options.answer).write_text(json.dumps({"seconds": seconds, "scores": ordered, "memory": memory()}))


if __name__ == "__main__":
    main()
