"""Calls of functions on the workers of a Dask cluster, past the tasks of the scheduler.

A task waits for messages that the client, the scheduler and the worker send in batches, and its result for another
message that asks for it. A call goes to all workers in one message and comes back in one, which takes less time. But
nothing makes it again: where a worker does not answer, or has lost what it is called with, the caller goes on with
tasks.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

from distributed import Client

__all__ = ["WorkerGoneError", "answers_of", "awaited", "workers_there"]

_ASK_SECONDS = 0.5
"""Time between two looks at the workers while they are waited for.

The scheduler tries to reach a worker that has died for ``distributed.comm.timeouts.connect``, 30 s, and whoever asked
it to waits so long; but it knows at once that the worker is gone.
"""

Group = tuple[Sequence[Any], Sequence[Sequence[Any]]]
"""Keys of the values that a function is called with, one after the other, and the arguments for each."""


class WorkerGoneError(Exception):
    """A worker that is waited for has left the cluster."""


def workers_there(client: Client) -> set[str]:
    """Addresses of the workers that the scheduler knows; none where it does not answer."""
    if client.status != "running":
        return set()
    try:
        return set(client.nthreads())
    except (OSError, TimeoutError):  # a closed connection is an OSError
        return set()


def awaited(client: Client, coroutine: Coroutine[Any, Any, Any], workers: Collection[str]) -> Any:
    """What a coroutine of the client returns, or raises.

    Raises
    ------
    WorkerGoneError
        One of the workers is gone meanwhile; the coroutine is cancelled.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, client.loop.asyncio_loop)
    try:
        while True:
            try:
                return future.result(timeout=_ASK_SECONDS)
            except TimeoutError:
                if future.done():
                    raise
                if not workers_there(client).issuperset(workers):
                    raise WorkerGoneError from None
    finally:
        future.cancel()  # which has no effect on one that has ended


def answers_of(
    client: Client, asked: Mapping[str, Sequence[Group]], function: Callable[..., Any], arguments: Mapping[str, Any]
) -> dict[str, list[Any]]:
    """``function(values, arguments of each, **arguments)`` for groups of values on some workers.

    Parameters
    ----------
    client : Client
    asked : dict
        The groups of every worker, by its address; a worker calls for all of them at the same time.
    function : function of a module
    arguments : dict

    Returns
    -------
    dict
        By address the results for the groups, None for one of which a value is not there; of workers that have not
        answered, or where the function raised, nothing.
    """
    if client.status != "running":
        return {}
    how: dict[str, Any] = {"workers": list(asked), "on_error": "return", "asynchronous": True}
    try:
        found = awaited(client, client.run(_answer, dict(asked), function, dict(arguments), **how), asked)
    except Exception:  # whatever it is, a task says it better
        return {}
    return {worker: answer for worker, answer in found.items() if not isinstance(answer, BaseException)}


async def _answer(
    asked: Mapping[str, Sequence[Group]], function: Callable[..., Any], arguments: Mapping[str, Any], dask_worker: Any
) -> list[Any]:
    """On a worker: the results for its groups, each from one of the threads that tasks run in."""
    _be_silent()

    async def of_group(keys: Sequence[Any], owns: Sequence[Sequence[Any]]) -> Any:
        values = [dask_worker.data.get(key) for key in keys]
        if any(value is None for value in values):
            return None
        call = functools.partial(function, values, owns, **arguments)
        return await asyncio.get_running_loop().run_in_executor(dask_worker.executors["default"], call)

    groups = asked.get(dask_worker.contact_address, ())
    return await asyncio.gather(*[of_group(*group) for group in groups])


@functools.cache
def _be_silent() -> None:
    """A worker logs every call; one line for each read is of no use to anybody."""
    logging.getLogger("distributed.worker").addFilter(_is_not_a_call)


def _is_not_a_call(line: logging.LogRecord) -> bool:
    return not (str(line.msg).startswith("Run out-of-band function") and _answer.__name__ in str(line.args))
