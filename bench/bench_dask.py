"""Reads and fits of rows on the workers of a Dask cluster: overheads, the same fits in one process, and dask-ml's.

    python bench/bench_dask.py --record

measures all that follows on the machine that it runs on, which is to be quiet, and appends the rows to
``bench/results/dask.csv``; ``--scale 0.01`` is a hundredth of the rows, to try it, and ``--only`` names some of:

- ``small``: 4,000,000 x 28 float32 on 1, 2 and 4 workers of one thread, in 8 to 256 partitions. The **overhead of a
  read** is its time less that of the slowest worker's own passes, which the workers time in the same read; the goal is
  10 ms and 1 ms a partition. In 8 partitions also a **fit**, beside the same fit in one process of as many threads;
- ``dask-ml``: its fit by ``lbfgs`` on the same cluster of two workers, of the same rows and objective (without an
  intercept, as it penalises that), with the value that it reaches, beside ours. Where it is not installed, a folder of
  packages of an environment that has it can be given by ``--packages``;
- ``large``: 12,000,000 x 100 float32 (4.8 GB, made on the workers) on two workers; the goal is 1.3 times the time of
  one process with two threads, which is run, and ends, before;
- ``model``: ``overhead = t0 + P t1 + W t2`` of P partitions on W workers by least squares, none of them negative.
  Every row has what the model says of it; the last one is a read by 100 workers with as many rows and partitions each
  as a worker had in the largest fit.

All processes, those of fits in one too, keep the memory that they have freed (`KEPT`). Else the host of a virtual
machine may take it back, and then the next fit waits for it, on some machines only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import record
from dask import delayed
from distributed import Client, LocalCluster, wait
from scipy.optimize import nnls

import gpu_logreg
from gpu_logreg.dask import LogisticRegression
from gpu_logreg.estimators.distributed.looks import Options
from gpu_logreg.estimators.distributed.parts import prepare_parts
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.part import Part

SMALL, LARGE = (4_000_000, 28), (12_000_000, 100)
WORKERS, PARTS = (1, 2, 4), (8, 16, 64, 256)
READS, FITS = 15, 7
KEPT = {"MALLOC_ARENA_MAX": "1"} | dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(2**33))
"""Of the C library, read when a process starts; arenas of other threads would be given back whatever the thresholds."""
KEYS = (
    "what", "rows", "columns", "workers", "parts", "prepare_s", "read_s", "own_s", "overhead_ms", "goal_ms", "model_ms",
    "fit_s", "one_process_s", "ratio", "reads", "value",
)  # fmt: skip
Row = dict[str, Any]


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


def timed_fits(fit: Callable[[], Any]) -> tuple[float, Any]:
    """The median of the seconds of some fits, after one that compiles, and the last one."""
    fit()
    seconds = []
    for _ in range(FITS):
        start = time.perf_counter()
        model = fit()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)), model


def read(data: Any, w: np.ndarray) -> tuple[float, float, float]:
    """Medians of the seconds of a read, of those of the slowest worker's own passes in it, and of their difference."""
    times = []
    for _ in range(READS + 1):
        start = time.perf_counter()
        found = data.parts.each(timed_gradient, w, 0.5)
        whole = time.perf_counter() - start
        own = max(sum(found[k][0] for k in group) for group in data.parts._groups)
        times.append((whole, own, whole - own))
    whole, own, over = map(float, np.median(times[1:], axis=0))
    return whole, own, over


def value_at(data: Any, coef: np.ndarray, intercept: float) -> float:
    """The sum of the losses plus half the squared weights."""
    w = np.ascontiguousarray(np.ravel(coef), np.float64)
    losses = [sums.loss_sum for _, sums in data.parts.each(timed_gradient, w, float(intercept))]
    return float(sum(losses) + 0.5 * (w @ w))


