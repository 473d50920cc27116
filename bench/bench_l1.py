"""L1-penalised fits against saga, liblinear, skglm and celer, each taken to the same value: ratios of one run.

Run with ``python bench/bench_l1.py [--record] [--only N] [--limit SECONDS]``. No intercept, because liblinear penalises
it and celer has none. Every peer runs with ever tighter tolerances until it is within 1e-8 of the least value found,
relatively; the time of that run alone counts. One that does not get there within the limit is ended, and its time is
the limit: a lower bound. skglm and celer run if they can be imported; a peer that fails is reported with its error.
All get dense rows, the peers in the order that is theirs, and, where fewer than a quarter of the elements are not zero,
run on sparse rows too; conversions are not timed. gpu-logreg runs with its default settings. Times are given over ours
on the same kind of rows.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import problems
from bench_fit import best_time, read_time
from harness.peers.peer import Peer
from harness.peers.penalised import Celer, Skglm
from harness.peers.scikit_learn import Sklearn
from harness.training import Training
from problems import BLOCK, Problem
from record import append
from scipy import sparse
from sklearn.datasets import load_svmlight_file

from gpu_logreg import LogisticRegression
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.rows.block import Rows

GOAL = 1e-8
FOLDER = Path(os.environ.get("GPU_LOGREG_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
Fit = Callable[[Any, Any, float], Any]


def a9a() -> Problem:
    X, y = load_svmlight_file(str(FOLDER / "a9a.gz"), n_features=123)
    return Problem("a9a", X.toarray(), (y > 0).astype(np.int64))


def informative(n: int, d: int, k: int, seed: int = 0) -> Problem:
    """Independent standard normal columns, of which the first ``k`` matter; float64."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = (rng.logistic(size=n) < X[:, :k] @ rng.choice([-0.5, 0.5], k)).astype(np.int64)
    return Problem(f"gaussian, {k} informative", X, y)


PROBLEMS: list[tuple[Callable[[], Problem], float]] = [
    (a9a, 1.0),
    (a9a, 0.1),
    (lambda: informative(100_000, 100, 10), 0.01),
    (lambda: informative(1_000_000, 100, 10), 0.001),
    (lambda: problems.table_like(1_000_000, 100, "float64"), 0.001),
]


def is_sparse(problem: Problem) -> bool:
    """Whether sparse rows are worth a run."""
    return np.count_nonzero(problem.X[:10_000]) < 0.25 * problem.X[:10_000].size


def value(problem: Problem, w: np.ndarray, C: float) -> float:
    """Mean loss plus penalty, by the reference pass, a few rows at a time."""
    loss = 0.0
    for first in range(0, len(problem.X), BLOCK):
        part = slice(first, first + BLOCK)
        loss += reference_pass(Rows(problem.X[part], problem.y[part], None), w, 0.0).loss_sum
    return (loss + float(np.abs(w).sum()) / C) / len(problem.X)


def fit_of(peer: Peer) -> Fit:
    def fit(problem: Problem, C: float, tol: float) -> np.ndarray:
        W, _ = peer.fit(Training(problem.X, problem.y, C, 1.0, False), tol=tol)
        return W[0]

    return fit


PEERS: dict[str, tuple[Fit, tuple[float, ...], str]] = {
    "sklearn saga": (fit_of(Sklearn("saga")), (1e-3, 1e-4, 1e-5, 1e-6, 1e-7), "C"),
    "sklearn liblinear": (fit_of(Sklearn("liblinear")), (1e-2, 1e-3, 1e-4, 1e-5, 1e-6), "C"),
    "skglm": (fit_of(Skglm()), (1e-4, 1e-6, 1e-8), "F"),
    "celer": (fit_of(Celer()), (1e-4, 1e-6, 1e-8), "F"),
}


def laid_out(X: np.ndarray, order: str) -> Any:
    """Rows as a peer likes them."""
    if order == "CSR":
        return sparse.csr_matrix(X)
    if order == "CSC":
        return sparse.csc_matrix(X)
    if sparse.issparse(X):
        return X
    return np.asarray(X, order=order)  # type: ignore[call-overload]


def _child(pipe: Any, fit: Fit, problem: Problem, C: float, tols: tuple[float, ...], order: str) -> None:
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(None):
        try:
            small = problem._replace(X=laid_out(problem.X[:500], order), y=problem.y[:500])
            problem = problem._replace(X=laid_out(problem.X, order))
            fit(small, 1.0, tols[0])  # imported and compiled, as any second fit of a process finds it
            pipe.send(None)
            for tol in tols:
                begin = time.perf_counter()
                w = fit(problem, C, tol)
                pipe.send((time.perf_counter() - begin, np.asarray(w, np.float64)))
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {error}".splitlines()[0])


