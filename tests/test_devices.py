"""Law 2 on 1, 2 and 4 devices: the same search has the same ledger, and with more rounds it goes on as it began."""

import json
import os
import subprocess
import sys

import pytest

SEARCH = """
import json, sys
from pathlib import Path
from jaxnas.evaluators import SGD, Population, Train
from jaxnas.experiment import Experiment
from jaxnas.ledger import Ledger
from jaxnas.search import Silent, search
from jaxnas.spaces import ChainCNN
from jaxnas.strategies import Reinforce
from jaxnas.tasks import Digits

space = ChainCNN(layers=3, kernel_heights=(3,), kernel_widths=(3,), filters=(4, 8, 32))
train = Train(epochs=3, batch_size=64, best_of_last=1, optimiser=SGD(0.5))  # at this rate the last digits soon tell
for rounds in map(int, sys.argv[2:]):
    evaluator, strategy = Population(train), Reinforce(policy="table")
    experiment = Experiment(space, Digits(), strategy, evaluator=evaluator, rounds=rounds, children=4)
    ledger = Ledger(Path(sys.argv[1]), write=True)
    search(experiment, ledger, Silent())
    found = [(t.tokens, t.status, t.score, t.reward, t.curve) for t in ledger.trials()]
    ledger.close()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory):
    """By the number of devices. The search of one device is made of one round first, and then of two."""

    def begin(devices, rounds):
        folder = tmp_path_factory.mktemp(f"on-{devices}")
        environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices), "NPROC": "4"}  # more devices than cores
        command = [sys.executable, "-c", SEARCH, str(folder), *rounds]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    running = {devices: begin(devices, ("1", "2") if devices == 1 else ("2",)) for devices in (1, 2, 4)}
    said = {devices: process.communicate(timeout=300) for devices, process in running.items()}
    assert {process.returncode for process in running.values()} == {0}, said
    return {devices: json.loads(out) for devices, (out, _) in said.items()}


@pytest.mark.parametrize("devices", [2, 4])
def test_scores_and_curves_are_those_of_one_device(ledgers, devices):
    assert len(ledgers[1]) == 8
    assert {len(curve) for *_, curve in ledgers[1]} == {3}
    assert ledgers[devices] == ledgers[1]
