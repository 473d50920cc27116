"""Calls past the scheduler's tasks: the same results by either way, whatever is lost, and no wait for who is gone."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time

import numpy as np
import pytest

pytest.importorskip("distributed", reason="distributed is not installed: pip install 'gpu-logreg[dask]'")

import dask
from chunked_rows import CHUNKS, rows
from distributed import Client, LocalCluster
from fresh_process import run_fresh

from gpu_logreg.estimators.distributed import calls, workers
from gpu_logreg.estimators.distributed.looks import Options
from gpu_logreg.estimators.distributed.parts import prepare_parts
from gpu_logreg.estimators.distributed.workers import results_of


def seen(part, *more):
    return part.data.n_rows, float(part.data.rows.X.sum()), more


def slow(part, seconds):
    time.sleep(seconds)
    return part.data.n_rows


def prepared(client):
    X, y, _ = rows()
    edges = np.cumsum([0, *CHUNKS])
    blocks = [dask.delayed((X[a:b], y[a:b])) for a, b in itertools.pairwise(edges)]
    return prepare_parts(client, [(block, None, None) for block in blocks], None, Options())[0].data


@pytest.fixture
def two_here():
    """A cluster of two workers and a scheduler in this process, and a client that knows but the address."""
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, Client(cluster.scheduler_address, set_as_default=False) as client:
        yield cluster, client


def test_results_are_those_of_tasks(client, monkeypatch):
    parts = prepared(client).parts
    own = [(k,) if k % 2 else None for k in range(len(CHUNKS))]
    found = parts.each(seen, 1.5), parts.each(seen, 1.5, own=own)
    assert [result[0] for result in found[0]] == list(CHUNKS)
    assert [result and result[2] for result in found[1]] == [one and (1.5, *one) for one in own]
    with monkeypatch.context() as patch:
        patch.setattr(workers, "SHORT_SECONDS", 0.0)
        patch.setattr(workers, "answers_of", None)
        assert (parts.each(seen, 1.5), parts.each(seen, 1.5, own=own)) == found


@pytest.mark.parametrize("reaches", [True, False])
def test_rows_of_each_part_come_by_themselves_or_by_tasks(client, monkeypatch, reaches):
    parts, called = prepared(client).parts, []
    right = parts.each(seen, 1.5)
    answers_of = workers.answers_of
    monkeypatch.setattr(workers, "answers_of", lambda *asked, **how: called.append(asked) or answers_of(*asked, **how))
    for module in (workers, calls):
        monkeypatch.setattr(module, "reaches_workers", lambda _: reaches)
    own = [(k,) if k % 2 else None for k in range(len(CHUNKS))]
    assert parts.each(seen, 1.5, large=True) == right
    assert [result and result[2] for result in parts.each(seen, 1.5, own=own, large=True)] == [
        one and (1.5, *one) for one in own
    ]
    assert len(called) == (2 if reaches else 0)
    for _, asked, *_ in called:
        assert all(len(keys) == 1 for groups in asked.values() for keys, _ in groups)
    assert parts.each(seen, 1.5) == right


def test_a_group_without_an_answer_leaves_the_others_theirs(client):
    data = prepared(client)
    parts = data.parts
    how = {"called": seen, "shared": (), "setting": parts._setting}
    worker = parts._places[0]
    key = parts._futures[parts._groups[0][0]].key
    asked = {worker: [([key], [()]), (["no such key"], [()])]}
    for apart in (False, True):
        (first, second) = calls.answers_of(client, asked, calls.called_for_each, how, apart=apart)[worker]
        assert first[0][0] in CHUNKS
        assert second is None


def test_a_local_cluster_leaves_this_process_its_threads():
    code = """
        import os
        os.environ.pop("OMP_NUM_THREADS", None)
        import gpu_logreg
        from distributed import LocalCluster
        if __name__ == "__main__":
            with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0"):
                from gpu_logreg.arrays import blocks
                blocks._cpus = lambda: 4
                print(os.environ.get("OMP_NUM_THREADS"), blocks.n_threads())
    """
    assert run_fresh(code) == "1 4"


def test_after_a_long_call_and_with_large_arguments_there_are_tasks(client, monkeypatch):
    parts, called = prepared(client).parts, []
    answers_of = workers.answers_of
    monkeypatch.setattr(workers, "answers_of", lambda *asked, **how: called.append(asked) or answers_of(*asked, **how))
    monkeypatch.setattr(workers, "SHORT_SECONDS", 0.2)
    parts.each(slow, 0.3)
    assert len(called) == 1
    parts.each(slow, 0.0)
    assert len(called) == 1
    parts.each(seen, np.ones(workers.SHARED_BYTES // 8))
    assert len(called) == 1


def test_values_that_are_not_there_and_functions_that_raise_are_left_to_tasks(client):
    data = prepared(client)
    worker = next(iter(client.nthreads()))
    how = {"called": seen, "shared": (), "setting": data.parts._setting}
    asked = {worker: [(["no such key"], [()])]}
    assert calls.answers_of(client, asked, calls.called_for_each, how) == {worker: [None]}
    assert calls.answers_of(client, asked, calls.called_for_each, {"no": "such argument"}) == {worker: [None]}
    assert calls.answers_of(client, {"tcp://127.0.0.1:9": [([], [])]}, calls.called_for_each, how) == {}
    with pytest.raises(ZeroDivisionError):
        data.parts.each(divided)


def divided(part):
    return part.data.n_rows / 0


def test_a_worker_that_leaves_within_a_call_is_not_waited_for(two_here):
    """The call of the other one goes on, and its parts are called again by tasks."""
    cluster, client = two_here
    data = prepared(client)
    before = data.parts.each(seen)
    leaver = data.parts._places[0]
    start = time.monotonic()
    loop = client.loop.asyncio_loop
    loop.call_soon_threadsafe(loop.call_later, 0.2, lambda: asyncio.ensure_future(leave(cluster, leaver)))
    assert data.parts.each(slow, 0.5) == [result[0] for result in before]
    assert time.monotonic() - start < 20.0
    assert data.parts.each(seen) == before
    assert set(data.parts._places) == set(client.nthreads())


async def leave(cluster, address):
    await cluster.scheduler.retire_workers([address], close_workers=True, remove=True)


def test_results_are_asked_for_again_where_a_worker_is_gone(two_here):
    """The first question of the scheduler to a worker that has died lasts 30 s; it is not waited for."""
    cluster, client = two_here
    handlers, asked = cluster.scheduler.handlers, []
    gather = handlers["gather"]

    async def first_hangs(*arguments, **named):
        asked.append(arguments)
        if len(asked) == 1:
            await leave(cluster, next(iter(cluster.scheduler.workers)))
            await asyncio.sleep(60.0)
        return await gather(*arguments, **named)

    handlers["gather"] = first_hangs
    start = time.monotonic()
    assert results_of(client, client.map(abs, range(-4, 4), pure=False)) == [4, 3, 2, 1, 0, 1, 2, 3]
    assert time.monotonic() - start < 20.0
    assert len(asked) == 2


def test_calls_are_not_logged():
    def line(name):
        return logging.LogRecord("distributed.worker", 20, "", 1, "Run out-of-band function %r", (name,), None)

    assert calls._is_not_a_call(line("version"))
    assert not calls._is_not_a_call(line("_answer"))
