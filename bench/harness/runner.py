"""One problem: every contender from loose to tight settings until it is at the minimum, then repeats in turns."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from harness.peers import PEERS, TIGHT
from harness.peers.peer import Peer, Shape
from harness.process import Child, ChildError, Contender
from harness.training import Training, load, save, value

GOALS = (1e-4, 1e-6, 1e-8)
"""Distances from the minimum, relative to it, that times are given for."""

LADDER_SHARE = 0.7
"""Part of a problem's time for the first fits at every level; the rest is for repeats."""

MINIMUM_SHARE = 0.2
MEASURED_SHARE = 0.6
"""Part that is left to the fits even where the start of all processes took longer than the rest of it."""

COMPILE_LIMIT = 40.0
"""Seconds more that the first fit of a process may take where it compiles code."""

LEAST_LIMIT = 2.0
"""Seconds that a fit is waited for even where the peers before it have taken the time."""

START_LIMIT, LEAST_START = 120.0, 30.0
"""Seconds for imports and conversions of rows: no more, and no fewer even where a problem has less time."""


@dataclass
class Limits:
    """Of a fit in seconds, of one problem in seconds, and of the repeats."""

    fit_s: float = 20.0
    problem_s: float = 60.0
    repeats: int = 5
    memory: float = 4e9
    """Bytes up to which the rows of all contenders lie in memory at once, so that repeats can be interleaved."""


@dataclass
class Step:
    """One level of one contender."""

    level: dict[str, Any]
    first: dict[str, Any]
    value: float
    times: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        """Of the repeats, where there are any, else of the one fit."""
        return self.times or [self.first["seconds"]]


@dataclass
class Course:
    """What became of one contender."""

    contender: Contender
    peer: Peer
    start_s: float = float("nan")
    cold: dict[str, Any] | None = None
    steps: list[Step] = field(default_factory=list)
    note: str = ""
    interleaved: bool = False


