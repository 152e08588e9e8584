"""Final training: several seeds in one program, wider networks, other augmentation, and the network it leaves."""

import json
from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest
from finals import CHAIN, CHILDREN, EXPERIMENT, TRIAL, accuracy, final
from flax import nnx

from jaxnas.children import alone as work_of
from jaxnas.children import unpadded
from jaxnas.evaluators import SGD, Train
from jaxnas.evaluators.train import Trainer
from jaxnas.export import export
from jaxnas.export.inputs import ImageInputs
from jaxnas.final import Final, checkpoints, finished, train_final
from jaxnas.report import final_lines
from jaxnas.settings import describe
from jaxnas.tasks import Digits, Images
from jaxnas.tasks.classification import Augment
from jaxnas.trained import load_trained


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """The directory and the result of three seeds, trained together."""
    workdir = tmp_path_factory.mktemp("three")
    return workdir, train_final(final(seeds=3), workdir, TRIAL)


# Seeds.


def trainer_of(experiment, own_batches: bool) -> Trainer:
    task = experiment.task
    data = task.final_data(experiment.seed)
    return Trainer(CHILDREN, task, data, experiment.final.train, experiment.seed, devices=1, own_batches=own_batches)


def alone(experiment, seed: int, own_batches: bool = True):
    """One seed by itself: score, parameters, statistics."""
    trainer = trainer_of(experiment, own_batches)
    inside = unpadded(CHILDREN, CHAIN)
    name = TRIAL.trial_id if seed == 0 else (TRIAL.trial_id, seed)
    found = trainer.run(inside, [CHILDREN.place(CHAIN, inside)], [name]).one(0)
    return found.curve[-1], *(np.asarray(a) for a in found.states.learnt.network[:2])


@pytest.mark.parametrize("seed", range(3))
def test_seeds_together_are_seeds_alone(three, seed):
    workdir, result = three
    arrays = checkpoints(workdir, TRIAL).arrays()
    score, parameters, statistics = alone(EXPERIMENT, seed)
    assert result["test_scores"][seed] == score
    np.testing.assert_array_equal(arrays["learnt-network-parameters"][seed], parameters)
    np.testing.assert_array_equal(arrays["learnt-network-statistics"][seed], statistics)


def test_the_first_seed_sees_the_batches_of_a_search():
    """Whose children share what they make of a batch: the last digits differ."""
    found, expected = alone(EXPERIMENT, 0), alone(EXPERIMENT, 0, own_batches=False)
    assert found[0] == pytest.approx(expected[0], abs=0.003)  # one image may tip over
    for a, b in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("seed", [1, 2])
def test_further_seeds_have_batches_of_their_own(three, seed):
    """The same initial weights with the trial's batches give another network."""
    own, shared = (trainer_of(EXPERIMENT, own_batches) for own_batches in (True, False))
    inside = unpadded(CHILDREN, CHAIN)
    genes, names = [CHILDREN.place(CHAIN, inside)], [(TRIAL.trial_id, seed)]
    one, other = (trainer.run(inside, genes, names, epochs=range(1)).states for trainer in (own, shared))
    assert not np.array_equal(one.learnt.network.parameters, other.learnt.network.parameters)


def test_the_first_of_several_seeds_is_the_only_one_of_one(three, tmp_path):
    result = train_final(EXPERIMENT, tmp_path, TRIAL)
    assert result["test_scores"] == three[1]["test_scores"][:1]
    assert (result["test_score"], result["test_std"]) == (result["test_scores"][0], None)
    one, several = (checkpoints(workdir, TRIAL).arrays() for workdir in (tmp_path, three[0]))
    np.testing.assert_array_equal(one["learnt-network-parameters"], several["learnt-network-parameters"][:1])


def test_what_is_recorded_of_several_seeds(three):
    scores, result = three[1]["test_scores"], three[1]
    assert len(set(scores)) == 3
    assert min(scores) > 0.4  # ten classes
    np.testing.assert_allclose(np.array(scores) * 359, np.round(np.array(scores) * 359), atol=1e-9)
    assert result["test_score"] == pytest.approx(np.mean(scores))
    assert result["test_std"] == pytest.approx(np.std(scores, ddof=1))
    assert (result["epochs"], result["test_examples"], result["train_examples"]) == (3, 359, 1438)
    cost = work_of(CHILDREN, CHAIN)
    assert (result["parameters"], result["multiply_adds"]) == (cost.parameters, cost.multiply_adds)
    assert result["settings"]["seeds"] == 3
    assert result["architecture"] == TRIAL.architecture
    assert json.loads(json.dumps(result)) == result


def poison(monkeypatch, seeds):
    """These seeds begin with infinite weights."""
    real = Trainer.run

    def run(self, inside, genes, *rest):
        bad = lambda g: g._replace(layers=(g.layers[0]._replace(spread=np.float32(np.inf)), *g.layers[1:]))
        return real(self, inside, [bad(g) if i in seeds else g for i, g in enumerate(genes)], *rest)

    monkeypatch.setattr(Trainer, "run", run)


def test_a_seed_that_diverges_says_so_and_does_not_spoil_the_others(three, tmp_path, monkeypatch):
    poison(monkeypatch, {0})
    alive = []
    result = train_final(final(seeds=3), tmp_path, TRIAL, lambda progress: alive.append(progress.children))
    good = three[1]["test_scores"][1:]
    assert result["test_scores"] == [None, *good]
    assert (result["status"], result["test_score"]) == ("ok", pytest.approx(np.mean(good)))
    assert (alive[0], alive[-1]) == (3, 2)
    assert "seeds diverged, " in final_lines(result)
    second = load_trained(EXPERIMENT, tmp_path, TRIAL)  # the first that did not diverge
    expected = checkpoints(three[0], TRIAL).arrays()["learnt-network-parameters"][1]
    kernel = np.asarray(second.network.parts[0].kernel[...])
    assert np.isin(kernel, expected).all()


