"""Known logits of rows: the minimum against SciPy's, predictions, scikit-learn's protocol, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from plain_minimum import PlainModel, parameters_of
from sklearn.base import clone
from sklearn.model_selection import cross_validate

from gpu_logreg import LogisticRegression, Stream, load_model, save_model
from gpu_logreg.errors import DataError, ImplementationError

N, D = 300, 4

PRECISION = {"subsampled-newton": 1e-9, "proximal": 1e-9, "lbfgs": 1e-7, "newton-cg": 1e-7}
"""Of coefficients at tol=1e-10: the last step of Newton's method squares what was left, others end at the criterion."""


def rows(K, seed=0):
    """Rows, labels and offsets that tell much of them."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, D)) * [1.0, 2.0, 0.5, 3.0] + [0.0, 1.0, 5.0, 0.0]
    offset = 2.0 * rng.standard_normal((N, 1 if K == 2 else K)) - 1.0
    Z = 0.4 * X @ rng.standard_normal((D, offset.shape[1])) + offset
    if K == 2:
        return X, (rng.random(N) < 1.0 / (1.0 + np.exp(-Z[:, 0]))).astype(int), offset[:, 0]
    return X, (Z + rng.gumbel(size=Z.shape)).argmax(axis=1), offset


def plain(X, y, offset, C, s=None):
    """The minimum at scikit-learn's strength."""
    total = N if s is None else s.sum()
    return PlainModel(X, np.eye(y.max() + 1)[y], s, 1.0 / (C * total), offset.reshape(N, -1)).minimum()


@pytest.mark.parametrize("solver", ["subsampled-newton", "lbfgs", "newton-cg", "proximal"])
@pytest.mark.parametrize("K", [2, 4])
def test_the_minimum_is_scipys(K, solver):
    X, y, offset = rows(K)
    s = np.random.default_rng(1).random(N) + 0.1
    truth = plain(X, y, offset, 0.5, s)
    for given in (X, sp.csr_array(X)):
        model = LogisticRegression(0.5, solver=solver, tol=1e-10).fit(given, y, s, offset=offset)
        np.testing.assert_allclose(parameters_of(model), truth, rtol=0.0, atol=PRECISION[solver])
        assert model.converged_
        assert model.impl_ == "reference"


def test_without_a_penalty_and_from_float32_rows():
    X, y, offset = rows(2)
    X = X.astype(np.float32)
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(X, y, offset=offset)
    truth = plain(X.astype(np.float64), y, offset, np.inf)
    np.testing.assert_allclose(parameters_of(model), truth, atol=1e-6)  # coef_ is float32


def test_samples_of_many_rows_keep_their_offsets():
    rng = np.random.default_rng(2)
    X, offset = rng.standard_normal((60_000, 3)), 3.0 * rng.standard_normal(60_000)
    y = (rng.random(len(X)) < 1.0 / (1.0 + np.exp(-(X @ [1.0, -1.0, 0.5] + offset - 4.0)))).astype(int)
    for solver in ("subsampled-newton", "proximal"):
        model = LogisticRegression(C=np.inf, solver=solver, tol=1e-8).fit(X, y, offset=offset)
        assert model.converged_
        assert model.n_iter_ < 12
        np.testing.assert_allclose(parameters_of(model)[0], [1.0, -1.0, 0.5, -4.0], atol=0.12)


def test_an_offset_of_nothing_changes_nothing():
    X, y, _ = rows(3)
    model = LogisticRegression(tol=1e-10).fit(X, y)
    for nothing in (0.0, np.zeros((N, 3))):
        other = LogisticRegression(tol=1e-10).fit(X, y, offset=nothing)
        np.testing.assert_allclose(parameters_of(other), parameters_of(model), atol=1e-9)


def test_rows_that_the_offset_decides_are_not_separable():
    X, y, _ = rows(2)
    offset = np.where(y == 1, 40.0, -40.0)
    model = LogisticRegression(C=np.inf).fit(X, y, offset=offset)
    assert "separable" not in model.stop_reason_


