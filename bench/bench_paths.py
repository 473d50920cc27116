"""How far a fit is above the minimum after some time, of every solver on one problem: the rows of a picture.

Run with ``python bench/bench_paths.py [--record] [--rows N] [--seconds S]``. A solver is fitted again and again with
more and more iterations allowed, and each fit is one point: its time, and its objective above the least value in
float64, relatively. So no solver is looked at while it works, and all are asked in the same way. In each round all
solvers take their next number of iterations; one whose fit took longer than the limit, or which is at the minimum,
takes no further ones. ``load`` is what the machine was busy with, this run among it: rows are to be recorded on a
machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import problems
from record import append
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays.blocks import n_threads

Fit = Callable[[Any, Any, int], tuple[np.ndarray, float]]
ITERATIONS = (1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 45, 70, 100, 150, 220, 330, 500, 750, 1100, 1700, 2500, 4000)
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}
ROUNDED = 3e-15
"""A value is no nearer to the least one than float64 can tell."""


def of_estimator(estimator: Any, **parameters: Any) -> Fit:
    def fit(X: Any, y: Any, iterations: int) -> tuple[np.ndarray, float]:
        model = estimator(max_iter=iterations, **parameters).fit(X, y)
        return model.coef_[0].astype(np.float64), float(model.intercept_[0])

    return fit


def solvers() -> dict[str, Fit]:
    """Ours with its default settings; others with a tolerance that never ends them before the iterations do."""
    found = {"gpu-logreg": of_estimator(LogisticRegression)}
    for name in ("lbfgs", "newton-cholesky", "newton-cg", "sag", "saga"):
        found[f"sklearn {name}"] = of_estimator(SklearnLogisticRegression, solver=name, tol=1e-14)
    return found


def paths(problem: problems.Problem, limit: float, clock: str = "wall", repeats: int = 3) -> list[dict[str, Any]]:
    """One row for each solver and number of iterations."""
    name, X, y = problem
    least = problems.minimum(X, y, *_reference(X, y))
    alive, rows, now = solvers(), [], CLOCKS[clock]
    for fit in alive.values():
        fit(X[:2000], y[:2000], 2)  # compiled or loaded
    for iterations in ITERATIONS:
        for solver, fit in list(alive.items()):
            begin = now()
            (w, b), seconds = fit(X, y, iterations), now() - begin
            for _ in range(repeats - 1 if seconds < 1.0 else 0):
                begin = now()
                fit(X, y, iterations)
                seconds = min(seconds, now() - begin)
            gap = problems.value(X, y, w, b) / least - 1.0
            print(f"{solver:26}{iterations:6}{seconds:10.4f}{gap:12.1e}", flush=True)
            rows.append(
                {
                    "problem": name,
                    "n": len(X),
                    "d": X.shape[1],
                    "dtype": str(X.dtype),
                    "clock": clock,
                    "threads": n_threads(),
                    "load": round(os.getloadavg()[0], 1),
                    "solver": solver,
                    "iterations": iterations,
                    "seconds": round(seconds, 5),
                    "suboptimality": f"{max(gap, 0.0):.2e}",
                }
            )
            same = [row for row in rows if row["solver"] == solver][-2:]
            stands = len(same) == 2 and gap < 1e-8 and same[0]["suboptimality"] == same[1]["suboptimality"]
            if seconds > limit or gap < ROUNDED or stands:
                del alive[solver]
    return rows


def _reference(X: Any, y: Any) -> tuple[np.ndarray, float]:
    model = LogisticRegression(tol=1e-10).fit(X, y)
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="append the rows to bench/results/paths.csv")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="a solver that took longer takes no more iterations"
    )
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="processor: that of all threads, where one is allowed and others work",
    )
    options = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # none of these fits converges but the last ones
        rows = paths(problems.table_like(options.rows, options.columns, "float64"), options.seconds, options.clock)
    if options.record:
        append("paths", rows)


if __name__ == "__main__":
    main()
