"""Times of functions that are called in turn, so that what else the machine does meets all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Deadline", "Spread", "interleaved", "spread"]


@dataclass(frozen=True)
class Spread:
    """The median of some measurements, their first and third quartile, and how many there are."""

    median: float
    low: float
    high: float
    n: int


def spread(values: Iterable[float]) -> Spread:
    """The `Spread` of values.

    Examples
    --------
    >>> spread([3.0, 1.0, 2.0])
    Spread(median=2.0, low=1.5, high=2.5, n=3)
    """
    found = np.fromiter(values, dtype=np.float64)
    low, median, high = (float(value) for value in np.quantile(found, (0.25, 0.5, 0.75)))
    return Spread(median, low, high, len(found))


class Deadline:
    """A moment up to which several things are to be measured, each of which gets an equal part of the time left.

    Parameters
    ----------
    seconds : float
        From now on.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.perf_counter() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; 0 where none are."""
        return max(0.0, self._end - time.perf_counter())

    def part(self, n_to_come: int) -> Deadline:
        """The end of the part of the next of ``n_to_come`` things."""
        return Deadline(self.left / n_to_come)


def interleaved(
    functions: Mapping[str, Callable[[], object]], rounds: int, deadline: Deadline
) -> dict[str, list[float]]:
    """Seconds that functions take: in every round each is called once.

    Before the rounds each is called once, and that call, which may compile code, does not count. Every second round
    goes through the functions backwards, so that none has always the same one before it.

    Parameters
    ----------
    functions : dict of function () -> object
    rounds : int
        Most rounds.
    deadline : Deadline
        No round begins after it but the first.

    Returns
    -------
    dict of list of float
        Of one length for all functions.
    """
    for function in functions.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    names = list(functions)
    for number in range(rounds):
        if number and not deadline.left:
            break
        for name in names if number % 2 == 0 else reversed(names):
            start = time.perf_counter()
            functions[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds
