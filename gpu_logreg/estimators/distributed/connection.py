"""A client of a scheduler that runs already, or of workers that are started on this machine and end with it."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from importlib.metadata import version

import dask
from dask.utils import parse_timedelta
from distributed import Client, LocalCluster
from distributed.security import Security

from gpu_logreg.errors import ClusterError, DataError

__all__ = ["connected", "refuse_unseen"]

CONNECT_SECONDS = 10.0
"""Time in which a scheduler is to answer."""

REACH_SECONDS = 5.0
"""Time in which workers that are started here reach each other. Dask tries for 30 s, and so long waits whoever wants
something of a worker that has died."""

_REACH, _PRELOAD = "distributed.comm.timeouts.connect", "distributed.worker.preload"

WORKER_SECONDS = 60.0
"""Time in which a first worker is to be there: it starts an interpreter."""


@contextlib.contextmanager
def connected(scheduler: str | None, workers: int | None) -> Iterator[Client]:
    """A client of the scheduler at an address, or of a number of workers that are started here.

    Raises
    ------
    ClusterError
        No scheduler answers there; it has no worker; workers have no gpu-logreg, or another version of it.
    """
    with contextlib.ExitStack() as stack:
        if scheduler is None:
            assert workers is not None
            seconds = min(REACH_SECONDS, parse_timedelta(dask.config.get(_REACH)))
            # A worker imports the package before it joins, and not within its first task, in which it answers nobody.
            preload = [*dask.config.get(_PRELOAD), "gpu_logreg.dask"]
            stack.enter_context(dask.config.set({_REACH: f"{seconds}s", _PRELOAD: preload}))  # the workers get them too
            threads = max(1, len(os.sched_getaffinity(0)) // workers)
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=threads,
                    dashboard_address=":0",
                    silence_logs=logging.CRITICAL,
                )
            )
            client = stack.enter_context(Client(cluster, set_as_default=False))
        else:
            client = stack.enter_context(_client_of(scheduler))
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError as error:
            raise ClusterError(
                f"the cluster has no worker after {WORKER_SECONDS:.0f} s; start some: dask worker ADDRESS --nthreads 1"
            ) from error
        _refuse_other_versions(client)
        yield client


def _refuse_address(scheduler: str) -> None:
    """Refuse what is no address: Dask says it late, after a traceback."""
    found = re.fullmatch(r"(?:(\w+)://)?[^/\s]+:\d+", scheduler)
    if found is None or found[1] not in (None, "tcp", "tls", "ws", "wss", "ucx"):
        raise ClusterError(f"{scheduler!r} is no address of a scheduler; give HOST:8786, or what dask scheduler prints")
    if found[1] in ("tls", "wss") and Security().get_connection_args("client").get("ssl_context") is None:
        raise ClusterError(
            f"{scheduler} needs certificates, and Dask's configuration names none; set distributed.comm.tls.ca-file, "
            "client.cert and client.key there"
        )


def _client_of(scheduler: str) -> Client:
    _refuse_address(scheduler)
    log = logging.getLogger("distributed")
    level = log.level
    log.setLevel(logging.CRITICAL)  # the error says it
    try:
        return Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(
            f"no scheduler answers at {scheduler} within {CONNECT_SECONDS:.0f} s; start one with dask scheduler, and "
            "give the address that it prints"
        ) from error
    finally:
        log.setLevel(level)


def _refuse_other_versions(client: Client) -> None:
    try:
        found = client.run(_version)
    except Exception as error:  # whatever it is that a worker cannot load
        raise ClusterError(
            f"a worker cannot load gpu-logreg ({' '.join(str(error).split())[:200]}); install the same version in all"
        ) from error
    here = _version()
    for worker, there in sorted(found.items()):
        if there != here:
            raise ClusterError(f"the worker {worker} has gpu-logreg {there}, and this is {here}; install one of them")


def _version() -> str:
    return version("gpu-logreg")


def refuse_unseen(client: Client, paths: list[str]) -> None:
    """Refuse files that a worker cannot read.

    Raises
    ------
    DataError
        The message names a file and a worker.
    """
    for worker, unseen in sorted(client.run(_first_unseen, paths).items()):
        if unseen is not None:
            raise DataError(
                f"{unseen}: the worker {worker} cannot read it; put it where all workers see it under this path"
            )


def _first_unseen(paths: list[str]) -> str | None:
    return next((path for path in paths if not os.access(path, os.R_OK)), None)
