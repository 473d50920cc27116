"""A strength of the penalty for each column: the minimum against SciPy's, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.sparse as sp
from plain_minimum import PlainModel, parameters_of, plain_l1
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import LogisticRegression, Stream, load_model, save_model
from gpu_logreg.errors import DataError
from gpu_logreg.rows import block_store

N, D = 250, 5
PRECISION = {"subsampled-newton": 1e-9, "proximal": 1e-9, "lbfgs": 1e-7, "newton-cg": 1e-7}
"""Of coefficients at tol=1e-10: the last step of Newton's method squares what was left, others end at the criterion."""

FACTORS = np.array([0.0, 0.3, 1.0, 4.0, 20.0])


def rows(K, n=N, seed=0):
    """Rows that tell something of their labels, some columns far from zero."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, D)) * [1.0, 2.0, 0.5, 3.0, 1.0] + [0.0, 1.0, 5.0, 0.0, 0.0]
    Z = 0.5 * X @ rng.standard_normal((D, K))
    return X, (Z + rng.gumbel(size=Z.shape)).argmax(axis=1)


@pytest.mark.parametrize("solver", ["subsampled-newton", "lbfgs", "newton-cg", "proximal"])
def test_a_ridge_of_each_column_for_two_classes(solver):
    X, y = rows(2)
    truth = PlainModel(X, np.eye(2)[y], None, FACTORS / (0.5 * N)).minimum()
    for given in (X, sp.csr_array(X)):
        model = LogisticRegression(0.5, solver=solver, tol=1e-10, penalty_factor=FACTORS).fit(given, y)
        np.testing.assert_allclose(parameters_of(model), truth, rtol=0.0, atol=PRECISION[solver])
        assert model.converged_


@pytest.mark.parametrize("solver", ["subsampled-newton", "lbfgs", "newton-cg"])
def test_a_ridge_of_each_column_for_more(solver):
    X, y = rows(4)
    truth = PlainModel(X, np.eye(4)[y], None, FACTORS / (0.5 * N)).minimum()
    truth[:, 0] -= truth[:, 0].mean()  # without a penalty a constant is free
    model = LogisticRegression(0.5, solver=solver, tol=1e-10, penalty_factor=FACTORS.tolist()).fit(X, y)
    np.testing.assert_allclose(parameters_of(model), truth, rtol=0.0, atol=PRECISION[solver])


@pytest.mark.parametrize("l1_ratio", [1.0, 0.4])
def test_l1_and_elastic_net_for_two_classes(l1_ratio):
    X, y = rows(2)
    strength = FACTORS / (0.08 * N)
    truth = plain_l1(PlainModel(X, np.eye(2)[y], None, (1.0 - l1_ratio) * strength), l1_ratio * strength)
    assert (truth[0, :D] == 0.0).any()
    for given in (X, sp.csr_array(X)):
        model = LogisticRegression(0.08, l1_ratio=l1_ratio, tol=1e-10, penalty_factor=FACTORS).fit(given, y)
        np.testing.assert_allclose(parameters_of(model), truth, rtol=0.0, atol=1e-9)
        np.testing.assert_array_equal(model.coef_ == 0.0, truth[:, :D] == 0.0)
        assert model.converged_


@pytest.mark.parametrize("l1_ratio", [1.0, 0.4])
def test_l1_and_elastic_net_for_more(l1_ratio):
    X, y = rows(3)
    factors = np.array([1.0, 0.3, 1.0, 4.0, 20.0])
    strength = factors / (0.1 * N)
    truth = plain_l1(PlainModel(X, np.eye(3)[y], None, (1.0 - l1_ratio) * strength), l1_ratio * strength)
    model = LogisticRegression(0.1, l1_ratio=l1_ratio, tol=1e-10, penalty_factor=factors).fit(X, y)
    value = model.objective_
    P = PlainModel(X, np.eye(3)[y], None, (1.0 - l1_ratio) * strength)
    l1 = l1_ratio * strength @ np.abs(truth[:, :D]).sum(axis=0)
    assert value <= (P.value_and_grad(truth.ravel())[0] + l1) * (1.0 + 1e-12)
    np.testing.assert_allclose(model.predict_proba(X), _probabilities(P, truth), atol=1e-8)


def _probabilities(plain, params):
    z = np.exp(plain.logits(params.ravel()))
    return z / z.sum(axis=1, keepdims=True)


def test_factors_are_another_scale_of_the_columns():
    """A ridge of factor f is one of factor 1 on the column over the root of f; samples of many rows too."""
    X, y = rows(2, 40_000)
    factors = np.array([0.1, 0.5, 1.0, 4.0, 100.0])
    model = LogisticRegression(1e-4, tol=1e-9, penalty_factor=factors).fit(X, y)
    other = LogisticRegression(1e-4, tol=1e-9).fit(X / np.sqrt(factors), y)
    np.testing.assert_allclose(model.coef_, other.coef_ / np.sqrt(factors), atol=1e-8)
    lasso = LogisticRegression(1e-3, l1_ratio=1.0, tol=1e-9, penalty_factor=factors).fit(X, y)
    other = LogisticRegression(1e-3, l1_ratio=1.0, tol=1e-9).fit(X / factors, y)
    np.testing.assert_allclose(lasso.coef_, other.coef_ / factors, atol=1e-8)


def test_many_columns_by_working_sets():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((200, 9000))
    y = (X[:, :5].sum(axis=1) + rng.standard_normal(200) > 0).astype(int)
    factors = rng.choice([0.5, 1.0, 3.0], 9000)
    model = LogisticRegression(0.2, l1_ratio=1.0, tol=1e-9, penalty_factor=factors).fit(X, y)
    other = LogisticRegression(0.2, l1_ratio=1.0, tol=1e-9).fit(X / factors, y)
    np.testing.assert_allclose(model.coef_, other.coef_ / factors, atol=1e-7)
    assert 0 < np.count_nonzero(model.coef_) < 200


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_stream_has_them_too(monkeypatch, tmp_path, l1_ratio):
    monkeypatch.setattr(block_store, "STREAMED_ELEMENTS", 2**11)
    monkeypatch.setattr(block_store, "STREAMED_ROWS", 2**8)
    X, y = rows(2, 4000)
    np.save(tmp_path / "X.npy", X)
    stream = Stream(tmp_path / "X.npy", y, memory_budget="95kB")
    model = LogisticRegression(0.01, l1_ratio=l1_ratio, tol=1e-10, penalty_factor=FACTORS)
    in_memory = parameters_of(model.fit(X, y))
    np.testing.assert_allclose(parameters_of(model.fit(stream)), in_memory, atol=1e-7)
    assert stream.n_blocks_ > 1


def test_ones_and_zeros_are_what_they_say():
    X, y = rows(2)
    plain = LogisticRegression(0.5, tol=1e-10).fit(X, y)
    ones = LogisticRegression(0.5, tol=1e-10, penalty_factor=np.ones(D)).fit(X, y)
    np.testing.assert_allclose(ones.coef_, plain.coef_, atol=1e-10)
    zeros = LogisticRegression(0.5, l1_ratio=0.5, tol=1e-10, penalty_factor=np.zeros(D)).fit(X, y)
    none = LogisticRegression(np.inf, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(zeros.coef_, none.coef_, atol=1e-9)


def test_a_column_far_from_the_others_is_penalised_away():
    X, y = rows(2)
    model = LogisticRegression(penalty_factor=[1e100, 1.0, 1.0, 1.0, 1.0]).fit(X, y)
    assert abs(model.coef_[0, 0]) < 1e-50
    assert np.isfinite(model.coef_).all()


def test_the_protocol_and_the_file_keep_them(tmp_path):
    X, y = rows(2)
    model = LogisticRegression(penalty_factor=FACTORS).fit(X, y)
    np.testing.assert_array_equal(clone(model).get_params()["penalty_factor"], FACTORS)
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.penalty_factor, FACTORS)
    np.testing.assert_array_equal(again.fit(X, y).coef_, model.coef_)
    with pytest.raises(DataError, match="to_sklearn: scikit-learn's model has no penalty_factor"):
        model.to_sklearn()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"penalty_factor": [1.0]}, "penalty_factor has shape (1,), and X has 5 columns; give one for each"),
        ({"penalty_factor": [1, 1, -2, 1, 1]}, "penalty_factor is -2 at column 2; give 0 for no penalty"),
        ({"penalty_factor": [1, np.inf, 1, 1, 1]}, "penalty_factor is inf at column 1; give 0 for no penalty"),
        ({"penalty_factor": [1, 1, 1, 1, np.nan]}, "penalty_factor is nan at column 4; give 0 for no penalty"),
        ({"penalty_factor": list("abcde")}, "penalty_factor holds what is no number"),
        ({"penalty_factor": FACTORS, "solver": "adam"}, "penalty_factor cannot be used with solver='adam'"),
        (
            {"penalty_factor": FACTORS, "solver": "coordinate-descent", "l1_ratio": 1.0},
            "penalty_factor cannot be used with solver='coordinate-descent'; use solver='auto'",
        ),
        ({"penalty_factor": FACTORS, "penalty": "firth"}, "penalty_factor cannot be used with penalty='firth'"),
    ],
)
def test_what_is_refused(parameters, message):
    X, y = rows(2)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        LogisticRegression(**parameters).fit(X, y)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "how", [{}, {"l1_ratio": 1.0}, {"l1_ratio": 0.5}, {"lower_bounds": -1}, {"l1_ratio": 1.0, "penalty_groups": [[1]]}]
)
@pytest.mark.parametrize("K", [2, 3])
def test_free_weights_that_separate_the_classes_have_no_minimum(how, K):
    if K > 2 and "penalty_groups" in how:
        pytest.skip("groups are for two classes")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 2))
    y = np.digitize(X[:, 0], [0.0] if K == 2 else [-0.5, 0.5])
    X = X if K == 2 else np.column_stack([X[:, 0], X[:, 1], X[:, 0] ** 2])
    factor = [0.0, 1.0] if K == 2 else [0.0, 1.0, 0.0]
    with pytest.warns(ConvergenceWarning, match="the classes look separable"):
        LogisticRegression(penalty_factor=factor, **how).fit(X, y)
    penalised = LogisticRegression(1e12, tol=1e-9, penalty_factor=factor[::-1] if K == 2 else [1.0, 0.0, 1.0], **how)
    assert penalised.fit(X, y).converged_  # the loss is as small there, at a minimum
