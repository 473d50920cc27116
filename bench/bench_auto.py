"""The time of ``solver="auto"`` over that of the best solver, on forty problems, all taken to the same value.

Run with ``python bench/bench_auto.py [--record] [--only TEXT] [--seconds S]``. Every solver that serves the penalty and
the rows fits every problem of `auto_problems` with default settings, or with ever tighter ``tol`` where it misses the
least value found by more than 1e-8 of it; "auto" has the default ``tol`` alone. Fits take turns; the medians of
processor and wall times are compared. A solver is ended after a few times the time of "auto": it is not the best.
The limit is 1.5 times the time of the best. sgd and adam do not go to the minimum and are left out.
"""

from __future__ import annotations

import signal
import sys
import time
import warnings
from typing import Any, NamedTuple

import numpy as np
from auto_problems import SHAPES, Shape
from record import append
from scipy import sparse

from gpu_logreg import LogisticRegression
from gpu_logreg.errors import DataError

GOAL, LIMIT = 1e-8, 1.5
TOLS = (1e-6, 1e-7, 1e-8)
ENDED = 3.0
"""Times that of "auto", after which another fit is ended; and a tenth of a second."""

FIRST = 3.0
"""Seconds that a first fit may take beyond that: it loads what is compiled, or compiles it."""

RIDGE = ("subsampled-newton", "newton-cg", "lbfgs", "gradient-descent")
LASSO = ("proximal", "coordinate-descent")


class Fit(NamedTuple):
    """One fit: its times, its value, and what ``solver`` was in the end."""

    wall: float
    cpu: float
    value: float
    solver: str
    reads: float


class TooSlowError(Exception):
    """A fit has been ended."""


def _end(*_: Any) -> None:
    raise TooSlowError


class Case:
    """A problem whose fits are timed."""

    def __init__(self, shape: Shape) -> None:
        self.X, self.y = shape.draw()
        self.shape, self.K = shape, int(self.y.max()) + 1
        rng = np.random.default_rng(0)
        self.s = rng.choice([0.5, 1.0, 4.0], len(self.y)) if shape.weights else None

    def fit(self, solver: str, tol: float, limit: float = 0.0) -> Fit:
        """Fit once; `TooSlowError` where that takes longer than ``limit`` seconds, if it is not 0."""
        shape = self.shape
        model = LogisticRegression(
            solver=solver, C=shape.C, l1_ratio=shape.l1_ratio, tol=tol, max_iter=10_000, random_state=0
        )
        signal.signal(signal.SIGALRM, _end)
        wall, cpu = time.perf_counter(), time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            signal.setitimer(signal.ITIMER_REAL, limit)
            try:
                model.fit(self.X, self.y, self.s)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Fit(wall, cpu, self.value(model), model.solver_, model.n_reads_)

    def value(self, model: LogisticRegression) -> float:
        """Mean loss plus penalty in float64."""
        W, b = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
        X = self.X if sparse.issparse(self.X) else self.X.astype(np.float64)
        Z = X @ W.T + b
        Z = np.hstack([np.zeros((len(Z), 1)), Z]) if len(W) == 1 else Z
        top = Z.max(axis=1)
        losses = top + np.log(np.exp(Z - top[:, None]).sum(axis=1)) - Z[np.arange(len(Z)), self.y]
        s, ratio = np.ones(len(Z)) if self.s is None else self.s, self.shape.l1_ratio
        penalty = (ratio * np.abs(W).sum() + 0.5 * (1.0 - ratio) * (W * W).sum()) / self.shape.C
        return float((s @ losses + penalty) / s.sum())

    def solvers(self) -> tuple[str, ...]:
        """Those that serve the penalty; rows may be refused."""
        return RIDGE if self.shape.l1_ratio == 0.0 or np.isinf(self.shape.C) else LASSO


def reaches(case: Case, auto: Fit) -> tuple[dict[str, float | None], float]:
    """The ``tol`` with which each solver comes to the least value, None where none does in time; and that value."""
    limit = ENDED * auto.wall + 0.1
    found: dict[str, Fit | None] = {}
    for solver in case.solvers():
        try:
            case.fit(solver, TOLS[0], limit + FIRST)
            found[solver] = case.fit(solver, TOLS[0], limit)
        except TooSlowError:
            found[solver] = None
        except DataError:
            continue
    least = min(auto.value, case.fit("auto", 1e-9).value, *(fit.value for fit in found.values() if fit is not None))
    tols: dict[str, float | None] = {}
    for solver, fit in found.items():
        tols[solver] = None
        for tol in TOLS if fit is not None else ():
            try:
                last = fit if fit is not None and tol == TOLS[0] else case.fit(solver, tol, limit)
            except TooSlowError:
                break
            if last.value <= least + GOAL * abs(least):
                tols[solver] = tol
                break
    return tols, least


def measured(case: Case, seconds: float) -> dict[str, Any]:
    """A row of the table: medians over fits that take turns for about ``seconds``."""
    case.fit("auto", TOLS[0])
    auto = case.fit("auto", TOLS[0])
    reached, least = reaches(case, auto)
    tols = {solver: tol for solver, tol in reached.items() if tol is not None}
    runs: dict[str, list[Fit]] = {"auto": [], **{solver: [] for solver in tols}}
    begin = time.perf_counter()
    while len(runs["auto"]) < 3 or (time.perf_counter() - begin < seconds and len(runs["auto"]) < 25):
        for solver, fits in runs.items():
            fits.append(case.fit(solver, tols.get(solver, TOLS[0])))
    cpu = {solver: float(np.median([fit.cpu for fit in fits])) for solver, fits in runs.items()}
    wall = {solver: float(np.median([fit.wall for fit in fits])) for solver, fits in runs.items()}
    others = list(tols) or ["auto"]
    best_cpu, best_wall = min(others, key=cpu.__getitem__), min(others, key=wall.__getitem__)
    return {
        "chosen": auto.solver,
        "best": best_wall,
        "best_by_cpu": best_cpu,
        "auto_ms": round(1e3 * wall["auto"], 2),
        "wall_ratio": round(wall["auto"] / wall[best_wall], 2),
        "cpu_ratio": round(cpu["auto"] / cpu[best_cpu], 2),
        "suboptimality": f"{auto.value / least - 1.0:.0e}",
        "reads": round(auto.reads, 1),
        "all_ms": "; ".join(
            f"{solver} {1e3 * wall[solver]:.2f}" + ("" if tols[solver] == TOLS[0] else f" (tol {tols[solver]:g})")
            if solver in tols
            else f"{solver} not in time"
            for solver in reached
        ),
    }


def main() -> None:
    def option(name: str, default: str) -> str:
        return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default

    only, seconds = option("--only", ""), float(option("--seconds", "2"))
    rows: list[dict[str, object]] = []
    print(f"{'problem':44}{'chosen':20}{'ms':>9}{'wall/best':>11}{'CPU/best':>10}{'excess':>9}")
    for name, shape in SHAPES.items():
        if only not in name:
            continue
        row = measured(Case(shape), seconds)
        met = row["wall_ratio"] <= LIMIT and float(row["suboptimality"]) <= GOAL
        figures = f"{row['auto_ms']:9}{row['wall_ratio']:11}{row['cpu_ratio']:10}{row['suboptimality']:>9}"
        print(f"{name:44}{row['chosen']:20}{figures}  {'' if met else 'NOT MET: '}{row['all_ms']}", flush=True)
        rows.append({"problem": name, **row})
    if "--record" in sys.argv and rows:
        print("kept in", append("auto", rows).name)


if __name__ == "__main__":
    main()
