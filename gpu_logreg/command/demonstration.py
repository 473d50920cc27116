"""``gpu-logreg demo``: training and prediction on a small file, then a large problem against scikit-learn."""

from __future__ import annotations

import contextlib
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.command.describe import describe_machine
from gpu_logreg.command.predict import PredictionRequest, predict_file
from gpu_logreg.command.report import duration, fit_progress, note, print_table, waiting
from gpu_logreg.command.train import train_on_file
from gpu_logreg.command.training_request import TrainingRequest
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.rows.block import Rows

__all__ = ["N_COLUMNS", "N_ROWS", "run_demo", "table_like_problem"]

N_ROWS, N_COLUMNS = 1_000_000, 100
"""Shape of the large problem: 381 MiB in float32."""

_BLOCK_ROWS = 50_000
"""Rows generated, read or judged at once: 19 MiB in float32, twice that in the float64 of the objective."""

_BUDGET_SECONDS = 55.0
"""Time after which no further fit of scikit-learn is started: the help of the command says under a minute."""


def run_demo(n_rows: int = N_ROWS) -> None:
    """Print both parts of the demonstration, the second on ``n_rows`` rows; its files are in a temporary folder."""
    start = time.perf_counter()
    describe_machine(in_one_line=True)
    print("\n1. scikit-learn's breast-cancer data: from a file to a saved model and back\n")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        _file_to_model()
    _large_problem(n_rows, start + _BUDGET_SECONDS)


def _file_to_model() -> None:
    """In the current directory: write a CSV file, train on it, and predict it."""
    import pyarrow as pa
    from pyarrow import csv
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    columns = {name.replace(" ", "_"): data.data[:, j] for j, name in enumerate(data.feature_names)}
    columns["diagnosis"] = data.target_names[data.target]
    table, model, output = Path("cancer.csv"), Path("cancer.model"), Path("predicted.csv")
    csv.write_csv(pa.table(columns), table)

    print(f"$ gpu-logreg train {table} --target diagnosis --test-size 0.2 --model {model}", flush=True)
    train_on_file(TrainingRequest(table, "diagnosis", model, test_size=0.2), {})
    print(f"\n$ gpu-logreg predict {model} {table} --proba --output {output}", flush=True)
    predict_file(PredictionRequest(model, table, proba=True, output=str(output)))
    print(f"$ head -4 {output}")
    print("\n".join(output.read_text().splitlines()[:4]))


