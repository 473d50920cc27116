"""Output for a person: the progress of a fit, tables and facts, scores of a model.

Results go to standard output, everything else to standard error. Only the progress of a fit looks different on a
terminal; tables are plain text of at most 80 columns, facts are as wide as the terminal.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gpu_logreg.command.lines import note, printable
from gpu_logreg.command.reads import ReadProgress
from gpu_logreg.estimators.cross_validation.model import LogisticRegressionCV
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.network.model import MLPClassifier
from gpu_logreg.mathematics.logistic import row_loss
from gpu_logreg.mathematics.softmax import loss_and_dz as softmax_loss
from gpu_logreg.rows.block_store import BlockStore
from gpu_logreg.solvers import Iteration, Observer

__all__ = [
    "Estimator",
    "class_names",
    "describe_fit",
    "duration",
    "fit_progress",
    "note",
    "print_facts",
    "print_table",
    "score_rows",
    "short_reason",
    "waiting",
]

Estimator: TypeAlias = LogisticRegression | LogisticRegressionCV | MLPClassifier

_LONGEST_NAME = 48
"""Most letters of a name in a table, so that a table of two columns of figures stays within 80 columns."""

_SILENT_SECONDS = 5.0
"""Longest time without a line on the progress of a fit, where standard error is no terminal."""

_CONFUSED_CLASSES = 12
"""Most classes whose confusion matrix is shown whole, and most mistakes that are listed for more classes."""


# -------------------------------------------------------------------------------------------------------- progress


@contextlib.contextmanager
def waiting(text: str) -> Iterator[None]:
    """A context that shows ``text`` and the time on a terminal while its block runs; elsewhere nothing is printed."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with _moving_line(console) as progress:
        progress.add_task(escape(text))
        yield


@contextlib.contextmanager
def fit_progress(store: BlockStore | None = None) -> Iterator[Observer]:
    """A context with a progress callback for a fit: one moving line on a terminal, else lines on standard error.

    Elsewhere than on a terminal, the iterations 1, 2, 5, 10, 20, 50, ... and the last have a line, and so has the first
    one after `_SILENT_SECONDS` without any. Of the blocks of a store the read that is under way is told of too.
    """

    def text(iteration: Iteration) -> str:
        if math.isnan(iteration.grad_max):  # an epoch of steps, which computes no gradient of all rows
            return f"epoch {iteration.n_iter:4d}  objective {iteration.value:#.8g}  learning rate {iteration.step:.1e}"
        return (
            f"iteration {iteration.n_iter:4d}  objective {iteration.value:#.8g}  "
            f"max |gradient| {iteration.grad_max:.1e}"
        )

    console = Console(stderr=True)
    if console.is_terminal:
        with _moving_line(console) as progress:
            task = progress.add_task("fitting")
            with contextlib.ExitStack() as stack:
                if store is not None:
                    read = progress.add_task("reading")
                    stack.enter_context(ReadProgress(store, lambda said: progress.update(read, description=said)))
                yield lambda iteration: progress.update(task, description=escape(text(iteration)))
        return
    start = last_line = time.perf_counter()

    def print_line(iteration: Iteration) -> None:
        nonlocal last_line
        now = time.perf_counter()
        if iteration.last or _is_round(iteration.n_iter) or now - last_line >= _SILENT_SECONDS:
            last_line = now
            note(f"{text(iteration)}  {duration(now - start):>7}")

    def print_read(said: str) -> None:
        nonlocal last_line
        if time.perf_counter() - last_line >= _SILENT_SECONDS:
            last_line = time.perf_counter()
            note(said)

    with contextlib.nullcontext() if store is None else ReadProgress(store, print_read):
        yield print_line


def _moving_line(console: Console) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def _is_round(count: int) -> bool:
    """Whether ``count`` is 1, 2 or 5 times a power of ten."""
    digits = str(count)
    return digits[0] in "125" and not digits[1:].strip("0")


# ----------------------------------------------------------------------------------------------------------- tables


def print_table(columns: Mapping[str, Mapping[str, str]]) -> None:
    """Print a table on standard output; ``columns`` maps each heading to its cells by the name of their row."""
    columns = {heading: {name: printable(cell) for name, cell in cells.items()} for heading, cells in columns.items()}
    names = list(dict.fromkeys(name for cells in columns.values() for name in cells))
    labels = [_cut(name) for name in names]
    first = max(map(cell_len, labels))
    widths = {heading: max(map(len, [_cut(heading), *cells.values()])) for heading, cells in columns.items()}
    if any(columns):
        print(" " * first + "".join(f"  {_cut(heading):>{widths[heading]}}" for heading in columns))
    for name, cell in zip(names, labels, strict=True):
        values = (f"  {cells.get(name, ''):>{widths[heading]}}" for heading, cells in columns.items())
        print((set_cell_size(cell, first) + "".join(values)).rstrip())


