"""Calls of functions for all parts of the rows, on the workers of a Dask cluster that hold them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from distributed import CancelledError, Client, Future, KilledWorker, wait

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import numpy_defaults
from gpu_logreg.errors import ClusterError

__all__ = ["DaskParts", "results_of"]

SCATTERED_BYTES = 2**17
"""Bytes of the arguments for all parts from which they are sent once to a worker that asks, and not with every task."""

SECONDS_WITHOUT_WORKERS = 30.0
"""Time without a worker, or without the scheduler, after which a fit ends."""

_ASK_SECONDS = 2.0
"""Time between two looks at the cluster while results are waited for."""


class DaskParts:
    """See `gpu_logreg.rows.parted.Parts`.

    Parameters
    ----------
    client : Client
    futures : sequence of Future
        Each of a `gpu_logreg.rows.parted.Part`, which stays on its worker, and which Dask makes anew elsewhere where
        that is lost.
    """

    def __init__(self, client: Client, futures: Sequence[Future]) -> None:
        self._client = client
        self._futures = list(futures)

    def each(
        self, function: Callable[..., Any], /, *shared: Any, own: Sequence[Sequence[Any] | None] | None = None
    ) -> list[Any]:
        """``function(part, *shared, *own[k])`` of every part; one task for each."""
        nbytes = sum(np.asarray(value).nbytes for value in shared if isinstance(value, np.ndarray))
        sent: Any = shared
        if nbytes >= SCATTERED_BYTES:
            (sent,) = self._client.scatter([_Shared(shared)], hash=False)
        called = [k for k in range(len(self._futures)) if own is None or own[k] is not None]
        futures = self._client.map(
            _call,
            [self._futures[k] for k in called],
            [() if own is None else own[k] for k in called],
            function=function,
            shared=sent,
            pure=False,
        )
        results: list[Any] = [None] * len(self._futures)
        for k, result in zip(called, results_of(self._client, futures), strict=True):
            results[k] = result
        return results


class _Shared:
    """Arguments that are sent as one."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self.arguments = arguments


def _call(part: Any, own: Sequence[Any], *, function: Callable[..., Any], shared: Any) -> Any:
    """The task of a part, on its worker."""
    arguments = shared.arguments if isinstance(shared, _Shared) else shared
    with numpy_defaults(), blas_on_one_thread():
        return function(part, *arguments, *own)


def results_of(client: Client, futures: Sequence[Future]) -> list[Any]:
    """The results of some tasks, in their order.

    Raises
    ------
    ClusterError
        Where all workers, or the scheduler, are gone for `SECONDS_WITHOUT_WORKERS`, and where a task has ended its
        worker several times in a row.
    """
    alone_since: float | None = None
    while True:
        try:
            wait(futures, timeout=_ASK_SECONDS)
            break
        except TimeoutError:
            if _has_workers(client):
                alone_since = None
                continue
            alone_since = alone_since or time.monotonic()
            if time.monotonic() - alone_since > SECONDS_WITHOUT_WORKERS:
                client.cancel(list(futures), force=True)
                raise ClusterError(
                    "the cluster has no worker left, or its scheduler does not answer; start workers and fit again"
                ) from None
        except CancelledError:
            break
    try:
        found: list[Any] = client.gather(list(futures))
    except KilledWorker as error:
        raise ClusterError(
            f"a partition ended its worker {error.allowed_failures + 1} times in a row; give workers more memory, or "
            "smaller partitions"
        ) from error
    except CancelledError as error:
        raise ClusterError("the scheduler has lost the rows of this fit, as after a restart; fit again") from error
    return found


def _has_workers(client: Client) -> bool:
    if client.status != "running":
        return False
    try:
        return bool(client.run_on_scheduler(_count_workers))
    except (OSError, TimeoutError):
        return False


def _count_workers(dask_scheduler: Any) -> int:
    return len(dask_scheduler.workers)