def table_like_problem(n: int, d: int = N_COLUMNS) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows that resemble a table of measurements, and their labels; the seed of the generator is fixed.

    Columns are correlated (the eigenvalues of their correlations fall by a factor of 1000), their scales lie between
    0.1 and 10, and their means up to three scales from zero. The labels are drawn from a logistic model in these
    columns.

    Returns
    -------
    X : ndarray of shape (n, d), float32
    y : ndarray of shape (n,), int64
    """
    generator = np.random.default_rng(0)
    basis = np.linalg.qr(generator.standard_normal((d, d)))[0]
    scales = 10.0 ** generator.uniform(-1.0, 1.0, d)
    eigenvalues = np.geomspace(1.0, 1e-3, d)
    mixing = ((basis * np.sqrt(eigenvalues / eigenvalues.mean())).T * scales).astype(np.float32)
    means = (scales * generator.uniform(-3.0, 3.0, d)).astype(np.float32)
    w = (2.0 * generator.standard_normal(d) / (scales * np.sqrt(d))).astype(np.float32)
    X, y = np.empty((n, d), dtype=np.float32), np.empty(n, dtype=np.int64)
    for part in _blocks(n):
        m = len(X[part])
        X[part] = generator.standard_normal((m, d), dtype=np.float32) @ mixing
        y[part] = generator.logistic(size=m) < X[part] @ w
        X[part] += means
    return X, y


def _large_problem(n_rows: int, deadline: float) -> None:
    from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    print(f"\n2. {n_rows:,} generated rows of {N_COLUMNS} columns, C = 1\n")
    with waiting("generating the rows"):
        X, y = table_like_problem(n_rows)
    print(
        f"float32, {X.nbytes / 2**20:,.0f} MiB. As in a raw table, the columns are correlated (condition\n"
        "1000), their scales lie between 0.1 and 10, their means up to 3 scales from\n"
        "zero. The labels are drawn from a logistic model.\n",
        flush=True,
    )
    # Compile the loops or kernels before the clock starts. 200,000 rows are 76 MiB, which auto sends to the same device
    # as the whole.
    LogisticRegression().fit(X[:200_000], y[:200_000])
    read_seconds = min(_read_seconds(X) for _ in range(3))
    with fit_progress() as observer:
        ours, seconds = _timed_fit(LogisticRegression(verbose=observer), X, y)
    columns = {"gpu-logreg": _facts(ours, seconds, read_seconds, X, y)}
    times = [seconds]
    for heading, model in (
        ("sklearn lbfgs", make_pipeline(SklearnLogisticRegression())),
        ("sklearn scaled", make_pipeline(StandardScaler(), SklearnLogisticRegression())),
    ):
        if len(times) > 1 and time.perf_counter() + times[-1] > deadline:
            note("scikit-learn's lbfgs on scaled columns is left out: this machine would take more than a minute")
            break
        note(f"scikit-learn's lbfgs is at work{' on scaled columns' if len(model) > 1 else ''}; this takes a while")
        with waiting("fitting"):
            _, seconds = _timed_fit(model, X, y)
        times.append(seconds)
        columns[heading] = _facts(_in_raw_columns(model), seconds, read_seconds, X, y)
    print()
    print_table(columns)
    ratios = [f"{their_seconds / times[0]:.3g}" for their_seconds in times[1:]]
    print(
        f"\nOne read is a plain threaded sum over X: {duration(read_seconds)}. gpu-logreg ran on {ours.device_},\n"
        f"pass {ours.impl_}. Tolerances are the defaults. Of two objectives the lower is better.\n"
        f"In this run scikit-learn took {ratios[0]} times as long as gpu-logreg."
    )
    if len(ratios) > 1:
        print(
            "Scaled means after StandardScaler, whose time is counted; the penalty is then\n"
            f"another, by a little. That took {ratios[1]} times as long."
        )


def _in_raw_columns(pipeline: Any) -> Any:
    """scikit-learn's model at the end of a pipeline, with the weights of the columns as they were before scaling."""
    model = pipeline[-1]
    if len(pipeline) > 1:
        model.coef_ = model.coef_ / pipeline[0].scale_
        model.intercept_ = model.intercept_ - model.coef_ @ pipeline[0].mean_
    return model


def _facts(
    model: Any, seconds: float, read_seconds: float, X: NDArray[np.float32], y: NDArray[np.int64]
) -> dict[str, str]:
    n_iter = int(model.n_iter_[0])
    converged = getattr(model, "converged_", n_iter < model.max_iter)  # scikit-learn has no attribute for it
    return {
        "time to fit": duration(seconds),
        "in reads": f"{seconds / read_seconds:,.0f}",
        "iterations": str(n_iter),
        "converged": "yes" if converged else "no",
        "tolerance": f"{model.tol:g}",
        "objective": f"{_objective(model, X, y):.10f}",
        "accuracy": f"{model.score(X, y):.4f}",
    }


def _read_seconds(X: NDArray[np.float32]) -> float:
    """Time in seconds of one sum over ``X`` by all threads: one plain read."""
    from joblib import cpu_count

    with ThreadPoolExecutor(cpu_count()) as threads:
        list(threads.map(np.sum, X[: cpu_count()]))  # the pool starts its threads at the first calls
        start = time.perf_counter()
        total = sum(threads.map(np.sum, (X[part] for part in _blocks(len(X)))))
        seconds = time.perf_counter() - start
    assert np.isfinite(total)
    return seconds


def _blocks(n: int) -> Iterator[slice]:
    for first in range(0, n, _BLOCK_ROWS):
        yield slice(first, min(n, first + _BLOCK_ROWS))


def _timed_fit(model: Any, X: NDArray[np.float32], y: NDArray[np.int64]) -> tuple[Any, float]:
    """The fitted model and the time of the fit in seconds."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the table shows whether it converged
        start = time.perf_counter()
        model.fit(X, y)
        return model, time.perf_counter() - start


def _objective(model: Any, X: NDArray[np.float32], y: NDArray[np.int64]) -> float:
    """The mean objective at the weights of a model, in float64 by the reference pass."""
    w = np.asarray(model.coef_[0], dtype=np.float64)
    b = float(model.intercept_[0])
    blocks = (Rows(X[part].astype(np.float64), y[part], None) for part in _blocks(len(X)))
    total = sum(reference_pass(rows, w, b).loss_sum for rows in blocks)
    return (total + 0.5 * float(w @ w)) / len(X)
