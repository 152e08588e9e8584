"""How memory grows with the number of children, foretold from one compiled program and held against a larger one."""

from toy_family import OneHidden

from jaxnas.evaluators import Train
from jaxnas.evaluators.compiling import compiled, lowered
from jaxnas.evaluators.memory import memory_of
from jaxnas.evaluators.train import Trainer
from jaxnas.targets.compiled import Compiled
from jaxnas.targets.growth import once
from jaxnas.tasks import Digits

TASK, SEED = Digits(), 0
DATA = TASK.search_data(SEED)
CHILDREN = OneHidden().children(DATA.input_shape, DATA.classes)
FEW, MANY = 16, 640


def program(n: int) -> tuple[int, int]:
    """Its bytes for so many children in turn, as on a CPU core, and those that are there once."""
    trainer = Trainer(CHILDREN, TASK, DATA, Train(batch_size=64), SEED, devices=1)
    inside = CHILDREN.envelope([16], CHILDREN.engines[0])
    parts = lowered(trainer, inside, [CHILDREN.place(16, inside)] * n)
    found = compiled(trainer, {name: part for name, part in parts.items() if name != "start"})
    return max((memory_of(one), once(one, one.as_text(), n, "cpu", True)) for one in found.values())


def test_what_children_in_turn_share_does_not_grow_with_their_number():
    few, many = program(FEW), program(MANY)
    assert abs(many[1] - few[1]) < 0.05 * few[1]
    said = Compiled(FEW, "padded", 1.0, memory=few[0], growth=(few,)).at_once(many[0])
    assert abs(said - MANY) < 0.05 * MANY
    assert few[0] > FEW * many[0] / MANY * 1.5  # in proportion to the number it would be another answer


def test_the_program_that_grows_most_says_how_many_fit():
    """One of 8 children takes 4 of 5 bytes once and 1 for all of them; the other nothing once."""
    found = Compiled(8, "branching", 1.0, memory=5, growth=((5, 4), (2, 0)))
    assert found.at_once(6) == 16
    assert found.at_once(40) == 160
    assert found.at_once(3) == 0
