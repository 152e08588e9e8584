"""The peers of `tuned_mlp.py`, started by it: python tuned_mlp_peers.py optuna|keras WORKLOAD.npz ANSWER.json COUNT."""

import json
import math
import sys
from pathlib import Path

import numpy as np

PEER, FILE, ANSWER, COUNT = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
DATA = np.load(FILE)
ABOUT = json.loads((FILE.parent / "settings.json").read_text())
SETTINGS, EPOCHS, BATCH, MOMENTUM = ABOUT["settings"][:COUNT], ABOUT["epochs"], ABOUT["batch"], ABOUT["momentum"]
STEPS = len(DATA["y"]) // BATCH


def in_torch(setting: dict) -> float:
    """The log loss after the last epoch."""
    import torch
    from torch import nn

    kinds, sides, layers = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}, DATA["x"].shape[1], []
    for width in setting["widths"]:
        linear = nn.Linear(sides, width)
        nn.init.kaiming_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, kinds[setting["activation"]](), nn.Dropout(setting["dropout"])]
        sides = width
    net = nn.Sequential(*layers, nn.Linear(sides, int(DATA["y"].max()) + 1))
    x, y, held_out, labels = (torch.from_numpy(DATA[name]) for name in ("x", "y", "held_out", "labels"))
    y, labels, loss = y.long(), labels.long(), nn.CrossEntropyLoss()
    rate = setting["learning_rate"]
    own = {"momentum": MOMENTUM, "nesterov": True, "weight_decay": setting["weight_decay"]}
    optimiser = torch.optim.SGD(net.parameters(), rate, **own)
    turn = lambda n: (1 + math.cos(math.pi * n / (EPOCHS * STEPS))) / 2
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, turn)
    for _ in range(EPOCHS):
        net.train()
        for rows in torch.randperm(len(x))[: STEPS * BATCH].reshape(STEPS, BATCH):
            optimiser.zero_grad()
            loss(net(x[rows]), y[rows]).backward()
            optimiser.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            found = loss(net(held_out), labels).item()
    return found


def by_optuna() -> list[float]:
    """Trials in their order, each with one of the settings."""
    import optuna
    import torch

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    found = []

    def objective(trial):
        trial.suggest_float("learning_rate", 1e-3, 1.0, log=True)  # the tuner's own work; what it draws is not used
        found.append(in_torch(SETTINGS[trial.number]))
        return found[-1] if math.isfinite(found[-1]) else 1e9

    study.optimize(objective, n_trials=COUNT)
    return found


def by_keras() -> list[float]:
    """Keras Tuner's grid over the numbers of the settings."""
    import keras
    import keras_tuner
    import torch

    torch.set_num_threads(1)

    def build(tuner):
        setting = SETTINGS[tuner.Int("number", 0, COUNT - 1)]
        net = keras.Sequential([keras.Input((DATA["x"].shape[1],))])
        for width in setting["widths"]:
            net.add(keras.layers.Dense(width, setting["activation"], kernel_initializer="he_normal"))
            net.add(keras.layers.Dropout(setting["dropout"]))
        net.add(keras.layers.Dense(int(DATA["y"].max()) + 1))
        rate = keras.optimizers.schedules.CosineDecay(setting["learning_rate"], EPOCHS * STEPS)
        optimiser = keras.optimizers.SGD(rate, MOMENTUM, nesterov=True)
        net.compile(optimiser, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return net

    class Tuner(keras_tuner.GridSearch):
        def run_trial(self, trial, *args, **kwargs):
            net, size = self.hypermodel.build(trial.hyperparameters), STEPS * BATCH
            net.fit(DATA["x"][:size], DATA["y"][:size], batch_size=BATCH, epochs=EPOCHS, verbose=0)
            found.append(net.evaluate(DATA["held_out"], DATA["labels"], verbose=0))
            return found[-1]

    found = []
    goal = keras_tuner.Objective("default_objective", "min")
    tuner = Tuner(build, goal, max_trials=COUNT, directory=FILE.parent / "keras")
    tuner.search(verbose=0)
    return found


LOSSES = {"optuna": by_optuna, "keras": by_keras}[PEER]()
ANSWER.write_text(json.dumps({"trained": len(LOSSES), "losses": [x if math.isfinite(x) else None for x in LOSSES]}))
