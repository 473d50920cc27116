"""A child forked while another thread fits can fit too: it waits for no lock that nobody in it will release."""

from __future__ import annotations

import os

import pytest
from fresh_process import run_fresh

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

FORKED = """
import os, signal, sys, threading, time, warnings
import numpy as np

warnings.simplefilter("ignore")  # Python 3.12 warns of a fork while there are threads, which is the point here


def forked(job, seconds=60):
    # Exit code of a child that does the job; a child that hangs is ended by the alarm, and its code is negative.
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        os._exit(0 if job() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def beside(work, job, begun):
    # The code of a child that is forked while another thread works.
    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(30)
    code = forked(job, 20)
    thread.join()
    return code


begun = threading.Event()
"""


def test_a_fork_waits_for_modules_that_another_thread_imports(tmp_path):
    (tmp_path / "imported_slowly.py").write_text("import __main__, time\n__main__.begun.set()\ntime.sleep(0.5)\n")
    code = f"""
import gpu_logreg.passes, gpu_logreg.arrays.blocks
gpu_logreg.passes.__path__.append({str(tmp_path)!r})


def work():
    import gpu_logreg.passes.imported_slowly


def job():
    import gpu_logreg.passes.imported_slowly
    return True


print(beside(work, job, begun))
"""
    assert run_fresh(FORKED + code) == "0"


def test_a_fork_waits_for_a_module_whose_import_begins_while_it_waits_for_another(tmp_path):
    (tmp_path / "first.py").write_text("import __main__, time\n__main__.begun.set()\ntime.sleep(0.5)\n")
    (tmp_path / "second.py").write_text("import time\ntime.sleep(0.5)\n")
    code = f"""
import gpu_logreg.passes, gpu_logreg.arrays.blocks
gpu_logreg.passes.__path__.append({str(tmp_path)!r})


def work():
    import gpu_logreg.passes.first
    import gpu_logreg.passes.second


def job():
    import gpu_logreg.passes.second
    return True


print(beside(work, job, begun))
"""
    assert run_fresh(FORKED + code) == "0"


def test_a_fork_waits_for_a_loop_that_another_thread_compiles():
    code = """
import gpu_logreg.arrays.blocks
from numba import njit
from numba.core.compiler_lock import global_compiler_lock


def work():
    with global_compiler_lock:
        begun.set()
        time.sleep(0.5)


def job():
    return njit(lambda x: x + 1)(1) == 2


print(beside(work, job, begun))
"""
    assert run_fresh(FORKED + code) == "0"


def test_a_fork_waits_for_a_loop_that_another_thread_loads():
    code = """
import gpu_logreg.arrays.blocks
from gpu_logreg.arrays import code_files
from gpu_logreg.arrays.compiled import Loop

real = code_files.load
X, sums = np.ones((3, 2)), np.zeros((1, 4))


def slow(key):
    begun.set()
    time.sleep(0.5)
    return real(key)


def work():
    Loop("gpu_logreg.passes.cpu.loops.dense", "sum_moments")(X, np.empty(0), 0, 3, 3, sums)


def job():
    code_files.load = real
    work()
    return sums.tolist() == [[3.0] * 4]


code_files.load = slow
print(beside(work, job, begun))
code_files.load = real
thread = threading.Thread(target=work, daemon=True)  # the forking thread gives its locks back
thread.start()
thread.join(60)
print(thread.is_alive())
"""
    assert run_fresh(FORKED + code) == "0\nFalse"


def test_a_fork_waits_for_its_turn_to_set_the_threads_of_blas():
    code = """
from gpu_logreg.arrays import blocks as threads

real = threads._controller()


class Slow:
    # As the controller of BLAS, which takes a lock of its own to start threads.
    lock = threading.Lock()

    def limit(self, **limits):
        with self.lock:
            begun.set()
            time.sleep(0.5)
        return real.limit(**limits)


threads._controller = Slow


def work():
    with threads.blas_on_one_thread():
        pass


def job():
    work()
    return True


print(beside(work, job, begun))
"""
    assert run_fresh(FORKED + code) == "0"


def test_a_child_forked_within_a_fit_gives_blas_its_threads_back():
    code = """
from threadpoolctl import threadpool_info
from gpu_logreg.arrays import blocks as threads


def of_blas():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


ended = threading.Event()


def work():
    with threads.blas_on_one_thread():
        begun.set()
        ended.wait(60)


def fits():
    with threads.blas_on_one_thread():
        within = of_blas()
    return (within, of_blas()) == ([1] * len(within), before)


def goes_on():
    # The forking thread is itself within a block, and leaves it in the child.
    return of_blas() == [1] * len(before)


before = of_blas()
thread = threading.Thread(target=work)
thread.start()
begun.wait(30)
codes = [forked(lambda: fits() and fits())]
with threads.blas_on_one_thread():
    child = os.fork()
    codes.append(goes_on())
if child == 0:
    os._exit(0 if of_blas() == before and fits() else 1)
codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
ended.set()
thread.join()
print(before == [1] * len(before), codes, of_blas() == before)
"""
    assert run_fresh(FORKED + code, OPENBLAS_NUM_THREADS="2") == "False [0, True, 0] True"


FITS = """
from scipy import sparse
from gpu_logreg import LogisticRegression, MLPClassifier

rng = np.random.default_rng(0)
X = rng.normal(size=(12_000, 40)).astype(np.float32)
three = np.digitize(X[:, 0] + rng.normal(size=len(X)), [-0.5, 0.5])
S = sparse.random_array((12_000, 300), density=0.05, format="csr", dtype=np.float32, rng=rng)
problems = [
    (LogisticRegression(), X, three > 0),
    (LogisticRegression(max_iter=3), X, three),
    (LogisticRegression(), S, three > 0),
    (LogisticRegression(l1_ratio=1.0, C=0.01), X, three > 0),
    (MLPClassifier((8,), max_iter=2), X[:2_000], three[:2_000]),
]


def fit(k):
    model, rows, y = problems[k % len(problems)]
    return model.fit(rows, y).predict_proba(rows[:5]).tobytes()
"""


def test_children_forked_beside_first_fits_and_later_ones_fit_to_the_same_bits():
    code = """
answers, stop = {}, []


def loop():
    k = 0
    while not stop:
        answers[k % len(problems)] = fit(k)
        k += 1


thread = threading.Thread(target=loop)
thread.start()
codes = []
for k in range(12):  # the first of them while the other thread imports and compiles
    time.sleep(0.02)
    child = os.fork()
    if child == 0:
        signal.alarm(100)
        of_child = fit(k)
        sys.stdout.write(f"{k % len(problems)} {of_child.hex()}\\n")
        sys.stdout.flush()
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
while len(answers) < len(problems):
    time.sleep(0.1)
stop.append(1)
thread.join()
for k, answer in answers.items():
    print(k, answer.hex())
print(codes)
"""
    *answers, codes = run_fresh(FORKED + FITS + code, timeout=200).splitlines()
    assert codes == str([0] * 12)
    assert len(answers) == 17
    assert len(set(answers)) == 5
