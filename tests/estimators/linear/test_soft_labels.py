"""Probabilities in the place of labels: a row stands for a row of each class, and what is refused."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from plain_minimum import PlainModel, parameters_of
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from gpu_logreg import LogisticRegression, Stream, load_model, save_model
from gpu_logreg.errors import DataError

N, D = 200, 4


def rows(K, n=N, seed=0):
    """Rows, their weights and probabilities, a few of which are 0 and 1."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, D)) * [1.0, 2.0, 0.5, 3.0] + [0.0, 1.0, 5.0, 0.0]
    Z = 0.5 * X @ rng.standard_normal((D, K)) + rng.gumbel(size=(n, K))
    P = np.exp(2.0 * Z) / np.exp(2.0 * Z).sum(axis=1, keepdims=True)
    P[:5] = np.eye(K)[np.arange(5) % K]
    return X, P, rng.random(n) + 0.1


def repeated(X, P, s):
    """A row of each class, weighed by its probability."""
    K = P.shape[1]
    return np.repeat(X, K, axis=0), np.tile(np.arange(K), len(X)), (P * s[:, None]).ravel()


@pytest.mark.parametrize("solver", ["subsampled-newton", "lbfgs", "newton-cg", "proximal"])
@pytest.mark.parametrize("K", [2, 3])
def test_the_minimum_is_scipys(K, solver):
    X, P, s = rows(K)
    truth = PlainModel(X, P, s, 1.0 / (0.5 * s.sum())).minimum()
    atol = 1e-9 if solver in ("subsampled-newton", "proximal") else 1e-7
    for given in (X, sp.csr_array(X)):
        model = LogisticRegression(0.5, solver=solver, tol=1e-10, soft_labels=True)
        model.fit(given, P[:, 1] if K == 2 else P, s)
        np.testing.assert_allclose(parameters_of(model), truth, rtol=0.0, atol=atol)
        np.testing.assert_array_equal(model.classes_, np.arange(K))


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 1.0, 1: 3.0, 2: 0.5}])
@pytest.mark.parametrize("K", [2, 3])
def test_a_soft_label_is_a_row_of_each_class(K, class_weight):
    X, P, s = rows(K)
    class_weight = {0: 1.0, 1: 3.0} if K == 2 and isinstance(class_weight, dict) else class_weight
    soft = LogisticRegression(tol=1e-10, class_weight=class_weight, soft_labels=True).fit(X, P, s)
    X_all, y_all, s_all = repeated(X, P, s)
    hard = LogisticRegression(tol=1e-10, class_weight=class_weight).fit(X_all, y_all, s_all)
    np.testing.assert_allclose(parameters_of(soft), parameters_of(hard), atol=1e-9)
    np.testing.assert_allclose(soft.objective_, hard.objective_, rtol=1e-12)
    np.testing.assert_allclose(soft.score(X, P, s), hard.score(X_all, y_all, s_all), rtol=1e-12)


@pytest.mark.parametrize("impl", ["reference", "cpu"])
def test_many_rows_on_each_engine(impl):
    X, P, s = rows(2, 20_000)
    soft = LogisticRegression(tol=1e-9, impl=impl, soft_labels=True).fit(X, P[:, 1], s)
    hard = LogisticRegression(tol=1e-9).fit(*repeated(X, P, s))
    np.testing.assert_allclose(parameters_of(soft), parameters_of(hard), atol=1e-7)
    assert soft.impl_ == impl


def test_with_an_offset():
    X, P, s = rows(3)
    offset = np.random.default_rng(5).standard_normal((N, 3))
    soft = LogisticRegression(tol=1e-10, soft_labels=True).fit(X, P, s, offset=offset)
    truth = PlainModel(X, P, s, 1.0 / s.sum(), offset).minimum()
    np.testing.assert_allclose(parameters_of(soft), truth, atol=1e-9)
    soft = LogisticRegression(tol=1e-10, soft_labels=True).fit(X, P[:, :1], s, offset=offset[:, 0])
    Q = np.column_stack([1.0 - P[:, 0], P[:, 0]])
    truth = PlainModel(X, Q, s, 1.0 / s.sum(), offset[:, :1]).minimum()
    np.testing.assert_allclose(parameters_of(soft), truth, atol=1e-9)


