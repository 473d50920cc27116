"""Weights within bounds: the minimum against SciPy's, the conditions at a minimum, and what is refused."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from plain_minimum import PlainModel, parameters_of, plain_bounded
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import LogisticRegression, Stream, load_model, save_model
from gpu_logreg.errors import DataError
from gpu_logreg.rows import block_store

N, D = 250, 6


def rows(K, n=N, seed=0):
    """Rows with correlated columns, some far from zero."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, D)) + 0.7 * rng.standard_normal((n, 1))
    X = X * [1.0, 2.0, 0.5, 3.0, 1.0, 1.0] + [0.0, 1.0, 5.0, 0.0, 0.0, 2.0]
    Z = 0.6 * X @ rng.standard_normal((D, K))
    return X, (Z + rng.gumbel(size=Z.shape)).argmax(axis=1)


@pytest.mark.parametrize("C", [0.02, 1.0, np.inf])
@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0.0, np.inf),
        (-np.inf, np.full(D, 0.05)),
        (np.array([-0.1, 0.2, 0.0, -0.3, 0.0, -np.inf]), np.array([0.1, 0.5, 0.0, -0.1, np.inf, 0.3])),
    ],
)
def test_the_minimum_is_scipys(C, low, high):
    X, y = rows(2)
    truth = plain_bounded(PlainModel(X, np.eye(2)[y], None, 1.0 / (C * N)), low, high)
    for given in (X, sp.csr_array(X)):
        model = LogisticRegression(C, tol=1e-10, lower_bounds=low, upper_bounds=high).fit(given, y)
        np.testing.assert_allclose(parameters_of(model), truth, rtol=0.0, atol=1e-9)
        np.testing.assert_array_equal(model.coef_ == low, truth[:, :D] == low)
        np.testing.assert_array_equal(model.coef_ == high, truth[:, :D] == high)
        assert (model.converged_, model.solver_) == (True, "projected-newton")


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("low", [0.0, np.array([-0.1, -0.05, 0.0, -np.inf, -0.2, -0.01])])
def test_with_l1_and_factors(l1_ratio, low):
    X, y = rows(2)
    factors = np.array([0.0, 1.0, 0.5, 1.0, 2.0, 1.0])
    high, strength = np.full(D, 0.3), factors / (0.1 * N)
    plain = PlainModel(X, np.eye(2)[y], None, (1.0 - l1_ratio) * strength)
    truth = plain_bounded(plain, low, high, l1_ratio * strength)
    how = {"lower_bounds": low, "upper_bounds": high, "penalty_factor": factors}
    model = LogisticRegression(0.1, l1_ratio=l1_ratio, tol=1e-10, **how).fit(X, y)
    np.testing.assert_allclose(parameters_of(model), truth, rtol=0.0, atol=1e-9)
    np.testing.assert_array_equal(model.coef_ == 0.0, truth[:, :D] == 0.0)


@pytest.mark.parametrize("shape", [(D,), (4, D)])
def test_of_several_classes(shape):
    X, y = rows(4)
    low = -np.abs(np.random.default_rng(1).standard_normal(shape)) * 0.1
    truth = plain_bounded(PlainModel(X, np.eye(4)[y], None, 1.0 / N), low, 0.2)
    truth[:, -1] -= truth[:, -1].mean()
    model = LogisticRegression(tol=1e-10, lower_bounds=low, upper_bounds=0.2).fit(X, y)
    np.testing.assert_allclose(parameters_of(model), truth, rtol=0.0, atol=1e-9)
    assert (model.coef_ >= low).all()
    assert (model.coef_ <= 0.2).all()
    assert model.converged_


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_an_l1_penalty_of_several_classes(fit_intercept):
    # What the weights of all classes have in common adds no curvature, and Newton steps along it led nowhere.
    converged = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X, y = rng.standard_normal((100, 2)), rng.integers(0, 3, 100)
        how = {"l1_ratio": 1.0, "lower_bounds": -0.3, "fit_intercept": fit_intercept}
        model = LogisticRegression(0.3, **how).fit(X, y)
        converged += model.converged_
        if fit_intercept:
            truth = plain_bounded(PlainModel(X, np.eye(3)[y]), -0.3, np.inf, 1.0 / 30.0)
            truth[:, -1] -= truth[:, -1].mean()
            np.testing.assert_allclose(parameters_of(model), truth, rtol=0.0, atol=1e-6)
    assert converged == 40


