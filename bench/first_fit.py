"""The first fit of a process: seconds with nothing compiled yet, with all on disk, and of a second fit beside it.

    python bench/first_fit.py [--only NAME] [--times 3] [--record]

Each fit is the first of a fresh process, timed from before the estimator is asked to fit; Python, NumPy, SciPy and
scikit-learn are imported before, ``import gpu_logreg`` too. *Empty*: ``NUMBA_CACHE_DIR`` is a new folder, so that every
loop is compiled. *Filled*: the folder that another process has left. The median of several processes; besides the time
on the clock that of the processors, which other programs change less. The second fit, in the same process, is what
remains when nothing is loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
from record import append

CASES = {
    "two classes, few": (100_000, 30, 2, "dense", {}),
    "two classes": (1_000_000, 30, 2, "dense", {}),
    "two classes, long rows": (100_000, 200, 2, "dense", {}),
    "five classes": (100_000, 30, 5, "dense", {}),
    "L1": (100_000, 30, 2, "dense", {"l1_ratio": 1.0, "C": 0.01}),
    "text": (20_000, 10_000, 2, "sparse", {}),
    "text, L1": (20_000, 10_000, 2, "sparse", {"l1_ratio": 1.0}),
    "text, 20 classes": (10_000, 10_000, 20, "sparse", {}),
}

RUN = """
import json, sys, time
import numpy as np
import scipy.sparse
from gpu_logreg import LogisticRegression

n, d, K, kind, options = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
if kind == "sparse":
    rows = np.repeat(np.arange(n), 30)
    columns = np.minimum(rng.zipf(1.3, 30 * n) - 1, d - 1)
    X = scipy.sparse.csr_array((rng.exponential(size=30 * n), (rows, columns)), shape=(n, d))
else:
    X = rng.standard_normal((n, d))
y = (X @ rng.standard_normal((d, K)) + rng.gumbel(size=(n, K))).argmax(axis=1)
found = []
for _ in range(2):
    seconds, of_processors = time.perf_counter(), time.process_time()
    LogisticRegression(**options).fit(X, y)
    found += [time.perf_counter() - seconds, time.process_time() - of_processors]
print(json.dumps([*found, "numba" in sys.modules]))
"""


def measure(case: tuple[Any, ...], cache: str) -> tuple[float, ...]:
    """Seconds and seconds of the processors of the first fit, and of the second; whether Numba was imported."""
    command = [sys.executable, "-W", "ignore", "-c", RUN, json.dumps(case)]
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return tuple(json.loads(run.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", help="names of cases that begin so")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    print(f"{'case':24s} {'cache':7s} {'first fit':>18s} {'second fit':>18s}   Numba   (seconds, of processors)")
    for name, case in CASES.items():
        if options.only and not name.startswith(options.only):
            continue
        found: dict[str, list[tuple[float, ...]]] = {"empty": [], "filled": []}
        for _ in range(options.times):
            with tempfile.TemporaryDirectory() as folder:
                for measured in found.values():
                    measured.append(measure(case, folder))
        for cache, measured in found.items():
            first, of_first, second, of_second, numba = np.median(measured, axis=0).tolist()
            times = f"{first:9.2f} {of_first:8.2f} {second:9.2f} {of_second:8.2f}"
            print(f"{name:24s} {cache:7s} {times}   {'yes' if numba else 'no'}", flush=True)
            rows.append(
                {
                    "case": name,
                    "n": case[0],
                    "d": case[1],
                    "classes": case[2],
                    "cache": cache,
                    "first_s": round(first, 3),
                    "first_cpu_s": round(of_first, 3),
                    "second_s": round(second, 3),
                    "second_cpu_s": round(of_second, 3),
                    "numba": bool(numba),
                }
            )
    if options.record and rows:
        print("kept in", append("first_fit", rows).name)


if __name__ == "__main__":
    main()
