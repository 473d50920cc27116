"""What a fit costs beside its reads: the first one of a fresh process, and where a GPU overtakes the CPU."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gpu.timing import Budget, say

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays.device_choice import AUTO_CUDA_BYTES

ROOT = Path(__file__).resolve().parents[2]
SIZES = tuple(1000 * 2**k for k in range(12))

_CHILD = """
import json, sys, time
import numpy as np
n, d, device = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = np.random.default_rng(0)
X = rng.standard_normal((n, d), dtype=np.float32)
y = (rng.logistic(size=n) < X @ (rng.standard_normal(d) / d**0.5)).astype(np.int64)
begin = time.perf_counter()
from gpu_logreg import LogisticRegression
imported = time.perf_counter()
times = []
for _ in range(6):
    start = time.perf_counter()
    model = LogisticRegression(device=device).fit(X, y)
    times.append(time.perf_counter() - start)
print(json.dumps({"import_s": imported - begin, "first_fit_s": times[0], "warm_fit_s": sorted(times[1:])[2],
                  "device": model.device_, "impl": model.impl_, "n_reads": float(model.n_reads_)}))
"""


def first_fits(
    n: int = 200_000, d: int = 100, device: str = "cuda", timeout: float = 60.0, cache: str | None = None
) -> Iterator[dict[str, Any]]:
    """Seconds of the first and of a later fit in a process of its own: with nothing compiled, and with binaries kept.

    The first holds the import of CuPy, the context, the compilation or the binaries' loading, and the upload. Binaries
    are those in ``cache``, or those of the first process.
    """
    with tempfile.TemporaryDirectory() as empty:
        for state, folder in (("cold", empty), ("cached", cache or empty)):
            path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
            environment = {**os.environ, "PYTHONPATH": path, "CUPY_CACHE_DIR": folder}
            for name in ("SCIPY_ARRAY_API", "CUPY_CACHE_SAVE_CUDA_SOURCE"):
                environment.pop(name, None)
            command = [sys.executable, "-c", _CHILD, str(n), str(d), device]
            row: dict[str, Any] = {"state": state, "n": n, "d": d}
            begin = time.perf_counter()
            try:
                done = subprocess.run(
                    command, cwd=empty, env=environment, capture_output=True, text=True, timeout=timeout, check=False
                )
            except subprocess.TimeoutExpired:
                yield row | {"problem": f"not measured: it took more than {timeout:.0f} s"}
                continue
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
                yield row | {"problem": f"the fresh process failed: {lines[-1]}"}
                continue
            row |= json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
            row["process_s"] = time.perf_counter() - begin
            say(f"first fit, {state}: {row['first_fit_s']:.2f} s; warm {row['warm_fit_s']:.4f} s")
            yield row


def crossover(
    budget: Budget, sizes: tuple[int, ...] = SIZES, d: int = 100, device: str = "cuda", rounds: int = 3
) -> Iterator[dict[str, Any]]:
    """Fits of n x d float32 rows in host memory on the CPU and on the GPU, upload counted, in a warm process."""
    rng = np.random.default_rng(5)
    w = rng.standard_normal(d) / np.sqrt(d)
    spent = 0.0
    for n in sizes:
        if budget.left() < 3 + 10 * spent:
            break
        X = rng.standard_normal((n, d), dtype=np.float32)
        y = (rng.logistic(size=n) < X @ w).astype(np.int64)
        row: dict[str, Any] = {"n": n, "d": d, "nbytes": int(X.nbytes)}
        for key, where in (("cpu_s", "cpu"), ("gpu_s", device)):
            LogisticRegression(device=where).fit(X, y)
            row[key] = statistics.median(_fit_s(X, y, where) for _ in range(rounds))
        spent = row["cpu_s"] + row["gpu_s"]
        say(f"  {n:,} x {d}: CPU {1e3 * row['cpu_s']:.2f} ms, GPU {1e3 * row['gpu_s']:.2f} ms")
        yield row | {"auto_nbytes": AUTO_CUDA_BYTES}


def _fit_s(X: Any, y: Any, device: str) -> float:
    begin = time.perf_counter()
    LogisticRegression(device=device).fit(X, y)
    return time.perf_counter() - begin
