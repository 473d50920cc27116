"""Calls of functions on the workers of a Dask cluster, past the tasks of the scheduler.

A task waits for messages that the client, the scheduler and the worker send in batches, and its result for another
message that asks for it. A call goes to all workers in one message and comes back in one, which takes less time: to
workers of this machine straight, to others by the scheduler, which can reach them where the client may not. But nothing
makes it again: where a worker does not answer, or has lost what it is called with, the caller goes on with tasks.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

from distributed import Client, LocalCluster
from distributed.protocol.pickle import dumps

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import numpy_defaults
from gpu_logreg.errors import GpuLogregError
from gpu_logreg.rows.part import call

__all__ = ["WorkerGoneError", "answers_of", "awaited", "called_for_each", "reaches_workers", "workers_there"]

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
    client: Client,
    asked: Mapping[str, Sequence[Group]],
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    apart: bool = False,
) -> dict[str, list[Any]]:
    """``function(values, arguments of each, **arguments)`` for groups of values on some workers.

    Parameters
    ----------
    client : Client
    asked : dict
        The groups of every worker, by its address; a worker calls for all of them at the same time.
    function : function of a module
    arguments : dict
    apart : bool
        Whether the answer for a group is sent while the worker computes the next, where workers are within reach.

    Returns
    -------
    dict
        By address the results for the groups, None for one of which a value is not there; of workers that have not
        answered, or where the function raised, nothing.
    """
    if client.status != "running":
        return {}
    what = function, dict(arguments)
    how: dict[str, Any] = {"workers": list(asked), "on_error": "return", "asynchronous": True}
    try:
        if reaches_workers(client):
            found = awaited(client, _straight_answers(client, asked, *what, apart=apart), asked)
        else:
            found = awaited(client, client.run(_answer, dict(asked), *what, **how), asked)
    except Exception:  # whatever it is, a task says it better
        return {}
    return {worker: answer for worker, answer in found.items() if not isinstance(answer, BaseException)}


def reaches_workers(client: Client) -> bool:
    """Whether the workers are known to be within reach of the client, as on one machine."""
    return isinstance(client.cluster, LocalCluster)


async def _straight_answers(
    client: Client, asked: Mapping[str, Sequence[Group]], *what: Any, apart: bool
) -> dict[str, list[Any]]:
    """As ``client.run`` of `_answer`, straight to the workers; groups ``apart`` are a message each."""

    async def of_worker(worker: str, groups: Sequence[Group]) -> list[Any]:
        sent = {"function": dumps(_answer), "args": dumps(({worker: groups}, *what)), "kwargs": dumps({}), "wait": True}
        answer = await client.rpc(worker).run(**sent)
        return list(answer["result"]) if answer["status"] == "OK" else [None] * len(groups)

    messages = [
        (worker, some)
        for worker, groups in asked.items()
        for some in ([[group] for group in groups] if apart else [groups])
    ]
    answers = await asyncio.gather(*[of_worker(*message) for message in messages], return_exceptions=True)
    found: dict[str, list[Any]] = {}
    for (worker, groups), answer in zip(messages, answers, strict=True):
        found.setdefault(worker, []).extend([None] * len(groups) if isinstance(answer, BaseException) else answer)
    return found


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


def called_for_each(
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