@contextlib.contextmanager
def cluster_of(workers: int) -> Iterator[Client]:
    """A client of some workers of one thread each."""
    options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": ":0", "memory_limit": 0}
    with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster) as client:
        yield client


def rows_on(client: Client, shape: tuple[int, int], parts: int) -> list[Any]:
    """Delayed blocks of rows and labels, which are made on the workers and stay there."""
    kept: list[Any] = client.persist([delayed(block, pure=False)(k, shape[0] // parts, shape[1]) for k in range(parts)])
    wait(client.compute(kept))
    return kept


def measure_reads(client: Client, kept: list[Any], shape: tuple[int, int]) -> tuple[Row, Any]:
    """A row with the time of a read, and the data."""
    start = time.perf_counter()
    prepared, _ = prepare_parts(client, [(one, None, None) for one in kept], None, Options())
    prepare = time.perf_counter() - start
    whole, own, over = read(prepared.data, np.ones(shape[1]))
    row = {
        "what": "cluster", "rows": shape[0], "columns": shape[1], "workers": len(client.nthreads()), "parts": len(kept),
        "prepare_s": prepare, "read_s": whole, "own_s": own, "overhead_ms": 1e3 * over, "goal_ms": 10.0 + len(kept),
    }  # fmt: skip
    return row, prepared.data


def measure_fit(client: Client, kept: list[Any], data: Any, alone: float) -> Row:
    """What a fit adds to the row of its reads."""
    seconds, model = timed_fits(lambda: LogisticRegression(client=client).fit(kept))
    value = value_at(data, model.coef_, model.intercept_[0])
    return {"fit_s": seconds, "one_process_s": alone, "ratio": seconds / alone, "reads": model.n_reads_, "value": value}


def in_one_process(shape: tuple[int, int], parts: int, threads: int) -> float:
    """Seconds of the same fit of rows in memory, in a process of its own that has ended then."""
    command = [sys.executable, __file__, "--alone", *map(str, (*shape, parts))]
    names = "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"
    environment = os.environ | dict.fromkeys(names, str(threads))
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(ended.stdout)


def fit_alone(n: int, d: int, parts: int) -> None:
    """What the process of `in_one_process` does."""
    m = n // parts
    X, y = np.empty((m * parts, d), np.float32), np.empty(m * parts, np.uint8)
    for k in range(parts):
        X[m * k : m * k + m], y[m * k : m * k + m] = block(k, m, d)
    print(timed_fits(lambda: gpu_logreg.LogisticRegression().fit(X, y))[0])


def measure_small(shape: tuple[int, int]) -> list[Row]:
    """Reads on every number of workers and partitions, and fits in the fewest partitions."""
    found: list[Row] = []
    for workers in WORKERS:
        threads = min(workers, len(os.sched_getaffinity(0)))
        alone = in_one_process(shape, PARTS[0], threads)
        with cluster_of(workers) as client:
            for parts in PARTS:
                kept = rows_on(client, shape, parts)
                row, data = measure_reads(client, kept, shape)
                if parts == PARTS[0]:
                    row |= measure_fit(client, kept, data, alone)
                found.append(shown(row))
                del data, kept
    return found


def measure_large(shape: tuple[int, int]) -> list[Row]:
    """A read and a fit on two workers."""
    alone = in_one_process(shape, PARTS[0], 2)
    with cluster_of(2) as client:
        kept = rows_on(client, shape, PARTS[0])
        row, data = measure_reads(client, kept, shape)
        return [shown(row | measure_fit(client, kept, data, alone))]


def measure_dask_ml(shape: tuple[int, int], packages: str | None) -> list[Row]:
    """Fits without an intercept, of ours and of dask-ml; none where that cannot be loaded."""
    if packages is not None:
        sys.path.append(packages)
    try:
        from dask_ml.linear_model import LogisticRegression as Theirs
    except ImportError as error:
        print(f"dask-ml: left out, as it cannot be loaded ({error}); give --packages FOLDER")
        return []
    import dask.array as da

    parts, d = PARTS[0], shape[1]
    m = shape[0] // parts
    found: list[Row] = []
    with cluster_of(2) as client, client.as_current():
        if packages is not None:
            client.run(lambda: sys.path.append(packages))
        kept = rows_on(client, shape, parts)
        row, data = measure_reads(client, kept, shape)
        X = da.concatenate([da.from_delayed(one[0], (m, d), np.float32) for one in kept])
        y = da.concatenate([da.from_delayed(one[1], (m,), np.uint8) for one in kept])
        X, y = client.persist([X, y])
        fits: dict[str, Callable[[], Any]] = {
            "ours, no intercept": lambda: LogisticRegression(client=client, fit_intercept=False).fit(kept),
            # What dask-ml calls C is the strength of the penalty; 1 is 1 either way.
            "dask-ml lbfgs": lambda: Theirs(penalty="l2", C=1.0, fit_intercept=False, solver="lbfgs").fit(X, y),
        }
        for what, fit in fits.items():
            seconds, model = timed_fits(fit)
            value = value_at(data, np.asarray(model.coef_), 0.0)
            reads = getattr(model, "n_reads_", "")
            found.append(shown(row | {"what": what, "fit_s": seconds, "value": value, "reads": reads}))
    return found


def add_model(rows: list[Row]) -> list[Row]:
    """What a model of the overheads says of every row, and a row of a read by 100 workers."""
    A = np.array([[1.0, row["parts"], row["workers"]] for row in rows])
    times, _ = nnls(A, np.array([row["overhead_ms"] for row in rows]))
    print("overhead = {:.2f} ms + {:.3f} ms a partition + {:.2f} ms a worker".format(*times))
    for row, told in zip(rows, A @ times, strict=True):
        row["model_ms"] = float(told)
        print(f"{row['workers']} workers, {row['parts']} parts: {row['overhead_ms']:.1f} ms, by the model {told:.1f}")
    largest = max((row for row in rows if "fit_s" in row), key=lambda row: row["rows"] * row["columns"])
    n, parts = (100 * largest[name] // largest["workers"] for name in ("rows", "parts"))
    overhead = float(times @ [1.0, parts, 100.0])
    predicted = {
        "what": "predicted", "rows": n, "columns": largest["columns"], "workers": 100, "parts": parts,
        "own_s": largest["own_s"], "read_s": largest["own_s"] + overhead / 1e3, "model_ms": overhead,
    }  # fmt: skip
    return [shown(predicted)]


def shown(row: Row) -> Row:
    """Print a row."""
    print({key: float(f"{value:.5g}") if isinstance(value, float) else value for key, value in row.items()}, flush=True)
    return row


def main() -> None:
    """Measure and print rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = "small", "dask-ml", "large", "model"
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows")
    parser.add_argument("--packages", metavar="FOLDER", help="site-packages of an environment with dask-ml")
    parser.add_argument("--record", action="store_true", help="append to bench/results/dask.csv")
    parser.add_argument("--alone", type=int, nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if not KEPT.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEPT)
    warnings.simplefilter("ignore")
    if asked.alone:
        fit_alone(*asked.alone)
        return
    small, large = ((int(n * asked.scale) // max(PARTS) * max(PARTS), d) for n, d in (SMALL, LARGE))
    found = measure_small(small) if "small" in asked.only else []
    others = measure_dask_ml(small, asked.packages) if "dask-ml" in asked.only else []
    found += measure_large(large) if "large" in asked.only else []
    if "model" in asked.only and len(found) > 3:  # it has three times to find
        others += add_model(found)
    rows: list[dict[str, object]] = [{key: row.get(key, "") for key in KEYS} for row in [*found, *others]]
    if asked.record and rows:
        print(f"rows are appended to {record.append('dask', rows)}")


if __name__ == "__main__":
    main()