def print_facts(facts: Mapping[str, str]) -> None:
    """Print facts by name on standard output; long values are folded beside their name."""
    first = max(map(len, facts)) + 2
    width = max(40, shutil.get_terminal_size((80, 24)).columns)
    for name, value in facts.items():
        lines = textwrap.wrap(printable(value), width - first, break_on_hyphens=False, break_long_words=False) or [""]
        print(f"{name:<{first}}{lines[0]}")
        for line in lines[1:]:
            print(" " * first + line)


def _cut(name: str) -> str:
    name = " ".join(printable(name).split())
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def duration(seconds: float) -> str:
    """A time for a person: ``12 ms``, ``0.48 s``."""
    return f"{1e3 * seconds:.0f} ms" if seconds < 0.0995 else f"{seconds:.2f} s"


def score_rows(model: Estimator, X: Any, y: NDArray[Any], classes: Sequence[str]) -> dict[str, str]:
    """Accuracy, area under the ROC curve (of two classes) and log loss of a fitted model on rows, as texts by name.

    Of more than two classes, labels that the model does not know count as errors and are left out of the log loss.
    """
    from sklearn.metrics import roc_auc_score

    z = np.asarray(model.decision_function(X), dtype=np.float64)
    if z.ndim > 1:
        labels = np.searchsorted(model.classes_, y)
        is_known = model.classes_[np.minimum(labels, len(model.classes_) - 1)] == y
        loss = float(softmax_loss(z[is_known], labels[is_known])[0].mean()) if is_known.any() else math.nan
        return {
            "rows": f"{len(y):,}",
            "accuracy": f"{float((model.classes_[z.argmax(axis=1)] == y).mean()):.4f}",
            "log loss": f"{loss:.5f}",
        }
    is_second = np.asarray(y == model.classes_[1])
    share = float(is_second.mean())
    loss = float(row_loss(z, is_second.astype(np.float64)).mean())
    return {
        "rows": f"{len(y):,}",
        f"share of {classes[1]}": f"{100 * share:.2f} %",
        "accuracy": f"{float(((z > 0) == is_second).mean()):.4f}",
        "AUC": f"{roc_auc_score(is_second, z):.4f}" if 0.0 < share < 1.0 else "one class",
        "log loss": f"{loss:.5f}",
    }


def print_confusion(model: Estimator, X: Any, y: NDArray[Any], classes: Sequence[str]) -> None:
    """Print the confusion matrix; of more than `_CONFUSED_CLASSES` classes, the most frequent mistakes instead."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(y, model.predict(X), labels=model.classes_)
    print()
    if len(classes) <= _CONFUSED_CLASSES:
        print("Rows of a class (down), taken for (across)")
        print_table({name: dict(zip(classes, map(str, counts[:, k]), strict=True)) for k, name in enumerate(classes)})
        return
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    most = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSED_CLASSES]
    pairs = [(int(k) // len(classes), int(k) % len(classes)) for k in most]
    cells = {
        f"{classes[true]} taken for {classes[predicted]}": f"{wrong[true, predicted]:,}" for true, predicted in pairs
    }
    print(f"The {len(cells)} most frequent mistakes")
    print_table({"rows": cells})


def describe_fit(model: Estimator) -> dict[str, str]:
    """Facts of a fit as texts by name: convergence, iterations, reads, solver, device and pass."""
    iterations = int(np.ravel(model.n_iter_)[0])
    return {
        "converged": f"{'yes' if model.converged_ else 'NO'}: {model.stop_reason_}",
        "iterations": f"{iterations:,} of {model.solver_}, {model.n_reads_:.1f} reads of the data",
        "device": f"{model.device_} ({short_reason(model.device_reason_)})",
        "pass": f"{model.impl_} ({short_reason(model.impl_reason_)})",
    }


def short_reason(reason: str) -> str:
    """A reason without its parentheses and its remedy, both of which ``gpu-logreg info`` prints."""
    return reason.removeprefix("auto: ").split(" (", 1)[0].split(";", 1)[0]


def class_names(classes: NDArray[Any], positive: str | None) -> tuple[str, ...]:
    """Names of the classes for a person: ``not X`` and ``X`` where X is the positive label, else their labels."""
    return (f"not {positive}", positive) if positive is not None else tuple(str(name) for name in classes)
