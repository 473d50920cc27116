"""Models of all folds of few rows of many classes, against a fit of each of them on copies of its own rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from sklearn.model_selection import KFold, StratifiedKFold

from gpu_logreg import LogisticRegression, LogisticRegressionCV
from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import Device
from gpu_logreg.estimators.cross_validation.few_rows import fit_few_rows, rows_are_few
from gpu_logreg.estimators.cross_validation.fold_path import FoldPath
from gpu_logreg.estimators.cross_validation.folds import folds_of
from gpu_logreg.estimators.cross_validation.penalty_path import How
from gpu_logreg.estimators.prepare import prepare
from gpu_logreg.mathematics.losses import loss_of_classes
from gpu_logreg.passes.reference.models_of_few_rows import (
    FewRows,
    curvature_without_fold,
    gradients_without_fold,
    loss_sum,
)

CS = np.logspace(-3, 3, 7)
HOW = {"solver": "auto", "solver_reason": "", "impl": "auto", "fit_intercept": True, "tol": 1e-6, "max_iter": 1000}


def drawn(n_classes, n=240, d=4, sharpness=1.0):
    rng = np.random.default_rng(n_classes)
    X = rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-1, 1, d) + 3.0
    Z = sharpness * (X - 3.0) / X.std(axis=0) @ rng.standard_normal((d, n_classes))
    return X, (Z + rng.gumbel(size=(n, n_classes))).argmax(axis=1)


def fitted(X, y, s=None, **how):
    prepared = prepare(X, y, s, Device("cpu"))
    folds = folds_of(KFold(3).split(X, y), len(y))
    how = How(**{**HOW, **how})
    assert rows_are_few(prepared, folds, CS, 0.0, how)
    with blas_on_one_thread():
        return folds, *fit_few_rows(prepared, prepared.shares, folds, CS, how)


@pytest.mark.parametrize(
    ("weighted", "fit_intercept", "sharpness"), [(False, True, 1.0), (True, False, 1.0), (True, True, 8.0)]
)
def test_every_model_is_found_and_is_that_of_a_fit_of_its_own(weighted, fit_intercept, sharpness):
    X, y = drawn(3, sharpness=sharpness)
    X[:, 1] = 2.0  # a column that tells nothing
    s = np.random.default_rng(1).integers(0, 3, len(y)).astype(float) if weighted else None
    folds, results, objective = fitted(X, y, s, fit_intercept=fit_intercept)
    assert len(results) == len(folds) * len(CS)
    assert objective.reads.total < 16 * len(CS)  # three models a read, and not some reads for each of 21
    for (fold, at), result in results.items():
        if at % 3 == 0:
            train = folds.train[fold]
            one = LogisticRegression(C=CS[at], tol=1e-12, fit_intercept=fit_intercept)
            one.fit(X[train], y[train], None if s is None else s[train])
            found = result.params.reshape(3, -1)
            found = found - found.mean(axis=0)
            spread = np.maximum(X.std(axis=0), 1e-3)
            np.testing.assert_allclose(found[:, :4] * spread, one.coef_ * spread, atol=1e-7)


@pytest.mark.parametrize("n_classes", [3, 4])
def test_sums_are_those_of_the_rows_outside_of_each_fold(n_classes):
    rng = np.random.default_rng(0)
    U, y, s = rng.standard_normal((150, 3)), rng.integers(0, n_classes, 150), rng.random(150)
    rows, loss = FewRows(U, y, s, np.array([0, 40, 90, 150])), loss_of_classes(n_classes)
    points, left_out = rng.standard_normal((3, 3 * loss.n_logits)), np.array([1, -1, 0])
    found = gradients_without_fold(loss, rows, points, left_out)
    for phi, fold, grad in zip(points, left_out, found, strict=True):
        H = curvature_without_fold(loss, rows, phi, fold)
        for j, move in enumerate(np.eye(len(phi)) * 1e-5):
            slope = (loss_sum(loss, rows, phi + move, fold) - loss_sum(loss, rows, phi - move, fold)) / 2e-5
            assert grad[j] == pytest.approx(slope, abs=1e-6)
            ends = gradients_without_fold(loss, rows, np.array([phi + move, phi - move]), np.array([fold, fold]))
            np.testing.assert_allclose(H[j], (ends[0] - ends[1]) / 2e-5, atol=2e-3 * np.abs(H).max())


def test_a_step_that_is_too_long_is_cut_back():
    path = FoldPath(0, 1.0, np.zeros(1))
    path.go_on(1.0, 0.0, np.zeros(1))
    path.factor = type("Flat", (), {"solve": staticmethod(lambda v: 10.0 * v)})
    assert path.choose_step(np.array([-1.0]))
    path.take_step()
    assert path.phi == 10.0
    assert not path.choose_step(np.array([9.0]))  # the gradient of (phi - 1)**2 / 2
    assert path.phi == pytest.approx(1.0)


def test_rows_are_not_few_where_hessians_cost_much_or_fits_differ():
    X, y = drawn(3)
    prepared, folds = prepare(X, y, None, Device("cpu")), folds_of(KFold(3).split(X, y), len(y))
    assert rows_are_few(prepared, folds, CS, 0.0, How(**HOW))
    assert not rows_are_few(prepared, folds, CS, 0.5, How(**HOW))
    assert not rows_are_few(prepared, folds, CS, 0.0, How(**{**HOW, "solver": "lbfgs"}))
    many = prepare(np.zeros((900, 600)), np.arange(900) % 20, None, Device("cpu"))
    assert not rows_are_few(many, folds_of(KFold(3).split(np.zeros((900, 1))), 900), CS, 0.0, How(**HOW))


def test_products_in_float32_are_those_in_float64_to_their_rounding():
    rng = np.random.default_rng(3)
    U, y, s = rng.standard_normal((150, 3)), rng.integers(0, 4, 150), rng.random(150)
    rows, loss = FewRows(U, y, s, np.array([0, 40, 90, 150, 150])), loss_of_classes(4)
    phi = rng.standard_normal(12)
    for fold in (-1, 1):
        H = curvature_without_fold(loss, rows, phi, fold)
        narrow = curvature_without_fold(loss, rows, phi, fold, np.float32)
        np.testing.assert_allclose(narrow, H, atol=1e-6 * np.abs(H).max())


@pytest.mark.parametrize("weighted", [False, True])
def test_accuracy_of_classes_is_that_of_scikit_learns_scorer(weighted):
    X, y = drawn(4)
    s = np.random.default_rng(1).integers(0, 3, len(y)).astype(float) if weighted else None
    grid = {"Cs": [0.01, 1.0], "cv": 3, "l1_ratios": [0.0], "use_legacy_attributes": False}
    ours = LogisticRegressionCV(scoring=None, **grid).fit(X, y, s)
    for fold, (_, test) in enumerate(StratifiedKFold(3).split(X, y)):
        for at in range(2):
            params = ours.coefs_paths_[fold, 0, at]
            predicted = (X[test] @ params[:, :-1].T + params[:, -1]).argmax(axis=1)
            expected = accuracy_score(y[test], predicted, sample_weight=None if s is None else s[test])
            assert ours.scores_[fold, 0, at] == pytest.approx(expected, rel=1e-14)
