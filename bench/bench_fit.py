"""Whole fits against scikit-learn and glum, each taken to the same objective value: ratios of one run.

Run with ``python bench/bench_fit.py [--record] [--only N]``. gpu-logreg runs with its default settings. Every peer runs
with its usual tolerance, then with a tighter one unless it is within 1e-8 of the minimum, relatively; the time of the
last run alone counts. Where its suboptimality is still above 1e-8, the peer has not reached what its time is compared
with.
"reads, wall" is the time of a fit over the time of one plain threaded sum over ``X``.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import problems
from harness.peers.penalised import Glum
from harness.training import Training
from record import append
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays.blocks import n_threads

GOAL = 1e-8
PROBLEMS = [
    (problems.breast_cancer, 569, 30),
    (problems.table_like, 569, 30),
    (problems.table_like, 5_000, 20),
    (problems.gaussian, 1_000_000, 100),
    (problems.gaussian, 4_000_000, 28),
    (problems.gaussian, 200_000, 500),
    (problems.gaussian, 100_000, 1000),
    (problems.table_like, 1_000_000, 100),
    (problems.table_like, 200_000, 500),
    (problems.table_like, 100_000, 1000),
    (problems.gaussian, 20_000, 5_000),
    (problems.gaussian, 2_000, 20_000),
]
MANY_COLUMNS = 2_000
"""Columns from which peers that solve by a matrix of all columns are left out: they would take minutes or hours."""

POOL = ThreadPoolExecutor(n_threads())


def read_time(X: np.ndarray) -> float:
    """Best time of a plain sum over ``X``, one ``numpy.sum`` per thread."""
    edges = [len(X) * k // n_threads() for k in range(n_threads() + 1)]

    def read() -> None:
        list(POOL.map(lambda a, b: float(np.sum(X[a:b])), edges[:-1], edges[1:]))

    return best_time(read, 15)


def best_time(call: Callable[[], Any], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)


def sklearn_fit(
    solver: str, tol: float, max_iter: int, estimator: Any = SklearnLogisticRegression
) -> Callable[[Any, Any], tuple[np.ndarray, float]]:
    def fit(X: Any, y: Any) -> tuple[np.ndarray, float]:
        model = estimator(solver=solver, tol=tol, max_iter=max_iter).fit(X, y)
        return model.coef_[0].astype(np.float64), float(model.intercept_[0])

    return fit


def glum_fit(tol: float) -> Callable[[Any, Any], tuple[np.ndarray, float]]:
    def fit(X: Any, y: Any) -> tuple[np.ndarray, float]:
        W, b = Glum().fit(Training(X, y), tol=tol)
        return W[0], float(b[0])

    return fit


def peers(d: int) -> dict[str, list[Callable[[Any, Any], tuple[np.ndarray, float]]]]:
    """Every peer for d columns, with its tolerances from loose to tight."""
    tols = ((1e-4, 100), (1e-6, 500), (1e-7, 500))
    found = {"sklearn lbfgs": [sklearn_fit("lbfgs", *limits) for limits in tols]}
    try:
        from sklearnex.linear_model import LogisticRegression as IntelLogisticRegression
    except ImportError:
        print("scikit-learn-intelex is not installed: left out")
    else:
        found["intelex lbfgs"] = [sklearn_fit("lbfgs", *limits, IntelLogisticRegression) for limits in tols]
    if d < MANY_COLUMNS:
        found["sklearn newton-cholesky"] = [sklearn_fit("newton-cholesky", tol, 100) for tol in (1e-4, 1e-6)]
        found["glum irls-ls"] = [glum_fit(tol) for tol in (1e-4, 1e-6)]
    return found


def measure(problem: problems.Problem) -> list[dict[str, Any]]:
    """Rows of the table for one problem; ours first."""
    name, X, y = problem
    small = X.size < 1_000_000
    read = read_time(X)
    model = LogisticRegression()
    model.fit(X, y)  # compiled or loaded, as any second fit of a process finds it
    seconds = best_time(lambda: model.fit(X, y), 30 if small else 5)
    w, b = model.coef_[0], float(model.intercept_[0])
    least = problems.minimum(X, y, w, b)
    found = [("gpu-logreg", seconds, problems.value(X, y, w, b) / least - 1.0, model.n_reads_)]
    for peer, settings in peers(X.shape[1]).items():
        for fit in settings:
            fit(X[:1000], y[:1000])
            begin = time.perf_counter()
            w, b = fit(X, y)
            seconds = time.perf_counter() - begin
            gap = problems.value(X, y, w, b) / least - 1.0
            if gap <= GOAL:
                break
        if seconds < 2.0:
            seconds = min(seconds, best_time(lambda fit=fit: fit(X, y), 30 if small else 2))
        found.append((peer, seconds, gap, float("nan")))
    ours = found[0][1]
    n, d = X.shape
    print(f"\n{name} {n:,} x {d} {X.dtype}; one read {read * 1e3:.2f} ms")
    print(f"{'':26}{'seconds':>10}{'reads, wall':>13}{'reads':>8}{'suboptimality':>15}{'time / ours':>13}")
    rows = []
    for peer, seconds, gap, reads in found:
        counted = f"{reads:8.1f}" if reads == reads else f"{'':8}"
        print(f"{peer:26}{seconds:10.4f}{seconds / read:13.1f}{counted}{gap:15.1e}{seconds / ours:13.1f}", flush=True)
        rows.append(
            {
                "problem": name,
                "n": n,
                "d": d,
                "dtype": str(X.dtype),
                "solver": peer,
                "seconds": round(seconds, 5),
                "read_ms": round(read * 1e3, 3),
                "reads_wall": round(seconds / read, 1),
                "n_reads": "" if reads != reads else round(reads, 2),
                "suboptimality": f"{gap:.1e}",
                "per_ours": round(seconds / ours, 2),
            }
        )
    return rows


def main() -> None:
    only = int(sys.argv[sys.argv.index("--only") + 1]) if "--only" in sys.argv else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peers that do not converge say so; the table shows it
        for k, (make, n, d) in enumerate(PROBLEMS):
            if only is None or k == only:
                rows = measure(make(n, d))
                if "--record" in sys.argv:
                    append("fit", rows)


if __name__ == "__main__":
    main()
