"""A user's own network as the children: the laws, what the commands do with it, and what is said when it cannot be."""

import json
import os
import re
import subprocess
import sys

import jax
import numpy as np
import own_networks
import pytest
from own_networks import Elastic, InLinen, Plain, apply, start
from safetensors.numpy import load_file
from steps import assert_equal

from jaxnas.children import Children, Exports, unpadded
from jaxnas.cli import main
from jaxnas.evaluators import Population, Train
from jaxnas.evaluators.train import Trainer
from jaxnas.ledger import Ledger
from jaxnas.spaces import ModuleSpace
from jaxnas.tasks import Digits, Text
from jaxnas.values import Categorical, Float, Int

SEED, TASK = 3, Digits()
DATA = TASK.search_data(SEED)
TRAIN = Train(epochs=2, batch_size=64)
SCALE = Float(0.5, 2.0, levels=4)
NETS = {"nnx": Plain, "linen": InLinen, "functions": (start, apply)}


def children_of(space):
    return space.children(DATA.input_shape, DATA.classes)


def trains(space, architectures):
    """A function that trains children of a space in one program, at the places that ``order`` says."""
    children = children_of(space)
    inside = children.envelope(architectures, children.engines[0], ())
    trainer = Trainer(children, TASK, DATA, TRAIN, SEED)
    return lambda order: trainer.run(inside, [children.place(architectures[i], inside) for i in order], order)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_a_network_learns_and_does_not_know_its_company(two_devices, net):
    """Law 2, with dropout and statistics, of four children with other scales in one program."""
    space = ModuleSpace(net, width=Categorical(16), scale=SCALE)
    some = [{"width": 16, "scale": SCALE.value(token)} for token in (0, 1, 2, 3)]
    run, order = trains(space, some), [2, 0, 3, 1]
    found = run([0, 1, 2, 3])
    assert found.alive.all()
    assert found.curve[:, -1].min() > 0.5
    assert len({tuple(row) for row in found.curve.tolist()}) == 4
    again = run(order)
    for place, i in enumerate(order):
        assert_equal(again, place, found, i)


def test_a_traced_value_is_the_same_value_given_as_a_number(two_devices):
    """Law 1 of traced values: a program of one's own gives what the shared one does."""
    space = ModuleSpace(Plain, width=Categorical(16), scale=SCALE)
    some = [{"width": 16, "scale": SCALE.value(token)} for token in (0, 3)]
    shared = trains(space, some)([0, 1])
    children = children_of(space)
    for i, one in enumerate(some):
        inside = unpadded(children, one)
        assert inside.traced == ()
        alone = Trainer(children, TASK, DATA, TRAIN, SEED, devices=1).run(inside, [children.place(one, inside)], [i])
        np.testing.assert_allclose(shared.curve[i], alone.curve[0], atol=0.01)
        found, wanted = (np.asarray(r.states.learnt.network.parameters)[k] for r, k in ((shared, i), (alone, 0)))
        np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_elastic_networks_of_all_sizes_share_one_program(two_devices):
    space = ModuleSpace(Elastic, width=Int(1, 24, static=False), depth=Int(0, 2, static=False), dropout=Float(0.0, 0.5))
    some = [
        {"width": w, "depth": d, "dropout": r} for w, d, r in ((1, 0, 0.0), (24, 2, 0.5), (13, 1, 0.1), (24, 0, 0.2))
    ]
    children, run, order = children_of(space), trains(space, some), [3, 1, 0, 2]
    found, again = run([0, 1, 2, 3]), run(order)
    assert found.alive.all()
    for place, i in enumerate(order):
        assert_equal(again, place, found, i)
    inside = children.envelope(some, children.engines[0], ())
    by_hand = lambda w, d: (64 * w + w) + d * (w * w + w) + 2 * w + (10 * w + 10)
    for one in some:
        exact = children.work(unpadded(children, one), one)
        work = children.work(inside, one)
        assert (work.parameters, work.multiply_adds) == (exact.parameters, exact.multiply_adds)
        assert work.parameters == by_hand(one["width"], one["depth"])
        assert work.executed == children.work(inside).multiply_adds == 64 * 24 + 2 * 24 * 24 + 240


def test_static_values_part_children_into_programs():
    space = ModuleSpace(Plain, width=Categorical(8, 16), scale=SCALE)
    bound = Population(TRAIN).bind(space, TASK, SEED, 1)
    assert isinstance(bound.children, Children)
    assert isinstance(bound.children, Exports)
    tokens = np.array([[0, 0], [1, 1], [0, 3], [1, 0], [0, 1]], np.int32)
    plan = bound.plan(tokens)
    assert sorted(sorted(group.rows) for group in plan.groups) == [[0, 2, 4], [1, 3]]
    assert [bound.describe(t)["values"]["width"] for t in tokens] == [8, 16, 8, 16, 8]


