"""Hessians of all folds in one read, changes of gradients on a sample, and what models gain by them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from gpu_logreg import LogisticRegression, LogisticRegressionCV
from gpu_logreg.arrays.device import Device
from gpu_logreg.estimators.cross_validation.many_points import ManyPoints
from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.passes.reference.change_of_gradients import change_of_gradients
from gpu_logreg.passes.reference.fold_curvature import curvature_by_fold
from gpu_logreg.passes.sums import RowFolds
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.coordinates import Coordinates
from gpu_logreg.rows.resident import ResidentDataset


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-6)])
@pytest.mark.parametrize("weighted", [False, True])
def test_hessians_of_folds_are_sums_over_their_rows(fit_intercept, dtype, tolerance, weighted):
    rng = np.random.default_rng(0)
    n, d, n_folds = 60_000, 12, 3  # several blocks
    X = (5.0 + rng.standard_normal((n, d))).astype(dtype)
    y, fold = (rng.random(n) < 0.3).astype(np.uint8), rng.integers(0, n_folds + 1, n).astype(np.uint8)
    s = rng.random(n) if weighted else None
    mean, scale = (X.mean(axis=0) if fit_intercept else np.zeros(d)), X.std(axis=0)
    columns = Coordinates(mean.astype(float), scale.astype(float), fit_intercept)
    phi = rng.standard_normal(d + fit_intercept)
    found = curvature_by_fold(
        Binary(), ResidentDataset.from_arrays(X, y, s, Device("cpu")), columns, phi, RowFolds(fold, n_folds)
    )
    U = columns.rows(X.astype(float))
    h = sigmoid(U @ phi) * sigmoid(-(U @ phi)) * (1.0 if s is None else s)
    for at in range(n_folds + 1):
        U_at = U[fold == at]
        truth = (U_at * h[fold == at, None]).T @ U_at
        np.testing.assert_allclose(found[at], truth, atol=tolerance * np.abs(truth).max())


def test_folds_without_rows_have_no_curvature():
    X, y = np.ones((5, 1)), np.array([0, 1, 0, 1, 1], dtype=np.uint8)
    data = ResidentDataset.from_arrays(X, y, None, Device("cpu"))
    columns = Coordinates(np.zeros(1), np.ones(1), False)
    found = curvature_by_fold(Binary(), data, columns, np.zeros(1), RowFolds(np.full(5, 1, np.uint8), 2))
    np.testing.assert_allclose(found.ravel(), [0.0, 1.25, 0.0])


@pytest.mark.parametrize("size", [1.0, 1e-4])
def test_changes_of_gradients_in_float32_are_as_exact_as_probabilities(size):
    rng = np.random.default_rng(1)
    U, s = rng.standard_normal((20_000, 6)), rng.random(20_000)
    starts, begins, moves = rng.standard_normal((2, 6)), np.array([1, 0, 1]), size * rng.standard_normal((3, 6))
    single = Rows(U.astype(np.float32), np.zeros(20_000), s)
    found = change_of_gradients(single, starts, begins, moves)
    U = single.X.astype(float)
    for m, (begin, move) in enumerate(zip(begins, moves, strict=True)):
        change = sigmoid(U @ (starts[begin] + move)) - sigmoid(U @ starts[begin])
        # Of sums of thousands times the size, in which every row errs at random by the rounding of a probability.
        rounding = np.sqrt(len(U)) * np.finfo(np.float32).eps
        np.testing.assert_allclose(found[m], (s * change) @ U, atol=1e-3 * size + rounding)


def test_most_models_end_with_the_first_read_of_all_and_where_they_would_alone():
    rng = np.random.default_rng(2)
    n, d = 60_000, 15
    X = (rng.standard_normal((n, d)) @ (np.eye(d) + 0.15 * rng.standard_normal((d, d)))).astype(np.float32)
    y = (rng.random(n) < sigmoid(1.0 + X @ rng.standard_normal(d) / 4)).astype(int)
    s = 0.5 + rng.random(n)
    model = LogisticRegressionCV(Cs=5, cv=4, l1_ratios=[0], scoring="accuracy", use_legacy_attributes=False)
    model.fit(X, y, s)
    assert model.converged_
    assert np.median(model.n_iter_) <= 2
    for fold, (train, _) in enumerate(StratifiedKFold(4).split(X, y)):
        for at in (0, 1, 4):
            one = LogisticRegression(C=model.Cs_[at], tol=1e-12).fit(X[train].astype(float), y[train], s[train])
            ours = model.coefs_paths_[fold, 0, at, 0, :-1]
            np.testing.assert_allclose(ours * X.std(axis=0), one.coef_[0] * X.std(axis=0), atol=1e-7)


@pytest.mark.parametrize(("n_models", "taken"), [(4, True), (2, False)])
def test_hessians_of_folds_are_for_many_models_of_few_columns(n_models, taken, monkeypatch):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((20_000, 15))
    y = (rng.random(20_000) < sigmoid(X[:, 0])).astype(int)
    begun = []
    begin = ManyPoints._begin_curvature

    def watched(self, first):
        begin(self, first)
        begun.append(self._curvature is not None)

    monkeypatch.setattr(ManyPoints, "_begin_curvature", watched)
    Cs = np.logspace(-2, 1, n_models // 2)
    LogisticRegressionCV(Cs=Cs, cv=2, l1_ratios=[0], scoring="accuracy", use_legacy_attributes=False).fit(X, y)
    assert begun == [taken]


@pytest.mark.parametrize("seed", [44, 83, 86])
def test_outliers_whose_curvature_is_gone_at_other_points(seed):
    # What all rows have more than the sample, less at another point than it was, is no positive definite matrix.
    rng = np.random.default_rng(seed)
    d = int(rng.choice([2, 8, 40]))
    X = rng.standard_normal((2000, d))
    X[rng.integers(0, 2000, 5)] *= 200.0
    if seed % 2:
        X += 30.0 * X.std(axis=0)
    beta = rng.standard_normal(d) * rng.choice([1, 4]) / np.sqrt(d)
    y = (rng.random(2000) < 1.0 / (1.0 + np.exp(-((X - X.mean(axis=0)) / X.std(axis=0)) @ beta))).astype(int)
    w = rng.exponential(1, 2000) if seed % 4 < 2 else None
    how = {"l1_ratios": (0,), "scoring": "neg_log_loss", "use_legacy_attributes": False}
    model = LogisticRegressionCV(Cs=10, cv=5, **how).fit(X, y, w)
    for fold, (train, _) in enumerate(StratifiedKFold(5).split(X, y)):
        for at in (0, 4, 9):
            s = None if w is None else w[train]
            alone = LogisticRegression(C=model.Cs_[at], tol=1e-9).fit(X[train], y[train], s)
            scale = X.std(axis=0)
            found = model.coefs_paths_[fold, 0, at, 0, :-1]
            np.testing.assert_allclose(found * scale, alone.coef_[0] * scale, rtol=1e-3, atol=1e-4)
