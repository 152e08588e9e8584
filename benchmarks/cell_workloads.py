"""The workload of `cell_throughput.py` for frameworks that know nothing of jaxnas: cells, their initial weights, the
text in chunks, the settings, and the losses of the first steps, which tell whether they compute the same.
"""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jaxnas.children import unpadded
from jaxnas.evaluators import Adam
from jaxnas.experiment import Experiment
from jaxnas.rng import key_for
from jaxnas.spaces import RecurrentCell

CHECKED = 4
"""Steps whose losses are compared."""


def check(found: Experiment, config: Path) -> None:
    """Raises ValueError where `torch_cells.py` cannot do the same."""
    if not isinstance(found.space, RecurrentCell):
        raise ValueError(f"{config} searches no recurrent cells")
    optimiser, dropout = found.evaluator.train.optimiser, found.space.model.dropout
    if not isinstance(optimiser, Adam) or dropout != type(dropout)():
        raise ValueError(f"{config}: the cells in PyTorch train by Adam and without dropout: give such a config")


def spec_and_data(found: Experiment):
    """The children of the config, and their text."""
    data = jax.device_put(found.task.search_data(found.seed))
    return found.space.children(data.input_shape, data.classes, found.evaluator.train.dtype), data


def write(found: Experiment, cells: list, path: Path) -> list[list[float]]:
    """Write the workload, with the weights that trials 0, 1, ... begin with; gives the losses of the first steps of
    each cell as jaxnas has them.
    """
    spec, data = spec_and_data(found)
    train = found.evaluator.train
    settings = dataclasses.asdict(train) | dataclasses.asdict(train.optimiser) | {"checked": CHECKED}
    settings["architectures"] = [spec.describe(cell) for cell in cells]
    arrays, losses, root = _chunks(data, train.batch_size), [], key_for(found.seed, "training")
    for number, cell in enumerate(cells):
        network = spec.build(unpadded(spec, cell), (), key_for(root, "child", number))
        arrays |= {f"{number}:{name}": value for name, value in spec.weights(network, cell).items()}
        losses.append(first_losses(found, spec, data, network))
    np.savez(path, settings=json.dumps(settings), **arrays)
    return losses


def first_losses(found: Experiment, spec, data, network) -> list[float]:
    """The losses of the first steps of training, before each step, at the full rate."""
    task, train = found.task, found.evaluator.train
    constant = dataclasses.replace(train.optimiser, schedule="constant")
    optimiser = constant.transformation(data.steps(train.batch_size), train.epochs)
    graph, parameters = nnx.split(network)
    state, memory, losses = optimiser.init(parameters), spec.nothing(train.batch_size), []
    order, key = data.order(key_for(found.seed, "order"), train.batch_size), key_for(found.seed, "training")

    @jax.jit
    def step(parameters, state, memory, number):
        batch = data.training(order, number)

        def loss(parameters):
            logits, after = nnx.merge(graph, parameters)(task.inputs(batch.examples, data), (), True, memory, key)
            return task.losses(logits, batch.labels).mean(), after

        (value, memory), gradient = jax.value_and_grad(loss, has_aux=True)(parameters)
        updates, state = optimiser.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state, memory, value

    for number in range(CHECKED):
        parameters, state, memory, value = step(parameters, state, memory, jnp.int32(number))
        losses.append(float(value))
    return losses


def _chunks(data, size: int) -> dict[str, np.ndarray]:
    """Symbols and labels as int64 ``[chunks, 2, U, B]``: "train", "held_out"; "weights" ``[chunks, U, B]`` float32."""
    order = data.order(key_for(0, "order"), size)
    train = [data.training(order, jnp.int32(number)) for number in range(data.steps(size))]
    visits = int(data.visits(size, 1))
    held_out = [data.scoring(jnp.int32(number), size, jnp.int32(len(data.held_out))) for number in range(visits)]
    pair = lambda batch: np.stack([np.asarray(batch.examples).T, np.asarray(batch.labels).T]).astype(np.int64)
    pairs = lambda batches: np.stack([pair(batch) for batch in batches])
    weights = np.stack([np.asarray(batch.weights).T for batch in held_out]).astype(np.float32)
    return {"train": pairs(train), "held_out": pairs(held_out), "weights": weights}
