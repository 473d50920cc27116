"""A read and a fit of rows on the workers of a Dask cluster, against the same rows in one process.

``python bench/bench_dask.py`` makes ``--rows`` by ``--columns`` rows (2,000,000 by 50, float32) on the workers, in 8 to
256 partitions on 1 and 2 workers of one thread each, and appends its rows to ``bench/results/dask.csv``. The overhead
of a read is its time less that of the parts of the slowest worker, which are read one after the other in this process.
Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
import record
from dask import delayed
from distributed import Client, LocalCluster

import gpu_logreg
from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import Device
from gpu_logreg.dask import LogisticRegression
from gpu_logreg.estimators.distributed.parts import Options, prepare_parts
from gpu_logreg.passes.by_blocks import choose_for
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.resident import ResidentDataset

READS = 7


def block(k: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels of a partition."""
    rng = np.random.default_rng(k)
    X = rng.standard_normal((n, d), dtype=np.float32)
    return X, (X[:, 0] + rng.logistic(size=n) > 0.0).astype(np.uint8)


def median_time(call: Any) -> float:
    """Median seconds of some calls, after one that is not counted."""
    times = []
    for _ in range(READS + 1):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


def own_time(n: int, d: int) -> float:
    """Median seconds of the pass over a partition, in this process on one thread."""
    X, y = block(0, n, d)
    data = ResidentDataset.from_arrays(X, y, None, Device("cpu"), encoded=True)
    engine = choose("auto", data.rows, Device("cpu"))
    with blas_on_one_thread():
        return median_time(lambda: engine.gradient(data, np.ones(d), 0.5))


def measure(client: Client, workers: int, parts: int, n: int, d: int) -> dict[str, object]:
    """Times of a read and of a fit."""
    m = n // parts
    blocks = [delayed(block)(k, m, d) for k in range(parts)]
    prepared, _ = prepare_parts(client, [(one, None, None) for one in blocks], None, Options())
    engine = choose_for("auto", prepared.data, Device("cpu"), prepared.target.loss)
    read = median_time(lambda: engine.gradient(prepared.data, np.ones(d), 0.5))
    slowest = own_time(m, d) * -(-parts // workers)
    kept = client.persist(blocks)
    client.gather(client.map(len, client.compute(kept)))  # made
    LogisticRegression(client=client).fit(kept)  # compiles
    start = time.perf_counter()
    model = LogisticRegression(client=client).fit(kept)
    fit = time.perf_counter() - start
    return {
        "rows": n, "columns": d, "workers": workers, "parts": parts, "read_s": read, "slowest_worker_s": slowest,
        "overhead_ms": 1e3 * (read - slowest), "goal_ms": 10.0 + parts, "fit_s": fit, "reads": model.n_reads_,
    }  # fmt: skip


def in_one_process(n: int, d: int, parts: int) -> dict[str, object]:
    """Time of the same fit of rows in memory."""
    X, y = (np.concatenate(arrays) for arrays in zip(*(block(k, n // parts, d) for k in range(parts)), strict=True))
    gpu_logreg.LogisticRegression().fit(X, y)  # compiles
    start = time.perf_counter()
    model = gpu_logreg.LogisticRegression().fit(X, y)
    fit = time.perf_counter() - start
    read = median_time(lambda: gpu_logreg.loss_and_gradient(X, y, np.ones(d), 0.5))
    return {
        "rows": n, "columns": d, "workers": 0, "parts": 1, "read_s": read, "slowest_worker_s": read,
        "overhead_ms": 0.0, "goal_ms": 0.0, "fit_s": fit, "reads": model.n_reads_,
    }  # fmt: skip


def main() -> None:
    """Measure, print and append rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--parts", type=int, nargs="+", default=[8, 64, 256])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dry", action="store_true", help="append nothing")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    found = [in_one_process(asked.rows, asked.columns, min(asked.parts))]
    print(found[0], flush=True)
    for workers in asked.workers:
        options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": ":0", "memory_limit": 0}
        with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster) as client:
            for parts in asked.parts:
                found.append(measure(client, workers, parts, asked.rows, asked.columns))
                print(found[-1], flush=True)
    if not asked.dry:
        record.append("dask", found)


if __name__ == "__main__":
    main()
