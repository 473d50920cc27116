"""`LogisticRegressionCV`: every model of the grid against a fit of its own, splitters, routing, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import make_scorer, zero_one_loss
from sklearn.model_selection import GroupKFold, KFold, PredefinedSplit, ShuffleSplit, StratifiedKFold

import gpu_logreg.linear_model
from gpu_logreg import LogisticRegression, LogisticRegressionCV, Stream
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.cross_validation.folds import folds_of

NEW = {"scoring": None, "use_legacy_attributes": False}


def drawn(n=300, d=5, n_classes=2, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) @ (np.eye(d) + 0.5 * rng.standard_normal((d, d)) / d) + rng.standard_normal(d)
    Z = X @ rng.standard_normal((d, n_classes)) + rng.gumbel(size=(n, n_classes))
    return X.astype(dtype), Z.argmax(axis=1)


def coefs_of_fits(X, y, cv, Cs, l1_ratio=0.0, s=None, fit_intercept=True):
    """The coefficients of a fit of its own for every fold and C."""
    found = []
    for train, _ in cv.split(X, y):
        for C in Cs:
            one = LogisticRegression(C=C, l1_ratio=l1_ratio, fit_intercept=fit_intercept, tol=1e-10)
            one.fit(X[train], y[train], None if s is None else s[train])
            found.append(np.column_stack([one.coef_, one.intercept_]) if fit_intercept else one.coef_)
    return np.reshape(found, (-1, len(Cs), *np.shape(found[0])))


@pytest.mark.parametrize(
    ("n_classes", "l1_ratio", "how"),
    [
        (2, 0.0, "plain"),
        (2, 0.0, "weighted"),
        (2, 0.0, "sparse"),
        (2, 0.0, "no intercept"),
        (2, 1.0, "plain"),
        (2, 0.5, "plain"),
        (3, 0.0, "weighted"),
        (3, 1.0, "plain"),
    ],
)
def test_every_model_of_the_grid_is_that_of_a_fit_of_its_own(n_classes, l1_ratio, how):
    X, y = drawn(n_classes=n_classes)
    s = np.random.default_rng(1).integers(1, 4, len(y)).astype(float) if how == "weighted" else None
    X = sp.csr_array(X) if how == "sparse" else X
    cv, Cs, fit_intercept = StratifiedKFold(3), [1.0, 0.01, 0.1], how != "no intercept"
    model = LogisticRegressionCV(
        Cs=Cs, cv=cv, l1_ratios=[l1_ratio], fit_intercept=fit_intercept, tol=1e-10, scoring="accuracy",
        use_legacy_attributes=False,
    ).fit(X, y, s)  # fmt: skip
    truth = coefs_of_fits(X, y, cv, Cs, l1_ratio, s, fit_intercept)
    np.testing.assert_allclose(model.coefs_paths_[:, 0], truth, atol=1e-7)
    assert model.converged_
    assert model.n_iter_.shape == model.scores_.shape == (3, 1, 3)
    best = LogisticRegression(C=model.C_, l1_ratio=l1_ratio, fit_intercept=fit_intercept, tol=1e-10).fit(X, y, s)
    np.testing.assert_allclose(model.coef_, best.coef_, atol=1e-7)
    for fold, (train, test) in enumerate(cv.split(X, y)):
        one = LogisticRegression(C=0.01, l1_ratio=l1_ratio, fit_intercept=fit_intercept).fit(
            X[train], y[train], None if s is None else s[train]
        )
        assert model.scores_[fold, 0, 1] == pytest.approx(one.score(X[test], y[test]), abs=1.5 / len(test))


def test_the_order_of_the_strengths_and_repeated_ones_change_nothing():
    X, y = drawn()
    one, other = (
        LogisticRegressionCV(Cs=Cs, l1_ratios=[0], **NEW).fit(X, y) for Cs in ([0.1, 10.0], [10.0, 0.1, 10.0])
    )
    np.testing.assert_array_equal(one.scores_[:, :, [1, 0, 1]], other.scores_)
    np.testing.assert_array_equal(one.coefs_paths_[:, :, [1, 0, 1]], other.coefs_paths_)


def test_rows_that_a_fold_repeats_count_as_often():
    X, y = drawn(100)
    rng = np.random.default_rng(2)
    train, test = rng.integers(0, 80, 90), np.arange(80, 100)
    model = LogisticRegressionCV(Cs=[0.5], cv=[(train, test)], l1_ratios=[0], tol=1e-10, **NEW).fit(X, y)
    one = LogisticRegression(C=0.5, tol=1e-10).fit(X[train], y[train])
    np.testing.assert_allclose(model.coefs_paths_[0, 0, 0, 0, :-1], one.coef_[0], atol=1e-8)


@pytest.mark.parametrize(
    "cv",
    [
        ShuffleSplit(3, train_size=0.2, test_size=0.3, random_state=0),
        PredefinedSplit(np.arange(300) % 4 - 1),
        KFold(4, shuffle=True, random_state=1),
    ],
    ids=lambda cv: type(cv).__name__,
)
def test_other_splitters(cv):
    X, y = drawn()
    model = LogisticRegressionCV(Cs=[0.05, 5.0], cv=cv, l1_ratios=[0], tol=1e-10, **NEW).fit(X, y)
    np.testing.assert_allclose(model.coefs_paths_[:, 0], coefs_of_fits(X, y, cv, [0.05, 5.0]), atol=1e-7)


def test_rows_to_train_on_as_booleans_and_from_the_end():
    X, y = drawn(60)
    first = np.arange(60) < 40
    at_the_end = np.arange(-20, 0)
    by_numbers = LogisticRegressionCV(cv=[(np.arange(40), np.arange(40, 60))], l1_ratios=[0], **NEW).fit(X, y)
    otherwise = LogisticRegressionCV(cv=[(first, at_the_end)], l1_ratios=[0], **NEW).fit(X, y)
    np.testing.assert_array_equal(by_numbers.coefs_paths_, otherwise.coefs_paths_)


def test_groups_are_routed_to_the_splitter_and_weights_to_the_scorer():
    X, y = drawn(120)
    groups, s = np.arange(120) % 6, np.where(np.arange(120) % 2, 3.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(zero_one_loss, greater_is_better=False).set_score_request(sample_weight=True)
        model = LogisticRegressionCV(cv=GroupKFold(3), scoring=scorer, l1_ratios=[0], use_legacy_attributes=False)
        model.set_fit_request(sample_weight=True)
        model.fit(X, y, s, groups=groups)
    splits = list(GroupKFold(3).split(X, y, groups))
    same = LogisticRegressionCV(cv=splits, l1_ratios=[0], **NEW).fit(X, y, s)
    np.testing.assert_allclose(model.scores_, same.scores_ - 1.0)


def test_a_fold_without_a_class_is_named_and_fitted():
    X, y = drawn(90)
    order = np.argsort(y, kind="stable")
    with pytest.warns(UserWarning, match="fold 0 has no rows of class 0 to train on"):
        model = LogisticRegressionCV(
            Cs=[1.0], cv=[(np.flatnonzero(y == 1), np.flatnonzero(y == 0))], l1_ratios=[0], **NEW
        ).fit(X[order], y)
    assert model.scores_.item() == 0.0
    assert not model.coefs_paths_[..., :-1].any()


def test_a_fold_without_one_of_three_classes_is_named_and_never_predicts_it():
    X, y = drawn(90, n_classes=3)
    without, others = np.flatnonzero(y != 2), np.flatnonzero(y == 2)
    with pytest.warns(UserWarning, match="fold 1 has no rows of class 2 to train on"):
        model = LogisticRegressionCV(
            Cs=[1.0, 0.01], cv=[(np.arange(60), np.arange(60, 90)), (without, others)], l1_ratios=[0], **NEW
        ).fit(X, y)
    assert (model.scores_[1] == 0.0).all()
    assert np.isfinite(model.coefs_paths_).all()


def test_fits_that_do_not_converge_are_told_of_once():
    X, y = drawn()
    with pytest.warns(ConvergenceWarning, match=r"\d+ of 10 fits did not converge; the first is that of fold 0, C="):
        model = LogisticRegressionCV(Cs=2, l1_ratios=[0], max_iter=1, solver="lbfgs", **NEW).fit(100.0 * X**3, y)
    assert not model.converged_


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"Cs": [1.0, 0.0]}, r"Cs\[1\] is 0; inverse strengths of the penalty are above 0"),
        ({"Cs": [np.nan]}, r"Cs\[0\] is nan"),
        ({"Cs": []}, "at least one number above 0"),
        ({"Cs": ["a"]}, "a list of numbers above 0"),
        ({"l1_ratios": [0.0, 1.5]}, r"l1_ratios must be an array-like of numbers between 0 and 1"),
        ({"cv": 1}, "'cv' parameter .* must be an int in the range"),
        ({"cv": "five"}, "'cv' parameter"),
        ({"cv": []}, "cv gives no splits"),
        ({"cv": [(np.arange(50), [])]}, "cv: split 0 has no rows to test on"),
        ({"cv": [([], np.arange(50))]}, "cv: split 0 has no rows to train on"),
        ({"cv": [(np.arange(50), [300])]}, "cv: split 0 names row 300, and X has 300 rows"),
        ({"cv": [(np.arange(50), [0.5])]}, "no vector of numbers of rows"),
        ({"solver": "lbfgs", "l1_ratios": [1.0]}, "Solver lbfgs supports only 'l2' or None penalties"),
    ],
)
def test_bad_parameters_are_refused_in_a_line(params, words):
    X, y = drawn()
    with pytest.raises(ValueError, match=words) as refused:
        LogisticRegressionCV(**{"l1_ratios": [0], **NEW, **params}).fit(X, y)
    if isinstance(refused.value, DataError):
        assert "\n" not in str(refused.value)


def test_bad_data_are_refused_in_a_line():
    X, y = drawn()
    model = LogisticRegressionCV(l1_ratios=[0], **NEW)
    with pytest.raises(DataError, match="takes rows in memory"):
        model.fit(Stream([(X, y)]))
    with pytest.raises(ValueError, match="class"):
        model.fit(X, np.ones(len(y)))
    X[7, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X, y)
    assert not hasattr(model, "coef_")


def test_a_split_that_is_no_pair_is_refused():
    with pytest.raises(DataError, match="split 1 is no pair of rows"):
        folds_of([([0], [1]), ([0], [1], [2])], 3)


def test_the_door_by_the_path_of_scikit_learn():
    assert gpu_logreg.linear_model.LogisticRegressionCV is LogisticRegressionCV
