"""Which numbers this version computes."""

NUMERICS = 2
"""It rises whenever the same settings, data and seed give other numbers than before: a search, a final training or a
table that was begun under another is not continued.

1: up to the first public tables. 2: validation data drawn class by class; the last, shorter chunk of a text is learnt
from; the seeds of a final training have an order of batches of their own.
"""


def check_numerics(recorded: int, where: object) -> None:
    """Raises ValueError where ``where`` was begun under other numerics."""
    if recorded != NUMERICS:
        raise ValueError(
            f"{where} was begun by a version of jaxnas that computes other numbers (numerics {recorded}, here "
            f"{NUMERICS}): go on with that version, or begin anew in another directory"
        )
