"""Children forked while other threads fit: how many of N hang, fail, or give other bits.

``python bench/forks.py 400`` takes some minutes on two cores. A child fits one of five problems (two and three classes,
sparse rows, L1, a network) while the parent fits all of them in turn, in two threads; one that is not done after a
minute prints where it waits. One process makes 20 forks, so that the first fits of each, which import and compile,
are among them.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import sys
import threading
import time
import warnings

import numpy as np
from scipy import sparse

FORKS_OF_A_PROCESS, SECONDS = 20, 60


def main(n: int) -> int:
    """Print a summary; 0 if no child was bad."""
    spawning = multiprocessing.get_context("spawn")
    bad, took = [], []
    for first in range(0, n, FORKS_OF_A_PROCESS):
        told, telling = spawning.Pipe(duplex=False)
        process = spawning.Process(target=fork_beside_fits, args=(first, min(FORKS_OF_A_PROCESS, n - first), telling))
        process.start()
        telling.close()
        codes, seconds = told.recv()
        process.join()
        bad += [code for code in codes if code != 0]
        took += seconds
        print(f"{len(took)} forks, {len(bad)} bad", file=sys.stderr, flush=True)
    print(
        f"{len(bad)} of {len(took)} children bad (codes {sorted(set(bad), key=str)}); "
        f"median {np.median(took):.2f} s, longest {max(took):.1f} s"
    )
    return int(bool(bad))


def fork_beside_fits(seed: int, count: int, telling: object) -> None:
    """Fork while two threads fit; send exit codes and seconds of the children."""
    warnings.simplefilter("ignore")
    from gpu_logreg import LogisticRegression, MLPClassifier

    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 60)).astype(np.float32)
    y = np.digitize(X[:, 0] + rng.normal(size=len(X)), [-0.5, 0.5])
    S = sparse.random_array((len(X), 300), density=0.05, format="csr", dtype=np.float32, rng=rng)
    problems = [
        (LogisticRegression, {}, X, y > 0),
        (LogisticRegression, {"max_iter": 5}, X, y),
        (LogisticRegression, {}, S, y > 0),
        (LogisticRegression, {"l1_ratio": 1.0, "C": 0.01}, X, y > 0),
        (MLPClassifier, {"hidden_layer_sizes": (8,), "max_iter": 2}, X[:3_000], y[:3_000]),
    ]

    def fit(k: int) -> bytes:
        estimator, parameters, rows, labels = problems[k % len(problems)]
        return estimator(**parameters).fit(rows, labels).predict_proba(rows[:5]).tobytes()

    stop, answers = threading.Event(), [dict[int, bytes](), dict[int, bytes]()]

    def loop(of_thread: dict[int, bytes], k: int) -> None:
        while not stop.is_set() or len(of_thread) < len(problems):
            of_thread[k % len(problems)] = fit(k)
            k += 1

    threads = [threading.Thread(target=loop, args=(answers[k], seed + 2 * k)) for k in range(2)]
    for thread in threads:
        thread.start()
    waits = np.random.default_rng(seed).exponential(0.1, count)
    codes, took, told = [], [], []
    for k, wait in enumerate(waits):
        time.sleep(wait)
        begun = time.perf_counter()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            os.write(writing, fit(k))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            told.append((k % len(problems), pipe.read()))
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        took.append(time.perf_counter() - begun)
    stop.set()
    for thread in threads:
        thread.join()
    other_bits = [
        any(of_thread[k] != answer for of_thread in answers) if code == 0 else False
        for (k, answer), code in zip(told, codes, strict=True)
    ]
    codes = ["other bits" if other else code for other, code in zip(other_bits, codes, strict=True)]
    telling.send((codes, took))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
