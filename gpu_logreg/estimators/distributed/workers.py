"""Calls of functions for all parts of the rows, on the workers of a Dask cluster that hold them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from distributed import CancelledError, Client, Future, KilledWorker, wait
from distributed.comm import CommClosedError

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import numpy_defaults
from gpu_logreg.errors import ClusterError, GpuLogregError
from gpu_logreg.rows.part import call

__all__ = ["DaskParts", "computed_blocks", "results_of", "submit_for_each", "wait_for"]

SHARED_BYTES = 2**17
"""Bytes of the arguments for all parts from which they are sent once to a worker that asks, and not with every task."""

SECONDS_WITHOUT_WORKERS = 30.0
"""Time without a worker, or without the scheduler, after which a fit ends."""

_REGROUP_SECONDS = 5.0
"""Time after which it is asked again where parts are."""

_ASK_SECONDS = 2.0
"""Time between two looks at the cluster while results are waited for."""


class DaskParts:
    """See `gpu_logreg.rows.part.Parts`.

    A task takes a millisecond or more of the scheduler and of the client, so that there is one for every thread of a
    worker and not for every part: it calls the function for the parts that are on the worker, one after the other, and
    returns the result of each. Where parts are is asked again every `_REGROUP_SECONDS`, as those of a worker that died
    are made anew elsewhere.

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
        self._asked_at = -np.inf

    def some(self, numbers: Sequence[int], setting: Any = None) -> DaskParts:
        """Those of some blocks, which are known to be where these were found."""
        parts = DaskParts(self._client, [self._futures[k] for k in numbers], setting)
        at = {k: place for place, k in enumerate(numbers)}
        groups = [[at[k] for k in group if k in at] for group in self._groups]
        parts._groups, parts._asked_at = [group for group in groups if group], self._asked_at
        return parts

    def each(
        self, function: Callable[..., Any], /, *shared: Any, own: Sequence[Sequence[Any] | None] | None = None
    ) -> list[Any]:
        """``function(part, *shared, *own[k])`` of every part; one task for each thread of a worker."""
        self._group()
        wanted = [[k for k in group if own is None or own[k] is not None] for group in self._groups]
        wanted = [group for group in wanted if group]
        parts = [[self._futures[k] for k in group] for group in wanted]
        owns = [[() if own is None else own[k] for k in group] for group in wanted]
        sent: Any = shared
        if sum(value.nbytes for value in shared if isinstance(value, np.ndarray)) >= SHARED_BYTES:
            # The result of a task, as one that is scattered is lost with its worker.
            (sent,) = submit_for_each(self._client, tuple, [shared])
        how = {"called": function, "shared": sent, "setting": self._setting}
        futures = submit_for_each(self._client, _call, parts, owns, **how)
        results: list[Any] = [None] * len(self._futures)
        for group, found in zip(wanted, results_of(self._client, futures), strict=True):
            for k, result in zip(group, found, strict=True):
                results[k] = result
        for result in results:
            if isinstance(result, GpuLogregError):
                raise result
        return results

    def _group(self) -> None:
        """Ask where the parts are, and group those of one worker by its threads."""
        if time.monotonic() - self._asked_at < _REGROUP_SECONDS:
            return
        if not self._groups:
            wait_for(self._client, self._futures)
            _raise_first_error(self._futures)
        try:
            places, threads = self._client.who_has(self._futures), self._client.nthreads()
        except (CommClosedError, CancelledError, OSError, RuntimeError):
            places, threads = {}, {}  # the call says what is wrong
        by_worker: dict[str, list[int]] = {}
        for k, future in enumerate(self._futures):
            by_worker.setdefault(min(places.get(future.key, ()), default=""), []).append(k)
        groups = []
        for worker, parts in by_worker.items():
            n = threads.get(worker, 1) if worker else len(parts)
            groups += [parts[k::n] for k in range(min(n, len(parts)))]
        self._groups, self._asked_at = groups, time.monotonic()


def _call(
    blocks: Sequence[Any], owns: Sequence[Sequence[Any]], *, called: Callable[..., Any], shared: Any, setting: Any
) -> list[Any]:
    """The task of some blocks, on their worker: the result for each, or its error."""
    results: list[Any] = []
    with numpy_defaults(), blas_on_one_thread():
        for block, own in zip(blocks, owns, strict=True):
            try:
                part = block if setting is None else block.part(setting)
                results.append(call(part, called, (*shared, *own)))
            except GpuLogregError as error:
                results.append(error)
    return results


def computed_blocks(client: Client, blocks: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Futures of delayed rows, labels and weights, by column; None stays None.

    All are known to the scheduler at the end: it takes up graphs in the background, so that a task that is submitted
    too soon may overtake what it depends on, and is cancelled.
    """
    found = list(client.compute([one for block in blocks for one in block if one is not None]))
    wait_for(client, found)
    _raise_first_error(found)
    futures = iter(found)
    rows = [[None if one is None else next(futures) for one in block] for block in blocks]
    return [list(column) for column in zip(*rows, strict=True)]


def _raise_first_error(futures: Sequence[Future]) -> None:
    """Raise what the first task in their order has raised, whichever came first."""
    for future in futures:
        if future.status == "error":
            future.result()


def submit_for_each(client: Client, function: Callable[..., Any], /, *columns: Sequence[Any], **same: Any) -> list[Any]:
    """Futures of ``function(*row, **same)`` for all rows of some columns.

    Raises
    ------
    ClusterError
        Where the client is closed, as it is some time after the scheduler has ended.
    """
    try:
        return list(client.map(function, *columns, **same, pure=False))
    except (CommClosedError, CancelledError, OSError, RuntimeError, ValueError) as error:
        if client.status == "running":
            raise
        raise _gone() from error


def _gone() -> ClusterError:
    return ClusterError(
        "the cluster has no worker left, or its scheduler does not answer; start workers, make a new client and fit "
        "again"
    )


def results_of(client: Client, futures: Sequence[Future]) -> list[Any]:
    """The results of some tasks, in their order.

    Raises
    ------
    ClusterError
        Where all workers, or the scheduler, are gone for `SECONDS_WITHOUT_WORKERS`, where a task has ended its worker
        several times in a row, and where rows are lost that nothing can make anew.
    """
    wait_for(client, futures)
    try:
        return list(client.gather(list(futures)))
    except KilledWorker as error:
        raise ClusterError(
            f"a partition ended its worker {error.allowed_failures + 1} times in a row; give workers more memory, or "
            "smaller partitions"
        ) from error
    except CancelledError as error:
        if client.status != "running":
            raise _gone() from error
        raise ClusterError(
            "the cluster has lost rows that it cannot make anew, as after a restart, or of data that were scattered; "
            "fit again, from a collection that knows where its rows come from"
        ) from error


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
            if _has_workers(client):
                alone_since = None
                continue
        alone_since = alone_since or time.monotonic()
        if time.monotonic() - alone_since > SECONDS_WITHOUT_WORKERS:
            if client.status == "running":
                client.cancel(list(futures), force=True)
            raise _gone()


def _has_workers(client: Client) -> bool:
    if client.status != "running":
        return False
    try:
        return bool(client.nthreads())
    except (CommClosedError, OSError, TimeoutError):
        return False
