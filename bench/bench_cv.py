"""Cross-validation against one fit, and against scikit-learn's LogisticRegressionCV on the same folds and strengths.

Run with ``python bench/bench_cv.py [--record] [--only N] [--rows N] [--limit SECONDS]``. Times are given over ours, and
ours over the best time of one `LogisticRegression` of ours on all rows at C = 1, interleaved with it. scikit-learn runs
with lbfgs and newton-cholesky and as many iterations as it takes, BLAS on all processors, with ever tighter tolerances
until some models of the grid are within 1e-8 of the values of ours, relatively; the time of that run alone counts. It
runs in a process that is ended at the limit: then its time is a lower bound. ``above`` is the largest value of these
models above the least found, relatively: the objective is computed in float64, of ``VALUES`` models of each.
``apart`` is the largest distance of our coefficients from fits of their own to ``tol=1e-12``, times the spread of the
columns, for a model of every C.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import problems
from bench_fit import best_time
from record import append
from scipy import sparse
from sklearn.datasets import load_digits, load_svmlight_file
from sklearn.linear_model import LogisticRegressionCV as SklearnLogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

from gpu_logreg import LogisticRegression, LogisticRegressionCV

FOLDER = Path(os.environ.get("GPU_LOGREG_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
FOLDS = 5
VALUES = 10
SOLVERS = ("lbfgs", "newton-cholesky")
TOLS, GOAL = (1e-6, 1e-8, 1e-10), 1e-8


class Case(NamedTuple):
    """Rows, labels, and how many strengths are compared."""

    name: str
    X: Any
    y: np.ndarray
    n_cs: int


def digits(n: int | None) -> Case:
    X, y = load_digits(return_X_y=True)
    return Case("digits", X / 16.0, y, 20)


def a9a(n: int | None) -> Case | None:
    path = FOLDER / "a9a.gz"
    if not path.exists():
        return None
    X, y = load_svmlight_file(str(path), n_features=123)
    return Case("a9a, sparse", sparse.csr_matrix(X), (y > 0).astype(np.int64), 20)


def independent(n: int | None) -> Case:
    return Case(*problems.gaussian(n or 1_000_000, 100), 10)


def correlated(n: int | None) -> Case:
    return Case(*problems.table_like(n or 1_000_000, 100), 10)


CASES: list[Callable[[int | None], Case | None]] = [independent, correlated, digits, a9a]


def settings(case: Case) -> dict[str, Any]:
    """Parameters that both estimators share."""
    return {
        "Cs": case.n_cs,
        "cv": FOLDS,
        "l1_ratios": (0.0,),
        "scoring": "accuracy",
        "use_legacy_attributes": False,
    }


def value(X: Any, y: np.ndarray, C: float, params: np.ndarray) -> float:
    """Mean loss plus penalty of the rows, in float64; ``params`` of shape (n_logits, d + 1)."""
    total = 0.0
    for first in range(0, len(y), problems.BLOCK):
        part = slice(first, first + problems.BLOCK)
        Z = np.asarray(X[part].astype(np.float64) @ params[:, :-1].T + params[:, -1])
        if Z.shape[1] == 1:
            z = Z[:, 0]
            total += float((np.maximum(z, 0.0) - (y[part] > 0) * z + np.log1p(np.exp(-np.abs(z)))).sum())
        else:
            largest = Z.max(axis=1)
            logs = np.log(np.exp(Z - largest[:, None]).sum(axis=1)) + largest
            total += float((logs - Z[np.arange(len(Z)), y[part]]).sum())
    return (total + float((params[:, :-1] ** 2).sum()) / (2.0 * C)) / len(y)


def some_values(case: Case, paths: np.ndarray) -> np.ndarray:
    """Values of a few models of the grid, from all folds and strengths."""
    Cs = np.logspace(-4, 4, case.n_cs)
    splits = list(StratifiedKFold(FOLDS).split(np.zeros((len(case.y), 1)), case.y))
    found = []
    for k, at in enumerate(np.linspace(0, case.n_cs - 1, VALUES).astype(int)):
        train = splits[k % FOLDS][0]
        found.append(value(case.X[train], case.y[train], Cs[at], paths[k % FOLDS, 0, at]))
    return np.array(found)


def apart(case: Case, model: LogisticRegressionCV) -> float:
    """The largest distance of a model of every C from a fit of its own to the last digit."""
    splits = list(StratifiedKFold(FOLDS).split(np.zeros((len(case.y), 1)), case.y))
    largest = 0.0
    for at in range(case.n_cs):
        k = at % FOLDS
        X = case.X[splits[k][0]].astype(np.float64)
        one = LogisticRegression(C=model.Cs_[at], tol=1e-12).fit(X, case.y[splits[k][0]])
        spread = X.std(axis=0) if not sparse.issparse(X) else np.sqrt(np.asarray(X.power(2).mean(axis=0)).ravel())
        ours = model.coefs_paths_[k, 0, at, :, :-1]
        largest = max(largest, float(np.abs((one.coef_ - ours) * spread).max()))
    return largest


def _peer(case: Case, solver: str, tol: float, begun: Callable[[], None]) -> tuple[float, np.ndarray]:
    small = slice(0, 500)
    make = {"solver": solver, "tol": tol, "max_iter": 100_000, **settings(case)}
    SklearnLogisticRegressionCV(**{**make, "Cs": 1}).fit(case.X[small], case.y[small])
    begun()
    begin = time.perf_counter()
    model = SklearnLogisticRegressionCV(**make).fit(case.X, case.y)
    return time.perf_counter() - begin, model.coefs_paths_


def _ours(case: Case, begun: Callable[[], None]) -> tuple[float, np.ndarray]:
    begun()
    return 0.0, LogisticRegressionCV(**settings(case)).fit(case.X, case.y).coefs_paths_


def _child(pipe: Any, run: Any, arguments: tuple[Any, ...]) -> None:
    os.setsid()  # with its workers in a group of its own, which is ended as a whole
    warnings.simplefilter("ignore")
    pipe.send(run(*arguments, lambda: pipe.send(None)))


def in_a_child(run: Any, limit: float, *arguments: Any) -> tuple[float, np.ndarray | None]:
    """Seconds and coefficients of a run in a process that is ended at the limit, which is its time then."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_child, args=(there, run, arguments))
    child.start()
    try:
        if not here.poll(300.0):
            return float("nan"), None
        here.recv()
        return here.recv() if here.poll(limit) else (limit, None)
    finally:
        os.killpg(child.pid or 0, signal.SIGKILL)
        child.join()


