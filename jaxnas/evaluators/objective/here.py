"""Calls of an objective in this process, one after another, with the interface of `Workers`."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from jaxnas.evaluators.objective import worker
from jaxnas.evaluators.objective.named import OfThisProcess, class_name


class Here:
    """Nothing is started.

    Args:
        function: what is called.
    """

    def __init__(self, function: Callable):
        self.function, self._file = function, function.file if isinstance(function, OfThisProcess) else ""

    def answers(self, calls: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, dict]]:
        """As `Workers.answers`. An interrupt from the keyboard is raised."""
        for job, call in calls:
            with _own_random_numbers():
                said = worker.answer(self.function, self._file, call, raised=KeyboardInterrupt, name=class_name)
            yield job, said

    def close(self) -> None:
        """There is nothing to end."""


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Afterwards the global generators, which are seeded for each call, are as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
