"""A tiny experiment for the tests of final training, and one trial of it."""

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxnas.children.chain.architecture import Chain, ConvLayer
from jaxnas.experiment import Experiment
from jaxnas.export.inputs import ImageInputs
from jaxnas.outcome import Trial
from jaxnas.tasks import Digits

CONFIG = """
from jaxnas.evaluators import Population, Train
from jaxnas.experiment import Experiment
from jaxnas.export.inputs import ImageInputs
from jaxnas.final import Final
from jaxnas.spaces import ChainCNN
from jaxnas.tasks import Digits
from jaxnas.tasks.classification import Augment

experiment = Experiment(
    space=ChainCNN(layers=2, kernel_heights=(1, 3), kernel_widths=(3,), filters=(4, 8), pool_after=(1,)),
    task=Digits(augment=Augment(pad=1)), evaluator=Population(Train(epochs=1, batch_size=128), engine="padded"),
    final=Final(Train(epochs=3, batch_size=16)), rounds=1, children=2, seed=5,
)
"""
names = {}
exec(CONFIG, names)
EXPERIMENT: Experiment = names["experiment"]
CHAIN = Chain((ConvLayer((3, 3), 8, pool=2), ConvLayer((1, 3), 4)))
CHILDREN = EXPERIMENT.space.children((8, 8, 1), 10)


def trial_of(chain: Chain, number=7, status="ok") -> Trial:
    tokens, score = tuple(EXPERIMENT.space.encode(chain).tolist()), 0.5 if status == "ok" else None
    return Trial(
        number,
        number // EXPERIMENT.children,
        tokens,
        CHILDREN.describe(chain),
        status,
        score,
        0.5,
        (score,),
        1,
        1,
        1.0,
        1,
    )


TRIAL = trial_of(CHAIN)


def final(experiment=EXPERIMENT, **settings) -> Experiment:
    return replace(experiment, final=replace(experiment.final, **settings))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def timeless(result: dict) -> dict:
    return result | {"seconds": 0.0}


def accuracy(trained) -> float:
    """On the test images, normalised as it says."""
    test = Digits().final_data(0).held_out
    mean, std = ImageInputs.of(trained.data).moments()
    x = (test.images.astype(np.float32) - mean) / std
    logits = nnx.jit(lambda network, x: network(x, trained.genes, False)[0])(trained.network, jnp.asarray(x))
    return float((np.asarray(logits).argmax(1) == test.labels).mean())


class StoppedError(Exception):
    pass


def stop_after(epochs: int):
    def tell(progress):
        if progress.epoch == epochs and progress.doing == "training":
            raise StoppedError

    return tell
