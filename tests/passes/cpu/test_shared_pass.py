"""Short passes over sparse rows, whose chunks several threads share inside the compiled loop."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time

import numpy as np
import pytest
from scipy import sparse

from gpu_logreg.arrays import blocks as threads_module
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.passes.cpu import shared_pass as module
from gpu_logreg.passes.cpu.loops.sizes import TURNS_SIZE
from gpu_logreg.passes.cpu.sparse import SparsePass
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.rows.block import Rows

announce_turns, take_turn, end_turn, turns_have_ended = (
    Loop("gpu_logreg.passes.cpu.loops.barrier", name)
    for name in ("announce_turns", "take_turn", "end_turn", "turns_have_ended")
)

N, D = 6000, 400


@pytest.fixture(params=[False, True], ids=["", "weights"])
def rows(request):
    """Rows with half a million elements, which are cut into several chunks and are a short pass."""
    rng = np.random.default_rng(0)
    X = csr_rows(sparse.csr_array(sparse.random_array((N, D), density=0.2, rng=rng, format="csr")))
    s = rng.uniform(0.5, 2.0, N) if request.param else None
    return Rows(X, rng.integers(0, 2, N).astype(np.uint8), s)


def points(count: int):
    rng = np.random.default_rng(1)
    return [(rng.standard_normal(D), float(rng.standard_normal())) for _ in range(count)]


def set_threads(monkeypatch, count: int) -> None:
    for one in (module, threads_module):
        monkeypatch.setattr(one, "n_threads", lambda: count)


def test_passes_agree_with_the_plain_one(rows):
    shared = SparsePass(rows)
    assert shared._shared is not None
    for w, b in points(5):
        found, right = shared(w, b), reference_pass(rows, w, b)
        assert found.loss_sum == pytest.approx(right.loss_sum, rel=1e-13)
        assert found.db_sum == pytest.approx(right.db_sum, rel=1e-11, abs=1e-10)
        np.testing.assert_allclose(found.dw_sum, right.dw_sum, rtol=1e-11, atol=1e-11)


def test_bits_do_not_depend_on_the_threads_nor_on_pauses_between_passes(rows, monkeypatch):
    found = []
    for count, pause in [(1, 0.0), (2, 0.0), (2, 0.02), (4, 0.0), (9, 0.001)]:
        set_threads(monkeypatch, count)
        shared, sums = SparsePass(rows), []
        for w, b in points(30):
            sums.append(shared(w, b))
            time.sleep(pause)
        found.append(sums)
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            assert (one.loss_sum, one.db_sum) == (other.loss_sum, other.db_sum)
            assert np.array_equal(one.dw_sum, other.dw_sum)


def test_results_are_not_overwritten_by_the_next_pass(rows):
    shared, ((w, b), (v, c)) = SparsePass(rows), points(2)
    first = shared(w, b)
    kept = first.dw_sum.copy()
    shared(v, c)
    assert np.array_equal(first.dw_sum, kept)


def test_threads_that_help_watch_for_the_next_pass_and_then_end(rows, monkeypatch):
    set_threads(monkeypatch, 3)
    shared = SparsePass(rows)
    for w, b in points(3):
        shared(w, b)
    helpers = shared._shared._helpers
    assert len(helpers) == 2
    for helper in helpers:
        helper.result(timeout=10.0)


def test_a_thread_of_the_pool_computes_alone(rows, monkeypatch):
    set_threads(monkeypatch, 2)
    w, b = points(1)[0]
    alone = threads_module.map_in_order(lambda k: SparsePass(rows)(w, b).loss_sum, [0, 1, 2])
    assert set(alone) == {SparsePass(rows)(w, b).loss_sum}
    monkeypatch.setattr(module, "help_in_threads", lambda *_: pytest.fail("another thread was asked"))
    threads_module.map_in_order(lambda k: SparsePass(rows)(w, b), [0, 1])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(rows, monkeypatch):
    set_threads(monkeypatch, 2)
    shared, (w, b) = SparsePass(rows), points(1)[0]
    right = [shared(w, b) for _ in range(3)][-1]
    child = os.fork()
    if child == 0:
        sums = SparsePass(rows)
        same = all(np.array_equal(sums(w, b).dw_sum, right.dw_sum) for _ in range(3))
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_every_turn_is_taken_once():
    turns, taken = np.zeros(TURNS_SIZE, np.int64), [[], [], []]

    def take(mine: list[int]) -> None:
        while len(mine) < 10_000:  # and not for ever, if they never end
            turn = take_turn(turns)
            if turn >= 0:
                mine.append(turn)
                end_turn(turns)
            elif turns_have_ended(turns):
                return

    for count in (5, 3000):
        announce_turns(turns, count)
        threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60.0)
    assert sorted(itertools.chain(*taken)) == list(range(3005))
    assert turns_have_ended(turns)
    assert take_turn(turns) == -1
