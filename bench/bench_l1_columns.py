"""L1-penalised fits of sparse rows with many columns beside liblinear, celer and skglm, to the same value.

Run with ``python bench/bench_l1_columns.py [--record] [--only NAMES] [--limit SECONDS]``. No intercept, because
liblinear penalises it and celer has none; with more than two classes, with an intercept, beside scikit-learn's saga.
Every peer runs with ever tighter tolerances until its value is within 1e-8 of the least found, relatively; the time of
that run alone counts. One that does not get there within the limit is ended, and its time is the limit: a lower bound.
gpu-logreg runs with its default settings; it and a peer take turns, and the best of three is taken of each where a fit
takes less than a few seconds. The peers get rows in the format that is theirs; conversions are not timed, but
gpu-logreg's own copy by columns is. celer and skglm run if they can be imported.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from harness.peers.peer import Peer, Solution, solution_of
from harness.peers.penalised import Celer, Skglm
from harness.peers.scikit_learn import Sklearn
from harness.training import Training
from record import append
from scipy import sparse
from sklearn.datasets import load_svmlight_file

from gpu_logreg import LogisticRegression

GOAL = 1e-8
ONCE = 5.0
"""Seconds from which a fit is timed once."""

FOLDER = Path(os.environ.get("GPU_LOGREG_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
Fit = Callable[[Any, Any, float, float], Any]


class Text(NamedTuple):
    """Sparse rows, labels, and a name."""

    name: str
    X: Any
    y: np.ndarray


def tf_idf(n: int, d: int, words: int = 60, classes: int = 2, seed: int = 0) -> Text:
    """Words drawn by Zipf's law, weighted by their logarithmic counts and rarity, in rows of length 1."""
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, d + 1)
    drawn = rng.choice(d, size=(n, words), p=share / share.sum())
    X = sparse.csr_array((np.ones(n * words), drawn.ravel(), np.arange(0, n * words + 1, words)), shape=(n, d))
    X.sum_duplicates()
    X.data = 1.0 + np.log(X.data)
    X.data *= (np.log(n / (1 + np.bincount(X.indices, minlength=d))) + 1.0)[X.indices]
    X.data /= np.repeat(np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel()), np.diff(X.indptr))
    W = 3.0 * rng.standard_normal((d, classes))
    return Text(f"text, {classes} classes", narrow(X), np.argmax(X @ W + 0.5 * rng.gumbel(size=(n, classes)), axis=1))


def narrow(X: Any) -> Any:
    """With indices of 32 bits: liblinear takes no others."""
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return X


def from_file(name: str, file: str, one: bool = False) -> Text:
    """A file of the folder of data; ``one``: the most frequent class against the rest."""
    X, y = load_svmlight_file(str(FOLDER / file))
    values, counts = np.unique(y, return_counts=True)
    y = (y == values[counts.argmax() if one else -1]).astype(np.int64)
    return Text(name, narrow(sparse.csr_array(X)), y)


PROBLEMS: dict[str, tuple[Callable[[], Text], tuple[float, ...]]] = {
    "reuters": (lambda: from_file("reuters", "reuters.trn.bz2"), (1.0, 10.0, 100.0)),
    "sector": (lambda: from_file("sector, one against the rest", "sector.scale.bz2", one=True), (1.0, 10.0, 100.0)),
    "text20": (lambda: tf_idf(20_000, 10_000), (1.0, 10.0, 100.0)),
    "text100": (lambda: tf_idf(100_000, 50_000), (1.0, 10.0, 100.0)),
    "classes": (lambda: tf_idf(16_000, 60_000, classes=20), (1.0,)),
}


def value(X: Any, y: Any, W: np.ndarray, b: np.ndarray, C: float) -> float:
    """Sum of the losses plus penalty over C."""
    z = X @ W.T + b
    z = np.column_stack([np.zeros(len(z)), z]) if z.shape[1] == 1 else z
    losses = np.logaddexp.reduce(z, axis=1) - z[np.arange(len(y)), y]
    return float(losses.sum() + np.abs(W).sum() / C)


def fit_of(peer: Peer, fit_intercept: bool = False) -> Fit:
    def fit(X: Any, y: Any, C: float, tol: float) -> Solution:
        return peer.fit(Training(X, y, C, 1.0, fit_intercept), tol=tol)

    return fit


