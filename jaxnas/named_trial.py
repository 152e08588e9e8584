"""A trial, by itself or by its number."""

import operator
from pathlib import Path
from typing import SupportsIndex

from jaxnas.ledger import Ledger
from jaxnas.outcome import Trial


def named_trial(workdir: Path | str, trial: Trial | SupportsIndex) -> Trial:
    """The trial; of a number, that of the ledger in a search's directory.

    Raises:
        ValueError: something else, no such trial, or no ledger there.
    """
    if isinstance(trial, Trial):
        return trial
    try:
        number = operator.index(trial)
    except TypeError as error:
        raise ValueError(f"trial={trial!r}: give a trial of the ledger, or its number, such as 3") from error
    return Ledger(Path(workdir)).trial(number)
