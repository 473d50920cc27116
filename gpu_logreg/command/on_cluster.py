"""What ``train`` and ``predict`` share where the workers of a Dask cluster read the files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_logreg.command.report import waiting
from gpu_logreg.errors import DataError, MissingDependencyError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["cluster", "refuse_for_cluster"]


def refuse_for_cluster(data: Path, scheduler: str | None, workers: int | None) -> str:
    """Refuse, before anything is started, what no cluster can do; the option that asks for one.

    Raises
    ------
    DataError, MissingDependencyError
        One line.
    """
    option = "--workers" if scheduler is None else "--scheduler"
    if scheduler is not None and workers is not None:
        raise DataError("--scheduler is a cluster that runs, and --workers starts one; give one of them")
    if str(data) == "-" or ".zip:" in str(data):
        raise DataError(f"{data}: is read by this process alone; give {option} a file that workers can read")
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(f"{option} needs Dask's scheduler; pip install 'gpu-logreg[dask]'") from error
    return option


@contextlib.contextmanager
def cluster(scheduler: str | None, workers: int | None) -> Iterator[Client]:
    """A client of the cluster, which shows that it waits for it; see `connected`."""
    from gpu_logreg.estimators.distributed.connection import connected

    with contextlib.ExitStack() as stack:
        with waiting(f"connecting to {'the cluster' if scheduler is None else scheduler}"):
            client = stack.enter_context(connected(scheduler, workers))
        yield client