class Measurement:
    """`run` measures, and may be interrupted at any time; `courses` and `least` hold what was measured until then."""

    def __init__(self, training: Training, threads: int, limits: Limits, report: Callable[[str], None] = print) -> None:
        self.training, self.threads, self.limits, self.report = training, threads, limits, report
        n, d = training.X.shape
        self.shape = Shape(n, d, training.n_classes, training.is_sparse, *training[2:])
        self.courses: list[Course] = []
        self.least, self.least_by = float("inf"), ""
        self._children: dict[str, Child] = {}
        self._minimum_known = False
        self._compile_s = 0.0

    def run(self, contenders: list[Contender], peers: dict[str, Peer] = PEERS) -> None:
        folder = Path(tempfile.mkdtemp(prefix="gpu-logreg-bench-"))
        self._end = time.monotonic() + self.limits.problem_s
        try:
            save(self.training, folder)
            self.training = load(folder)  # the memory of the files is shared with the children
            self._find_minimum(folder)
            taken = []
            for contender in contenders:
                refusal = peers[contender.name].refusal(self.shape)
                self.courses.append(Course(contender, peers[contender.name], note=refusal or ""))
                if refusal is None:
                    taken.append(self.courses[-1])
            if 3 * self.training.rows_bytes * len(taken) <= self.limits.memory:
                self._together(taken, folder)
            else:
                self._apart(taken, folder)
        finally:
            for child in self._children.values():
                child.close()
            shutil.rmtree(folder, ignore_errors=True)

    def gap(self, step: Step) -> float:
        """Relative distance from the least value found by anyone."""
        return step.value / self.least - 1.0

    def _left(self) -> float:
        return self._end - time.monotonic()

    def _find_minimum(self, folder: Path) -> None:
        child = Child(Contender(TIGHT.name), folder, self.threads)
        self._children[TIGHT.name] = child
        try:
            child.ready(START_LIMIT)
            limit = max(self.limits.fit_s, MINIMUM_SHARE * self.limits.problem_s) + COMPILE_LIMIT
            found = child.fit(TIGHT.levels[0], limit)
            self._take(found["solution"], TIGHT.name)
            self._minimum_known = True
        except ChildError as failure:
            self.report(f"    {TIGHT.name}: {failure}")
        finally:
            child.close()

    def _take(self, solution: Path, name: str) -> float:
        with np.load(solution) as file:
            found = value(self.training, file["W"], file["b"])
        solution.unlink()
        if found < self.least:  # never true of a value that is not a number
            self.least, self.least_by = found, name
        return found

    def _together(self, courses: list[Course], folder: Path) -> None:
        """All started at once, then the levels of one after another, then repeats in turns."""
        for course in courses:
            self._start(course, folder)
        started = time.monotonic()
        for course in courses:
            self._await(course, started)
        self._end = max(self._end, time.monotonic() + MEASURED_SHARE * self.limits.problem_s)
        ladder_end = self._end - (1.0 - LADDER_SHARE) * max(0.0, self._left())
        for k, course in enumerate(courses):
            self._climb(course, (ladder_end + self._compile_s - time.monotonic()) / (len(courses) - k))
        self._repeat(courses, self._end, True)

    def _apart(self, courses: list[Course], folder: Path) -> None:
        """One after another, with its repeats: there is no room for the rows of all at once."""
        for k, course in enumerate(courses):
            share = self._left() / (len(courses) - k)
            end = time.monotonic() + share
            self._start(course, folder)
            self._await(course, time.monotonic())
            self._climb(course, LADDER_SHARE * share)
            self._repeat([course], end, False)
            if course.contender.name in self._children:
                self._children.pop(course.contender.name).close()

    def _start(self, course: Course, folder: Path) -> None:
        self._children[course.contender.name] = Child(course.contender, folder, self.threads)

    def _await(self, course: Course, started: float) -> None:
        limit = min(START_LIMIT, max(LEAST_START, self.limits.problem_s)) - (time.monotonic() - started)
        try:
            course.start_s = self._children[course.contender.name].ready(max(1.0, limit))
        except ChildError as failure:
            self._fail(course, failure)

    def _fail(self, course: Course, failure: ChildError) -> None:
        course.note = str(failure)
        child = self._children.pop(course.contender.name, None)
        if child is not None:
            child.close()

    def _climb(self, course: Course, seconds: float) -> None:
        """Every level until the minimum is reached; the first also in a process that has fitted nothing yet."""
        if course.note:
            return
        child, end = self._children[course.contender.name], time.monotonic() + seconds
        levels = course.peer.levels
        if self._left() <= 0:
            course.note = "no time was left"
            return

        def asked(level: dict[str, Any], compile_s: float = 0.0) -> Step:
            limit = min(self.limits.fit_s, max(LEAST_LIMIT, end - time.monotonic())) + compile_s
            found = child.fit(level, limit)
            return Step(level, found, self._take(found["solution"], course.contender.name))

        try:
            begin = time.monotonic()
            cold = asked(levels[0], COMPILE_LIMIT if course.peer.compiles else 0.0)
            if course.peer.compiles:
                spent = time.monotonic() - begin  # the time of no one, or nobody had any after a long compilation
                end, self._end, self._compile_s = end + spent, self._end + spent, self._compile_s + spent
            course.cold = cold.first
            warm_levels = list(levels)
            long = cold.first["seconds"] > seconds / 4  # a second fit of this level would cost the time of the next
            if long and not course.peer.compiles:
                course.steps.append(cold)
                warm_levels.pop(0)
                if self._arrived(cold):
                    return
            for level in warm_levels:
                if time.monotonic() >= end:
                    course.note = f"no time for tighter settings in {max(0.0, seconds):.3g} s"
                    break
                course.steps.append(asked(level))
                if self._arrived(course.steps[-1]):
                    break
        except ChildError as failure:
            self._fail(course, failure)
        finally:
            self._say(course)

    def _arrived(self, step: Step) -> bool:
        """Whether tighter settings are of no use; unknown where the minimum was not found before."""
        return self._minimum_known and self.gap(step) <= GOALS[-1]

    def _say(self, course: Course) -> None:
        gaps = [self.gap(step) for step in course.steps]
        said = [f"within {min(gaps):.0e}"] if gaps else []
        self.report(f"    {course.contender.name}: " + "; ".join(said + ([course.note] if course.note else [])))

    def _repeat(self, courses: list[Course], end: float, interleaved: bool) -> None:
        """Each step that first reached a goal once more, in rounds whose order turns."""
        todo = [(course, step) for course in courses for step in self._first_steps(course)]
        for round_number in range(self.limits.repeats):
            turn = round_number % max(1, len(todo))
            for course, step in todo[turn:] + todo[:turn]:
                child = self._children.get(course.contender.name)
                if child is None or step.first["seconds"] * 1.5 > end - time.monotonic():
                    continue
                try:
                    found = child.fit(step.level, self.limits.fit_s + step.first["seconds"])
                except ChildError as failure:
                    self._fail(course, failure)
                    continue
                found["solution"].unlink()
                step.times.append(found["seconds"])
                step.cpu.append(found["cpu_s"])
                course.interleaved = interleaved

    def _first_steps(self, course: Course) -> list[Step]:
        steps = [self.step_to(course, goal) for goal in GOALS]
        return list({id(step): step for step in steps if step is not None}.values())

    def step_to(self, course: Course, goal: float) -> Step | None:
        """The loosest settings that came within ``goal`` of the minimum."""
        return next((step for step in course.steps if self.gap(step) <= goal), None)
