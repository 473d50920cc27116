"""Fits of many classes against scikit-learn, each taken to the same objective value: ratios of one run.

Run with ``python bench/bench_multinomial.py [--record] [--only NAME]``. gpu-logreg runs with its default settings.
scikit-learn's lbfgs is stopped where it first comes within 1e-8 of the least value found, relatively, or after 1,000
iterations or 300 s; newton-cholesky where the Hessian is not too large. "reads, wall" is the time of a fit over that of
one plain threaded sum over ``X``.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from bench_fit import read_time
from record import append
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from gpu_logreg import LogisticRegression
from gpu_logreg.passes.reference.classes import reference_multinomial_pass
from gpu_logreg.rows.block import Rows

FOLDER = Path(os.environ.get("GPU_LOGREG_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
GOAL = 1e-8
BLOCK = 20_000
MAX_ITERS = (10, 20, 30, 40, 50, 100, 200, 400, 1000)
LONGEST = 300.0
LARGEST_NEWTON = 2000


class ManyClasses(NamedTuple):
    """Rows, labels 0 to K - 1, and a name."""

    name: str
    X: np.ndarray
    y: np.ndarray


def gaussian() -> ManyClasses:
    """Independent columns, ten classes."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200_000, 100), dtype=np.float32)
    W = rng.standard_normal((100, 10)) / 10.0
    return ManyClasses("gaussian", X, (X @ W + rng.gumbel(size=(200_000, 10))).argmax(axis=1))


def letter_like() -> ManyClasses:
    """Ten classes about centres of their own, in correlated columns of scales from 0.1 to 10 with means."""
    rng = np.random.default_rng(1)
    n, d, K = 200_000, 100, 10
    y = rng.integers(0, K, n)
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0] * np.sqrt(np.geomspace(1.0, 1e-3, d))
    X = (rng.standard_normal((n, d)) + 0.5 * rng.standard_normal((K, d))[y]) @ basis.T * np.sqrt(d)
    scales = 10.0 ** rng.uniform(-1.0, 1.0, d)
    return ManyClasses("letter-like", (X * scales + scales * rng.uniform(-3.0, 3.0, d)).astype(np.float32), y)


def mnist() -> ManyClasses:
    """Pixels from 0 to 1, ten digits."""
    with np.load(FOLDER / "mnist.npz") as file:
        return ManyClasses("mnist", (file["X_train"].reshape(-1, 784) / 255.0).astype(np.float32), file["y_train"])


def covtype() -> ManyClasses:
    """In metres and degrees, seven classes, float64."""
    table = np.loadtxt(FOLDER / "covtype.20k.data.gz", delimiter=",")
    return ManyClasses("covtype", table[:, :54], np.unique(table[:, 54], return_inverse=True)[1])


