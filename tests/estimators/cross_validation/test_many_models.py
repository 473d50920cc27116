"""Models of all folds in common reads, against a fit of each of them on copies of its own rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import KFold, ShuffleSplit

from gpu_logreg import LogisticRegression, LogisticRegressionCV
from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.cholesky import Factor
from gpu_logreg.arrays.device import Device
from gpu_logreg.estimators.cross_validation.folds import folds_of
from gpu_logreg.estimators.cross_validation.many_models import fit_in_common_reads, in_common_reads
from gpu_logreg.estimators.cross_validation.many_points import ManyPoints
from gpu_logreg.estimators.cross_validation.penalty_path import How, penalty_path
from gpu_logreg.estimators.prepare import prepare

CS = np.logspace(-3, 3, 5)


def drawn(n=6000, d=12, dtype=np.float64, seed=0, spread=0.0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) @ (np.eye(d) + rng.standard_normal((d, d)) / d)
    X *= 10.0 ** rng.uniform(-spread, spread, d)
    y = (rng.random(n) < 1 / (1 + np.exp(0.5 - X @ (rng.standard_normal(d) / X.std(axis=0) / 3)))).astype(int)
    return X.astype(dtype), y


def fitted(X, y, s=None, cv=None, **how):
    prepared = prepare(X, y, s, Device("cpu"))
    folds = folds_of((cv or KFold(4)).split(X, y), len(y))
    how = How(**{"solver": "auto", "solver_reason": "", "impl": "auto", "fit_intercept": True, "tol": 1e-6, **how})
    assert in_common_reads(prepared, folds, CS, 0.0, how)
    with blas_on_one_thread():
        results, objective = fit_in_common_reads(prepared, prepared.shares, folds, CS, how)
    return folds, results, objective


@pytest.mark.parametrize(
    ("dtype", "weighted", "fit_intercept"),
    [(np.float64, False, True), (np.float64, True, False), (np.float32, True, True)],
)
def test_every_model_is_found_and_is_that_of_a_fit_of_its_own(dtype, weighted, fit_intercept):
    X, y = drawn(dtype=dtype, spread=0.5)
    s = np.random.default_rng(1).integers(0, 3, len(y)).astype(float) if weighted else None
    folds, results, objective = fitted(X, y, s, fit_intercept=fit_intercept, max_iter=1000)
    assert len(results) == len(folds) * len(CS)
    assert objective.reads.total < 30  # and not some for each of twenty models
    for (fold, at), result in results.items():
        train = folds.train[fold]
        one = LogisticRegression(C=CS[at], tol=1e-12, fit_intercept=fit_intercept)
        one.fit(X[train].astype(float), y[train], None if s is None else s[train])
        truth = np.append(one.coef_, one.intercept_) if fit_intercept else one.coef_[0]
        scale = np.append(X.std(axis=0), 1.0)[: len(truth)]
        np.testing.assert_allclose(result.params * scale, truth * scale, atol=2e-7)


def test_rows_that_no_fold_leaves_out_are_in_every_model():
    X, y = drawn(3000)
    splits = [(np.setdiff1d(np.arange(3000), test), test) for test in (np.arange(500), np.arange(700, 900))]
    folds, results, _ = fitted(X, y, cv=_Splits(splits), max_iter=1000)
    assert results.keys() == {(fold, at) for fold in range(2) for at in range(len(CS))}
    one = LogisticRegression(C=CS[2], tol=1e-12).fit(X[folds.train[1]], y[folds.train[1]])
    np.testing.assert_allclose(results[1, 2].params[:-1], one.coef_[0], atol=1e-7)


def test_models_that_do_not_contract_are_left_to_fits_of_their_own():
    X, y = drawn(1000, 8)
    X /= np.abs(np.random.default_rng(2).standard_normal(X.shape)) ** 1.5  # rows that carry all the curvature
    folds, results, _ = fitted(X, y, max_iter=1000)
    assert len(results) < len(folds) * len(CS)
    model = LogisticRegressionCV(
        Cs=CS, cv=KFold(4), l1_ratios=[0], tol=1e-10, scoring=None, use_legacy_attributes=False
    ).fit(X, y)
    assert model.converged_
    for fold, train in enumerate(folds.train):
        for at, C in enumerate(CS):
            one = LogisticRegression(C=C, tol=1e-10).fit(X[train], y[train])
            params = model.coefs_paths_[fold, 0, at, 0]
            value = _value(X[train], y[train], C, params[:-1], params[-1])
            assert value <= _value(X[train], y[train], C, one.coef_[0], one.intercept_[0]) * (1 + 1e-10)


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss"])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_by_one_read_are_those_of_the_scorer(scoring, weighted):
    X, y = drawn(2000)
    s = np.random.default_rng(1).integers(0, 3, len(y)).astype(float) if weighted else None

    class Wrapped:
        """The same scorer by another name, which is called for every model."""

        def __call__(self, model, X, y, sample_weight=None):
            from sklearn.metrics import get_scorer

            return get_scorer(scoring)(model, X, y, sample_weight=sample_weight)

    one, other = (
        LogisticRegressionCV(
            Cs=CS, cv=4, l1_ratios=[0], class_weight="balanced", scoring=by, use_legacy_attributes=False
        ).fit(X, y, s)
        for by in (scoring, Wrapped())
    )
    np.testing.assert_allclose(one.scores_, other.scores_, rtol=1e-9)
    assert np.unique(one.scores_).size > len(CS)


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({}, True),
        ({"l1_ratio": 0.5}, False),
        ({"how": {"solver": "lbfgs"}}, False),
        ({"how": {"max_iter": 5}}, False),
        ({"cv": ShuffleSplit(3, random_state=0)}, False),
        ({"cv": KFold(2), "sorted": True}, False),  # a fold without a class
    ],
)
def test_what_goes_by_common_reads(change, taken):
    X, y = drawn(500, 3)
    if "sorted" in change:
        y = (np.arange(500) >= 250).astype(int)
    folds = folds_of(change.get("cv", KFold(3)).split(X, y), 500)
    how = How(**{"solver": "auto", "solver_reason": "", "impl": "auto", "fit_intercept": True, "tol": 1e-6,
                 "max_iter": 100, **change.get("how", {})})  # fmt: skip
    prepared = prepare(X, y, None, Device("cpu"))
    assert in_common_reads(prepared, folds, CS, change.get("l1_ratio", 0.0), how) is taken


class _Splits:
    def __init__(self, splits):
        self._splits = splits

    def split(self, X, y):
        return self._splits


def _value(X, y, C, w, b):
    z = X @ w + b
    return C * (np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))).sum() + 0.5 * w @ w


def test_first_reads_of_rows_that_rounding_made_wide_are_in_their_own_dtype(monkeypatch):
    X, y = drawn(20_000, dtype=np.float32)
    X += 3000.0 * X.std(axis=0)  # far from zero: float32 hides the optimum
    read, dtypes = ManyPoints._read_without_fold, []
    monkeypatch.setattr(ManyPoints, "_narrow_reads", lambda self, factor, value: setattr(self, "_least_left", 1e-7))

    def noted(self, models):
        dtypes.append(self._dataset(min(self._rate * model.left for model in models)).compute_dtype)
        return read(self, models)

    monkeypatch.setattr(ManyPoints, "_read_without_fold", noted)
    folds, results, _ = fitted(X, y, max_iter=1000)
    assert dtypes[-1] == np.float64
    for (fold, at), result in results.items():
        if at == 2:
            one = LogisticRegression(C=CS[at], tol=1e-12)
            one.fit(X[folds.train[fold]].astype(float), y[folds.train[fold]])
            np.testing.assert_allclose(result.params[:-1] * X.std(axis=0), one.coef_[0] * X.std(axis=0), atol=2e-7)


def test_rounding_keeps_reads_in_float64_where_it_would_hide_what_remains():
    X, y = drawn(20_000, dtype=np.float32)
    X += 3000.0 * X.std(axis=0)
    data = prepare(X, y, None, Device("cpu"))
    folds = folds_of(KFold(4).split(X, y), len(y))
    how = How(solver="auto", solver_reason="", impl="auto", fit_intercept=True, tol=1e-6, max_iter=1000)
    with blas_on_one_thread():
        path = penalty_path(data, data.shares, np.array([1.0]), 0.0, how)
        assert path.objective.dataset.compute_dtype == np.float64
        many = ManyPoints(path.objective, folds, CS, how)
    many._narrow_reads(Factor(np.eye(13)), 0.5)
    noise = 3000.0 * float(np.finfo(np.float32).eps)
    assert many._least_left == pytest.approx(5.0 * 12 * noise**2, rel=0.2)
    assert many._dataset(many._least_left).compute_dtype == np.float32
    assert many._dataset(0.5 * many._least_left).compute_dtype == np.float64
    many._narrow_reads(Factor(np.eye(13) + 1e9), 0.5)  # nearly singular in float32
    assert many._dataset(1.0).compute_dtype == np.float64
