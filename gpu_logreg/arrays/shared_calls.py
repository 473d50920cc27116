"""Calls of one function that threads share: the thread that asks for them takes its part.

A short pass is half over before another thread has woken.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

__all__ = ["SharedCalls"]

T = TypeVar("T")


class SharedCalls(Generic[T]):
    """Calls that are made by whichever thread is free, each once, in order.

    Parameters
    ----------
    function : function
    arguments : tuple of sequences of equal length

    Examples
    --------
    >>> list(SharedCalls(pow, ([2, 3, 4], [3, 2, 1])).made_here())
    [8, 9, 4]
    """

    def __init__(self, function: Callable[..., T], arguments: tuple[Sequence[Any], ...]) -> None:
        self._function = function
        self._waiting = collections.deque(enumerate(zip(*arguments, strict=True)))  # from which several threads may pop
        self._results: dict[int, T] = {}
        self._n_given = 0

    def help(self) -> None:
        """Make calls while some are waiting; where one fails, no other is begun by any thread."""
        try:
            while self._make():
                pass
        except BaseException:
            self.stop()
            raise

    def made_here(self) -> Iterator[T]:
        """As `help`; meanwhile the results that have no earlier one to wait for, in order."""
        while self._make():
            yield from self.results()

    def results(self) -> Iterator[T]:
        """The next results, as far as they are there."""
        while self._n_given in self._results:
            self._n_given += 1
            yield self._results.pop(self._n_given - 1)

    def stop(self) -> None:
        """Leave the calls that no thread has begun."""
        self._waiting.clear()

    def _make(self) -> bool:
        """Make the next call; false where none is waiting."""
        try:
            turn, arguments = self._waiting.popleft()
        except IndexError:
            return False
        self._results[turn] = self._function(*arguments)
        return True
