"""Reading ahead: a thread makes the next items of a walk while the present one is used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

__all__ = ["Stopped", "read_ahead"]

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 - it is a signal, and no error
    """The consumer of a walk has left it."""


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


_END = object()


def read_ahead(make: Callable[[Callable[[], None]], Iterator[T]], depth: int = 1) -> Iterator[T]:
    """The items of an iterator that is made and advanced in a thread of its own, at most ``depth`` items ahead.

    An exception of the iterator is raised here, at its item. A consumer that leaves early ends the thread: it is waited
    for, so that no file is read after the walk.

    Parameters
    ----------
    make : function (check) -> iterator
        ``check()`` raises `Stopped` once the consumer has left; an iterator that waits for something calls it.
    depth : int

    Examples
    --------
    >>> list(read_ahead(lambda check: iter("abc")))
    ['a', 'b', 'c']
    """
    ready: queue.Queue[Any] = queue.Queue(depth)
    left = threading.Event()

    def check() -> None:
        if left.is_set():
            raise Stopped

    def put(item: Any) -> None:
        while True:
            check()
            try:
                ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def run() -> None:
        try:
            try:
                for item in make(check):
                    put(item)
                put(_END)
            except Stopped:
                pass
            except BaseException as error:  # whatever it is, the consumer is to see it
                put(_Failed(error))
        except Stopped:
            pass

    thread = threading.Thread(target=run, name="gpu-logreg-read-ahead", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not _END:
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        left.set()
        thread.join()
