"""Reads that the default solver takes on real data, and its objective against scikit-learn's newton-cholesky.

Run with ``python bench/real_data.py [--record]``. Files are looked for in the folder that the environment variable
``GPU_LOGREG_DATA`` names, else in ``shared/data`` beside the checkout; those that are not there are left out. Every
set is fitted with ten seeds of the sample, in float64 and in float32; the worst is shown. "above" is the value over the
least of all that was found on the same rows, relatively; newton-cholesky runs with tol=1e-12 in float64.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import problems
from record import append
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from gpu_logreg import LogisticRegression
from gpu_logreg.files.formats import FileOptions
from gpu_logreg.files.load import load_training_data
from gpu_logreg.files.schema import Schema

FOLDER = Path(os.environ.get("GPU_LOGREG_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SEEDS = range(10)
GOAL = 1e-9


def _table(name: str, positive: object, target: str | None = None) -> tuple:
    rows, labels = load_training_data(FOLDER / name, target, FileOptions(header=target is None, dense=True))
    return Schema.fit(rows).transform(rows, np.dtype(np.float64)), labels == positive


def _mnist() -> tuple:
    with np.load(FOLDER / "mnist.npz") as file:
        return file["X_train"].reshape(-1, 784) / 255.0, file["y_train"] >= 5


SETS: dict[str, tuple[str, Callable[[], tuple]]] = {
    "adult, one-hot": ("adult.data.gz", lambda: _table("adult.data.gz", ">50K", "c14")),
    "a9a": ("a9a.gz", lambda: _table("a9a.gz", 1)),
    "ijcnn1": ("ijcnn1.trn.bz2", lambda: _table("ijcnn1.trn.bz2", 1)),
    "covtype, class 2": ("covtype.20k.data.gz", lambda: _table("covtype.20k.data.gz", 2, "c54")),
    "kddcup, normal": ("kddcup.data_10_percent.gz", lambda: _table("kddcup.data_10_percent.gz", "normal.", "c41")),
    "mnist, 5 to 9": ("mnist.npz", _mnist),
}


def worst_of_ours(X: np.ndarray, y: np.ndarray) -> tuple[float, float, list[np.ndarray], int, float]:
    """Most and median reads, every solution, warnings, and the median time of a fit."""
    reads, solutions, warned, times = [], [], 0, []
    for seed in SEEDS:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            begin = time.perf_counter()
            model = LogisticRegression(random_state=seed).fit(X, y)
            times.append(time.perf_counter() - begin)
        reads.append(model.n_reads_)
        warned += len(caught)
        solutions.append(np.append(model.coef_, model.intercept_))
    return max(reads), float(np.median(reads)), solutions, warned, float(np.median(times))


def main() -> None:
    rows = []
    print(f"{'data':18}{'n x d':>16}{'dtype':>9}{'most reads':>12}{'median':>8}{'above':>10}{'n-c above':>11}"
          f"{'warnings':>9}{'n-c time / ours':>17}")  # fmt: skip
    for name, (file, load) in SETS.items():
        if not (FOLDER / file).is_file():
            print(f"{name:18} {file} is not in {FOLDER}; set GPU_LOGREG_DATA to the folder of the data sets")
            continue
        X, y = load()
        begin = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on badly scaled rows it falls back to lbfgs, and says so
            theirs = SklearnLogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=200).fit(X, y)
        their_time = time.perf_counter() - begin
        for dtype in ("float64", "float32"):
            rows.append(_row(name, X, y, dtype, np.append(theirs.coef_, theirs.intercept_), their_time))
    if "--record" in sys.argv and rows:
        print("kept in", append("real_data", rows).name)


def _row(name: str, X: np.ndarray, y: np.ndarray, dtype: str, theirs: np.ndarray, their_time: float) -> dict:
    stored = X.astype(dtype)
    most, median, solutions, warned, seconds = worst_of_ours(stored, y)
    values = [problems.value(stored, y, params[:-1], params[-1]) for params in solutions]
    best = solutions[int(np.argmin(values))]
    least = min(problems.minimum(stored, y, best[:-1], best[-1]), *values)
    above = max(values) / least - 1.0
    their_gap = problems.value(stored, y, theirs[:-1], theirs[-1]) / least - 1.0 if dtype == "float64" else float("nan")
    met = "" if above <= max(GOAL, their_gap + GOAL) and not warned else "   NOT MET"
    print(f"{name:18}{f'{X.shape[0]:,} x {X.shape[1]}':>16}{dtype:>9}{most:12.1f}{median:8.1f}{above:10.1e}"
          f"{their_gap:11.1e}{warned:9d}{their_time / seconds:17.1f}{met}", flush=True)  # fmt: skip
    return {
        "data": name,
        "n": X.shape[0],
        "d": X.shape[1],
        "dtype": dtype,
        "seeds": len(SEEDS),
        "worst_reads": round(most, 2),
        "median_reads": round(median, 2),
        "worst_above": f"{above:.1e}",
        "newton_cholesky_above": f"{their_gap:.1e}",
        "warnings": warned,
        "newton_cholesky_time_per_ours": round(their_time / seconds, 2),
    }


if __name__ == "__main__":
    main()
