"""Inputs that need no look from scikit-learn: parameters that have passed its check, and plain arrays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix
from sklearn.base import BaseEstimator

from gpu_logreg import LogisticRegression
from gpu_logreg.estimators import known_parameters
from gpu_logreg.estimators.inputs import GivenRows, given_rows, is_plain

X = np.random.default_rng(0).standard_normal((30, 3))
Y = (X[:, 0] > 0).astype(np.int64)


@pytest.fixture
def checks(monkeypatch):
    """Estimators whose parameters scikit-learn has checked."""
    found, check = [], BaseEstimator._validate_params

    def noted(self):
        found.append(self)
        check(self)

    monkeypatch.setattr(BaseEstimator, "_validate_params", noted)
    monkeypatch.setattr(known_parameters, "_known", set())
    return found


def test_the_same_parameters_are_checked_once(checks):
    for C, n_checks in ((1.0, 1), (1.0, 1), (2.0, 2), (1.0, 2), (np.float64(2.0), 3)):
        LogisticRegression(C=C).fit(X, Y)
        assert len(checks) == n_checks


def test_parameters_that_may_change_are_checked_every_time(checks):
    weights = {0: 1.0, 1: 2.0}
    model = LogisticRegression(class_weight=weights, random_state=np.random.RandomState(0))
    for n_checks in (1, 2):
        model.fit(X, Y)
        assert len(checks) == n_checks


def test_a_wrong_parameter_is_refused_every_time_and_equal_values_are_told_apart():
    LogisticRegression(fit_intercept=True).fit(X, Y)
    for _ in range(2):
        with pytest.raises(ValueError, match="fit_intercept"):
            LogisticRegression(fit_intercept=1).fit(X, Y)
        with pytest.raises(ValueError, match="'C' parameter"):
            LogisticRegression(C=-1.0).fit(X, Y)
    model = LogisticRegression().fit(X, Y)
    model.C = "strong"
    with pytest.raises(ValueError, match="'C' parameter"):
        model.fit(X, Y)


def test_no_more_sets_of_values_are_kept_than_a_search_has(monkeypatch):
    monkeypatch.setattr(known_parameters, "MOST_KNOWN", 3)
    monkeypatch.setattr(known_parameters, "_known", set())
    for C in range(1, 9):
        LogisticRegression(C=C)._validate_params()
    assert len(known_parameters._known) <= 3


def test_which_rows_and_labels_are_plain():
    assert is_plain(GivenRows(X))
    assert is_plain(GivenRows(X.astype(np.float32)), Y)
    assert is_plain(GivenRows(X), np.where(Y, "yes", "no"))
    assert is_plain(given_rows(csr_matrix(X)), Y.astype(bool))
    assert not is_plain(GivenRows(X, header="names"))
    for rows in (X.tolist(), X[0], X[:0], X[:, :0], X.astype(object), np.ma.array(X), csr_matrix(X)):
        assert not is_plain(GivenRows(rows))
    for labels in (Y.tolist(), Y[:-1], Y[:, None], Y.astype(float), Y.astype(object), np.ma.array(Y), Y[::-1]):
        assert not is_plain(GivenRows(X), labels)


@pytest.mark.parametrize("made", [np.asarray, csr_array])
def test_plain_rows_are_fitted_and_refused_as_others_are(made):
    rows = made(X)
    model = LogisticRegression().fit(rows, Y)
    other = LogisticRegression().fit(rows, Y.astype(object))  # which scikit-learn looks at
    np.testing.assert_array_equal(model.coef_, other.coef_)
    assert model.n_features_in_ == other.n_features_in_ == 3
    with pytest.raises(ValueError, match="X has 2 features, but LogisticRegression is expecting 3 features"):
        model.predict(rows[:, :2])
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(rows, Y[:-1])
    assert model.fit(rows[:, :2], Y).n_features_in_ == 2


def test_names_of_columns_are_forgotten_by_a_fit_of_plain_rows():
    pandas = pytest.importorskip("pandas")
    model = LogisticRegression().fit(pandas.DataFrame(X, columns=["a", "b", "c"]), Y)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
    model.fit(X, Y)
    assert not hasattr(model, "feature_names_in_")
    model.predict(X)
