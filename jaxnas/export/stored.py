"""Which kind of inputs a trained network takes, by what is recorded of its data."""

from jaxnas.export.inputs import ImageInputs, Stored, TextInputs
from jaxnas.export.rows import PairInputs, PassageInputs, TableInputs
from jaxnas.inputs import Inputs
from jaxnas.tasks.vocabulary import Vocabulary
from jaxnas.trained import Trained


def stored_of(trained: Trained) -> Stored:
    """What a trained network takes.

    Raises:
        ValueError: something is missing in what is recorded.
    """
    data, kind = trained.data, Inputs.of_facts(trained.data).kind
    if kind in OF:
        return OF[kind](data)
    own = trained.children.describe(trained.architecture).get("type") == "module"
    steps = data["input_shape"][0] if own else None  # a recurrent one goes on as long as there are symbols
    return TextInputs(Vocabulary(tuple(data["vocabulary"]), data["unit"]), steps)


OF = {"image": ImageInputs.of, "table": TableInputs.of, "pair": PairInputs.of, "passage": PassageInputs.of}
