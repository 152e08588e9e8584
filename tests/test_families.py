"""What the contract of children promises to families of one's own, and what it refuses, beyond the one that works."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from toy_family import Children as OneHiddenChildren
from toy_family import Envelope, Net, OneHidden

from jaxnas.evaluators import Population, SuccessiveHalving, Train, compiling
from jaxnas.evaluators.train import Trainer
from jaxnas.experiment import Experiment
from jaxnas.final import Final, train_final
from jaxnas.ledger import Ledger
from jaxnas.search import Silent, search
from jaxnas.strategies import Random
from jaxnas.tasks import Digits
from jaxnas.trained import load_trained

TASK, SEED, TRAIN = Digits(), 3, Train(epochs=2, batch_size=64)
DATA = TASK.search_data(SEED)
CHILDREN = OneHidden().children(DATA.input_shape, DATA.classes)


def run(children, **more):
    """One child of width 8."""
    trainer = Trainer(children, TASK, DATA, TRAIN, SEED, 1)
    inside = children.envelope([8], children.engines[0])
    return trainer, trainer.run(inside, [children.place(8, inside)], [5], **more)


def made_with(change):
    """The family, each of whose networks is changed once it is built."""

    @dataclass(frozen=True)
    class Changed(OneHiddenChildren):
        def build(self, envelope, genes, key):
            return change(super().build(envelope, genes, key))

    return Changed(CHILDREN.inputs, CHILDREN.outputs)


class Remembers(Net):
    """Begins at 7 and counts the batches; says the count in its scores."""

    traced_training = False

    def __init__(self, *given):
        super().__init__(*given)
        del self.norm, self.drop

    def carry(self, batch):
        return jnp.float32(7)

    def __call__(self, x, genes, training, carry, key):
        return jnp.zeros((len(x), 10)) + carry + 0 * self.first[...].sum(), carry + 1


class RemembersTraced(Remembers):
    traced_training = True


@dataclass(frozen=True)
class ByCount(Digits):
    """The score of an example is what the network said."""

    def scores(self, logits, labels):
        return logits[:, 0]


@pytest.mark.parametrize("kind", [Remembers, RemembersTraced])
def test_a_network_begins_with_its_own_carry_and_again_where_scoring_begins(kind):
    """Held out are 360 examples: five batches of 64 and one of 40, said to be 7, 8, ..., 12."""

    @dataclass(frozen=True)
    class Family(OneHiddenChildren):
        def build(self, envelope, genes, key):
            return kind(envelope, self.inputs, self.outputs, genes, key)

    children = Family(CHILDREN.inputs, CHILDREN.outputs)
    trainer = Trainer(children, ByCount(), DATA, TRAIN, SEED, 1)
    inside = children.envelope([8], children.engines[0])
    found = trainer.run(inside, [children.place(8, inside)], [5])
    assert found.alive.all()
    assert found.curve[0].tolist() == pytest.approx([(64 * (7 + 8 + 9 + 10 + 11) + 40 * 12) / 360] * 2)


class Grows(nnx.Module):
    """Makes a variable of a kind when it is called."""

    def __init__(self, inner, kind):
        self.inner, self.kind, self.carry = inner, kind, inner.carry
        self.traced_training = False

    def __call__(self, x, *rest):
        self.late = self.kind(jnp.zeros(3))
        return self.inner(x, *rest)


@pytest.mark.parametrize("kind", [nnx.Param, nnx.BatchStat, nnx.Variable])
def test_a_variable_that_is_made_in_a_call_is_refused(kind):
    with pytest.raises(ValueError, match="other variables after a call than before: make every variable in __init__"):
        run(made_with(lambda net: Grows(net, kind)))


def test_a_random_key_of_ones_own_is_refused():
    def with_key(net):
        net.own = nnx.Variable(jax.random.key(0))
        return net

    with pytest.raises(ValueError, match="keeps a random key in a variable of its own: keep it in nnx.Rngs"):
        run(made_with(with_key))


def test_stock_layers_cannot_be_told_by_a_traced_flag():
    def traced(net):
        net.traced_training = True
        return net

    with pytest.raises(ValueError, match=r"traced_training = True, but its nnx\.\w+ has to be told by a Python bool"):
        run(made_with(traced))


def test_a_trained_network_that_is_read_back_scores(tmp_path):
    """Dropout is off and statistics are the running ones: its score is the recorded one."""
    experiment = Experiment(
        OneHidden(), TASK, Random(), evaluator=Population(TRAIN), final=Final(TRAIN), rounds=1, children=2
    )
    ledger = Ledger(tmp_path, write=True)
    search(experiment, ledger, Silent())
    ledger.close()
    result, read = train_final(experiment, tmp_path, 0), load_trained(experiment, tmp_path, 0)
    data = jax.device_put(TASK.final_data(experiment.seed))
    x = TASK.inputs(data.held_out.images, data)
    logits, _ = read.network(x, read.genes, False, (), jax.random.key(0))
    score = float(TASK.scores(logits, jnp.asarray(data.held_out.labels)).mean())
    assert score == pytest.approx(result["test_score"], abs=1e-6)


@dataclass(frozen=True)
class Apart(OneHiddenChildren):
    """Widths that cannot share a program."""

    def envelope(self, architectures, engine, known=None):
        return Envelope(architectures[0], engine) if len(set(architectures)) == 1 else None


@dataclass(frozen=True)
class ApartSpace(OneHidden):
    def children(self, input_shape, classes, dtype="float32"):
        return Apart(int(np.prod(input_shape)), classes)


def test_children_that_cannot_share_a_program_get_one_each(tmp_path):
    evaluator = Population(TRAIN, halving=SuccessiveHalving((1,)))
    experiment = Experiment(ApartSpace(), TASK, Random(), evaluator=evaluator, rounds=3, children=6)
    ledger = Ledger(tmp_path, write=True)
    bound = evaluator.bind(experiment.space, TASK, 0, 18)
    tokens = np.array([[0], [1], [2], [1], [0], [1]], np.int32)
    cut = bound.plan(tokens)
    assert sorted(tuple(sorted(group.rows)) for group in cut.groups) == [(0, 4), (1, 3, 5), (2,)]
    assert [group.inside.width for group in cut.groups] == [4, 8, 16]
    assert cut.new_programs == 3
    list(bound(tokens, np.arange(6)))
    assert len(bound.trainer.programs) == 3
    other = np.array([[2], [2], [2], [2], [0], [1]], np.int32)  # law 7, whatever a round draws
    list(bound(other, np.arange(6, 12)))
    assert len(bound.trainer.programs) == 3
    search(experiment, ledger, Silent())
    assert {trial.status for trial in ledger.trials()} <= {"ok", "stopped"}


def test_survivors_in_smaller_programs_are_no_lack_of_memory(monkeypatch):
    """Off CPU, where children run together."""
    together = lambda inside, platform: False
    monkeypatch.setattr(compiling, "in_turn", together)
    monkeypatch.setattr("jaxnas.evaluators.plan.in_turn", together)
    bound = Population(TRAIN, halving=SuccessiveHalving((1,), 0.5)).bind(OneHidden(), TASK, 0, 16)
    tokens = np.array([[0], [1], [2], [1], [0], [1], [2], [2]], np.int32)
    outcomes = [outcome for _, outcome in bound(tokens, np.arange(8))]
    assert {int(places) for outcome in outcomes for places in outcome.places} == {8}
    assert bound.planner.limits == {}
    assert [len(group.places) for group in bound.plan(tokens).groups] == [8]
