"""``gpu-logreg demo``: from a file to a saved model and back, then a large problem against scikit-learn."""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from gpu_logreg.dataset.formats import FileOptions
from gpu_logreg.linear_model import LogisticRegression
from gpu_logreg.prediction import predict_file
from gpu_logreg.report import describe_machine, fit_progress, note, print_table
from gpu_logreg.training import TrainingRequest, train_on_file

__all__ = ["run_demo"]

N_ROWS, N_COLUMNS = 1_000_000, 100


def run_demo() -> None:
    """Print both parts; nothing is left on the disk."""
    describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        _file_to_model(Path(folder))
    _large_problem()


def _file_to_model(folder: Path) -> None:
    import pyarrow as pa
    from pyarrow import csv
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    columns = {name.replace(" ", "_"): data.data[:, j] for j, name in enumerate(data.feature_names)}
    columns["diagnosis"] = data.target_names[data.target]
    csv.write_csv(pa.table(columns), folder / "cancer.csv")
    print("\n1. scikit-learn's breast-cancer data, from a file to a saved model and back\n")
    model = folder / "cancer.safetensors"
    for line in (
        "gpu-logreg train cancer.csv --target diagnosis --test-size 0.2 --model cancer.safetensors",
        "gpu-logreg predict cancer.safetensors cancer.csv --proba --output predicted.csv",
    ):
        print(f"   $ {line}")
    request = TrainingRequest(
        folder / "cancer.csv", "diagnosis", model, None, 0.2, None, FileOptions(), (), "float64", seed=0
    )
    train_on_file(request, {})
    output = folder / "predicted.csv"
    predict_file(model, folder / "cancer.csv", True, str(output), None, None, None, None, None)
    for line in output.read_text().splitlines()[:4]:
        print(f"   {line}")


def _large_problem() -> None:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

    print(f"\n2. {N_ROWS:,} rows x {N_COLUMNS} columns, float32, C = 1\n")
    generator = np.random.default_rng(0)
    X = generator.standard_normal((N_ROWS, N_COLUMNS), dtype=np.float32)
    w = generator.standard_normal(N_COLUMNS) / np.sqrt(N_COLUMNS)
    y = (generator.logistic(size=N_ROWS) < X @ w).astype(np.int64)
    LogisticRegression().fit(X[:50_000], y[:50_000])  # compile, or load what an earlier run compiled

    begin = time.perf_counter()
    read = float(X.sum(dtype=np.float64))
    read_time = time.perf_counter() - begin
    assert np.isfinite(read)
    with fit_progress() as observer:
        ours, our_time = _timed(LogisticRegression(verbose=observer), X, y)
    note("scikit-learn's lbfgs is at work; this takes a while")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs, their_time = _timed(SklearnLogisticRegression(solver="lbfgs"), X, y)
    columns = {}
    for name, model, seconds in (("gpu-logreg", ours, our_time), ("scikit-learn lbfgs", theirs, their_time)):
        columns[name] = {
            "time to fit": f"{seconds:.2f} s",
            "objective": f"{_objective(model, X, y):.10f}",
            "accuracy": f"{model.score(X, y):.4f}",
        }
    columns["gpu-logreg"] |= {
        "reads of the data": f"{ours.n_reads_:.1f}",
        "device, pass": f"{ours.device_}, {ours.impl_}",
    }
    print_table(f"{their_time / our_time:.0f} times faster than scikit-learn's lbfgs in this run", columns)
    print(f"One plain sum over X by one thread took {read_time * 1e3:.0f} ms.")


def _timed(model: Any, X: Any, y: Any) -> tuple[Any, float]:
    begin = time.perf_counter()
    model.fit(X, y)
    return model, time.perf_counter() - begin


def _objective(model: Any, X: Any, y: Any) -> float:
    """The mean objective in float64, a few rows at a time, by the project's own reference."""
    from gpu_logreg.passes import Rows
    from gpu_logreg.passes.reference import reference_pass

    w = np.asarray(model.coef_[0], dtype=np.float64)
    b = float(model.intercept_[0])
    total = 0.0
    for first in range(0, len(X), 100_000):
        part = slice(first, first + 100_000)
        total += reference_pass(Rows(X[part].astype(np.float64), y[part], None), w, b).loss_sum
    return (total + 0.5 * float(w @ w)) / len(X)
