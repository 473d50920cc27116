"""Time on a CUDA device: events around launches, the host's clock around calls, and what is left of a time budget."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

WARM_UP = 3
ROUNDS = 30


class Budget:
    """Seconds that a run may take."""

    def __init__(self, seconds: float) -> None:
        self._begin = time.monotonic()
        self._end = self._begin + seconds

    def left(self) -> float:
        """Seconds until the end; negative after it."""
        return self._end - time.monotonic()

    def spent(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begin


def say(text: str) -> None:
    """A line about progress, on the standard error."""
    print(text, file=sys.stderr, flush=True)


def device_ms(cupy: Any, calls: Sequence[Callable[[], Any]], rounds: int = ROUNDS) -> float:
    """Median time of a call on the device, in milliseconds.

    Calls are taken in turn, one per round, so that several sets of data keep the cache from helping. All rounds are
    queued before the first wait: from the second or third on, the device is never idle between two events, and the
    time a launch takes on the host does not count.
    """
    for k in range(max(WARM_UP, len(calls))):
        calls[k % len(calls)]()
    cupy.cuda.Device().synchronize()
    marks = []
    for k in range(rounds):
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        calls[k % len(calls)]()
        end.record()
        marks.append((begin, end))
    cupy.cuda.Device().synchronize()
    return statistics.median(float(cupy.cuda.get_elapsed_time(begin, end)) for begin, end in marks)


def call_ms(call: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Median time of a call that waits for its result, in milliseconds, by the clock of the host."""
    for _ in range(WARM_UP):
        call()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


def queued_ms(call: Callable[[], Any], wait: Callable[[Any], Any], rounds: int = ROUNDS) -> float:
    """Mean time of a call, in milliseconds, with all rounds queued before one wait: for streams without our events."""
    for _ in range(WARM_UP):
        wait(call())
    begin = time.perf_counter()
    for _ in range(rounds):
        result = call()
    wait(result)
    return 1e3 * (time.perf_counter() - begin) / rounds


def one_line(error: BaseException) -> str:
    """An error in one line of at most 300 characters."""
    lines = [line.strip() for line in f"{type(error).__name__}: {error}".splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
