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
from gpu_logreg.errors import ClusterError

__all__ = ["DaskParts", "results_of", "submit_for_each"]

SHARED_BYTES = 2**17
"""Bytes of the arguments for all parts from which they are sent once to a worker that asks, and not with every task."""

SECONDS_WITHOUT_WORKERS = 30.0
"""Time without a worker, or without the scheduler, after which a fit ends."""

_ASK_SECONDS = 2.0
"""Time between two looks at the cluster while results are waited for."""


class DaskParts:
    """See `gpu_logreg.rows.part.Parts`.

    Parameters
    ----------
    client : Client
    futures : sequence of Future
        Each of a `gpu_logreg.rows.part.Part`, which stays on its worker, and which Dask makes anew elsewhere where
        that is lost.
    """

    def __init__(self, client: Client, futures: Sequence[Future]) -> None:
        self._client = client
        self._futures = list(futures)

    def each(
        self, function: Callable[..., Any], /, *shared: Any, own: Sequence[Sequence[Any] | None] | None = None
    ) -> list[Any]:
        """``function(part, *shared, *own[k])`` of every part; one task for each."""
        asked = [k for k in range(len(self._futures)) if own is None or own[k] is not None]
        columns = [self._futures[k] for k in asked], [() if own is None else own[k] for k in asked]
        sent: Any = shared
        if sum(value.nbytes for value in shared if isinstance(value, np.ndarray)) >= SHARED_BYTES:
            # The result of a task, as one that is scattered is lost with its worker.
            (sent,) = submit_for_each(self._client, tuple, [shared])
        futures = submit_for_each(self._client, _call, *columns, called=function, shared=sent)
        results: list[Any] = [None] * len(self._futures)
        for k, result in zip(asked, results_of(self._client, futures), strict=True):
            results[k] = result
        return results


def _call(part: Any, own: Sequence[Any], *, called: Callable[..., Any], shared: Sequence[Any]) -> Any:
    """The task of a part, on its worker."""
    with numpy_defaults(), blas_on_one_thread():
        return called(part, *shared, *own)


def submit_for_each(client: Client, function: Callable[..., Any], /, *columns: Sequence[Any], **same: Any) -> list[Any]:
    """Futures of ``function(*row, **same)`` for all rows of some columns.

    Raises
    ------
    ClusterError
        Where the client is closed, as it is some time after the scheduler has ended.
    """
    try:
        return list(client.map(function, *columns, **same, pure=False))
    except (CommClosedError, OSError, RuntimeError) as error:
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
    _wait(client, futures)
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


def _wait(client: Client, futures: Sequence[Future]) -> None:
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