@pytest.mark.parametrize("K", [2, 4])
def test_predictions_add_the_offset(K):
    X, y, offset = rows(K)
    model = LogisticRegression().fit(X, y, offset=offset)
    z = X @ model.coef_.T + model.intercept_ + offset.reshape(N, -1)
    z = z[:, 0] if K == 2 else z
    np.testing.assert_allclose(model.decision_function(X, offset=offset), z, atol=1e-12)
    p = model.predict_proba(X, offset=offset)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    np.testing.assert_allclose(model.predict_log_proba(X, offset=offset), np.log(p), atol=1e-12)
    decided = model.predict(X, offset=offset)
    np.testing.assert_array_equal(decided, z > 0 if K == 2 else z.argmax(axis=1))
    assert model.score(X, y, offset=offset) == np.mean(decided == y) > model.score(X, y, offset=0.0)


def test_a_fit_with_an_offset_asks_for_one():
    X, y, offset = rows(2)
    model = LogisticRegression().fit(X, y, offset=offset)
    for ask in (model.predict, model.predict_proba, lambda X: model.score(X, y), lambda X: model.predict(Stream(X))):
        with pytest.raises(DataError, match="the model was fitted with an offset; give offset= for these rows"):
            ask(X)
    with pytest.raises(DataError, match="to_sklearn: the fit had an offset"):
        model.to_sklearn()
    with pytest.raises(DataError, match="the model was fitted with an offset; give summary the offset of the fit"):
        LogisticRegression(C=np.inf).fit(X, y, offset=offset).summary(X, y)
    with pytest.raises(DataError, match="the model was fitted without an offset; give summary the offset of the fit"):
        LogisticRegression(C=np.inf).fit(X, y).summary(X, y, offset=offset)
    assert not hasattr(model.fit(X, y), "has_offset_")
    assert model.predict(X).shape == (N,)


def test_a_file_keeps_that_there_was_one(tmp_path):
    X, y, offset = rows(2)
    model = LogisticRegression().fit(X, y, offset=offset)
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert again.has_offset_ is True
    np.testing.assert_array_equal(again.predict_proba(X, offset=offset), model.predict_proba(X, offset=offset))


def test_metadata_routing_brings_offsets_to_folds():
    X, y, offset = rows(2)
    with sklearn.config_context(enable_metadata_routing=True):
        model = LogisticRegression().set_fit_request(offset=True).set_score_request(offset=True)
        found = cross_validate(clone(model), X, y, cv=3, params={"offset": offset}, return_estimator=True)
    assert all(hasattr(one, "has_offset_") for one in found["estimator"])
    assert found["test_score"].min() > 0.7


@pytest.mark.parametrize(
    ("offset", "K", "message"),
    [
        (np.zeros(N - 1), 2, "offset has shape (299,); give shape (300,) for 300 rows of X"),
        (np.zeros((N, 3)), 2, "offset has shape (300, 3); give shape (300,) for 300 rows of X"),
        (np.zeros(N), 4, "offset has shape (300,), and a number added to the logits of all 4 classes changes nothing"),
        (np.where(np.arange(N) == 7, np.inf, 0.0), 2, "offset contains NaN or infinity at row 7; give known logits"),
        (np.where(np.arange(N) == 7, 1e308, 0.0), 2, "offset is beyond 1e+100 at row 7; give known logits"),
        (np.full(N, "a"), 2, "offset has dtype <U1; give a number for each row"),
    ],
)
def test_offsets_that_are_none(offset, K, message):
    X, y, known = rows(K)
    model = LogisticRegression().fit(X, y, offset=known)
    for ask in (lambda: LogisticRegression().fit(X, y, offset=offset), lambda: model.predict(X, offset=offset)):
        with pytest.raises(DataError, match=re.escape(message)) as error:
            ask()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"penalty": "firth"}, DataError, "offset cannot be used with penalty='firth'"),
        ({"solver": "sgd"}, DataError, "offset cannot be used with solver='sgd'; use solver='auto'"),
        ({"solver": "coordinate-descent"}, DataError, "offset cannot be used with solver='coordinate-descent'"),
        ({"impl": "cpu"}, ImplementationError, "the cpu pass knows no loss BinaryWithOffset; use impl='auto'"),
    ],
)
def test_what_knows_no_offset(parameters, error, message):
    X, y, offset = rows(2)
    parameters = {"C": np.inf, **parameters} if parameters.get("solver") == "sgd" else parameters
    if parameters.get("solver") == "coordinate-descent":
        parameters["l1_ratio"] = 1.0
    with pytest.raises(error, match=re.escape(message)):
        LogisticRegression(**parameters).fit(X, y, offset=offset)


