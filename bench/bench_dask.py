"""Reads and fits of rows on the workers of a Dask cluster: overheads, the same fit in one process, dask-ml's.

``python bench/bench_dask.py`` makes ``--rows`` by ``--columns`` rows (2,000,000 by 50, float32) on the workers, each of
one thread, and prints a row for every number of workers and partitions; with ``--record`` it appends them to
``bench/results/dask.csv``. Run it on a quiet machine; rows are in the memory of one process first, and of the workers
then. A large fit and a small one, on two cores:

    python bench/bench_dask.py --rows 12000000 --columns 100 --workers 2 --parts 8 --record
    python bench/bench_dask.py --rows 4000000 --columns 28 --workers 1 2 4 --parts 8 64 256 --model --dask-ml --record

What is measured:

- **Overhead of a read**: its time less that of the slowest worker's own passes, which the workers time in the same
  read. The goal is 10 ms and 1 ms a partition.
- **Fit**: seconds to the same ``tol``, after one that compiles, and the same rows in one process on all its threads.
- **dask-ml** (``--dask-ml``), where it is installed: its fit by ``lbfgs`` on the same cluster, of the same objective,
  without an intercept as it penalises that, with the value that it reaches, beside ours.
- **Model** (``--model``): ``overhead = t0 + P t1 + W t2`` of P partitions on W workers by least squares; every row has
  what the model says, and the last one is 100 workers of the most partitions each.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import record
from dask import delayed
from distributed import Client, LocalCluster, wait

import gpu_logreg
from gpu_logreg.dask import LogisticRegression
from gpu_logreg.estimators.distributed.parts import Options, prepare_parts
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.part import Part

READS = 9
KEYS = (
    "what", "rows", "columns", "workers", "parts", "read_s", "own_s", "overhead_ms", "goal_ms", "model_ms", "fit_s",
    "one_process_s", "ratio", "reads", "value",
)  # fmt: skip


def block(k: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels of a partition."""
    rng = np.random.default_rng(k)
    X = rng.standard_normal((n, d), dtype=np.float32)
    return X, (X[:, 0] + rng.logistic(size=n) > 0.0).astype(np.uint8)


def timed_gradient(part: Part, w: np.ndarray, b: float) -> tuple[float, Sums]:
    """Seconds of a pass over a part, on its worker, and the sums."""
    start = time.perf_counter()
    sums = part.engine.gradient(part.data, w, b)
    return time.perf_counter() - start, sums


