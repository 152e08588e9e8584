"""The programs of a search's first round, compiled for a device that is not here.

Letters: N children.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import jax

from jaxnas.evaluators.compiling import compiled, in_turn, lowered
from jaxnas.evaluators.memory import memory_of
from jaxnas.evaluators.plan import Planner
from jaxnas.evaluators.population import PopulationEvaluator
from jaxnas.evaluators.train import Trainer
from jaxnas.targets.growth import once
from jaxnas.targets.launches import launches


@dataclass(frozen=True)
class Compiled:
    """What the compiler says of a group's programs.

    Attributes:
        children: N.
        engine: its name.
        ratio: executed multiply-adds over the children's own.
        by_library: whether they compile only with all products left to NVIDIA's libraries; see `_compiled`.
        failure: why they do not compile; None: they do, and what follows is known.
        trace_seconds: until they were lowered.
        compile_seconds: of all together.
        memory: bytes on the device of the larger one, its data included.
        growth: of each of the two its bytes, and those among them that are there once, however many children there are.
        operations: that a training step starts, a fusion being one; of one child where children run in turn.
        conditionals: among them; on GPUs the host waits for each.
        open_loops: loops in a step whose turns are not known, of which one turn is counted; likewise.
        cycles: the compiler's estimate of all that a training step starts, for all children; 0: it gives none.
        scoring_cycles: of a batch of held-out examples.
        steps: training steps an epoch.
        batches: of held-out examples, after each epoch.
        epochs: of a training.
    """

    children: int
    engine: str
    ratio: float
    by_library: bool = False
    failure: str | None = None
    trace_seconds: float = 0.0
    compile_seconds: float = 0.0
    memory: int = 0
    growth: Sequence[Sequence[int]] = ()
    operations: float = 0.0
    conditionals: float = 0.0
    open_loops: float = 0.0
    cycles: float = 0.0
    scoring_cycles: float = 0.0
    steps: int = 0
    batches: int = 0
    epochs: int = 0

    def fits(self, budget: int) -> bool:
        """Whether a search would run it so, rather than its halves."""
        return self.failure is None and self.memory <= budget

    def hopeless(self, budget: int) -> bool:
        """Whether a search could not run it in any way: it does not compile, or one child alone does not fit."""
        return self.failure is not None or (self.children == 1 and not self.fits(budget))

    def at_once(self, budget: int) -> int:
        """About how many such children fit into so many bytes: all but what is there once grows with their number."""
        each = ((budget - once) * self.children // max(1, memory - once) for memory, once in self.growth)
        return max(0, min(each))

    def seconds(self, clock: float) -> float:
        """The compiler's estimate of the group's training at so many cycles a second, compilation apart."""
        return self.epochs * (self.steps * self.cycles + self.batches * self.scoring_cycles) / clock


def elsewhere(evaluate: PopulationEvaluator, device: jax.Device, budget: int) -> tuple[Planner, Trainer]:
    """What plans rounds and trains groups, for one device that need not be here: of the trainer programs can be
    lowered and compiled, and none can run.
    """
    work = replace(evaluate.planner.work, platform=device.platform, devices=1, budget=budget)
    settings = evaluate.settings
    planner = Planner(evaluate.children, work, settings.engine, settings.group_size, settings.programs)
    return planner, evaluate.trainer.elsewhere(device)


def first_round(
    evaluate: PopulationEvaluator, architectures: Sequence, device: jax.Device, budget: int
) -> Iterator[Compiled]:
    """The groups in which a search would train these children, one of each program.

    A group that does not fit comes first as it is, then halved, as a search would go on.

    Args:
        evaluate: of the experiment, bound.
        architectures: N of them.
        device: what for.
        budget: bytes on it for a group.
    """
    planner, trainer = elsewhere(evaluate, device, budget)
    plan = planner.plan(architectures)
    for group in {group.program: group for group in plan.groups}.values():
        some, size = [architectures[row] for row in group.filled], len(group.places)
        while size:
            found = of_group(trainer, group.inside, some[:size])
            yield found
            size = 0 if found.fits(budget) or found.failure else planner.halved(size)


def of_group(trainer: Trainer, inside, architectures: Sequence) -> Compiled:
    """Of N children in one envelope; ``trainer`` is `elsewhere`."""
    trainer, children, n = trainer.of(inside), trainer.children, len(architectures)
    works = [children.work(inside, one) for one in architectures]
    ratio = sum(work.executed for work in works) / sum(work.multiply_adds for work in works)
    found = Compiled(n, inside.engine.name, ratio)
    began = time.perf_counter()
    try:
        parts = lowered(trainer, inside, [children.place(one, inside) for one in architectures])
        traced = time.perf_counter()
        done, by_library = _compiled(trainer, parts)
    except Exception as error:  # of any layer below: it is what was asked for
        return replace(found, failure=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
    seconds = {"trace_seconds": traced - began, "compile_seconds": time.perf_counter() - traced}
    found = replace(found, by_library=by_library, **seconds)
    return replace(found, **_of_programs(trainer, done["train"], done["score"], n, in_turn(inside, trainer.platform)))


def _compiled(trainer: Trainer, parts: Mapping[str, jax.stages.Lowered]) -> tuple[dict, bool]:
    """The parts of a program, and whether without XLA's own kernels for products on GPUs: there it takes the sizes of
    their tiles from timing them, and where nothing is timed it may take some that the kernel cannot have.
    """
    try:
        return compiled(trainer, parts), False
    except jax.errors.JaxRuntimeError as error:
        if trainer.platform != "gpu" or "tile sizes" not in str(error):
            raise
    return {name: part.compile({"xla_gpu_enable_triton_gemm": False}) for name, part in parts.items()}, True


def _of_programs(trainer: Trainer, train, score, n: int, one_by_one: bool) -> dict:
    """The rest of `Compiled`."""
    data, steps, in_a_row = trainer.data, trainer.steps, n if one_by_one else 1
    batches = int(data.visits(trainer.train.batch_size, len(data.held_out)))
    texts = train.as_text(), score.as_text()
    step, scoring = map(launches, texts)
    memory = [memory_of(part) for part in (train, score)]
    common = [
        once(part, text, n, trainer.platform, one_by_one) for part, text in zip((train, score), texts, strict=True)
    ]
    each = {kind: step[kind] / steps / in_a_row for kind in ("operations", "conditionals", "open loops")}
    return {
        "memory": max(memory),
        "growth": tuple(zip(memory, common, strict=True)),
        "operations": each["operations"],
        "conditionals": each["conditionals"],
        "open_loops": each["open loops"],
        "cycles": step["cycles"] / steps,
        "scoring_cycles": scoring["cycles"] / batches,
        "steps": steps,
        "batches": batches,
        "epochs": trainer.train.epochs,
    }
