"""How one round is cut into groups that train together, and by which engine each runs.

Letters: N children.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from jaxnas.children import Children, Engine, Separates, own_training
from jaxnas.evaluators.compiling import in_turn
from jaxnas.evaluators.groups import Group, Plan, Workload
from jaxnas.evaluators.programs import BATCHES_BYTES

EngineName = Literal["auto", "padded", "branching", "ragged"]
LONGEST = 120.0
"""Seconds that a group whose children run in turn may last: more would be lost to a kill, and nothing is gained."""
SEARCH = 128
"""Children of the search for which `auto` takes an engine. It never asks how many there really are, nor on how many
devices and in what groups they run: rounds may be added later, devices too, and a child's numbers are its engine's."""
BALANCE = 8
"""But so many children a device stay together, or one device would wait for the other."""
TRAINING = 3
"""Forward and two gradients: work of a training step over that of a forward pass."""
PROGRAMS = 64
STATES = 6
"""Copies of a child's parameters that training holds, by `memory_analysis` of compiled programs."""


@dataclass(frozen=True)
class Rates:
    """Measured constants of one kind of device (`docs/performance.md` says how).

    Attributes:
        work: multiply-adds a second and device that training executes, all else included.
        program: seconds to compile a program.
        branch: seconds more for each branch in it.
    """

    work: float
    program: float
    branch: float


RATES = {"cpu": Rates(work=25e9, program=3.5, branch=0.035)}
"""By platform. For the others nothing has been measured: there the children name an engine unless the user does."""


