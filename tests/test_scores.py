"""Scores over the whole of the held-out examples, and losses of a user's own, against scikit-learn."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from refusals import refused
from scipy.special import softmax
from sklearn import metrics
from toy_family import OneHidden

from jaxnas.children import unpadded
from jaxnas.evaluators import Train
from jaxnas.evaluators.train import Trainer
from jaxnas.experiment import Experiment
from jaxnas.learners import Supervised
from jaxnas.outcome import Measure
from jaxnas.settings import describe
from jaxnas.spaces import Tuned
from jaxnas.tasks import (
    Batch,
    Digits,
    Images,
    Ratings,
    Tabular,
    Text,
    TextClassification,
    scores,
    without_smoothing,
)
from jaxnas.tasks.supervision import Classes, Numbers
from jaxnas.values import Float

TASK = Digits()
DATA = TASK.search_data(0)
DRAW = np.random.default_rng(0)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_scores_of_classes_are_those_of_scikit_learn(classes):
    logits, labels = DRAW.normal(size=(200, classes)), DRAW.integers(0, classes, 200)
    if classes == 2:  # with ties; of more classes scikit-learn would have those of softmax's rounding
        logits[::3] = np.round(logits[::3])
    p, found = softmax(logits, 1), logits.argmax(1)
    area = metrics.roc_auc_score(labels, p[:, 1] if classes == 2 else p, multi_class="ovr")
    assert scores.accuracy(logits, labels) == pytest.approx(metrics.accuracy_score(labels, found))
    assert scores.f1(logits, labels) == pytest.approx(metrics.f1_score(labels, found, average="macro"))
    assert scores.auc(logits, labels) == pytest.approx(area)
    assert scores.log_likelihood(logits, labels) == pytest.approx(-metrics.log_loss(labels, p))


def test_a_network_that_is_sure_of_everything_has_an_order():
    """Whose probabilities are all 1 in floating point."""
    logits, labels = np.array([[0, 40.0], [0, 50], [0, 60], [0, 45]]), np.array([0, 1, 1, 0])
    assert scores.auc(logits, labels) == 1.0
    assert scores.auc(np.pad(logits, ((0, 2), (0, 1)), constant_values=-900.0), np.append(labels, [2, 2])) > 0.6


def test_a_class_that_nobody_has_or_says_does_not_count_in_f1():
    logits, labels = np.eye(4)[[0, 1, 1, 0]], np.array([0, 1, 2, 0])
    wanted = metrics.f1_score(labels, logits.argmax(1), average="macro")
    assert scores.f1(logits, labels) == pytest.approx(wanted) == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_scores_of_numbers_are_those_of_scikit_learn():
    found, labels = DRAW.normal(size=(2, 100))
    assert scores.r2(found, labels) == pytest.approx(metrics.r2_score(labels, found))
    assert scores.rmse(found, labels) == pytest.approx(-metrics.root_mean_squared_error(labels, found))
    assert scores.mae(found, labels) == pytest.approx(-metrics.mean_absolute_error(labels, found))
    groups, gains = DRAW.integers(0, 7, 100), DRAW.integers(0, 6, 100).astype(float)
    for said in (found, np.round(found), np.zeros(100)):  # without ties, with some, with nothing else
        each = [metrics.ndcg_score([gains[groups == g]], [said[groups == g]], k=10) for g in range(7)]
        assert scores.ndcg(said, gains, groups) == pytest.approx(np.mean(each))
    order = np.random.default_rng(1).permutation(100)
    again = scores.ndcg(found[order], gains[order], groups[order])
    assert again == pytest.approx(scores.ndcg(found, gains, groups))


def curve(task, epochs=2, batch_size=128):
    """Of three toy children, and their logits for all held-out examples in the end."""
    children = OneHidden().children(DATA.input_shape, DATA.classes)
    trainer = Trainer(children, task, DATA, Train(epochs=epochs, batch_size=batch_size), 0, devices=1)
    inside = children.envelope([4, 8, 16], children.engines[0], ())
    return trainer.run(inside, [children.place(n, inside) for n in (4, 8, 16)], [0, 1, 2]).curve


def keeps(found):
    """A score that keeps what it is given."""

    def score(outputs, labels):
        found.append((outputs, labels))
        return -len(found)

    return score


def test_a_user_score_gets_all_outputs_and_its_number_is_the_childs_score():
    """360 held-out digits: two batches of 128 and one of 104. Its accuracy is what the program finds by itself."""
    found = []
    assert curve(replace(TASK, score=keeps(found))).tolist() == [[-1, -4], [-2, -5], [-3, -6]]
    assert all(labels.tolist() == DATA.held_out.labels.tolist() for _, labels in found)
    exact = [(outputs.argmax(1) == labels).mean() for outputs, labels in found]
    np.testing.assert_allclose(np.reshape(exact, (2, 3)).T, curve(TASK), atol=1e-6)


@pytest.mark.parametrize("name", ["f1", "auc", "log-loss"])
def test_a_named_score_is_that_of_the_outputs(name):
    found = []
    curve(replace(TASK, score=keeps(found)))
    of = {"f1": scores.f1, "auc": scores.auc, "log-loss": scores.log_likelihood}[name]
    wanted = np.reshape([of(*one) for one in found], (2, 3)).T
    np.testing.assert_allclose(curve(replace(TASK, score=name)), wanted, atol=1e-5)


def test_a_user_loss_is_what_is_learnt_from():
    after = lambda labels: (labels + 1) % 10
    loss = lambda logits, labels: optax.softmax_cross_entropy_with_integer_labels(logits, after(labels))
    right = lambda logits, labels: (logits.argmax(1) == after(labels)).mean()
    assert curve(replace(TASK, loss=loss, score=right), epochs=6, batch_size=32)[:, -1].max() > 0.5
    refused(lambda: curve(replace(TASK, loss=lambda logits, labels: logits.mean())), "shape () for 128 labels", "each")


def test_a_score_says_how_it_is_read():
    assert replace(TASK, score="f1").measure == Measure.F1
    assert replace(TASK, score=scores.f1).measure == Measure.NUMBER
    assert (Text(score="accuracy").measure, Text(score=scores.f1).measure) == (Measure.SCORE, Measure.NUMBER)
    assert Measure.RMSE.words(-3.25) == "RMSE 3.25"
    assert Measure.F1.words(0.5) == "F1 0.5000"
    assert [m for m in Measure if m.falls] == [
        Measure.LOG_LOSS, Measure.RMSE, Measure.MAE, Measure.PERPLEXITY, Measure.BITS,
    ]  # fmt: skip
    assert all(m.number(-0.3) == 0.3 for m in Measure if m.error)


def test_another_function_is_another_setting():
    """Law 11."""
    one, two = (Digits(score=eval(f"lambda outputs, labels: {value}")) for value in ("1.0", "2.0"))
    assert (one == two, describe(one) == describe(two)) == (False, False)
    for task in (Tabular("wine"), Ratings(), Text(), TextClassification(), Images("x.npz")):
        told = describe(replace(task, score=scores.f1, loss=optax.l2_loss))
        assert (told["score"].split("#")[0], told["loss"].split("#")[0]) == ("f1", "l2_loss")
    again = Digits(score=eval("lambda outputs, labels: 1.0"))
    assert (one == again, describe(one) == describe(again), one.score(0, 0)) == (True, True, 1.0)


def test_labels_are_smoothed_in_cross_entropy_alone():
    space = Tuned(OneHidden(), label_smoothing=Float(0.0, 0.2))
    children = space.children(DATA.input_shape, DATA.classes)
    one = space.decode(np.zeros(len(space.decisions), np.int32))
    inside = unpadded(children, one)
    genes = children.place(one, inside)
    learner = lambda task: Supervised(children, inside, genes, task, lambda own: optax.sgd(0.1))
    assert learner(TASK).whole is False
    own = replace(TASK, loss=lambda logits, labels: logits[:, 0])
    refused(lambda: learner(own), "label_smoothing is decided by each child", "leave it out of Tuned")
    assert not Tabular("diabetes", regression=True).cross_entropy


def test_what_cannot_be_a_score_is_refused():
    refused(lambda: Digits(score="rmse"), "score='rmse': give 'accuracy' or 'f1'")
    refused(lambda: Digits(loss=scores.f1, label_smoothing=0.1), "label_smoothing=0.1", "smooth in it")
    refused(lambda: Numbers(None, "f1"), "score='f1' does not fit labels that are numbers", "r2, rmse, mae")
    held = Batch(None, np.array([1, 1]), np.ones(2, bool))
    refused(lambda: Classes(None, "auc").check(held, DATA), "none of the 2 held-out examples is of class 0", "'f1'")
    wrong = lambda outputs, labels: outputs[0]
    refused(lambda: curve(replace(TASK, score=wrong)), "score", "one finite number is needed")
    nothing = lambda outputs, labels: float("nan")
    refused(lambda: curve(replace(TASK, score=nothing)), "gave nan for 360 held-out")


def test_a_score_of_a_diverged_child_is_not_asked_for():
    def poison(logits, labels):
        return jnp.where(labels < 11, jnp.nan, 0) * logits[:, 0]

    assert np.isnan(curve(replace(TASK, loss=poison, score=keeps(found := [])))).all()
    assert found == []


def test_text_is_scored_by_symbols_predicted_rightly():
    logits, labels = jnp.eye(3)[jnp.array([[0, 1], [2, 2]])], jnp.array([[0, 2], [2, 1]])
    assert Text(score="accuracy").scores(logits, labels).tolist() == [[1, 0], [1, 0]]
    squared = Text(loss=lambda logits, labels: jax.nn.logsumexp(logits, -1))
    assert squared.losses(logits, labels).shape == (2, 2)
    assert without_smoothing(squared) is squared


def test_a_setting_of_the_command_line_names_a_score(tmp_path):
    from jaxnas.overrides import override

    experiment = Experiment(OneHidden(), TASK)
    assert override(experiment, ["--task.score", "f1"], tmp_path).task == Digits(score="f1")
    assert override(experiment, ["--rounds", "3"], tmp_path).task == TASK
    refused(lambda: override(experiment, ["--task.score", "F2"], tmp_path), "'F2' is no score", "accuracy, f1")