def test_where_every_seed_diverges_nothing_is_read_or_kept_and_it_may_be_tried_again(tmp_path):
    hopeless = final(train=Train(epochs=2, optimiser=SGD(learning_rate=1e3, weight_decay=1e6)), seeds=2)
    result = train_final(hopeless, tmp_path, TRIAL)
    assert (result["status"], result["test_score"], result["test_scores"]) == ("diverged", None, [None, None])
    assert not (tmp_path / "final" / "7").exists()
    assert train_final(EXPERIMENT, tmp_path, TRIAL)["status"] == "ok"


# Width.


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 2.6])
def test_a_wider_network_has_the_parameters_of_the_formula(factor):
    wide, children = CHILDREN.widen(CHAIN, factor), CHILDREN.widened(factor)
    a, b = {0.5: (4, 2), 1.0: (8, 4), 2.0: (16, 8), 2.6: (21, 10)}[factor]
    assert [layer.filters for layer in wide.layers] == [a, b]
    expected = 3 * 3 * 1 * a + 2 * a + 1 * 3 * a * b + 2 * b + (b + 1) * 10
    assert work_of(children, wide).parameters == expected
    inside = unpadded(children, wide)
    network = nnx.eval_shape(lambda key: children.build(inside, children.place(wide, inside), key), jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, nnx.Param))) == expected
    whole = replace(children.full, engine=inside.engine)
    assert whole | inside == whole  # one of the widened space
    if factor == 1:
        assert (children, wide) == (CHILDREN, CHAIN)


def test_width_augmentation_smoothing_and_schedule_in_one_training(tmp_path):
    optimiser = SGD(0.05, schedule="step", drops=(0.5,))
    train, augment = Train(epochs=2, optimiser=optimiser), Augment(pad=1, flip=True, cutout=2)
    changed = final(train=train, augment=augment, label_smoothing=0.1, width=2.0)
    result = train_final(changed, tmp_path, TRIAL)
    assert result["architecture"]["layers"][0]["filters"] == 16
    assert result["parameters"] == work_of(CHILDREN.widened(2.0), CHILDREN.widen(CHAIN, 2.0)).parameters
    assert result["settings"]["augment"] == describe(augment)
    trained = load_trained(EXPERIMENT, tmp_path, TRIAL)
    assert trained.architecture == CHILDREN.widen(CHAIN, 2.0)
    assert accuracy(trained) == result["test_score"]


def test_settings_of_final_training_change_the_task_for_it_alone():
    own = Digits(augment=Augment(pad=1), label_smoothing=0.2)
    assert Final().task(own) is own
    changed = Final(augment=Augment(cutout=2), label_smoothing=0.0).task(own)
    assert changed == Digits(augment=Augment(cutout=2), label_smoothing=0.0)
    assert Final(limit=60).task(Images("x", limit=6)) == Images("x", limit=60)


@dataclass(frozen=True)
class Bare:
    """A task without those settings."""

    shift: int = 0


def test_a_task_without_the_setting_is_told_so():
    assert Final().task(Bare()) == Bare()
    with pytest.raises(ValueError, match="final.label_smoothing=0.1: the task Bare has no field label_smoothing"):
        Final(label_smoothing=0.1).task(Bare())
    with pytest.raises(ValueError, match=r"final.augment=Augment\(.*cutout=3.*\): the task Bare has no field augment"):
        Final(augment=Augment(cutout=3)).task(Bare())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seeds": 0}, "seeds=0: give a whole number from 1"),
        ({"save_every": 0}, "save_every=0: give a whole number from 1"),
        ({"width": 0.0}, "width=0.0: give a number above 0"),
        ({"width": float("nan")}, "width=nan"),
        ({"width": float("inf")}, "width=inf"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        Final(**settings)


# What is left on disk.


def test_the_network_on_disk_has_the_recorded_score_of_the_first_seed(three):
    workdir, result = three
    trained = load_trained(EXPERIMENT, workdir, TRIAL)
    assert accuracy(trained) == result["test_scores"][0]
    assert (trained.architecture, trained.children, trained.data["classes"]) == (CHAIN, CHILDREN, 10)
    assert trained.facts == result
    data = Digits().final_data(0)
    np.testing.assert_array_equal(ImageInputs.of(trained.data).moments(), (data.mean, data.std))
    assert finished(final(seeds=3), workdir, TRIAL) == result


def test_a_network_of_whitened_images_is_exported_as_such(tmp_path):
    """The module and the program whiten by themselves; without that they would give other logits."""
    train, augment = Train(epochs=2, batch_size=128), Augment(whiten=True)
    result = train_final(final(train=train, augment=augment), tmp_path, TRIAL)
    trained = load_trained(EXPERIMENT, tmp_path, TRIAL)
    assert export(trained, tmp_path / "out").difference < 1e-5
    text, data = (tmp_path / "out" / "network.py").read_text(), Digits().final_data(0)
    names = {"__name__": "network", "__file__": str(tmp_path / "out" / "network.py")}
    exec(text, names)
    logits = np.asarray(names["load"]()(data.held_out.images))
    assert (logits.argmax(-1) == data.held_out.labels).mean() == pytest.approx(result["test_scores"][0], abs=0.003)
    assert "whiten images by themselves" in (tmp_path / "out" / "README.md").read_text()
