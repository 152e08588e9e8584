"""A round of children: each is told of once, whatever is finished already and whatever memory there is."""

import jax
import numpy as np
import pytest

from jaxnas.children import alone
from jaxnas.evaluators import Population, Train, population
from jaxnas.evaluators.compiling import build
from jaxnas.outcome import Status, Trial
from jaxnas.spaces import ChainCNN
from jaxnas.tasks import Digits

N, SEED = 4, 3
SPACE = ChainCNN(layers=2, depths=(1, 2), kernel_heights=(1, 3), kernel_widths=(3,), filters=(4, 8), pool_after=(1,))
rng = np.random.default_rng(0)
TOKENS = np.asarray(SPACE.decisions.without_absent(rng.integers(0, SPACE.decisions.sizes, (N, len(SPACE.decisions)))))
SETTINGS = Population(Train(epochs=3, batch_size=128, best_of_last=2), group_size=N, engine="branching")


def evaluate(bound, **more):
    """Each row's outcome: a dict of its values."""
    found = {}
    for rows, outcome in bound(TOKENS, np.arange(N), **more):
        assert not found.keys() & set(rows), "a row came twice"
        values = [(name, value) for name, value in vars(outcome).items() if len(value)]  # no figures, no reasons
        found |= {row: {name: value[i] for name, value in values} for i, row in enumerate(rows)}
    return found


@pytest.fixture(scope="module")
def bound(two_devices):
    return SETTINGS.bind(SPACE, Digits(), SEED, 2 * N)


@pytest.fixture(scope="module")
def whole(bound):
    return evaluate(bound)


def room_for(most, run):
    """A device that has memory for so many children: the error is the one XLA raises, the rest is the real thing."""

    def limited(inside, genes, *rest):
        if len(genes) > most:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes.")
        return run(inside, genes, *rest)

    return limited


def test_each_child_once_with_its_own_facts(bound, whole):
    assert sorted(whole) == list(range(N))
    for row, values in whole.items():
        chain = SPACE.decode(TOKENS[row])
        cost = alone(bound.children, chain)
        assert (values["parameters"], values["multiply_adds"]) == (cost.parameters, cost.multiply_adds)
        assert values["architectures"] == bound.describe(TOKENS[row])
        assert (values["status"], values["places"]) == (Status.OK, N)
        assert values["score"] == values["curve"][1:].max()  # the best of the last two
        assert values["seconds"] > 0


def test_finished_trials_are_left_out(bound, whole):
    of = lambda i: Trial(i, 0, tuple(TOKENS[i].tolist()), {}, "diverged", None, -1.0, (None,) * 3, 1, 1, 0.1, N)
    found = evaluate(bound, finished={i: of(i) for i in (1, 3)})
    assert sorted(found) == [0, 2]
    for row in found:
        np.testing.assert_array_equal(found[row]["curve"], whole[row]["curve"])


def test_off_cpu_the_compilers_word_halves_the_group_before_it_runs(whole):
    """Training and scoring are two programs there; the scores are the same within an example."""
    small = SETTINGS.bind(SPACE, Digits(), SEED, 2 * N)
    small.trainer.platform = "gpu"
    [inside] = {group.inside for group in small.plan(TOKENS).groups}
    genes = [small.children.place(SPACE.decode(row), inside) for row in TOKENS]
    needed = {n: build(small.trainer, inside, genes[:n]).memory for n in (2, N)}
    assert needed[2] < needed[N]
    small.trainer.budget = (needed[2] + needed[N]) // 2
    found = evaluate(small)
    assert {values["places"] for values in found.values()} == {2}
    assert small.planner.limits == {inside.engine: 2}
    for row, values in found.items():
        np.testing.assert_allclose(values["curve"], whole[row]["curve"], atol=2.01 / 360)


def test_out_of_memory_halves_the_group_and_goes_on(whole):
    small = SETTINGS.bind(SPACE, Digits(), SEED, 2 * N)
    small.trainer.run = room_for(2, small.trainer.run)
    found = evaluate(small)
    assert sorted(found) == list(range(N))
    for row, values in found.items():
        assert (values["status"], values["places"]) == (Status.OK, 2)
        np.testing.assert_allclose(values["curve"], whole[row]["curve"], atol=0.006)
    assert [len(group.places) for group in small.plan(TOKENS).groups] == [2, 2]  # it has learnt


def test_a_child_without_room_even_alone_fails_alone():
    small = SETTINGS.bind(SPACE, Digits(), SEED, 2 * N)
    small.trainer.run = room_for(0, small.trainer.run)
    for values in evaluate(small).values():
        assert values["status"] == Status.OUT_OF_MEMORY
        assert np.isnan([*values["curve"], values["score"]]).all()


def test_other_errors_are_not_hidden():
    broken = SETTINGS.bind(SPACE, Digits(), SEED, 2 * N)

    def run(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else.")

    broken.trainer.run = run
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        evaluate(broken)


def test_that_many_children_are_planned_is_said_before(bound, monkeypatch):
    class ToldError(Exception):
        pass

    def tell(progress):
        raise ToldError(f"{progress.doing} {progress.children}")

    monkeypatch.setattr(population, "MANY", N)
    monkeypatch.setattr(bound.planner, "plan", lambda *_: pytest.fail("it was not said before"))
    with pytest.raises(ToldError, match=f"planning {N}"):
        evaluate(bound, on_progress=tell)
