"""Calls that threads share: each is made once, results come in order, and a call that fails ends the others."""

from __future__ import annotations

import threading

import pytest

from gpu_logreg.arrays import blocks
from gpu_logreg.arrays.blocks import map_in_order, sum_in_order
from gpu_logreg.arrays.shared_calls import SharedCalls


@pytest.fixture
def three_threads(monkeypatch):
    monkeypatch.setattr(blocks, "n_threads", lambda: 3)
    monkeypatch.setattr(blocks, "_pool", None)


def test_the_calling_thread_takes_its_part_and_waits_for_the_others():
    calls, begun, go = None, threading.Event(), threading.Event()

    def function(k):
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            assert go.wait(30)
        return 10 * k

    calls = SharedCalls(function, (range(5),))
    other = threading.Thread(target=calls.help)
    other.start()
    assert begun.wait(30)
    assert list(calls.made_here()) == []  # the other thread has the first call
    go.set()
    other.join()
    assert list(calls.results()) == [0, 10, 20, 30, 40]


def test_a_thread_that_fails_ends_the_calls_of_all():
    def function(k):
        if k == 1:
            raise ValueError("call 1")
        return k

    calls = SharedCalls(function, (range(4),))
    with pytest.raises(ValueError, match="call 1"):
        calls.help()
    assert list(calls.made_here()) == []
    assert list(calls.results()) == [0]


def joined(function, *arguments):
    """Results of short calls, in a list."""
    return sum_in_order(lambda a, b: [*a, *b], lambda *values: [function(*values)], *arguments, short=True)


@pytest.mark.usefixtures("three_threads")
def test_results_are_in_order_and_every_call_is_made_once():
    made, lock = [], threading.Lock()

    def function(k):
        with lock:
            made.append(k)
        return k * k

    for n in (1, 2, 3, 50):
        made.clear()
        assert joined(function, range(n)) == [k * k for k in range(n)]
        assert sorted(made) == list(range(n))


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("inner", [joined, map_in_order])
def test_calls_within_calls_are_made_one_after_the_other(inner):
    def of_thread(_):
        return threading.get_ident()

    def outer(_):
        return {*inner(of_thread, range(8)), threading.get_ident()}

    assert [len(threads) for threads in joined(outer, range(6))] == [1] * 6
    assert not blocks.calls_are_alone(2)  # nor is the calling thread one of the pool afterwards


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("at", [0, 7, 19])
def test_the_error_of_a_call_is_raised_and_later_calls_work(at):
    def function(k):
        if k == at:
            raise ValueError(f"call {k}")
        return k

    with pytest.raises(ValueError, match=f"call {at}"):
        joined(function, range(20))
    assert not blocks.calls_are_alone(2)
    assert joined(abs, range(20)) == list(range(20))
