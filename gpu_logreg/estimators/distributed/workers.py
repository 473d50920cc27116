"""Calls of functions for all parts of the rows, on the workers of a Dask cluster that hold them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from distributed import CancelledError, Client, Future, LocalCluster, wait
from distributed.comm import CommClosedError

from gpu_logreg.errors import GpuLogregError
from gpu_logreg.estimators.distributed.calls import (
    WorkerGoneError,
    answers_of,
    awaited,
    called_for_each,
    reaches_workers,
    workers_there,
)
from gpu_logreg.estimators.distributed.failures import gone, told_in_a_line

__all__ = ["DaskParts", "computed_blocks", "results_of", "submit_for_each", "wait_for"]

SHARED_BYTES = 2**17
"""Bytes of the arguments for all parts from which they are sent once to a worker that asks, and not with every task."""

SHORT_SECONDS = 1.0
"""Time of a call from which the next one is by tasks: the scheduler sees them, and where a cluster adapts its number of
workers, it would end those without any. Beside a second the time of tasks is little."""

SECONDS_WITHOUT_WORKERS = 30.0
"""Time without a worker, or without the scheduler, after which a fit ends."""

_REGROUP_SECONDS = 5.0
"""Time after which it is asked again where parts are."""

_ASK_SECONDS = 2.0
"""Time between two looks at the cluster while results are waited for."""


class DaskParts:
    """See `gpu_logreg.rows.part.Parts`.

    Every thread of a worker calls the function for some of the parts that are on the worker, one after the other, and
    returns the result of each. The workers are called past the scheduler's tasks where the last call was short
    (`gpu_logreg.estimators.distributed.calls`); else, and for parts for which no worker answers, there is a task for
    each thread. Where parts are is asked again after `_REGROUP_SECONDS`, and after a call without an answer, as those
    of a worker that died are made anew elsewhere.

    Parameters
    ----------
    client : Client
    futures : sequence of Future
        Each of a `gpu_logreg.estimators.distributed.looks.Block`, which stays on its worker, and which Dask makes anew
        elsewhere where that is lost.
    setting : Setting or None
        With which the blocks are made parts, where they are called; None for calls of the blocks themselves.
    """

    def __init__(self, client: Client, futures: Sequence[Future], setting: Any = None) -> None:
        self._client, self._setting = client, setting
        self._futures = list(futures)
        self._groups: list[list[int]] = []
        self._places: list[str] = []
        self._asked_at = -np.inf
        self._last_seconds = 0.0

    def some(self, numbers: Sequence[int], setting: Any = None) -> DaskParts:
        """Those of some blocks, which are known to be where these were found."""
        parts = DaskParts(self._client, [self._futures[k] for k in numbers], setting)
        at = {k: place for place, k in enumerate(numbers)}
        groups = [[at[k] for k in group if k in at] for group in self._groups]
        found = [(worker, group) for worker, group in zip(self._places, groups, strict=True) if group]
        parts._places, parts._groups = [worker for worker, _ in found], [group for _, group in found]
        parts._asked_at, parts._last_seconds = self._asked_at, self._last_seconds
        return parts

    def each(
        self,
        function: Callable[..., Any],
        /,
        *shared: Any,
        own: Sequence[Sequence[Any] | None] | None = None,
        large: bool = False,
    ) -> list[Any]:
        """``function(part, *shared, *own[k])`` of every part, in every thread of the workers."""
        self._group()
        start = time.monotonic()
        owns = [()] * len(self._futures) if own is None else own
        groups = [[k for k in group if owns[k] is not None] for group in self._groups]
        wanted = [(worker, group) for worker, group in zip(self._places, groups, strict=True) if group]
        results: list[Any] = [None] * len(self._futures)
        if (
            self._last_seconds < SHORT_SECONDS
            and (not large or reaches_workers(self._client))  # and not twice the way, by the scheduler
            and _nbytes([*shared, *(one for row in owns for one in row or ())]) < SHARED_BYTES
        ):
            wanted = self._call_workers(wanted, results, function, shared, owns, large)
        if wanted:
            self._call_by_tasks([group for _, group in wanted], results, function, shared, owns)
        self._last_seconds = time.monotonic() - start
        for result in results:
            if isinstance(result, GpuLogregError):
                raise result
        return results

    def _call_workers(
        self,
        wanted: Sequence[tuple[str, list[int]]],
        results: list[Any],
        function: Callable[..., Any],
        shared: Sequence[Any],
        owns: Sequence[Any],
        large: bool,
    ) -> list[tuple[str, list[int]]]:
        """Put results of parts into their places; the workers and groups of parts that are left to be called."""
        by_worker: dict[str, list[list[int]]] = {}
        for worker, group in wanted:
            # Rows of a part travel while its worker takes those of the next.
            by_worker.setdefault(worker, []).extend([[k] for k in group] if large else [group])
        left = [("", group) for group in by_worker.pop("", [])]
        asked = {
            worker: [([self._futures[k].key for k in group], [owns[k] for k in group]) for group in groups]
            for worker, groups in by_worker.items()
        }
        how = {"called": function, "shared": shared, "setting": self._setting}
        answers = answers_of(self._client, asked, called_for_each, how, apart=large)
        for worker, groups in by_worker.items():
            for group, found in zip(groups, answers.get(worker) or [None] * len(groups), strict=True):
                if found is None:
                    left.append((worker, group))
                    continue
                for k, result in zip(group, found, strict=True):
                    results[k] = result
        if left:
            self._asked_at = -np.inf
        return left

    def _call_by_tasks(
        self,
        groups: Sequence[list[int]],
        results: list[Any],
        function: Callable[..., Any],
        shared: Sequence[Any],
        owns: Sequence[Any],
    ) -> None:
        """Put results of parts into their places; Dask makes anew what is lost."""
        sent: Any = shared
        if _nbytes(shared) >= SHARED_BYTES:
            # The result of a task, as one that is scattered is lost with its worker.
            (sent,) = submit_for_each(self._client, tuple, [shared])
        how = {"called": function, "shared": sent, "setting": self._setting}
        parts, owned = ([[row[k] for k in group] for group in groups] for row in (self._futures, owns))
        futures = submit_for_each(self._client, called_for_each, parts, owned, **how)
        for group, found in zip(groups, results_of(self._client, futures), strict=True):
            for k, result in zip(group, found, strict=True):
                results[k] = result

    def _group(self) -> None:
        """Ask where the parts are, and group those of one worker by its threads."""
        if time.monotonic() - self._asked_at < _REGROUP_SECONDS:
            return
        if not self._groups:
            wait_for(self._client, self._futures)
            _raise_first_error(self._client, self._futures)
        try:
            places, threads = self._client.who_has(self._futures), self._client.nthreads()
        except (CommClosedError, CancelledError, OSError, RuntimeError):
            places, threads = {}, {}  # the call says what is wrong
        by_worker: dict[str, list[int]] = {}
        for k, future in enumerate(self._futures):
            by_worker.setdefault(min(places.get(future.key, ()), default=""), []).append(k)
        found = []
        for worker, parts in by_worker.items():
            n = threads.get(worker, 1) if worker else len(parts)
            found += [(worker, parts[k::n]) for k in range(min(n, len(parts)))]
        self._places, self._groups = [worker for worker, _ in found], [group for _, group in found]
        self._asked_at = time.monotonic()


def _nbytes(values: Sequence[Any]) -> int:
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))


def computed_blocks(client: Client, blocks: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Futures of delayed rows, labels and weights, by column; None stays None.

    All are known to the scheduler at the end: it takes up graphs in the background, so that a task that is submitted
    too soon may overtake what it depends on, and is cancelled.
    """
    with told_in_a_line(client):
        found = list(client.compute([one for block in blocks for one in block if one is not None]))
    wait_for(client, found)
    _raise_first_error(client, found)
    futures = iter(found)
    rows = [[None if one is None else next(futures) for one in block] for block in blocks]
    return [list(column) for column in zip(*rows, strict=True)]