def wide(n: int, d: int, K: int) -> ManyClasses:
    """Independent columns, float64, more of them than a Hessian has room for."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((n, d))
    W = 2.0 * rng.standard_normal((d, K)) / np.sqrt(d)
    return ManyClasses("wide", X, (X @ W + rng.gumbel(size=(n, K))).argmax(axis=1))


def kddcup() -> ManyClasses:
    """Connections on raw columns, 23 classes, float64; a tenth of the rows."""
    text = np.loadtxt(FOLDER / "kddcup.data_10_percent.gz", delimiter=",", dtype=str)[::10]
    kinds = [(text[:, [j]] == np.unique(text[:, j])).astype(float) for j in (1, 2, 3)]
    numbers = np.delete(text, [1, 2, 3, 41], axis=1).astype(float)
    return ManyClasses("kddcup", np.hstack([numbers, *kinds]), np.unique(text[:, 41], return_inverse=True)[1])


SETS: dict[str, tuple[str | None, Callable[[], ManyClasses]]] = {
    "gaussian": (None, gaussian),
    "letter-like": (None, letter_like),
    "mnist": ("mnist.npz", mnist),
    "covtype": ("covtype.20k.data.gz", covtype),
    "wide, few rows": (None, lambda: wide(500, 1000, 5)),
    "wide": (None, lambda: wide(20_000, 1000, 20)),
    "kddcup": ("kddcup.data_10_percent.gz", kddcup),
}


def value(X: np.ndarray, y: np.ndarray, model: Any) -> float:
    """Mean loss plus penalty in float64, C = 1."""
    total = 0.0
    for first in range(0, len(X), BLOCK):
        part = slice(first, first + BLOCK)
        rows = Rows(X[part].astype(np.float64), y[part], None)
        total += reference_multinomial_pass(rows, model.coef_.astype(np.float64), model.intercept_).loss_sum
    return (total + 0.5 * float((model.coef_.astype(np.float64) ** 2).sum())) / len(X)


def timed(model: Any, X: np.ndarray, y: np.ndarray) -> float:
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    return time.perf_counter() - begin


def peers(X: np.ndarray, y: np.ndarray, least: float) -> list[tuple[str, float, float]]:
    """Name, seconds and suboptimality: of lbfgs the first run of enough iterations, of newton-cholesky one."""
    found = []
    for max_iter in MAX_ITERS:
        model = SklearnLogisticRegression(solver="lbfgs", tol=1e-12, max_iter=max_iter)
        seconds = timed(model, X, y)
        gap = value(X, y, model) / least - 1.0
        if gap <= GOAL or seconds > LONGEST / 2 or int(model.n_iter_[0]) < max_iter:
            break
    found.append((f"sklearn lbfgs, {int(model.n_iter_[0])} iterations", seconds, gap))
    if (X.shape[1] + 1) * (int(y.max()) + 1) <= LARGEST_NEWTON:
        model = SklearnLogisticRegression(solver="newton-cholesky", tol=1e-6, max_iter=100)
        seconds = timed(model, X, y)
        found.append(("sklearn newton-cholesky", seconds, value(X, y, model) / least - 1.0))
    return found


def main() -> None:
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else None
    rows = []
    for name, (file, make) in SETS.items():
        if only not in (None, name):
            continue
        if file is not None and not (FOLDER / file).is_file():
            print(f"{name}: {file} is not in {FOLDER}; set GPU_LOGREG_DATA to the folder of the data sets")
            continue
        _, X, y = make()
        read = read_time(X)
        ours = LogisticRegression()
        seconds = min(timed(ours, X, y) for _ in range(3))
        tight = LogisticRegression(tol=1e-10, storage="float64")
        timed(tight, X, y)
        mine, least = value(X, y, ours), min(value(X, y, ours), value(X, y, tight))
        print(f"\n{name} {X.shape[0]:,} x {X.shape[1]} x {int(y.max()) + 1} {X.dtype}; one read {read * 1e3:.2f} ms")
        print(f"{'':36}{'seconds':>9}{'reads, wall':>13}{'reads':>8}{'suboptimality':>15}{'time / ours':>13}")
        table = [("gpu-logreg", seconds, mine / least - 1.0), *peers(X, y, least)]
        for solver, took, gap in table:
            reads = f"{ours.n_reads_:.1f}" if solver == "gpu-logreg" else ""
            print(f"{solver:36}{took:9.3f}{took / read:13.1f}{reads:>8}{gap:15.1e}{took / seconds:13.1f}", flush=True)
            rows.append(
                {
                    "problem": name,
                    "n": X.shape[0],
                    "d": X.shape[1],
                    "classes": int(y.max()) + 1,
                    "dtype": X.dtype.name,
                    "solver": solver,
                    "seconds": round(took, 4),
                    "read_ms": round(read * 1e3, 3),
                    "reads_wall": round(took / read, 1),
                    "n_reads": reads,
                    "suboptimality": f"{gap:.1e}",
                    "per_ours": round(took / seconds, 2),
                }
            )
    if "--record" in sys.argv and rows:
        print("kept in", append("multinomial", rows).name)


if __name__ == "__main__":
    main()
