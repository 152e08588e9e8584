"""Evaluation by asking: any Python function in place of training, called in processes that may crash or hang."""

from collections.abc import Callable
from typing import Annotated, Any

import tyro

from jaxnas.evaluators.objective.evaluate import ObjectiveEvaluator
from jaxnas.evaluators.objective.named import named
from jaxnas.ranges import Range, Such
from jaxnas.settings import settings


@settings
class Objective:
    """A function ``fn(values, seed)`` or ``fn(values)`` that gives a score, higher is better: of a loss, return the
    negative.

    It returns a number, or ``{"score": number, ...}`` with other figures by name, which are recorded. A number is an
    int, a float, a fraction or a numpy scalar, or an array of no dimension (of numpy, JAX or PyTorch).

    A child fails, and the search goes on, where ``fn`` raises one of ``catch``, its process crashes, a call takes
    longer than ``timeout``, or a number is NaN or infinite; the ledger says why. Any other exception, or anything else
    that is returned, stops the search with one line.

    Calls run in processes of their own, which start with a fresh Python, load the file of ``fn`` and serve one call
    after another; one that has crashed, has grown by much or has served many calls is replaced. What ``fn`` prints goes
    to standard error. Results do not depend on how many processes there are: Python's and numpy's global generators are
    seeded before each call, and each process computes with one thread unless OMP_NUM_THREADS and its like say
    otherwise. JAX runs on the CPU in them.

    With ``processes=0`` calls are made in this process, one after another: for a function that no other process could
    load by its name, such as a lambda or one of a notebook's cell, and where starting a process takes longer than the
    calls. Then there is no timeout, a crash ends the search (which goes on from there), and threads are as they are.

    Attributes:
        fn: a function that stands at the top of the config, or of a module; any with ``processes=0``. It is called
            with what the space decodes, of `Choices` a dict of the values that exist, and with an int from 0 to
            2**31 - 1, which depends on the experiment's seed and the trial alone.
        catch: the exceptions that make a child fail; () for none.
        processes: how many calls run at a time; 0: one, in this process. It may be changed during a search.
        timeout: seconds that a call may take, from when its process has loaded the file; None: as long as it wants.

    Raises:
        ValueError: a function that another process could not load by its name, or that takes neither one nor two
            arguments; a timeout without a process.
    """

    fn: Annotated[
        Callable[..., Any], Such("a function fn(values, seed) or fn(values) that gives a score"), tyro.conf.Fixed
    ]
    catch: Annotated[tuple[type[BaseException], ...], tyro.conf.Fixed] = (Exception,)
    processes: Annotated[int, Range(0, 1024)] = 1
    timeout: Annotated[float, Range(0, 1e9, "(]")] | None = None

    def __post_init__(self):
        if self.timeout is not None and not self.processes:
            raise ValueError(
                f"timeout={self.timeout:g}: with processes=0 a call cannot be ended: give processes=1 or more"
            )
        object.__setattr__(self, "fn", named(self.fn, here=not self.processes))

    def bind(self, space, task, seed: int, trials: int) -> ObjectiveEvaluator:
        """Processes start with the first call; task and trials are not used."""
        del task, trials
        return ObjectiveEvaluator(self, space, seed)


__all__ = ["Objective", "ObjectiveEvaluator"]