def _raise_first_error(client: Client, futures: Sequence[Future]) -> None:
    """Raise what the first task in their order has raised, whichever came first."""
    for future in futures:
        if future.status == "error":
            try:
                with told_in_a_line(client):
                    future.result()
            finally:  # else the client keeps the error, its traceback these frames, and they all futures
                future.release()


def submit_for_each(client: Client, function: Callable[..., Any], /, *columns: Sequence[Any], **same: Any) -> list[Any]:
    """Futures of ``function(*row, **same)`` for all rows of some columns.

    Raises
    ------
    ClusterError
        Where the client is closed, as it is some time after the scheduler has ended.
    """
    with told_in_a_line(client):
        return list(client.map(function, *columns, **same, pure=False))


def results_of(client: Client, futures: Sequence[Future]) -> list[Any]:
    """The results of some tasks, in their order.

    Raises
    ------
    ClusterError
        Where all workers, or the scheduler, are gone for `SECONDS_WITHOUT_WORKERS`, where a task has ended its worker
        several times in a row, and where rows are lost that nothing can make anew.
    """
    wait_for(client, futures)
    _raise_first_error(client, futures)
    with told_in_a_line(client):
        return _gathered(client, list(futures))


def _gathered(client: Client, futures: list[Future]) -> list[Any]:
    """The results of tasks that have ended, asked for again where a worker is gone meanwhile.

    From workers of this machine they come straight, which takes large ones less time than through the scheduler.
    """
    direct = True if isinstance(client.cluster, LocalCluster) else None
    alone_since: float | None = None
    while True:
        there = workers_there(client)
        if there:
            alone_since = None
            with contextlib.suppress(WorkerGoneError):
                return list(awaited(client, client.gather(futures, direct=direct, asynchronous=True), there))
            continue
        alone_since = alone_since or time.monotonic()
        if time.monotonic() - alone_since > SECONDS_WITHOUT_WORKERS:
            raise gone()
        time.sleep(_ASK_SECONDS)


def wait_for(client: Client, futures: Sequence[Future]) -> None:
    """Wait until all tasks have ended, in whatever way."""
    alone_since: float | None = None
    while True:
        try:
            with client.as_current():  # `wait` asks for no client
                wait(futures, timeout=_ASK_SECONDS)
            return
        except CancelledError:
            return
        except TimeoutError:
            if workers_there(client):
                alone_since = None
                continue
        alone_since = alone_since or time.monotonic()
        if time.monotonic() - alone_since > SECONDS_WITHOUT_WORKERS:
            if client.status == "running":
                client.cancel(list(futures), force=True)
            raise gone()