def test_a_start_where_the_likelihood_is_flat():
    rng = np.random.default_rng(1067)
    X = rng.standard_normal((30, 7)) * 10.0 ** rng.uniform(-2, 3, 7)
    y = np.r_[0, 1, np.full(28, 2)]
    for seed in range(20):
        upper = 2.0 * np.random.default_rng(seed).standard_normal((3, 7)) / np.abs(X).mean(axis=0)
        model = LogisticRegression(1e-3, l1_ratio=1.0, upper_bounds=upper).fit(X, y)
        assert model.converged_, model.stop_reason_


def test_without_an_intercept_and_from_float32_rows():
    X, y = rows(2)
    X = X.astype(np.float32)
    model = LogisticRegression(tol=1e-9, lower_bounds=-0.1, fit_intercept=False).fit(X, y)
    z = X @ model.coef_[0]
    grad = X.astype(np.float64).T @ (1.0 / (1.0 + np.exp(-z)) - y) + model.coef_[0]
    assert np.abs(grad[model.coef_[0] > -0.1]).max() < 1e-4
    assert grad[model.coef_[0] == -0.1].min() > 0.0
    assert model.coef_.dtype == np.float64  # in which weights at a bound are exactly there


def test_bounds_that_hold_nothing_change_nothing():
    X, y = rows(3)
    plain = LogisticRegression(tol=1e-10).fit(X, y)
    model = LogisticRegression(tol=1e-10, lower_bounds=-100.0, upper_bounds=np.inf).fit(X, y)
    np.testing.assert_allclose(parameters_of(model), parameters_of(plain), atol=1e-9)


def test_many_rows_by_samples():
    X, y = rows(2, 20_000)
    model = LogisticRegression(C=1.0, tol=1e-9, positive=True).fit(X, y)
    truth = plain_bounded(PlainModel(X, np.eye(2)[y], None, 1.0 / len(X)), 0.0, np.inf)
    np.testing.assert_allclose(parameters_of(model), truth, rtol=0.0, atol=1e-7)
    assert model.converged_
    assert model.n_iter_ < 15


def test_many_weights_at_their_bounds():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((400, 150)) + 2.0 * rng.standard_normal((400, 1))
    y = (X @ rng.standard_normal(150) + 5.0 * rng.standard_normal(400) > 0).astype(int)
    model = LogisticRegression(C=0.5, tol=1e-9, positive=True).fit(X, y)
    assert model.converged_
    z = X @ model.coef_[0] + model.intercept_
    grad = 0.5 * X.T @ (1.0 / (1.0 + np.exp(-z)) - y) + model.coef_[0]
    at_bound = model.coef_[0] == 0.0
    assert 30 < at_bound.sum() < 145
    assert np.abs(grad[~at_bound]).max() < 1e-6
    assert grad[at_bound].min() > 0.0


@pytest.mark.parametrize("seed", range(12))
def test_several_classes_reach_the_minimum_from_any_start(seed):
    """What all classes share of a column's weights has no curvature, and a model's step along it no length."""
    rng = np.random.default_rng(seed)
    d, l1_ratio = int(rng.integers(1, 7)), (0.0, 0.5, 1.0)[seed % 3]
    X = rng.standard_normal((200, d))
    y = (X @ rng.standard_normal((d, 3)) + rng.gumbel(size=(200, 3))).argmax(axis=1)
    low, high = -0.3 * rng.random(d), np.where(rng.random(d) < 0.3, np.inf, 0.4 * rng.random(d))
    model = LogisticRegression(30.0, l1_ratio=l1_ratio, lower_bounds=low, upper_bounds=high, warm_start=True, tol=1e-8)
    least = model.fit(X, y).objective_
    for _ in range(4):
        start = np.clip(rng.standard_normal((3, d)), low, high)
        model.coef_ = np.where(rng.random((3, d)) < 0.3, np.clip(0.0, low, high), start)
        model.intercept_ = rng.standard_normal(3)
        assert model.fit(X, y).converged_
        assert model.objective_ == pytest.approx(least, rel=1e-9)