def test_labels_near_0_are_not_separable():
    X, _, _ = rows(2)
    model = LogisticRegression(C=np.inf, soft_labels=True).fit(X, np.full(N, 1e-5) + 1e-6 * (np.arange(N) % 7))
    assert model.converged_
    assert "separable" not in model.stop_reason_


def test_whole_labels_are_labels():
    X, P, s = rows(3)
    y = P.argmax(axis=1)
    soft = LogisticRegression(tol=1e-10, soft_labels=True).fit(X, np.eye(3)[y], s)
    hard = LogisticRegression(tol=1e-10).fit(X, y, s)
    np.testing.assert_allclose(parameters_of(soft), parameters_of(hard), atol=1e-9)
    assert soft.score(X, np.eye(3)[y]) == hard.score(X, y)


def test_the_protocol_and_the_file_keep_them(tmp_path):
    X, P, _ = rows(2)
    found = GridSearchCV(LogisticRegression(soft_labels=True), {"C": [0.01, 1.0]}, cv=3).fit(X, P[:, 1])
    assert 0.5 < found.best_score_ < 1.0
    model = found.best_estimator_
    assert clone(model).soft_labels is True
    save_model(model, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load_model(tmp_path / "model.safetensors").fit(X, P[:, 1]).coef_, model.coef_)
    with pytest.raises(DataError, match="to_sklearn: scikit-learn's model takes no soft labels"):
        model.to_sklearn()
    with pytest.raises(DataError, match="summary counts rows of one class each"):
        model.summary(X, P[:, 1])


@pytest.mark.parametrize(
    ("parameters", "y", "message"),
    [
        ({}, np.where(np.arange(N) == 3, 1.2, 0.5), "soft_labels=True: y is 1.2 at row 3; probabilities lie in [0, 1]"),
        ({}, np.where(np.arange(N) == 3, np.nan, 0.5), "soft_labels=True: y is nan at row 3"),
        ({}, np.full((N, 3), 0.3), "soft_labels=True: the probabilities of row 0 add up to 0.9; they add up to 1"),
        ({}, np.full(N, "a"), "soft_labels=True: y has dtype <U1 and shape (200,); give probabilities"),
        ({}, np.zeros(N), "the rows of positive weight hold only one class: 0; at least 2 classes are needed"),
        ({"solver": "sgd"}, np.full(N, 0.5), "soft_labels=True cannot be used with solver='sgd'; use solver='auto'"),
        ({"penalty": "firth"}, np.full(N, 0.5), "soft_labels=True cannot be used with penalty='firth'"),
    ],
)
def test_what_is_refused(parameters, y, message):
    X, _, _ = rows(2)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        LogisticRegression(soft_labels=True, **parameters).fit(X, y)
    assert "\n" not in str(error.value)


def test_a_stream_has_none():
    X, P, _ = rows(2)
    with pytest.raises(DataError, match="soft_labels=True cannot be used with a stream"):
        LogisticRegression(soft_labels=True).fit(Stream(X, (P[:, 1] > 0.5).astype(int)))


def test_soft_labels_are_never_guessed():
    X, P, _ = rows(2)
    with pytest.raises(ValueError, match="continuous"):
        LogisticRegression().fit(X, P[:, 1])


def test_separable_rows_of_several_classes_tell_of_no_division():
    x = np.random.default_rng(0).standard_normal(50)
    P = np.eye(3)[np.digitize(x, [-0.5, 0.5])]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(np.inf, soft_labels=True).fit(np.column_stack([x, x * x]), P)
    assert not model.converged_
