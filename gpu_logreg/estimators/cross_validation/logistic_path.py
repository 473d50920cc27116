"""The path of logistic regression over the strengths of its penalty, as a function."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import numpy_defaults
from gpu_logreg.arrays.device_choice import resolve_device
from gpu_logreg.arrays.on_device import on_device
from gpu_logreg.arrays.vector import Float64Vector, HostArray
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.cross_validation.grid_fits import packed_by_logit
from gpu_logreg.estimators.cross_validation.parameters import read_Cs
from gpu_logreg.estimators.cross_validation.penalty_path import How, Path, penalty_path
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.linear.parameters import read_parameters
from gpu_logreg.estimators.prepare import prepare
from gpu_logreg.estimators.streamed import stream_of

__all__ = ["LogisticPath", "logistic_path"]


class LogisticPath(NamedTuple):
    """The models of `logistic_path`, in the order of the values of C that were given.

    Attributes
    ----------
    Cs : ndarray of shape (n_cs,)
    coefs : ndarray of shape (n_cs, 1, d), or (n_cs, K, d) for K >= 3 classes
    intercepts : ndarray of shape (n_cs, 1) or (n_cs, K)
    classes : ndarray of shape (K,)
    n_iter : ndarray of shape (n_cs,)
    objectives : ndarray of shape (n_cs,)
        Mean loss plus penalty at the end, in nats.
    converged : ndarray of shape (n_cs,), bool
    n_reads : float
        Walks over all rows that all fits took together.
    """

    Cs: Float64Vector
    coefs: HostArray
    intercepts: HostArray
    classes: HostArray
    n_iter: HostArray
    objectives: Float64Vector
    converged: HostArray
    n_reads: float


def logistic_path(
    X: Any,
    y: Any,
    Cs: Any = 10,
    *,
    l1_ratio: float = 0.0,
    fit_intercept: bool = True,
    sample_weight: Any = None,
    class_weight: Any = None,
    tol: float = 1e-6,
    max_iter: int = 1000,
    solver: str = "auto",
    device: str = "auto",
    impl: str = "auto",
    storage: str = "auto",
    random_state: Any = None,
) -> LogisticPath:
    """Fit `gpu_logreg.LogisticRegression` for every C, the strongest penalty first, each fit from the end of the last.

    Rows are prepared, and brought to a GPU, once. With an L1 penalty the columns with weights are few at first, and
    those of the last fit are what the next begins with.

    Parameters
    ----------
    X : array, sparse matrix or table of shape (n, d)
    y : array of shape (n,)
    Cs : int or list of float, default=10
        Inverse strengths of the penalty, in any order; a number of them is spread from 1e-4 to 1e4.
    l1_ratio, fit_intercept, class_weight, tol, max_iter, solver, device, impl, storage, random_state
        As of `gpu_logreg.LogisticRegression`.
    sample_weight : array of shape (n,), optional

    Returns
    -------
    LogisticPath

    Raises
    ------
    DataError
        Data or parameters that cannot be used; a `ValueError`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> path = logistic_path(scale(X), y, [0.01, 0.1, 1.0], l1_ratio=1.0)
    >>> (path.coefs != 0).sum(axis=(1, 2))  # columns with weights
    array([ 2,  8, 16])
    """
    strengths = read_Cs(Cs)
    model = LogisticRegression(
        l1_ratio=l1_ratio, fit_intercept=fit_intercept, class_weight=class_weight, tol=tol, max_iter=max_iter,
        solver=solver, device=device, impl=impl, storage=storage, random_state=random_state,
    )  # fmt: skip
    model._validate_params()
    asked = read_parameters(model)
    if stream_of(X, y, sample_weight) is not None:
        raise DataError("logistic_path takes rows in memory; fit LogisticRegression on a stream for each C")
    X, y = model._validated(X, y, reset=True)
    on = resolve_device(device, X)
    ascending, at = np.unique(strengths, return_inverse=True)
    how = How(asked.solver, asked.solver_reason, impl, fit_intercept, tol, max_iter, random_state)
    with on_device(on), blas_on_one_thread(), numpy_defaults():
        names = getattr(model, "feature_names_in_", None)
        prepared = prepare(X, y, sample_weight, on, class_weight=class_weight, storage=storage, column_names=names)
        path = penalty_path(prepared, prepared.shares, ascending, asked.l1_ratio, how)
    _warn_of_missed(path, ascending)
    params = np.array([packed_by_logit(path.objective, path.results[found].params) for found in at])
    d = prepared.data.n_columns
    results = [path.results[found] for found in at]
    return LogisticPath(
        strengths,
        params[:, :, :d],
        params[:, :, d] if fit_intercept else np.zeros(params.shape[:2]),
        prepared.target.classes,
        np.array([result.n_iter for result in results]),
        np.array([result.value for result in results]),
        np.array([result.converged for result in results]),
        path.objective.reads.total,
    )


def _warn_of_missed(path: Path, Cs: Float64Vector) -> None:
    missed = [f"C={C:g}: {result.message}" for C, result in zip(Cs, path.results, strict=True) if not result.converged]
    if missed:
        warnings.warn(
            f"{len(missed)} of {len(Cs)} fits did not converge; the first is that of {missed[0]}. Increase max_iter, "
            "raise tol, or leave out large values of Cs.",
            ConvergenceWarning,
            stacklevel=3,
        )
