"""Threads of the host: a pool that computes blocks of rows, while BLAS uses one thread.

NumPy's BLAS has threads of its own. They busy-wait for a while after every product and occupy the processors that the
pool needs: a compiled pass right after a product on several threads took clearly longer. So products are cut into
blocks of rows, one thread of the pool computes each block, and the sums of the blocks are added in their order: the
result does not depend on the number of threads.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np
from joblib import cpu_count
from threadpoolctl import ThreadpoolController

from gpu_logreg.arrays import thread_limit
from gpu_logreg.arrays.block_sizes import BlockSize
from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.arrays.forks import wait_before_forks
from gpu_logreg.arrays.shared_calls import SharedCalls
from gpu_logreg.arrays.vector import ArrayOfRows

__all__ = [
    "blas_on_one_thread",
    "calls_are_alone",
    "chunks_are_few",
    "help_in_threads",
    "map_chunks",
    "map_in_order",
    "map_row_blocks",
    "n_threads",
    "row_blocks",
    "sum_in_order",
]

T = TypeVar("T")

_QUIET: dict[str, Any] = {"over": "ignore", "invalid": "ignore", "divide": "ignore"}

SHARED_BYTES = 2**20
"""Bytes of rows from which threads share them: fewer are read in about the time in which another thread wakes. From
trials on two cores, of which no row is kept."""

_pool: ThreadPoolExecutor | None = None
_helpers: ThreadPoolExecutor | None = None
_lock = threading.RLock()  # held while this module's variables, or the number of threads of BLAS, are changed
_inside = 0
_limiter: Any = None
_here = threading.local()


def n_threads() -> int:
    """Threads a pass runs on: the CPUs this process may use, or ``OMP_NUM_THREADS`` where that was set to fewer."""
    available = _cpus()
    limit = thread_limit.OMP_NUM_THREADS
    return min(available, int(limit)) if limit.isdigit() and int(limit) > 0 else available


@functools.cache
def _cpus() -> int:
    return int(cpu_count())


def map_in_order(function: Callable[..., T], *arguments: Sequence[Any], short: bool = False) -> list[T]:
    """``function`` of the arguments, on the pool; results in the order of the arguments.

    Where ``function`` itself calls this, its calls are made one after the other: if every thread of the pool waited for
    calls that no free thread can make, the pool would deadlock. NumPy's floating-point warnings are off: what is not
    finite makes the sums not finite, and callers check the sums. ``short`` is as of `sum_in_order`.

    Examples
    --------
    >>> map_in_order(pow, [2, 3, 4], [3, 2, 1])
    [8, 9, 4]
    """
    if calls_are_alone(len(arguments[0])):
        with np.errstate(**_QUIET):
            return list(map(function, *arguments))
    return list((_here_and_in_threads if short else _in_threads)(function, arguments))


def map_chunks(function: Callable[[int, int], Any], n_chunks: int, nbytes: int) -> None:
    """Call ``function`` of the first of some consecutive chunks and the one after the last, for all of them.

    On the pool there are two calls for each thread, so that a thread whose processor is busy with another program takes
    fewer of them.

    Parameters
    ----------
    function : function (first, last) -> None
    n_chunks : int
    nbytes : int
        Bytes of all chunks together: the calling thread computes fewer than `SHARED_BYTES` alone.
    """
    if chunks_are_few(n_chunks, nbytes):
        with np.errstate(**_QUIET):
            function(0, n_chunks)
        return
    n_calls = min(n_chunks, 2 * n_threads())
    edges = [n_chunks * k // n_calls for k in range(n_calls + 1)]
    for _ in _in_threads(function, (edges[:-1], edges[1:])):
        pass


def calls_are_alone(n_calls: int) -> bool:
    """Whether the calling thread makes the calls itself, as where it is one of the pool, or the only one."""
    return n_calls < 2 or getattr(_here, "is_ours", False) or n_threads() == 1


def chunks_are_few(n_chunks: int, nbytes: int) -> bool:
    """Whether the calling thread computes all chunks itself, because they are small or its calls are alone."""
    return nbytes < SHARED_BYTES or calls_are_alone(n_chunks)


def sum_in_order(
    add: Callable[[T, T], T], function: Callable[..., T], *arguments: Sequence[Any], short: bool = False
) -> T:
    """As `map_in_order`, with the results added in order as they come: only results that wait for their turn are held.

    Parameters
    ----------
    add : function (total, part) -> total
        It may change and return ``total``, which at first is the first result.
    function, arguments
        Those of `map_in_order`; each sequence has at least one element.
    short : bool
        Whether all calls together take so little time that the calling thread makes some before others have woken. It
        does not where they are longer: on a processor that is shared with other programs, a thread that sleeps between
        passes is let run sooner than one that never does.
    """
    if calls_are_alone(len(arguments[0])):
        with np.errstate(**_QUIET):
            return functools.reduce(add, map(function, *arguments))
    return functools.reduce(add, (_here_and_in_threads if short else _in_threads)(function, arguments))


def help_in_threads(n_helpers: int, function: Callable[..., Any], *arguments: Any) -> list[Future[Any]]:
    """Call a function in some threads besides those of the pool, which are not kept waiting by it."""
    global _helpers
    with _lock:
        if _helpers is None:
            _helpers = ThreadPoolExecutor(n_threads(), "gpu-logreg-helper", initializer=_mark_as_ours)
        return [_helpers.submit(function, *arguments) for _ in range(n_helpers)]


def _in_threads(function: Callable[..., T], arguments: tuple[Sequence[Any], ...]) -> Iterator[T]:
    return _threads().map(functools.partial(_quietly, function), *arguments)


def _here_and_in_threads(function: Callable[..., T], arguments: tuple[Sequence[Any], ...]) -> Iterator[T]:
    """As `_in_threads`, with calls by the calling thread too."""
    calls, threads = SharedCalls(functools.partial(_quietly, function), arguments), _threads()
    helpers = [threads.submit(calls.help) for _ in range(min(len(arguments[0]), n_threads()) - 1)]
    _here.is_ours = True
    try:
        yield from calls.made_here()
        for helper in helpers:
            if not helper.cancel():  # it has begun, and may be at the last call
                helper.result()
        yield from calls.results()
    finally:
        _here.is_ours = False
        calls.stop()
        wait([helper for helper in helpers if not helper.cancel()])


def _quietly(function: Callable[..., T], *values: Any) -> T:
    with np.errstate(**_QUIET):  # every thread has its own settings
        return function(*values)


def row_blocks(n: int, row_bytes: int, block_bytes: int, least_rows: int = 1) -> list[slice]:
    """Equal blocks of rows of about ``block_bytes``.

    Their number depends on the sizes alone, and not on the number of threads: it decides the order of additions, and so
    the last bits of sums.

    Examples
    --------
    >>> row_blocks(10, row_bytes=8, block_bytes=40)
    [slice(0, 5, None), slice(5, 10, None)]
    """
    count = max(1, min(-(-n * row_bytes // block_bytes), n // max(1, least_rows)))
    if count == 1:
        return [slice(0, n)] if n else []
    edges = [n * k // count for k in range(count + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges) if b > a]


def map_row_blocks(
    function: Callable[[slice], T],
    X: ArrayOfRows,
    size: BlockSize,
    *,
    n: int | None = None,
    row_bytes: int | None = None,
    least_rows: int = 1,
) -> list[T]:
    """``function`` of every block of rows, in order: of several at once on the host, one after the other on a device.

    Parameters
    ----------
    function : function slice -> T
    X : array of shape (n, d)
        Rows, dense or sparse, that live where the blocks are worked on.
    size : BlockSize
    n : int, optional
        Rows to cut into blocks, if they are not those of ``X``.
    row_bytes : int, optional
        Bytes of what a row takes up, if it is not that of ``X`` itself.
    least_rows : int
        Rows that a block has at least.
    """
    n = X.shape[0] if n is None else n
    row_bytes = max(1, X.shape[1]) * X.dtype.itemsize if row_bytes is None else row_bytes
    if type(X) is np.ndarray or array_namespace(X) is np:
        if 0 < n * row_bytes <= size.host:  # one block, as of few rows: nothing to be shared out
            with np.errstate(**_QUIET):
                return [function(slice(0, n))]
        return map_in_order(function, row_blocks(n, row_bytes, size.host, least_rows))
    return [function(part) for part in row_blocks(n, row_bytes, size.device, least_rows)]


@contextlib.contextmanager
def blas_on_one_thread() -> Iterator[None]:
    """Limit BLAS to one thread within the block.

    Several threads may be in such blocks at the same time: the first sets the limit, and the last restores the number
    of threads that BLAS had before.
    """
    global _inside, _limiter
    with _lock:
        _inside += 1
        if _limiter is None:
            _limiter = _controller().limit(limits=1, user_api="blas")
            _limiter.__enter__()
    _here.entered = _entered_here() + 1
    try:
        yield
    finally:
        _here.entered -= 1
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limiter.__exit__(None, None, None)
                _limiter = None


def _entered_here() -> int:
    """Depth to which this thread has nested blocks of `blas_on_one_thread`."""
    return getattr(_here, "entered", 0)


@functools.cache
def _controller() -> Any:
    return ThreadpoolController()


def _threads() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(n_threads(), "gpu-logreg", initializer=_mark_as_ours)
        return _pool


def _mark_as_ours() -> None:
    _here.is_ours = True


def _forget_threads() -> None:
    """Forget the pool in a forked child, which has none of its parent's threads but the one that forked.

    If the parent had limited BLAS to one thread, the limit holds in the child to the end of the child's next block.
    """
    global _pool, _helpers, _inside
    _pool, _helpers, _inside = None, None, _entered_here()


wait_before_forks(_lock, _forget_threads)