def peer_run(case: Case, solver: str, limit: float, goal: np.ndarray) -> tuple[float, np.ndarray | None]:
    """The run of a peer with the largest tolerance that ends within `GOAL` of the values ``goal``."""
    for tol in TOLS:
        seconds, paths = in_a_child(_peer, limit, case, solver, tol)
        if paths is None or float((some_values(case, paths) / goal - 1.0).max()) <= GOAL:
            break
    return seconds, paths


def measure(case: Case, limit: float) -> list[dict[str, Any]]:
    """Rows of the table for one case; ours first."""
    n, d = case.X.shape
    goal = some_values(case, in_a_child(_ours, 300.0, case)[1])  # all of them before this process has threads
    peers = {solver: peer_run(case, solver, limit, goal) for solver in SOLVERS}
    one, model = LogisticRegression(), LogisticRegressionCV(**settings(case))
    rounds = 5 if n * d >= 10**7 else 9
    singles, all_models = [], []
    for _ in range(rounds):
        singles.append(best_time(lambda: one.fit(case.X, case.y), 1))
        all_models.append(best_time(lambda: model.fit(case.X, case.y), 1))
    single, seconds = min(singles), min(all_models)
    values = {"gpu-logreg": some_values(case, model.coefs_paths_)}
    values |= {f"sklearn {name}": some_values(case, run[1]) for name, run in peers.items() if run[1] is not None}
    least = np.min(list(values.values()), axis=0)
    print(f"\n{case.name} {n:,} x {d} {case.X.dtype}, {case.n_cs} C x {FOLDS} folds; one fit {single * 1e3:.1f} ms")
    print(f"{'':26}{'seconds':>10}{'per fit':>9}{'above':>10}{'apart':>10}{'time / ours':>13}")
    table = []
    found = [("gpu-logreg", seconds, ""), *((f"sklearn {s}", run[0], "") for s, run in peers.items())]
    for solver, taken, _ in found:
        above = float((values[solver] / least - 1.0).max()) if solver in values else float("nan")
        far = apart(case, model) if solver == "gpu-logreg" else float("nan")
        note = "" if solver in values else "ended at the limit"
        ratio = taken / seconds
        print(f"{solver:26}{taken:10.3f}{taken / single:9.1f}{above:10.1e}{far:10.1e}{ratio:13.1f}  {note}", flush=True)
        table.append(
            {
                "problem": case.name,
                "n": n,
                "d": d,
                "dtype": str(case.X.dtype),
                "n_cs": case.n_cs,
                "n_folds": FOLDS,
                "solver": solver,
                "seconds": round(taken, 4),
                "one_fit_ms": round(single * 1e3, 2),
                "per_fit": round(taken / single, 2),
                "n_reads": round(model.n_reads_, 1) if solver == "gpu-logreg" else "",
                "above": f"{above:.1e}" if above == above else "",
                "apart": f"{far:.1e}" if far == far else "",
                "per_ours": round(ratio, 2),
                "note": note,
            }
        )
    return table


def main() -> None:
    def option(name: str) -> str | None:
        return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None

    only, limit = option("--only"), float(option("--limit") or 600.0)
    n = None if option("--rows") is None else int(str(option("--rows")))
    for k, make in enumerate(CASES):
        case = make(n) if only is None or k == int(only) else None
        if case is not None:
            rows = measure(case, limit)
            if "--record" in sys.argv:
                append("cv", rows)


if __name__ == "__main__":
    main()