class Planner:
    """Cuts rounds. It remembers the programs it has planned, the most children of a round, and the groups that did not
    fit into memory.

    All are functions of the rounds before, so a search that is resumed and goes through its rounds again plans as it
    did: nothing is taken from a clock, a cache or the machine's present state.

    Args:
        children: how the architectures compute.
        work: what a child goes through.
        engine: its name, or "auto" for the one of least predicted time.
        group_size: the greatest number of children in a group; None: as memory and `LONGEST` allow.
        programs: how many a round may need at most.
    """

    def __init__(
        self,
        children: Children,
        work: Workload,
        engine: EngineName = "auto",
        group_size: int | None = None,
        programs: int = PROGRAMS,
    ):
        self.children, self.work, self.group_size, self.programs = children, work, group_size, programs
        self.engines = self._candidates(engine)
        self.known: dict[tuple[Any, int], None] = {}
        self.limits: dict[Engine, int] = {}
        self.most = 0

    def plan(self, architectures: Sequence) -> Plan:
        """The groups of a round. The first round settles the engine."""
        engine = self.engines[0]
        if len(self.engines) > 1:
            engine = min(self.engines, key=lambda engine: self._searching(engine, architectures))
        return self._by(engine, architectures)

    def learn(self, plan: Plan, places: Mapping[int, int]) -> None:
        """Remember a round's programs, how many children it had, and what did not fit.

        Args:
            plan: the round's.
            places: how many the program had in which each row was trained in the end.
        """
        self.known |= dict.fromkeys(group.program for group in plan.groups)
        self.engines = [plan.groups[0].inside.engine]
        self.most = max(self.most, sum(len(group.rows) for group in plan.groups))
        for group in plan.groups:
            smallest = min((places[row] for row in group.rows if row in places), default=len(group.places))
            if smallest < len(group.places):
                engine = group.inside.engine
                self.limits[engine] = min(smallest, self.limits.get(engine, smallest))

    def group(self, rows: Sequence[int], inside, size: int, architectures: Sequence) -> Group:
        """These rows in a program of ``size`` places, each device with about the same work."""
        work = {row: self.children.work(inside, architectures[row]).executed for row in rows}
        blocks: list[list[int]] = [[] for _ in range(self.work.devices)]
        for row in sorted(rows, key=lambda row: (-work[row], row)):
            free = [block for block in blocks if len(block) < size // len(blocks)]
            min(free, key=lambda block: sum(work[r] for r in block)).append(row)
        padded = (block + [None] * (size // len(blocks) - len(block)) for block in blocks)
        return Group(tuple(place for block in padded for place in block), inside)

    def packed(self, rows: Sequence[int], inside, size: int, architectures: Sequence) -> list[Group]:
        """Those who are left of groups of ``size`` places, together again: in smaller programs where places that are
        empty would cost time, in the same ones where they do not.
        """
        groups = math.ceil(len(rows) / size)
        if not self._in_turn(inside):
            size = self._round_up(math.ceil(len(rows) / groups))
        return [self.group(rows[at : at + size], inside, size, architectures) for at in range(0, len(rows), size)]

    def halved(self, size: int) -> int:
        """The next smaller number of places, 0 where there is none."""
        return 0 if size <= self.work.devices else self._round_up(math.ceil(size / 2))

    def _candidates(self, name: EngineName) -> list[Engine]:
        """Those of a name; "auto": all that may be taken unasked. The first, where no speed has been measured.

        Raises:
            ValueError: the children have no such engine, or it cannot run here.
        """
        own = self.children.engines
        if name == "auto":
            own = [engine for engine in own if engine.unasked] if self.work.platform in RATES else own[:1]
        else:
            own = [engine for engine in own if engine.name == name]
            own = own if self.work.platform in RATES else own[:1]
        if not own:
            has = ", ".join(dict.fromkeys(engine.name for engine in self.children.engines))
            raise ValueError(f"engine={name!r}: {type(self.children).__name__} cannot run so, take one of: auto, {has}")
        return [replace(engine, platform=self.work.platform) for engine in own]

    def _searching(self, engine: Engine, architectures: Sequence) -> float:
        """Predicted seconds of one device for `SEARCH` children like these in one envelope each, compilation
        included."""
        rates, groups = RATES[self.work.platform], self._alike(engine, architectures, ())
        total = 0.0
        for inside, rows in groups:
            works = [self.children.work(inside, architectures[row]) for row in rows]
            each = sum(work.executed for work in works) / len(architectures)
            rate = rates.work * works[0].speed
            total += self._compiling(rates, inside) + SEARCH * TRAINING * each * self._own(inside).images / rate
        return total

    def _compiling(self, rates: Rates, inside) -> float:
        return rates.program + rates.branch * self.children.work(inside).branches

    def _by(self, engine: Engine, architectures: Sequence) -> Plan:
        groups = self._cut(engine, architectures)
        works = [[self.children.work(group.inside, architectures[row]) for row in group.rows] for group in groups]
        executed = tuple(sum(work.executed for work in some) for some in works)
        useful = tuple(sum(work.multiply_adds for work in some) for some in works)
        programs, rates = dict.fromkeys(group.program for group in groups), RATES.get(self.work.platform)
        new = [program for program in programs if program not in self.known]
        seconds = compiling = None
        if rates:
            compiling = sum((self._compiling(rates, inside) for inside, _ in new), 0.0)
            done = sum(
                work * self._own(group.inside).images / some[0].speed
                for group, work, some in zip(groups, executed, works, strict=True)
            )
            seconds = compiling + TRAINING * done / (rates.work * self.work.devices)
        memory = tuple(self._bytes(*group.program) for group in groups)
        return Plan(groups, executed, useful, memory, len(new), seconds, compiling)

    def _alike(self, engine: Engine, architectures: Sequence, known: Collection) -> list[tuple[Any, list[int]]]:
        """Envelopes, and the rows of those who share each: one, unless they cannot share a program."""
        parts: dict[Any, list[int]] = {}
        for row, architecture in enumerate(architectures):
            key = self.children.program_key(architecture) if isinstance(self.children, Separates) else None
            parts.setdefault(key, []).append(row)
        found: dict[Any, list[int]] = {}
        for rows in parts.values():
            common = self.children.envelope([architectures[row] for row in rows], engine, known)
            if common is not None:
                found.setdefault(common, []).extend(rows)
                continue
            for row in rows:
                found.setdefault(self.children.envelope([architectures[row]], engine, known), []).append(row)
        self._check_programs(len(found), len(architectures))
        return list(found.items())

    def _check_programs(self, programs: int, children: int) -> None:
        if programs > self.programs:
            raise ValueError(
                f"{children} children need {programs} programs, more than programs={self.programs}: each static value "
                "that differs makes one, and each takes seconds to compile. Have fewer of them (traced values share a "
                "program: static=False, jaxnas.elastic), or raise --evaluator.programs"
            )

    def _cut(self, engine: Engine, architectures: Sequence) -> tuple[Group, ...]:
        """Equal groups, as few as possible. Children of similar work go together where an absent layer costs work;
        otherwise all in one envelope, which needs one program.
        """
        known, found = tuple(dict.fromkeys(inside for inside, _ in self.known)), []
        for common, rows in self._alike(engine, architectures, known):
            # empty places cost nothing in turn: one program serves rounds with fewer children, or fewer of a kind
            n = max(len(architectures), self.most) if self._in_turn(common) else len(rows)
            size = self._size(common, n)
            if not engine.skips_absent:
                own = {row: self.children.envelope([architectures[row]], engine, known) for row in rows}
                rows = sorted(rows, key=lambda row: (self.children.work(own[row]).executed, row))
            for at in range(0, len(rows), size):
                some = rows[at : at + size]
                inside = common
                if not engine.skips_absent:
                    inside = self.children.envelope([architectures[row] for row in some], engine, known)
                found.append(self.group(some, inside, size, architectures))
        return tuple(found)

    def _size(self, inside, n: int) -> int:
        """Places of each group: all n children, unless time, memory or the user say less. A function of n and the
        envelope, so that rounds in one envelope share programs.
        """
        devices, most, rates = self.work.devices, self.group_size or n, RATES.get(self.work.platform)
        if self.group_size is None and rates and self._in_turn(inside):
            whole = self.children.work(inside)
            child = TRAINING * whole.multiply_adds * self._own(inside).images / (rates.work * whole.speed)
            most = min(most, devices * max(BALANCE, int(LONGEST / child)))
        most = min(most, self.limits.get(inside.engine, most))
        while most > devices and self._bytes(inside, most) > self.work.budget:
            most = self.halved(most)
        groups = math.ceil(n / max(most, devices))
        return self._round_up(math.ceil(n / groups))

    def _bytes(self, inside, size: int) -> int:
        """Memory on one device: the children's states, the maps of those that run at once, and the batches."""
        whole, each = self.children.work(inside), -(-size // self.work.devices)
        maps, at_once = whole.held_bytes * self._own(inside).batch_size, 1 if self._in_turn(inside) else each
        return (STATES * 4 * whole.parameters + self.work.kept) * each + maps * at_once + BATCHES_BYTES

    def _own(self, inside) -> Workload:
        """What the children of an envelope go through."""
        return self.work.of(dict(own_training(inside)))

    def _in_turn(self, inside) -> bool:
        return in_turn(inside, self.work.platform)

    def _round_up(self, places: int) -> int:
        """As many on each device."""
        return math.ceil(places / self.work.devices) * self.work.devices
