"""Ridge fits of sparse rows against scikit-learn's solvers, each taken to the same value: ratios of one run.

Run with ``python bench/bench_sparse.py [--record] [--only NAME] [--limit SECONDS]``. No intercept, because liblinear
penalises it. Every peer runs with ever tighter tolerances until it is within 1e-8 of the least value found,
relatively; the time of that run alone counts. One that does not get there within the limit is ended, and its time is
the limit: a lower bound. gpu-logreg runs with its default settings.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from bench_fit import best_time
from bench_l1 import Fit, runs
from bench_l1_columns import tf_idf
from harness.peers.scikit_learn import Sklearn
from harness.training import Training
from problems import Problem
from record import append
from scipy import sparse
from sklearn.datasets import load_svmlight_file

from gpu_logreg import LogisticRegression
from gpu_logreg.passes.reference.classes import reference_multinomial_pass
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.rows.block import Rows

GOAL = 1e-8
FOLDER = Path(os.environ.get("GPU_LOGREG_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def libsvm(name: str, file: str, n_features: int | None = None) -> Problem:
    X, labels = load_svmlight_file(str(FOLDER / file), n_features=n_features)
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)  # liblinear takes no others
    return Problem(name, X, np.unique(labels, return_inverse=True)[1])


def text_like(n: int = 500_000, d: int = 20_000, words: int = 40) -> Problem:
    """Rows of about ``words`` words, which are rarer the higher their number, as rare as in text; of length one."""
    rng = np.random.default_rng(0)
    share = 1.0 / np.arange(10.0, d + 10.0)
    column = rng.choice(d, size=n * words, p=share / share.sum())
    idf = np.log(1.0 / (share / share.sum()))
    X = sparse.csr_matrix((idf[column], column, np.arange(0, n * words + 1, words)), shape=(n, d))
    X.sum_duplicates()
    X.data /= np.repeat(np.sqrt(X.multiply(X).sum(axis=1).A1), np.diff(X.indptr))
    w = rng.standard_normal(d) * (rng.random(d) < 0.2) * 10.0
    return Problem("text-like", X, (rng.logistic(size=n) < X @ w).astype(np.int64))


def tf_idf_text() -> Problem:
    """100,000 rows of 60 words of 50,000, weighted by tf-idf; see `bench_l1_columns.tf_idf`."""
    text = tf_idf(100_000, 50_000)
    return Problem("tf-idf", sparse.csr_matrix(text.X), text.y)


def counts(n: int = 16_000, d: int = 60_000, K: int = 20) -> Problem:
    """Raw counts with heavy tails, up to several hundred: words by Zipf's law, which each class likes more or less."""
    rng = np.random.default_rng(3)
    y, share = rng.integers(0, K, n), 1.0 / np.arange(10.0, d + 10.0)
    length = np.maximum(5, np.exp(rng.normal(4.2, 0.8, n))).astype(np.int64)
    row = np.repeat(np.arange(n), length)
    column = np.empty(len(row), np.int64)
    for k in range(K):
        liked = share * np.exp(0.7 * rng.standard_normal(d))
        of_class = y[row] == k
        column[of_class] = rng.choice(d, int(of_class.sum()), p=liked / liked.sum())
    count = np.floor(rng.pareto(2.5, len(row)) + 1.0)
    X = sparse.csr_matrix((count, (row, column)), shape=(n, d))
    X.sum_duplicates()
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return Problem("counts", X, y)


class Case(NamedTuple):
    """How to make a problem, the file it needs, the peers that are run on it, and C."""

    make: Callable[[], Problem]
    file: str | None
    peers: tuple[str, ...]
    C: float = 1.0


TWO = ("lbfgs", "newton-cg", "liblinear", "sag")
CASES = {
    "a9a": Case(lambda: libsvm("a9a", "a9a.gz", 123), "a9a.gz", (*TWO, "newton-cholesky")),
    "reuters": Case(lambda: libsvm("reuters", "reuters.trn.bz2"), "reuters.trn.bz2", TWO),
    "text-like": Case(text_like, None, TWO),
    "tf-idf": Case(tf_idf_text, None, ("newton-cg", "liblinear")),
    "tf-idf, C = 100": Case(tf_idf_text, None, ("newton-cg", "liblinear"), 100.0),
    "counts": Case(counts, None, ("lbfgs",)),
    "sector": Case(lambda: libsvm("sector", "sector.scale.bz2"), "sector.scale.bz2", ("lbfgs",)),
}
TOLS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)