def test_counts_are_those_of_the_layers():
    space = ModuleSpace(Plain, width=Categorical(16))
    children = children_of(space)
    work = children.work(unpadded(children, {"width": 16}), {"width": 16})
    assert (work.multiply_adds, work.parameters) == (64 * 16 + 160, 64 * 16 + 16 + 2 * 16 + 160 + 10)


CONFIG = """
from own_networks import Elastic, Plain
import jaxnas
from jaxnas import Float, Int, Categorical

space = jaxnas.Tuned(
    jaxnas.ModuleSpace(Elastic, width=Int(4, 16, static=False), depth=Int(0, 2, static=False), dropout=Float(0.0, 0.5)),
    learning_rate=Float(1e-2, 1e-1, log=True),
)
train = jaxnas.Train(epochs=2, batch_size=64)
experiment = jaxnas.Experiment(
    space=space, task=jaxnas.Digits(), strategy=jaxnas.Random(), evaluator=jaxnas.Population(train),
    final=jaxnas.Final(jaxnas.Train(epochs=2, batch_size=64)), rounds=2, children=4,
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("module")
    (folder / "own.py").write_text(CONFIG)
    before = os.getcwd()
    os.chdir(folder)
    try:
        assert main(["search", "own.py", "--workdir", "run", "--rounds", "1"]) == 0
        assert main(["search", "own.py", "--workdir", "run"]) == 0
        assert main(["search", "own.py", "--workdir", "whole"]) == 0
        yield folder
    finally:
        os.chdir(before)


def test_a_search_goes_on_as_it_began(folder):
    """Law 4."""
    kept = lambda t: (t.trial_id, t.tokens, t.status, t.score, t.reward, t.curve, t.parameters)
    run, whole = ([kept(t) for t in Ledger(folder / name).trials()] for name in ("run", "whole"))
    assert run == whole
    assert len(run) == 8


def test_the_values_are_said_and_can_be_set(folder, capsys):
    assert main(["search", "own.py", "--workdir", "small", "--space.space.width.high", "6", "--rounds", "1"]) == 0
    said = capsys.readouterr().out
    assert "  width: 4 to 6: 4, 5, 6, traced" in said
    assert f"Tuned: {3 * 3 * 256 * 256:,} architectures" in said
    assert max(t.architecture["values"]["width"] for t in Ledger(folder / "small").trials()) <= 6
    assert main(["search", "own.py", "--workdir", "small", "--space.space.widht.high", "6"]) == 2
    assert "did you mean --space.space.width.high" in capsys.readouterr().err


def test_the_winner_is_trained_and_exported_without_padding(folder, capsys):
    """Law 9 and 14: what is exported runs without jaxnas, as its page says."""
    best = Ledger(folder / "run").top(1)[0].architecture
    assert main(["final", "run"]) == 0
    assert main(["export", "run", "out"]) == 0
    assert "network.stablehlo" in capsys.readouterr().out
    assert sorted(p.name for p in (folder / "out").iterdir()) == [
        "README.md", "architecture.json", "network.stablehlo", "weights.safetensors",
    ]  # fmt: skip
    described = json.loads((folder / "out" / "architecture.json").read_text())
    assert described["values"] == best["values"]
    assert described["training"] == best["training"]
    weights, width = load_file(folder / "out" / "weights.safetensors"), best["values"]["width"]
    assert weights["first.kernel"].shape == (64, width)
    assert weights["last.kernel"].shape == (width, 10)
    page = (folder / "out" / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    images, labels = TASK.final_data(0).held_out.images, TASK.final_data(0).held_out.labels
    np.savez(folder / "out" / "test.npz", images=images, labels=labels)
    script = "import sys; sys.modules['jaxnas'] = None\nimport numpy\ntest = numpy.load('test.npz')\n"
    script += f"images = test['images']\n{code}\nprint((labels == test['labels']).mean(), len(outputs))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder / "out", capture_output=True, text=True, check=True
    )
    recorded = Ledger(folder / "run").facts()[f"final:{Ledger(folder / 'run').top(1)[0].trial_id}"]["test_score"]
    assert float(done.stdout.split()[0]) == pytest.approx(recorded, abs=2 / len(labels))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ModuleSpace(3, width=Int(1, 2)), "3: give a class of Flax"),
        (lambda: ModuleSpace(int, width=Int(1, 2)), "give a class of Flax"),
        (lambda: ModuleSpace((start,), width=Int(1, 2)), "give two functions, (init, apply)"),
        (lambda: ModuleSpace(Plain, widht=Int(1, 2)), "has no argument 'widht'"),
        (lambda: ModuleSpace(Plain, scale=SCALE), "wants 'width', which no value is for"),
        (lambda: ModuleSpace(InLinen, widht=Int(1, 2)), "has no field 'widht'"),
        (lambda: ModuleSpace((start, apply), height=Int(1, 2)), "start has no argument 'height'"),
        (lambda: ModuleSpace(own_networks.NoRngs, width=Int(1, 2)), "has no argument 'rngs'"),
        (lambda: children_of(ModuleSpace(Plain, width=3)), "width=3: give Float"),
        (lambda: ModuleSpace(Plain, width=Int(1, 2)).children((8, 8, 1), 10, "bfloat16"), "leave Train.dtype at"),
    ],
)
def test_what_is_no_network_is_said_when_the_space_is_made(make, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (ModuleSpace(own_networks.StockDropout, rate=Float(0.0, 0.5)), "StockDropout uses rate as a Python number"),
        (ModuleSpace(own_networks.StockDropout, rate=Float(0.0, 0.5)), "jaxnas.elastic.Dropout"),
        (ModuleSpace(own_networks.StockWidth, width=Int(1, 4, static=False)), "static=True"),
        (
            ModuleSpace(own_networks.StockWidth, width=Categorical(1, 2, static=False)),
            "width=Categorical(..., static=True)",
        ),
        (ModuleSpace(own_networks.WithIf, width=Int(1, 4, static=False), scale=SCALE), "WithIf uses width as a Python"),
        (ModuleSpace(own_networks.InAList, scale=Float(0.0, 0.5)), "scale=Float(..., static=True)"),
        (ModuleSpace(own_networks.NoLogits, width=Int(1, 4)), "gives (2, 1) for inputs of (2, 8, 8, 1)"),
    ],
)
def test_a_network_that_cannot_be_called_is_explained_before_it_is_trained(space, words):
    bound = Population(TRAIN).bind(space, TASK, SEED, 1)
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        bound.plan(np.zeros((2, len(space.decisions)), np.int32))
    assert "\n" not in str(error.value)


def test_the_same_rate_works_where_it_is_static():
    space = ModuleSpace(own_networks.StockDropout, rate=Float(0.0, 0.5, levels=3, static=True))
    bound = Population(Train(epochs=1, batch_size=64)).bind(space, TASK, SEED, 1)
    assert len(bound.plan(np.array([[0], [1], [2]], np.int32)).groups) == 3


def test_a_value_that_does_not_exist_is_not_given():
    space = ModuleSpace(Plain, width=Categorical(8, 16), scale=Float(0.5, 2.0, when=("width", 16)))
    children = children_of(space)
    inside = [children.envelope([one], children.engines[0], ()) for one in ({"width": 8}, {"width": 16, "scale": 1.0})]
    assert [envelope.traced for envelope in inside] == [(), ("scale",)]
    networks = [children.build(e, children.place(a, e), jax.random.key(0)) for e, a in
                zip(inside, ({"width": 8}, {"width": 16, "scale": 0.5}), strict=True)]  # fmt: skip
    assert [float(network.own.net.scale) for network in networks] == [1.0, 0.5]


def test_text_is_rows_of_symbols():
    children = ModuleSpace(
        (lambda key, inputs, outputs, size: jax.numpy.zeros((outputs, outputs)), follow), size=Int(1, 2)
    ).children((5,), 7)
    work = children.work(unpadded(children, {"size": 1}))
    assert work.parameters == 49
    assert isinstance(Text, type)


def follow(parameters, x, size):
    """What follows each symbol."""
    return parameters[x]


KINDS = """
from own_networks import InLinen, apply, start
import jaxnas
from jaxnas import Categorical, Float

net = {net}
experiment = jaxnas.Experiment(
    space=jaxnas.ModuleSpace(net, width=Categorical(8), scale=Float(0.5, 2.0)), task=jaxnas.Digits(),
    strategy=jaxnas.Random(), evaluator=jaxnas.Population(jaxnas.Train(epochs=1)),
    final=jaxnas.Final(jaxnas.Train(epochs=1)), rounds=1, children=2,
)
"""


@pytest.mark.parametrize(("net", "names"), [("InLinen", "Dense_0.kernel"), ("(start, apply)", "hidden")])
def test_linen_and_functions_go_through_all_commands(net, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(KINDS.format(net=net))
    for command in ("search own.py --workdir run", "show run 0", "final run", "export run out"):
        assert main(command.split()) == 0
    assert names in load_file(tmp_path / "out" / "weights.safetensors")


def test_a_script_that_runs_itself_is_no_config(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(KINDS.format(net="InLinen") + "jaxnas.run(experiment, 'run')\n")
    assert main(["search", "own.py"]) == 2
    assert 'call it below `if __name__ == "__main__":`' in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