def test_a_stream_brings_none():
    X, y, offset = rows(2)
    with pytest.raises(DataError, match="offset cannot be used with a stream"):
        LogisticRegression().fit(Stream(X, y), offset=offset)
    with pytest.raises(DataError, match="offset cannot be used: a stream brings rows without one"):
        LogisticRegression().fit(X, y).predict(Stream(X), offset=offset)


def test_a_start_within_the_offset_is_near():
    X, y, offset = rows(2)
    values = LogisticRegression().fit(X, y, offset=offset - 30.0).loss_curve_
    plain_values = LogisticRegression().fit(X, y, offset=offset).loss_curve_
    np.testing.assert_allclose(values[0], plain_values[0], rtol=1e-9)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("K", [2, 4])
def test_standard_errors_and_likelihoods(K, fit_intercept, class_weight):
    X, y, offset = rows(K)
    how = {"C": np.inf, "tol": 1e-10, "fit_intercept": fit_intercept, "class_weight": class_weight}
    summary = LogisticRegression(**how).fit(X, y, offset=offset).summary(X, y, offset=offset)
    s = np.ones(N) if class_weight is None else N / (K * np.bincount(y)[y])
    plain = PlainModel(X, np.eye(K)[y], s, 0.0, offset.reshape(N, -1))
    if not fit_intercept:
        plain.U = X
        plain.l2 = plain.l2[:D]
    truth = plain.minimum() if fit_intercept else _without_intercept(plain)
    value = plain.value_and_grad(truth.ravel())[0] * s.sum()
    np.testing.assert_allclose(summary.log_likelihood, -value, rtol=1e-9)
    information = plain.hessian(truth.ravel()) * s.sum()
    if K == 2 and class_weight is None:
        np.testing.assert_allclose(summary.standard_errors, np.sqrt(np.linalg.inv(information).diagonal()), rtol=1e-7)
    null = LogisticRegression(**how).fit(np.zeros((N, 1)), y, offset=offset)
    np.testing.assert_allclose(summary.null_log_likelihood, -null.objective_ * s.sum(), rtol=1e-9)


def _without_intercept(plain):
    x = np.zeros(plain.L * D)
    for _ in range(30):
        x = x - np.linalg.lstsq(plain.hessian(x), plain.value_and_grad(x)[1], rcond=1e-12)[0]
    assert np.abs(plain.value_and_grad(x)[1]).max() < 1e-13
    return x.reshape(plain.L, -1)


def test_intervals_of_probabilities_ask_for_the_offset():
    X, y, offset = rows(2)
    summary = LogisticRegression(C=np.inf).fit(X, y, offset=offset).summary(X, y, offset=offset)
    low, high = summary.predict_interval(X, offset=offset).T
    p = summary._model.predict_proba(X, offset=offset)[:, 1]
    assert (low < p).all()
    assert (p < high).all()
    with pytest.raises(DataError, match="the model was fitted with an offset; give offset="):
        summary.predict_interval(X)


def test_columns_that_separate_are_named_whatever_the_offset():
    rng = np.random.default_rng(4)
    X, offset = rng.standard_normal((100, 2)), rng.standard_normal(100)
    y = (X[:, 1] > 0.0).astype(int)
    with pytest.warns(match="did not converge"):
        model = LogisticRegression(C=np.inf, max_iter=20).fit(X, y, offset=offset)
    with pytest.raises(DataError, match="the classes are separated by 'x1'"):
        model.summary(X, y, offset=offset)