def fit_of(solver: str) -> Fit:
    def fit(problem: Problem, C: float, tol: float) -> np.ndarray:
        W, _ = Sklearn(solver).fit(Training(problem.X, problem.y, C, 0.0, False), tol=tol)
        return W

    return fit


def value(problem: Problem, W: np.ndarray, C: float) -> float:
    """Mean loss plus penalty, by the reference pass."""
    W = np.atleast_2d(W).astype(np.float64)
    if len(W) == 1:
        sums = reference_pass(Rows(problem.X, problem.y.astype(np.uint8), None), W[0], 0.0)
    else:
        sums = reference_multinomial_pass(Rows(problem.X, problem.y, None), W, np.zeros(len(W)))
    return (sums.loss_sum + 0.5 * float((W * W).sum()) / C) / problem.X.shape[0]


def measure(name: str, case: Case, limit: float) -> list[dict[str, Any]]:
    """Rows of the table for one problem; ours first."""
    C = case.C
    problem = case.make()
    X, y = problem.X, problem.y
    model = LogisticRegression(C=C, fit_intercept=False)
    model.fit(X[:500], y[:500])  # imported and compiled, as the peers are
    begin = time.perf_counter()
    model.fit(X, y)
    ours = time.perf_counter() - begin
    if ours < 2.0:
        ours = best_time(lambda: model.fit(X, y), 5)
    tight = LogisticRegression(C=C, fit_intercept=False, tol=1e-9, solver=model.solver_).fit(X, y)
    least = min(value(problem, model.coef_, C), value(problem, tight.coef_, C))
    found = []
    for peer in case.peers:
        seconds, gap, note = float("nan"), float("nan"), ""
        for run in runs(fit_of(peer), problem, C, TOLS, "as it is", limit):
            if run is None or isinstance(run, str):
                seconds, note = (seconds, run) if run else (limit, "ended at the limit")
                break
            seconds, gap = run[0], value(problem, run[1], C) / least - 1.0
            if gap <= GOAL:
                break
        found.append((f"sklearn {peer}", seconds, gap, note or ("" if gap <= GOAL else "goal not reached")))
    own = value(problem, model.coef_, C) / least - 1.0
    K = max(2, int(y.max()) + 1)
    print(f"\n{name} {X.shape[0]:,} x {X.shape[1]:,}, {X.nnz:,} stored, {K} classes; {model.solver_}")
    print(f"{'':26}{'seconds':>10}{'reads':>8}{'suboptimality':>15}{'time / ours':>13}")
    rows = []
    for solver, seconds, gap, note in [("gpu-logreg", ours, own, ""), *found]:
        reads = f"{model.n_reads_:.1f}" if solver == "gpu-logreg" else ""
        print(f"{solver:26}{seconds:10.4f}{reads:>8}{gap:15.1e}{seconds / ours:13.1f}  {note}", flush=True)
        rows.append(
            {
                "problem": name,
                "n": X.shape[0],
                "d": X.shape[1],
                "stored": X.nnz,
                "classes": K,
                "solver": solver,
                "seconds": round(seconds, 5),
                "n_reads": reads,
                "suboptimality": f"{gap:.1e}",
                "per_ours": round(seconds / ours, 2),
                "note": note,
            }
        )
    return rows


def main() -> None:
    def option(name: str) -> str | None:
        return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None

    only, limit = option("--only"), float(option("--limit") or 100.0)
    for name, case in CASES.items():
        if only not in (None, name):
            continue
        if case.file is not None and not (FOLDER / case.file).is_file():
            print(f"{name}: {case.file} is not in {FOLDER}; set GPU_LOGREG_DATA to the folder of the data sets")
            continue
        rows = measure(name, case, limit)
        if "--record" in sys.argv:
            append("sparse", rows)


if __name__ == "__main__":
    main()
