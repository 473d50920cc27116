"""What a person reads: progress of a fit, tables of scores, the machine, a model."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from gpu_logreg import __version__
from gpu_logreg.backend import cuda_problem, resolve_device
from gpu_logreg.dataset.schema import Schema
from gpu_logreg.model_file import load_model_file
from gpu_logreg.solvers import Iteration, Observer

__all__ = ["describe_machine", "describe_model", "fit_progress", "note", "print_table", "score_rows"]

_SHOWN = 12


def note(text: str) -> None:
    """A line on standard error, apart from results on standard output."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def fit_progress() -> Iterator[Observer]:
    """An observer of a fit: one moving line on a terminal, a line an iteration elsewhere; both on standard error."""

    def text(iteration: Iteration) -> str:
        return (
            f"iteration {iteration.n_iter:3d}  objective {iteration.value:.8g}  max |gradient| {iteration.grad_max:.1e}"
        )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda iteration: note(text(iteration))
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("fitting")
        yield lambda iteration: progress.update(task, description=text(iteration))


def score_rows(model: Any, X: Any, y: Any) -> dict[str, str]:
    """Accuracy, area under the ROC curve and log loss of a fitted model on some rows, as text."""
    from sklearn.metrics import accuracy_score, roc_auc_score

    log_proba = model.predict_log_proba(X)
    is_second = y == model.classes_[1]
    loss = -float(np.where(is_second, log_proba[:, 1], log_proba[:, 0]).mean())
    both = bool(is_second.any() and not is_second.all())
    auc = roc_auc_score(is_second, log_proba[:, 1] - log_proba[:, 0]) if both else None
    accuracy = accuracy_score(is_second, log_proba[:, 1] > log_proba[:, 0])
    return {
        "rows": f"{len(y):,}",
        "accuracy": f"{accuracy:.4f}",
        "AUC": "one class only" if auc is None else f"{auc:.4f}",
        "log loss": f"{loss:.5f}",
    }


def print_table(title: str, columns: dict[str, dict[str, str]]) -> None:
    """A table on standard output; ``columns`` maps a heading to its cells by row name."""
    table = Table(title=escape(title), title_justify="left")
    table.add_column("")
    names: list[str] = []
    for heading, cells in columns.items():
        table.add_column(escape(heading), justify="right")
        names += [name for name in cells if name not in names]
    for name in names:
        table.add_row(escape(name), *(escape(cells.get(name, "")) for cells in columns.values()))
    _console().print(table)


def _console() -> Console:
    console = Console()
    # Rich assumes 80 columns where there is no terminal, and would cut cells off.
    return console if console.is_terminal else Console(width=160)


def describe_machine() -> None:
    """Versions, threads, and which device a fit would take and why."""
    from joblib import cpu_count

    problem = cuda_problem()
    packages = ("numpy", "scikit-learn", "numba", "safetensors", "pyarrow", "cupy-cuda12x", "cupy-cuda13x")
    versions = {name: version for name in packages if (version := _version(name)) is not None}
    rows = {
        "gpu-logreg": __version__,
        "Python": platform.python_version(),
        **versions,
        "CPUs": str(cpu_count()),
        "GPU": f"not usable: {problem}" if problem else _gpu_name(),
        "device=auto": f"{resolve_device('auto').name} for many rows, cpu for few",
    }
    _print_facts(rows)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpu_name() -> str:
    from gpu_logreg.backend import import_cupy

    properties = import_cupy().cuda.runtime.getDeviceProperties(0)
    return f"{properties['name'].decode()}, {properties['totalGlobalMem'] / 2**30:.0f} GiB"


def describe_model(path: Path) -> None:
    """Classes, columns, fit and parameters of a model, and its largest coefficients."""
    stored = load_model_file(path)
    model = stored.estimator
    positive = stored.notes.get("positive")
    classes = [f"not {positive}", str(positive)] if positive is not None else [str(c) for c in model.classes_]
    schema = Schema.from_json(stored.schema) if stored.schema else None
    facts = {
        "model": f"{stored.kind}, written by gpu-logreg {stored.version}",
        "classes": " | ".join(classes),
        "target": str(stored.notes.get("target") or "-"),
        "columns": f"{model.n_features_in_} after encoding",
        "fit": f"{model.solver_}, {int(model.n_iter_[0])} iterations, {model.n_reads_:.1f} reads",
        "stopped": ("" if model.converged_ else "not converged: ") + model.stop_reason_,
        "device": f"{model.device_}, pass {model.impl_}",
        "intercept": f"{model.intercept_[0]:.6g}",
    }
    if schema is not None:
        facts["columns"] = f"{len(schema.numeric)} of numbers, {len(schema.text)} of text; {facts['columns']}"
    defaults = type(model)().get_params()
    changed = {k: v for k, v in model.get_params().items() if v != defaults[k]}
    facts["parameters"] = ", ".join(f"{k}={v!r}" for k, v in changed.items()) or "defaults"
    _print_facts(facts)
    names = schema.feature_names if schema is not None else [f"c{j}" for j in range(model.n_features_in_)]
    coef = model.coef_[0]
    largest = np.argsort(-np.abs(coef), kind="stable")[:_SHOWN]
    print_table("Largest coefficients", {"coefficient": {str(names[j]): f"{coef[j]:+.6g}" for j in largest}})


def _print_facts(facts: dict[str, str]) -> None:
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(escape(name), escape(value))
    _console().print(table)