TWO_CLASSES: dict[str, tuple[Fit, tuple[float, ...], str]] = {
    "sklearn liblinear": (fit_of(Sklearn("liblinear")), (1e-4, 1e-5, 1e-6, 1e-7, 1e-8), "csr"),
    "skglm": (fit_of(Skglm()), (1e-6, 1e-7, 1e-8, 1e-9), "csc"),
    "celer": (fit_of(Celer()), (1e-4, 1e-6, 1e-8), "csc"),
}
MANY_CLASSES: dict[str, tuple[Fit, tuple[float, ...], str]] = {
    "sklearn saga": (fit_of(Sklearn("saga"), True), (1e-3, 1e-4, 1e-5, 1e-6, 1e-7), "csr"),
}


def seconds(fit: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit()
    return time.perf_counter() - begin, fitted


def peer_fits(
    peer: tuple[Fit, tuple[float, ...], str], text: Text, C: float, own: Any, least: float, limit: float
) -> Any:
    """Best times of the peer at its first tolerance that reaches the goal, and of ours beside it; its gap; a note."""
    fit, tols, order = peer
    X = text.X.asformat(order)
    X = sparse.csr_matrix(X) if order == "csr" else sparse.csc_matrix(X)
    try:
        few = slice(0, 300)
        seconds(lambda: fit(X[few], text.y[few], 1.0, tols[0]))  # imported and compiled
    except ImportError as error:
        return None, float("nan"), float("nan"), str(error)
    spent = 0.0
    for tol in tols:
        taken, fitted = seconds(lambda tol=tol: fit(X, text.y, C, tol))
        spent += taken
        gap = value(text.X, text.y, *fitted, C) / least - 1.0
        if gap <= GOAL or spent > limit:
            break
    times, ours = [taken], [seconds(own)[0]]
    for _ in range(2 if taken < ONCE else 0):
        times.append(seconds(lambda tol=tol: fit(X, text.y, C, tol))[0])
        ours.append(seconds(own)[0])
    return min(times), min(ours), gap, "" if gap <= GOAL else f"ended at {gap:.0e}"


def measure(text: Text, C: float, limit: float) -> list[dict[str, Any]]:
    """Rows of the table for one problem; ours first."""
    K = int(text.y.max()) + 1
    ours = LogisticRegression(C=C, l1_ratio=1.0, fit_intercept=K > 2)
    first, fitted = seconds(lambda: ours.fit(text.X, text.y))
    taken, fitted = seconds(lambda: ours.fit(text.X, text.y))
    exact = LogisticRegression(C=C, l1_ratio=1.0, fit_intercept=K > 2, tol=1e-9).fit(text.X, text.y)
    least = value(text.X, text.y, *solution_of(exact), C)
    own = value(text.X, text.y, *solution_of(fitted), C) / least - 1.0
    (n, d), kept = text.X.shape, int(np.count_nonzero(fitted.coef_))
    print(f"\n{text.name} {n:,} x {d:,}, {text.X.nnz:,} elements, C={C:g}: {kept} weights; first fit {first:.2f} s")
    found = [("gpu-logreg", taken, taken, own, f"{fitted.n_iter_[0]} iterations, {fitted.n_reads_:.0f} reads")]
    for name, peer in (TWO_CLASSES if K == 2 else MANY_CLASSES).items():
        time_taken, beside, gap, note = peer_fits(peer, text, C, lambda: ours.fit(text.X, text.y), least, limit)
        found.append((name, float("nan") if time_taken is None else time_taken, beside, gap, note))
    table = []
    for solver, time_taken, beside, gap, note in found:
        print(
            f"{solver:20}{time_taken:10.3f} s  ours {beside:8.3f} s  ratio {time_taken / beside:6.2f}  "
            f"gap {gap:8.1e}  {note}",
            flush=True,
        )
        table.append(
            {
                "problem": text.name,
                "n": n,
                "d": d,
                "elements": text.X.nnz,
                "C": C,
                "solver": solver,
                "seconds": round(time_taken, 4),
                "ours_beside": round(beside, 4),
                "per_ours": round(time_taken / beside, 2),
                "suboptimality": f"{gap:.1e}",
                "note": note,
            }
        )
    return table


def main() -> None:
    def option(name: str) -> str | None:
        return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None

    only, limit = option("--only"), float(option("--limit") or 100.0)
    for name, (make, Cs) in PROBLEMS.items():
        if only is not None and name not in only.split(","):
            continue
        with contextlib.suppress(FileNotFoundError):
            text = make()
            for C in Cs:
                rows = measure(text, C, limit)
                if "--record" in sys.argv:
                    append("l1_columns", rows)


if __name__ == "__main__":
    main()
