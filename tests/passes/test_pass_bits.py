"""The same rows give the same bits: run after run, and on any number of threads."""

from __future__ import annotations

import os

import numpy as np
import pytest
from fresh_process import run_fresh

from gpu_logreg.arrays import blocks as threads_module
from gpu_logreg.arrays.device import Device
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cpu import dense as cpu
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.resident import ResidentDataset

N = 5 * cpu.CHUNK_ROWS + 17


def rows(dtype: str, order: str, weighted: bool) -> Rows:
    rng = np.random.default_rng(0)
    scale = 60 if dtype == "int8" else 1
    X = np.asarray(rng.standard_normal((N, 6)).clip(-2, 2) * scale, dtype=dtype, order=order)
    y = rng.integers(0, 2, N).astype(np.uint8)
    return Rows(X, y, rng.exponential(size=N) if weighted else None)


def bits(sums) -> bytes:
    return b"".join(np.asarray(part, np.float64).tobytes() for part in sums)


@pytest.fixture
def threads(monkeypatch):
    """Set the number of threads of the pass."""

    def use(count: int) -> None:
        if threads_module._pool is not None:
            threads_module._pool.shutdown()
        monkeypatch.setattr(threads_module, "_pool", None)
        monkeypatch.setattr(threads_module, "n_threads", lambda: count)

    monkeypatch.setattr(threads_module, "_pool", None)
    monkeypatch.setattr(threads_module, "SHARED_BYTES", 0)
    yield use
    if threads_module._pool is not None:
        threads_module._pool.shutdown()


@pytest.mark.parametrize(
    ("dtype", "order", "weighted"),
    [("float32", "C", False), ("float64", "C", True), ("float32", "F", False), ("int8", "C", False)],
)
def test_one_two_and_three_threads_give_the_same_bits(threads, dtype, order, weighted):
    block = rows(dtype, order, weighted)
    w, b = np.linspace(-1, 1, 6), 0.25
    found = set()
    for count in (1, 2, 3):
        threads(count)
        for _ in range(3):
            found.add(bits(cpu.cpu_pass(block, w, b)) + bits(cpu.cpu_moments(block)))
        assert (threads_module._pool is None) == (count == 1)  # several threads were used where several were asked for
    assert len(found) == 1


@pytest.mark.parametrize("impl", ["reference", "cpu"])
def test_a_second_walk_gives_the_same_bits(impl):
    block = rows("float32", "C", False)
    dataset = ResidentDataset.from_arrays(*block, Device("cpu"))
    implementation = choose(impl, dataset.rows, Device("cpu"))
    w = np.linspace(-1, 1, 6)
    assert len({bits(implementation.gradient(dataset, w, 0.25)) for _ in range(5)}) == 1


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("d", "order"), [(20, "C"), (100, "C"), (6, "F")])
def test_the_same_bits_wherever_labels_and_weights_are_in_memory(d, order, weighted):
    """They were others in some of a hundred places: those that end just before an array of the compiled loop."""
    rng = np.random.default_rng(0)
    X = np.asarray(rng.standard_normal((cpu.CHUNK_ROWS + 905, d)), order=order)
    y, s = (X[:, 0] > 0).astype(np.uint8), rng.exponential(size=len(X))
    w, found, kept = rng.standard_normal(d) / 3.0, set(), []
    for _ in range(400):
        kept.append(np.empty(rng.integers(1, 5000), np.uint8))
        if len(kept) > 50:
            del kept[rng.integers(50)]
        found.add(bits(cpu.cpu_pass(Rows(X, y.copy(), s.copy() if weighted else None), w, 0.1)))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, 4), ("1", 1), ("3", 3), ("64", 4), ("0", 4), ("", 4), ("many", 4)]
)
def test_threads_follow_the_machine_and_omp_num_threads(monkeypatch, limit, expected):
    monkeypatch.setattr(threads_module, "_cpus", lambda: 4)
    monkeypatch.setattr("gpu_logreg.arrays.thread_limit.OMP_NUM_THREADS", "")
    if limit is not None:
        monkeypatch.setattr("gpu_logreg.arrays.thread_limit.OMP_NUM_THREADS", limit)
    assert threads_module.n_threads() == expected


def test_a_pass_leaves_its_inputs_as_they_are():
    block = rows("float64", "F", True)
    copies = [array.copy() for array in block]
    w = np.linspace(-1, 1, 6)
    cpu.cpu_pass(block, w, 0.25)
    for array, copy in zip(block, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(w, np.linspace(-1, 1, 6))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_threads_of_its_own():
    code = """
        import os, signal, warnings
        import numpy as np
        from gpu_logreg.rows.block import Rows
        from gpu_logreg.passes.cpu import dense as cpu
        from gpu_logreg.arrays import blocks as threads
        warnings.simplefilter("ignore")  # Python warns of a fork while there are threads, which is the point here
        threads.n_threads, threads.SHARED_BYTES = lambda: 2, 0
        X = np.ones((5 * cpu.CHUNK_ROWS, 2), np.float32)
        block = Rows(X, np.zeros(len(X), np.uint8), None)
        before = cpu.cpu_pass(block, np.ones(2), 0.0)
        assert threads._pool is not None
        child = os.fork()
        if child == 0:
            signal.alarm(30)  # a child that waits for threads it does not have is ended, and found out below
            after = cpu.cpu_pass(block, np.ones(2), 0.0)
            os._exit(0 if after.loss_sum == before.loss_sum else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert run_fresh(code) == "0"


def test_blocks_within_blocks_are_walked_one_after_the_other(monkeypatch):
    monkeypatch.setattr("gpu_logreg.arrays.thread_limit.OMP_NUM_THREADS", "2")

    def outer(k):
        return sum(threads_module.map_in_order(lambda j: 10 * k + j, range(4)))

    # With as many outer calls as threads, all waiting for the pool, this would never end.
    assert threads_module.map_in_order(outer, range(8)) == [40 * k + 6 for k in range(8)]


def test_weights_that_lie_before_the_memory_of_the_logits_change_no_bit():
    """Memory is taken and given back, so that the loop's own comes to lie behind the weights in one of a hundred calls.

    As far behind them as they are long was enough, while they were looked up by signed numbers.
    """
    rng, w, taken, found = np.random.default_rng(0), np.linspace(-1, 1, 6), [], set()
    for _ in range(1500):
        taken.append(np.empty(int(rng.integers(1, 5000))))
        if len(taken) > 50:
            taken.pop(int(rng.integers(0, 50)))
        found.add(bits(cpu.cpu_pass(rows("float64", "C", True), w, 0.25)))
    assert len(found) == 1
