"""Models of a fold by Hessians of its own rows, against fits of each of them on copies of those rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.model_selection import KFold

from gpu_logreg import LogisticRegression, LogisticRegressionCV
from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import Device
from gpu_logreg.estimators.cross_validation import grid_fits
from gpu_logreg.estimators.cross_validation.own_rows import fit_by_own_rows
from gpu_logreg.estimators.cross_validation.penalty_path import How
from gpu_logreg.estimators.prepare import prepare

CS = np.logspace(-2, 4, 7)
HOW = How(solver="auto", solver_reason="", impl="auto", fit_intercept=True, tol=1e-6, max_iter=1000)


def rare(n=4000, d=30, seed=0):
    """Rows of zeros and ones, of which some columns have a one in a few rows: without them a fold is separable."""
    rng = np.random.default_rng(seed)
    X = (rng.random((n, d)) < np.geomspace(2e-3, 0.5, d)).astype(float)
    return X, (rng.logistic(size=n) < X @ rng.standard_normal(d)).astype(int)


def distance(params, X, y, C, s=None):
    one = LogisticRegression(C=C, tol=1e-12).fit(X, y, s)
    truth = np.append(one.coef_, one.intercept_)
    spread = np.append(X.std(axis=0), 1.0)
    return float(np.abs((params - truth) * spread).max())


@pytest.mark.parametrize(("is_sparse", "weighted"), [(True, False), (True, True), (False, True)])
def test_every_model_is_that_of_a_fit_of_its_own(is_sparse, weighted):
    X, y = rare()
    s = np.random.default_rng(1).integers(0, 3, len(y)).astype(float) if weighted else None
    prepared = prepare(sparse.csr_array(X) if is_sparse else X, y, s, Device("cpu"))
    first = LogisticRegression(C=CS[0] / 3, tol=1e-12).fit(X, y, s)
    known = [(CS[0] / 3, np.append(first.coef_, first.intercept_))]
    with blas_on_one_thread():
        found, objective = fit_by_own_rows(prepared, 0, CS, known, HOW)
    assert len(found) == len(CS)
    assert objective.reads.total < 12 * len(CS)
    for C, result in zip(CS, found, strict=True):
        assert result.converged
        assert distance(result.params, X, y, C, s) < 1e-7


def test_without_a_start_or_where_hessians_cost_much_nothing_is_fitted():
    X, y = rare()
    with blas_on_one_thread():
        assert fit_by_own_rows(prepare(X, y, None, Device("cpu")), 0, CS, [], HOW)[0] == []
        wide = np.hstack([X, np.zeros((len(X), 200))])
        known = [(CS[0], np.zeros(231))]
        assert fit_by_own_rows(prepare(wide, y, None, Device("cpu")), 0, CS, known, HOW)[0] == []


def test_models_that_leave_the_common_reads_are_found_by_the_rows_of_their_fold(monkeypatch):
    X, y = rare()
    found = []
    fit = grid_fits.fit_by_own_rows
    monkeypatch.setattr(grid_fits, "fit_by_own_rows", lambda *args: found.append(fit(*args)) or found[-1])
    model = LogisticRegressionCV(
        Cs=CS, cv=KFold(4), l1_ratios=[0], scoring=None, use_legacy_attributes=False, solver="auto"
    ).fit(sparse.csr_matrix(X), y)
    assert sum(len(results) for results, _ in found) > 0
    assert model.converged_
    for fold, (train, _) in enumerate(KFold(4).split(X)):
        for at in range(0, len(CS), 2):
            assert distance(model.coefs_paths_[fold, 0, at, 0], X[train], y[train], CS[at]) < 2e-7