def test_separable_rows_are_said_to_be():
    x = np.arange(10.0).reshape(-1, 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = LogisticRegression(C=np.inf, positive=True).fit(x, x[:, 0] > 4)
    assert "separable" in model.stop_reason_
    assert "Lower C" in str(caught[0].message)
    assert LogisticRegression(C=np.inf, upper_bounds=3.0).fit(x, x[:, 0] > 4).coef_[0, 0] == 3.0


def test_separable_rows_have_a_minimum_where_bounds_end_the_way():
    X = 1000.0 * np.random.default_rng(0).standard_normal((50, 2))
    y = (X[:, 0] > 0.0).astype(int)
    model = LogisticRegression(np.inf, lower_bounds=-1.0, upper_bounds=1.0).fit(X, y)
    assert model.converged_
    assert model.coef_[0, 0] == 1.0
    with pytest.warns(ConvergenceWarning, match="the classes look separable"):
        LogisticRegression(np.inf, upper_bounds=[np.inf, 0.0]).fit(X, y)


def test_the_protocol_and_the_file_keep_them(tmp_path):
    X, y = rows(2)
    model = LogisticRegression(lower_bounds=np.zeros(D), upper_bounds=0.5).fit(X, y)
    again = LogisticRegression(positive=True, upper_bounds=0.5, warm_start=True).fit(X, y)
    np.testing.assert_array_equal(clone(model).fit(X, y).coef_, model.coef_)
    np.testing.assert_array_equal(again.coef_, model.coef_)
    np.testing.assert_allclose(again.fit(X, y).coef_, model.coef_, atol=1e-7)
    save_model(model, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load_model(tmp_path / "model.safetensors").fit(X, y).coef_, model.coef_)
    with pytest.raises(DataError, match="to_sklearn: scikit-learn's model has no bounds"):
        model.to_sklearn()
    with pytest.raises(DataError, match="summary knows no bounds"):
        model.summary(X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"lower_bounds": 1.0, "upper_bounds": 0.0}, "bounds cross at column 0: lower 1, upper 0"),
        ({"lower_bounds": [0, 0, 0, np.inf, 0, 0]}, "bounds cross at column 3: lower inf, upper inf"),
        ({"lower_bounds": [0.0]}, "lower_bounds has shape (1,); give a number, or shape (6,)"),
        ({"upper_bounds": [0, 0, np.nan, 0, 0, 0]}, "upper_bounds holds NaN at column 2; use inf for no bound"),
        ({"upper_bounds": list("abcdef")}, "upper_bounds holds what is no number; give a bound for each column of X"),
        ({"positive": True, "lower_bounds": 0.0}, "positive=True and lower_bounds both give lower bounds"),
        ({"positive": True, "solver": "lbfgs"}, "Solver lbfgs knows no bounds; use solver='auto'"),
        ({"positive": True, "penalty": "firth"}, "bounds cannot be used with penalty='firth'"),
    ],
)
def test_what_is_refused(parameters, message):
    X, y = rows(2)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        LogisticRegression(**parameters).fit(X, y)
    assert "\n" not in str(error.value)


def test_a_stream_has_them_too(monkeypatch, tmp_path):
    monkeypatch.setattr(block_store, "STREAMED_ELEMENTS", 2**11)
    monkeypatch.setattr(block_store, "STREAMED_ROWS", 2**8)
    X, y = rows(2, 4000)
    np.save(tmp_path / "X.npy", X)
    stream = Stream(tmp_path / "X.npy", y, memory_budget="95kB")
    in_memory = LogisticRegression(tol=1e-9, positive=True).fit(X, y)
    model = LogisticRegression(tol=1e-9, positive=True).fit(stream)
    np.testing.assert_allclose(parameters_of(model), parameters_of(in_memory), atol=1e-7)
    assert stream.n_blocks_ > 1
    assert model.converged_


@pytest.mark.parametrize("K", [2, 3])
def test_with_an_offset_and_with_soft_labels(K):
    X, y = rows(K)
    rng = np.random.default_rng(1)
    offset = rng.standard_normal((N, K) if K > 2 else N)
    how = {"C": 0.5, "tol": 1e-10, "lower_bounds": -0.05, "upper_bounds": 0.2}
    plain = PlainModel(X, np.eye(K)[y], None, 1.0 / (0.5 * N), offset.reshape(N, -1))
    model = LogisticRegression(**how).fit(X, y, offset=offset)
    np.testing.assert_allclose(parameters_of(model), plain_bounded(plain, -0.05, 0.2), rtol=0.0, atol=1e-9)
    P = rng.dirichlet(np.ones(K), size=N)
    soft = LogisticRegression(**how, soft_labels=True).fit(X, P)
    truth = plain_bounded(PlainModel(X, P, None, 1.0 / (0.5 * N)), -0.05, 0.2)
    np.testing.assert_allclose(parameters_of(soft), truth, rtol=0.0, atol=1e-9)