def runs(fit: Fit, problem: Problem, C: float, tols: tuple[float, ...], order: str, limit: float) -> Iterator[Any]:
    """Seconds and weights with every tolerance, in a process that is ended where one takes longer than ``limit``."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_child, args=(there, fit, problem, C, tols, order))
    child.start()
    try:
        if not here.poll(120.0):
            yield "could not be warmed up in 120 s"
            return
        first = here.recv()
        if first is not None:
            yield first
            return
        for _ in tols:
            yield here.recv() if here.poll(limit) else None
    finally:
        child.kill()
        child.join()


class Found(NamedTuple):
    """What a solver came to on one kind of rows."""

    solver: str
    seconds: float
    gap: float
    note: str


def ours(X: Any, y: Any, C: float) -> tuple[LogisticRegression, float]:
    """The fitted model and the best time of a few fits."""
    model = LogisticRegression(C=C, l1_ratio=1.0, fit_intercept=False).fit(X, y)
    return model, best_time(lambda: model.fit(X, y), 9)


def peers_on(problem: Problem, C: float, limit: float, least: float, kind: str) -> tuple[list[Found], float]:
    """Every peer on dense or sparse rows, and the least value found."""
    found = []
    for peer, (fit, tols, order) in PEERS.items():
        order = order if kind == "" else f"CS{'R' if order == 'C' else 'C'}"
        seconds, gap, note = float("nan"), float("nan"), ""
        for run in runs(fit, problem, C, tols, order, limit):
            if isinstance(run, str):
                note = run
                break
            if run is None:
                seconds, note = limit, "ended at the limit"
                break
            seconds = run[0]
            reached = value(problem, run[1], C)
            gap = reached / least - 1.0
            if gap <= GOAL:
                least = min(least, reached)
                break
        found.append(Found(peer + kind, seconds, gap, note or ("" if gap <= GOAL else "goal not reached")))
    return found, least


def measure(problem: Problem, C: float, limit: float) -> list[dict[str, Any]]:
    """Rows of the table for one problem; ours first of each kind of rows."""
    X, y = problem.X, problem.y
    read, table = read_time(X), []
    print(f"\n{problem.name} {X.shape[0]:,} x {X.shape[1]} {X.dtype}, C={C:g}; one read {read * 1e3:.2f} ms")
    print(f"{'':26}{'seconds':>10}{'reads, wall':>13}{'suboptimality':>15}{'time / ours':>13}")
    exact = LogisticRegression(C=C, l1_ratio=1.0, fit_intercept=False, tol=1e-9).fit(X, y).coef_[0]
    least = value(problem, exact, C)
    for kind in ("", ", sparse") if is_sparse(problem) else ("",):
        model, seconds = ours(laid_out(X, "CSR") if kind else X, y, C)
        own = value(problem, model.coef_[0], C)
        found, least = peers_on(problem, C, limit, min(least, own), kind)
        note = f"{np.count_nonzero(model.coef_)} of {X.shape[1]} not zero"
        for solver, time_taken, gap, said in [Found("gpu-logreg" + kind, seconds, own / least - 1.0, note), *found]:
            ratio = time_taken / seconds
            print(f"{solver:26}{time_taken:10.4f}{time_taken / read:13.1f}{gap:15.1e}{ratio:13.1f}  {said}", flush=True)
            table.append(
                {
                    "problem": problem.name,
                    "n": X.shape[0],
                    "d": X.shape[1],
                    "dtype": str(X.dtype),
                    "C": C,
                    "solver": solver,
                    "seconds": round(time_taken, 5),
                    "read_ms": round(read * 1e3, 3),
                    "reads_wall": round(time_taken / read, 1),
                    "n_reads": round(model.n_reads_, 2) if solver == "gpu-logreg" + kind else "",
                    "suboptimality": f"{gap:.1e}",
                    "per_ours": round(ratio, 2),
                    "note": said,
                }
            )
    return table


def main() -> None:
    def option(name: str) -> str | None:
        return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None

    only, limit = option("--only"), float(option("--limit") or 100.0)
    for k, (make, C) in enumerate(PROBLEMS):
        if only is None or k == int(only):
            rows = measure(make(), C, limit)
            if "--record" in sys.argv:
                append("l1", rows)


if __name__ == "__main__":
    main()