def seconds(call: Callable[[], Any]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def read(data: Any, w: np.ndarray) -> tuple[float, float]:
    """Medians of the seconds of a read, and of those of the slowest worker's own passes in it."""
    times = []
    for _ in range(READS + 1):
        start = time.perf_counter()
        found = data.parts.each(timed_gradient, w, 0.5)
        whole = time.perf_counter() - start
        own = max(sum(found[k][0] for k in group) for group in data.parts._groups)
        times.append((whole, own))
    whole, own = np.median(times[1:], axis=0)
    return float(whole), float(own)


def value_at(data: Any, coef: np.ndarray, intercept: float) -> float:
    """The sum of the losses plus half the squared weights."""
    w = np.ascontiguousarray(np.ravel(coef), np.float64)
    losses = [sums.loss_sum for _, sums in data.parts.each(timed_gradient, w, float(intercept))]
    return float(sum(losses) + 0.5 * (w @ w))


def measure(client: Client, workers: int, parts: int, n: int, d: int) -> tuple[dict[str, Any], Any, list[Any]]:
    """A row with the times of a read and of a fit; the data; the blocks."""
    kept = client.persist([delayed(block, pure=False)(k, n // parts, d) for k in range(parts)])
    wait(client.compute(kept))
    prepared, _ = prepare_parts(client, [(one, None, None) for one in kept], None, Options())
    whole, own = read(prepared.data, np.ones(d))
    LogisticRegression(client=client).fit(kept)  # compiles
    start = time.perf_counter()
    model = LogisticRegression(client=client).fit(kept)
    fit = time.perf_counter() - start
    row = {
        "what": "cluster", "rows": n, "columns": d, "workers": workers, "parts": parts, "read_s": whole, "own_s": own,
        "overhead_ms": 1e3 * (whole - own), "goal_ms": 10.0 + parts, "fit_s": fit, "reads": model.n_reads_,
        "value": value_at(prepared.data, model.coef_, model.intercept_[0]),
    }  # fmt: skip
    return row, prepared.data, kept


def in_one_process(n: int, d: int, parts: int) -> float:
    """Seconds of the same fit of rows in memory, on all threads."""
    m = n // parts
    X, y = np.empty((m * parts, d), np.float32), np.empty(m * parts, np.uint8)
    for k in range(parts):
        X[m * k : m * k + m], y[m * k : m * k + m] = block(k, m, d)
    gpu_logreg.LogisticRegression().fit(X, y)  # compiles
    return seconds(lambda: gpu_logreg.LogisticRegression().fit(X, y))


def against_dask_ml(client: Client, data: Any, kept: list[Any], row: dict[str, Any]) -> list[dict[str, Any]]:
    """Fits without an intercept, of ours and of dask-ml; none where that is not installed."""
    try:
        from dask_ml.linear_model import LogisticRegression as Theirs
    except ImportError as error:
        print(f"dask-ml: not installed ({error})")
        return []
    import dask.array as da

    m, d = row["rows"] // row["parts"], row["columns"]
    X = da.concatenate([da.from_delayed(one[0], (m, d), np.float32) for one in kept])
    y = da.concatenate([da.from_delayed(one[1], (m,), np.uint8) for one in kept])
    found = []
    fits: dict[str, Any] = {
        "ours, no intercept": lambda: LogisticRegression(client=client, fit_intercept=False).fit(kept),
        # What dask-ml calls C is the strength of the penalty; 1 is 1 either way.
        "dask-ml lbfgs": lambda: Theirs(penalty="l2", C=1.0, fit_intercept=False, solver="lbfgs").fit(X, y),
    }
    with client.as_current():
        for what, fit in fits.items():
            fit()
            start = time.perf_counter()
            model = fit()
            took = time.perf_counter() - start
            value = value_at(data, np.asarray(model.coef_), 0.0)
            found.append(row | {"what": what, "fit_s": took, "value": value, "reads": getattr(model, "n_reads_", "")})
    return found


def add_model(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a model of the overheads says of every row, and a row for 100 workers."""
    A = np.array([[1.0, row["parts"], row["workers"]] for row in rows])
    times, *_ = np.linalg.lstsq(A, np.array([row["overhead_ms"] for row in rows]), rcond=None)
    for row, said in zip(rows, A @ times, strict=True):
        row["model_ms"] = float(said)
    last = max(rows, key=lambda row: row["parts"])
    parts = 100 * last["parts"] // last["workers"]
    overhead = float(times @ [1.0, parts, 100.0])
    predicted = {
        "what": "predicted", "rows": 100 * last["rows"] // last["workers"], "columns": last["columns"], "workers": 100,
        "parts": parts, "own_s": last["own_s"], "read_s": last["own_s"] + overhead / 1e3, "model_ms": overhead,
    }  # fmt: skip
    print("overhead = {:.2f} ms + {:.3f} ms a partition + {:.2f} ms a worker".format(*times))
    return [predicted]


def main() -> None:
    """Measure and print rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--parts", type=int, nargs="+", default=[8, 64, 256])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--model", action="store_true", help="of the overheads")
    parser.add_argument("--dask-ml", action="store_true", help="fit dask-ml's beside ours")
    parser.add_argument("--record", action="store_true", help="append to bench/results/dask.csv")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    alone = in_one_process(asked.rows, asked.columns, min(asked.parts))
    print(f"in one process: {alone:.3f} s", flush=True)
    found: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for workers in asked.workers:
        options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": ":0", "memory_limit": 0}
        with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster) as client:
            for parts in asked.parts:
                row, data, kept = measure(client, workers, parts, asked.rows, asked.columns)
                row |= {"one_process_s": alone, "ratio": row["fit_s"] / alone}
                found.append(row)
                if asked.dask_ml and parts == min(asked.parts):
                    others += against_dask_ml(client, data, kept, row)
                del data, kept
    if asked.model:
        others += add_model(found)
    rows = [{key: row.get(key, "") for key in KEYS} for row in [*found, *others]]
    for row in rows:
        print({key: float(f"{value:.9g}") if isinstance(value, float) else value for key, value in row.items()})
    if asked.record:
        print(f"rows are appended to {record.append('dask', rows)}")


if __name__ == "__main__":
    main()
