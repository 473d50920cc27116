"""Paths of L1-penalised fits over 100 values of C against celer, adelie, glmnet and liblinear: ratios of one run.

Run with ``python bench/bench_path.py [--record] [--only N] [--rows N] [--limit SECONDS]``. No intercept, because
celer's paths have none. The values of C go from the least with a weight to `RANGE` times that. A peer runs with ever
tighter tolerances until the value of each of a few models is within 1e-6 of the least found, relatively, in a process
that is ended at the limit, which is its time then, a lower bound; the time of that run alone counts. Runs of ours go in
turns with those of peers: times are given over the mean of the two around each. adelie is told to take as many threads
as there are processors; celer, glmnet and liblinear know one. Peers get columns that lie together. celer, adelie and
glmnet run if they can be imported, else the reason is told; liblinear has no path, and fits every C from the start, of
sparse rows.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from bench_l1 import FOLDER, informative
from record import append
from scipy import sparse
from sklearn.datasets import load_svmlight_file
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from gpu_logreg import logistic_path

N_CS, RANGE, GOAL, COMPARED = 100, 1000.0, 1e-6, 8


class Case(NamedTuple):
    """Rows and labels."""

    name: str
    X: Any
    y: np.ndarray


def a9a(n: int | None) -> Case | None:
    path = FOLDER / "a9a.gz"
    if not path.exists():
        return None
    X, y = load_svmlight_file(str(path), n_features=123)
    X = sparse.csr_matrix((X.data, X.indices.astype(np.int32), X.indptr.astype(np.int32)), X.shape)  # as liblinear asks
    return Case("a9a, sparse", X, (y > 0).astype(np.int64))


def gaussian(n: int | None) -> Case:
    return Case(*informative(n or 100_000, 1_000, 50))


CASES: list[Callable[[int | None], Case | None]] = [a9a, gaussian]


def strengths(case: Case) -> np.ndarray:
    """Values of C, ascending: below the first no column has a weight."""
    largest = float(np.abs(case.X.T @ (0.5 - case.y)).max())
    return np.geomspace(1.0, RANGE, N_CS) / largest * 1.001


def values(case: Case, Cs: np.ndarray, coefs: np.ndarray) -> np.ndarray:
    """Sum of losses over the rows plus penalty, over the rows, of a few models of a path; coefs of shape (n_cs, d)."""
    found = []
    for at in np.linspace(0, len(Cs) - 1, COMPARED).astype(int):
        z = np.asarray(case.X @ coefs[at]).ravel()
        loss = float((np.maximum(z, 0.0) - case.y * z + np.log1p(np.exp(-np.abs(z)))).sum())
        found.append((loss + float(np.abs(coefs[at]).sum()) / Cs[at]) / len(case.y))
    return np.array(found)


def celer(case: Case, Cs: np.ndarray, tol: float) -> np.ndarray:
    from celer import celer_path

    path = celer_path(case.X, 2.0 * case.y - 1.0, "logreg", alphas=1.0 / Cs, tol=tol)
    return np.asarray(path[1].T)


def adelie(case: Case, Cs: np.ndarray, tol: float) -> np.ndarray:
    import adelie as ad

    threads = len(os.sched_getaffinity(0))
    make = ad.matrix.sparse if sparse.issparse(case.X) else ad.matrix.dense
    X = make(case.X, method="naive", n_threads=threads)
    path = ad.grpnet(
        X=X, glm=ad.glm.binomial(case.y.astype(float)), lmda_path=1.0 / (Cs * len(case.y)), intercept=False,
        early_exit=False, progress_bar=False, tol=tol, irls_tol=tol, n_threads=threads,
    )  # fmt: skip
    return np.asarray(path.betas.toarray())


def glmnet(case: Case, Cs: np.ndarray, tol: float) -> np.ndarray:
    from glmnet import LogitNet

    model = LogitNet(
        alpha=1.0, lambda_path=1.0 / (Cs * len(case.y)), standardize=False, fit_intercept=False, n_splits=0, tol=tol
    )
    return np.asarray(model.fit(case.X, case.y).coef_path_[0].T)


def liblinear(case: Case, Cs: np.ndarray, tol: float) -> np.ndarray:
    make = {"l1_ratio": 1.0, "solver": "liblinear", "fit_intercept": False, "max_iter": 100_000, "random_state": 0}
    return np.array([SklearnLogisticRegression(C=C, tol=tol, **make).fit(case.X, case.y).coef_[0] for C in Cs])


PEERS: dict[str, tuple[Callable[[Case, np.ndarray, float], np.ndarray], tuple[float, ...]]] = {
    "celer": (celer, (1e-4, 1e-6, 1e-8)),
    "adelie": (adelie, (1e-5, 1e-7, 1e-9)),
    "glmnet": (glmnet, (1e-5, 1e-7, 1e-9)),
    "sklearn liblinear": (liblinear, (1e-2, 1e-3, 1e-4)),
}


def _laid_out(X: Any, fit: Any) -> Any:
    """Columns that lie together, but for liblinear, which copies its rows itself."""
    if fit is liblinear:
        return X
    return sparse.csc_matrix(X) if sparse.issparse(X) else np.asfortranarray(X)


def _child(pipe: Any, fit: Any, case: Case, Cs: np.ndarray) -> None:
    warnings.simplefilter("ignore")
    try:
        few = case._replace(X=_laid_out(case.X[:500], fit), y=case.y[:500])
        fit(few, Cs[:2] * len(case.y) / 500, 1e-2)  # imported and compiled
        case = case._replace(X=_laid_out(case.X, fit))
        pipe.send(None)
        while (tol := pipe.recv()) is not None:
            begin = time.perf_counter()
            coefs = fit(case, Cs, tol)
            pipe.send((time.perf_counter() - begin, coefs))
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}".splitlines()[0])


def ours(case: Case, Cs: np.ndarray) -> tuple[float, Any]:
    """Seconds and the path."""
    begin = time.perf_counter()
    path = logistic_path(case.X, case.y, Cs, l1_ratio=1.0, fit_intercept=False)
    return time.perf_counter() - begin, path


def beside(
    case: Case, Cs: np.ndarray, peer: str, least: np.ndarray, limit: float, before: float
) -> tuple[float, float, float, float, str]:
    """Seconds of a peer, of ours around it and of ours after it, how far above the least it ends, and a note."""
    fit, tols = PEERS[peer]
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_child, args=(there, fit, case, Cs))
    child.start()
    nan = float("nan")
    seconds, around, above = nan, nan, nan
    try:
        first = here.recv() if here.poll(300.0) else "could not be warmed up in 300 s"
        if first is not None:
            return nan, nan, before, nan, first
        for tol in tols:
            here.send(tol)
            run = here.recv() if here.poll(limit) else None
            if isinstance(run, str):
                return nan, nan, before, nan, run
            if run is None:
                return limit, before, before, nan, "ended at the limit"
            after = ours(case, Cs)[0]
            seconds, around, before = run[0], 0.5 * (before + after), after
            above = float((values(case, Cs, run[1]) / least - 1.0).max())
            if above <= GOAL:
                return seconds, around, before, above, ""
        return seconds, around, before, above, "goal not reached"
    finally:
        child.kill()
        child.join()


def measure(case: Case, limit: float) -> list[dict[str, Any]]:
    """Rows of the table for one case; ours first."""
    Cs, (n, d) = strengths(case), case.X.shape
    ours(case._replace(X=case.X[:500], y=case.y[:500]), Cs[:2])
    runs = [ours(case, Cs) for _ in range(2)]
    seconds, path = min(runs, key=lambda run: run[0])
    least = values(case, Cs, path.coefs[:, 0])
    print(
        f"\n{case.name} {n:,} x {d}, {N_CS} C; {path.n_reads:.0f} reads, at most {(path.coefs[-1] != 0).sum()} weights"
    )
    print(f"{'':20}{'seconds':>10}{'above':>10}{'time / ours':>13}")
    table, last = [], runs[-1][0]
    for solver in ["gpu-logreg", *PEERS]:
        if solver == "sklearn liblinear" and not sparse.issparse(case.X):  # 100 fits from the start: minutes
            continue
        if solver == "gpu-logreg":
            taken, of_ours, above, note = seconds, seconds, 0.0, ""
        else:
            taken, of_ours, last, above, note = beside(case, Cs, solver, least, limit, last)
        ratio = taken / of_ours
        print(f"{solver:20}{taken:10.3f}{above:10.1e}{ratio:13.2f}  {note}", flush=True)
        table.append(
            {
                "problem": case.name,
                "n": n,
                "d": d,
                "n_cs": N_CS,
                "solver": solver,
                "seconds": round(taken, 4),
                "n_reads": round(path.n_reads, 1) if solver == "gpu-logreg" else "",
                "above": f"{above:.1e}",
                "per_ours": round(ratio, 2),
                "note": note,
            }
        )
    return table


def main() -> None:
    def option(name: str) -> str | None:
        return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None

    only, limit = option("--only"), float(option("--limit") or 300.0)
    n = None if option("--rows") is None else int(str(option("--rows")))
    for k, make in enumerate(CASES):
        case = make(n) if only is None or k == int(only) else None
        if case is not None:
            rows = measure(case, limit)
            if "--record" in sys.argv:
                append("path", rows)


if __name__ == "__main__":
    main()
