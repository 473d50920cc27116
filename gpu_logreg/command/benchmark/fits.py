"""Fits of a few problems of different shapes, and the same fits on the CPU and on a GPU."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg.command.benchmark.measurements import DeviceRace, FitTime, LeftOut
from gpu_logreg.command.benchmark.plain_read import plain_read
from gpu_logreg.command.benchmark.timing import Deadline, interleaved, spread
from gpu_logreg.command.demonstration import table_like_problem
from gpu_logreg.estimators.linear.model import LogisticRegression

__all__ = ["PROBLEMS", "RACE_ROWS", "Problem", "device_races", "fit_times"]

ROUNDS = 7
"""Most fits of one problem that are timed."""

RACE_ROWS, RACE_COLUMNS = (1_000, 10_000, 100_000, 1_000_000), 100
"""Rows of the fits on the CPU and on a GPU, in ascending order, and their columns."""


class Problem(NamedTuple):
    """A problem that is generated from a fixed seed.

    Attributes
    ----------
    name : str
    make : function () -> (X, y)
    parameters : dict
        Of the estimator.
    """

    name: str
    make: Callable[[], tuple[Any, NDArray[Any]]]
    parameters: dict[str, Any]


def _breast_cancer() -> tuple[Any, NDArray[Any]]:
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    return X, y


def _classes(n: int, d: int, n_classes: int) -> tuple[Any, NDArray[Any]]:
    """Rows as of `table_like_problem`, of several classes that are drawn from a multinomial model."""
    X, _ = table_like_problem(n, d)
    random = np.random.default_rng(1)
    W = (random.standard_normal((d, n_classes)) / (X[:1000].std(axis=0)[:, None] * np.sqrt(d))).astype(np.float32)
    return X, ((X - X[:1000].mean(axis=0)) @ W + random.gumbel(size=(n, n_classes))).argmax(axis=1)


def _words(n: int, d: int, stored: int) -> tuple[Any, NDArray[Any]]:
    """Sparse rows with a few stored elements, whose first columns are frequent, as words are; two classes."""
    random = np.random.default_rng(0)
    columns = (d ** random.random(n * stored) - 1.0).astype(np.int32)
    values, starts = random.random(n * stored), np.arange(0, n * stored + 1, stored)
    X = sparse.csr_array((values, columns, starts), shape=(n, d))
    X.sum_duplicates()
    return X, (random.logistic(size=n) < X @ random.standard_normal(d)).astype(np.int64)


PROBLEMS = (
    Problem("breast cancer", _breast_cancer, {}),
    Problem("table", lambda: table_like_problem(5_000, 20), {}),
    Problem("table", lambda: table_like_problem(200_000, 50), {}),
    Problem("10 classes", lambda: _classes(50_000, 50, 10), {}),
    Problem("L1", lambda: table_like_problem(200_000, 50), {"l1_ratio": 1.0}),
    Problem("wide table", lambda: table_like_problem(20_000, 500), {}),
    Problem("words", lambda: _words(50_000, 10_000, 20), {}),
)


def fit_times(deadline: Deadline) -> Iterator[FitTime | LeftOut]:
    """The time of every problem with the estimator's defaults."""
    for number, problem in enumerate(PROBLEMS):
        part = deadline.part(len(PROBLEMS) - number)
        yield _fit_time(problem, part) if deadline.left else LeftOut(f"fits: {problem.name}")


def _fit_time(problem: Problem, deadline: Deadline) -> FitTime:
    X, y = problem.make()
    stored = (X.data, X.indices, X.indptr) if hasattr(X, "indptr") else (X,)
    model = LogisticRegression(**problem.parameters)
    seconds = interleaved(
        {"plain read": functools.partial(plain_read, *stored), "fit": functools.partial(_fit, model, X, y)},
        ROUNDS,
        deadline,
    )
    plain_reads = spread(fit / read for fit, read in zip(seconds["fit"], seconds["plain read"], strict=True))
    n, d = X.shape
    return FitTime(
        problem.name,
        n,
        d,
        len(model.classes_),
        spread(seconds["fit"]),
        plain_reads,
        float(model.n_reads_),
        int(model.n_iter_[0]),
        bool(model.converged_),
        model.solver_,
        model.device_,
        model.impl_,
    )


def device_races(device: str, deadline: Deadline) -> Iterator[DeviceRace | LeftOut]:
    """Fits of ever more rows on the CPU and on ``device``."""
    for number, n in enumerate(RACE_ROWS):
        part = deadline.part(len(RACE_ROWS) - number)
        if not deadline.left:
            yield LeftOut(f"fits on the CPU and the GPU: {n:,} x {RACE_COLUMNS}")
            continue
        X, y = table_like_problem(n, RACE_COLUMNS)
        models = {name: LogisticRegression(device=name) for name in ("cpu", device)}
        functions = {name: functools.partial(_fit, model, X, y) for name, model in models.items()}
        seconds = interleaved(functions, ROUNDS, part)
        cpu, gpu = seconds["cpu"], seconds[device]
        ratio = spread(c / g for c, g in zip(cpu, gpu, strict=True))
        yield DeviceRace(n, RACE_COLUMNS, spread(cpu), spread(gpu), ratio)


def _fit(model: LogisticRegression, X: Any, y: NDArray[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the table shows whether it converged
        model.fit(X, y)
