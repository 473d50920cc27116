"""What Dask raises where a cluster fails, in one line that says what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from distributed import CancelledError, Client, KilledWorker

from gpu_logreg.errors import ClusterError, GpuLogregError

__all__ = ["gone", "told_in_a_line"]


def gone() -> ClusterError:
    """The error of a cluster of which nothing is left."""
    return ClusterError(
        "the cluster has no worker left, or its scheduler does not answer; start workers, make a new client and fit "
        "again"
    )


@contextlib.contextmanager
def told_in_a_line(client: Client) -> Iterator[None]:
    """Raise a `ClusterError` where a task has ended its worker several times in a row, where rows are lost that nothing
    can make anew, and where the client is closed, as it is some time after the scheduler has ended.

    Errors of the tasks themselves are raised as they are.
    """
    try:
        yield
    except GpuLogregError:
        raise
    except KilledWorker as error:
        raise ClusterError(
            f"a partition ended its worker {error.allowed_failures + 1} times in a row; give workers more memory, or "
            "smaller partitions"
        ) from error
    except Exception as error:  # what a closed client raises differs between versions of Dask
        if client.status != "running":
            raise gone() from error
        if not isinstance(error, CancelledError):
            raise
        raise ClusterError(
            "the cluster has lost rows that it cannot make anew, as after a restart, or of data that were scattered or "
            "are another client's; fit again, from a collection that knows where its rows come from"
        ) from error
