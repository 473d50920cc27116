"""Estimators on sparse rows: what they give on the same rows dense, and on nothing but what sparse rows can give."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression as ScikitLearn
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder
from strong_convexity import farthest

from gpu_logreg import LogisticRegression, MLPClassifier, loss_and_gradient
from gpu_logreg.arrays.block_sizes import BlockSize
from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DataError, DeviceError, ImplementationError
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sparse_metric import diagonal_at
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cpu import sparse as sparse_module
from gpu_logreg.passes.cpu.steps import WIDEST_SPARSE
from gpu_logreg.rows.coordinates import StandardisedRows
from gpu_logreg.rows.resident import ResidentDataset

NEWTON = [("auto", 0.0), ("auto", 0.5), ("auto", 1.0), ("subsampled-newton", 0.0)]
NEWTON += [("proximal", 0.0), ("proximal", 0.5), ("proximal", 1.0)]
GRADIENTS, STEPS = ("lbfgs", "gradient-descent"), ("adam", "sgd")
CONTAINERS = [sparse.csc_matrix, sparse.coo_array, sparse.lil_matrix, sparse.bsr_array, sparse.csr_matrix]
SPARSE_DEVICE = "auto: X is sparse, and sparse rows are walked on the CPU"

impls = pytest.mark.parametrize("impl", ["reference", "cpu"])
classes = pytest.mark.parametrize("K", [2, 3])
penalties = pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def data(K: int, n: int = 300, d: int = 8, density: float = 0.3, seed: int = 0):
    """Rows with zeros, labels that depend on them, and weights."""
    rng = np.random.default_rng([K, n, d, seed])
    D = np.where(rng.random((n, d)) < density, rng.standard_normal((n, d)) + 0.2, 0.0)
    y = (D @ rng.standard_normal((d, K)) + rng.gumbel(size=(n, K))).argmax(axis=1)
    y[:K] = np.arange(K)
    return D, y, rng.exponential(size=n)


def value(model, D, y, s=None) -> float:
    """The objective at ``coef_`` and ``intercept_``, divided by ``C`` and the weights; shares no code with the fit."""
    s = np.ones(len(y)) if s is None else s
    coef = np.asarray(model.coef_, np.float64)
    Z = np.asarray(D, np.float64) @ coef.T + model.intercept_
    if Z.shape[1] == 1:
        Z = np.hstack([0.0 * Z, Z])
    loss = np.logaddexp.reduce(Z, axis=1) - Z[np.arange(len(y)), np.searchsorted(np.unique(y), y)]
    l1 = model.l1_ratio or 0.0
    penalty = l1 * np.abs(coef).sum() + 0.5 * (1.0 - l1) * (coef**2).sum()
    return float((s @ loss + penalty / model.C) / s.sum())


def check_same(model, other, D, y, s=None) -> None:
    """Classes, zeros, coefficients and value agree as far as ``tol`` promises for two fits of one problem.

    Sums over dense and over sparse rows round differently, so that one fit may take a step more than the other.
    """
    assert model.solver_ == other.solver_
    np.testing.assert_array_equal(model.classes_, other.classes_)
    np.testing.assert_array_equal(model.coef_ != 0.0, other.coef_ != 0.0)
    apart = farthest(other, D, y, s)
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=0, atol=apart)
    np.testing.assert_allclose(model.intercept_, other.intercept_, rtol=0, atol=apart)
    assert model.objective_ == pytest.approx(other.objective_, rel=1e-3 * model.tol + 1e-14)  # and their rounding


def least(D, y, C: float) -> float:
    """The minimum with a ridge, by scikit-learn."""
    theirs = ScikitLearn(C=C, solver="newton-cholesky", tol=1e-12, max_iter=500).fit(D, y)
    return value(theirs, D, y)


# ---- the same as dense rows: linear models


@impls
@classes
@pytest.mark.parametrize(("solver", "l1_ratio"), NEWTON)
def test_second_order_solvers(solver, l1_ratio, K, impl):
    D, y, s = data(K)
    options = {"solver": solver, "l1_ratio": l1_ratio, "C": 0.3, "tol": 1e-9, "impl": impl}
    for weights in (None, s):
        model, other = (LogisticRegression(**options).fit(rows, y, weights) for rows in (sparse.csr_array(D), D))
        check_same(model, other, D, y, weights)
        assert model.converged_, model.stop_reason_
        assert value(model, D, y, weights) == pytest.approx(model.objective_, rel=1e-11)


@impls
@classes
@pytest.mark.parametrize("solver", GRADIENTS)
def test_solvers_of_gradients(solver, K, impl):
    D, y, s = data(K)
    options = {"solver": solver, "C": 0.3, "tol": 1e-9, "impl": impl, "max_iter": 5000}
    model, other = (LogisticRegression(**options).fit(rows, y, s) for rows in (sparse.csr_array(D), D))
    check_same(model, other, D, y, s)
    assert model.converged_, model.stop_reason_


@quiet
@impls
@classes
@pytest.mark.parametrize("solver", STEPS)
def test_solvers_that_step_on_batches(solver, K, impl):
    D, y, s = data(K)
    options = {"solver": solver, "C": 0.3, "learning_rate": 0.01, "max_iter": 30, "impl": impl}
    model, other = (LogisticRegression(**options).fit(rows, y, s) for rows in (sparse.csr_array(D), D))
    for ours, theirs in ((model.coef_, other.coef_), (model.intercept_, other.intercept_)):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)  # the same 60 steps, each rounded at 1e-16
    assert model.objective_ == pytest.approx(other.objective_, rel=1e-12)
    assert list(model.n_iter_) == list(other.n_iter_)


@classes
@pytest.mark.parametrize("name", ["newton-cholesky", "newton-cg", "sag", "saga"])
def test_solvers_of_scikit_learns_names(name, K):
    D, y, _ = data(K)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, other = (LogisticRegression(solver=name, tol=1e-9).fit(rows, y) for rows in (sparse.csr_array(D), D))
    check_same(model, other, D, y)


def test_liblinear_takes_two_classes():
    D, y, _ = data(2)
    options = {"solver": "liblinear", "l1_ratio": 1.0, "C": 0.3, "tol": 1e-9, "fit_intercept": False}
    model, other = (LogisticRegression(**options).fit(rows, y) for rows in (sparse.csr_array(D), D))
    check_same(model, other, D, y)


@impls
@classes
@penalties
@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 0.5}])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_class_weights_and_no_intercept(fit_intercept, class_weight, l1_ratio, K, impl):
    D, y, s = data(K)
    options = {"class_weight": class_weight, "l1_ratio": l1_ratio, "fit_intercept": fit_intercept, "tol": 1e-9}
    model, other = (LogisticRegression(impl=impl, **options).fit(rows, y, s) for rows in (sparse.csr_array(D), D))
    check_same(model, other, D, y, s)
    assert fit_intercept or not model.intercept_.any()


@impls
@classes
@pytest.mark.parametrize(("solver", "l1_ratio"), [("auto", 0.0), ("auto", 0.5), ("auto", 1.0), ("lbfgs", 0.0)])
def test_weights_are_repetitions(solver, l1_ratio, K, impl):
    D, y, _ = data(K)
    times = np.random.default_rng(5).integers(0, 3, len(y))
    times[:K] = 1
    options = {"solver": solver, "l1_ratio": l1_ratio, "tol": 1e-11, "impl": impl, "C": 0.5}
    X = sparse.csr_array(D)
    weighted = LogisticRegression(**options).fit(X, y, times)
    repeated = LogisticRegression(**options).fit(X[np.arange(len(y)).repeat(times)], y.repeat(times))
    removed = LogisticRegression(**options).fit(X[times > 0], y[times > 0], times[times > 0])
    for other in (repeated, removed):
        check_same(weighted, other, D, y, times)


@impls
@classes
@penalties
def test_float32_rows_are_fitted_in_float64(l1_ratio, K, impl):
    D, y, s = data(K)
    D = D.astype(np.float32)
    options = {"l1_ratio": l1_ratio, "C": 0.3, "tol": 1e-9, "impl": impl}
    model = LogisticRegression(**options).fit(sparse.csr_array(D), y, s)
    wide = LogisticRegression(**options).fit(D.astype(np.float64), y, s)
    assert model.coef_.dtype == LogisticRegression(**options).fit(D, y, s).coef_.dtype
    assert model.storage_ == "float32"
    assert model.objective_ == pytest.approx(wide.objective_, rel=1e-12)
    np.testing.assert_allclose(model.coef_, wide.coef_, rtol=1e-6)
    stored = LogisticRegression(storage="float64", **options).fit(sparse.csr_array(D), y, s)
    assert stored.storage_ == "float64"
    assert stored.objective_ == pytest.approx(wide.objective_, rel=1e-12)


def test_storage_rounds_to_float32_where_that_is_asked_for():
    D, y, _ = data(2)
    model = LogisticRegression(storage="float32", tol=1e-9).fit(sparse.csr_array(D), y)
    rounded = LogisticRegression(tol=1e-9).fit(D.astype(np.float32).astype(np.float64), y)
    check_same(model, rounded, D, y)
    assert abs(rounded.objective_ / LogisticRegression(tol=1e-9).fit(D, y).objective_ - 1) > 1e-11  # it shows


@classes
@pytest.mark.parametrize("make", CONTAINERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
def test_every_container_gives_the_same_bits(solver, make, K):
    D, y, s = data(K)
    X = make(D)
    model, wanted = (LogisticRegression(solver=solver).fit(rows, y, s) for rows in (X, sparse.csr_array(D)))
    np.testing.assert_array_equal(X.toarray(), D)
    np.testing.assert_array_equal(model.coef_, wanted.coef_)
    for ask in ("decision_function", "predict_proba"):
        np.testing.assert_array_equal(getattr(model, ask)(X), getattr(wanted, ask)(sparse.csr_array(D)))


@pytest.mark.parametrize("dtype", ["int64", "bool", "uint8"])
def test_whole_numbers_and_truths(dtype):
    D, y, _ = data(2)
    D = (D > 0.5).astype(dtype)
    model, other = (LogisticRegression(tol=1e-9).fit(rows, y) for rows in (sparse.csr_array(D), D.astype(float)))
    check_same(model, other, D, y)
    np.testing.assert_array_equal(model.predict(sparse.csc_array(D)), other.predict(D.astype(float)))


def test_numbers_of_columns_of_64_bits():
    D, y, s = data(2)
    X = sparse.csr_array(D)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    for impl in ("reference", "cpu"):
        model = LogisticRegression(impl=impl).fit(X, y, s)
        np.testing.assert_array_equal(model.coef_, LogisticRegression(impl=impl).fit(sparse.csr_array(D), y, s).coef_)


def test_columns_in_any_order_and_named_twice_are_fitted_and_left_as_they_are():
    D, y, _ = data(2, density=0.6)
    X = sparse.csr_array(D)
    halves = sparse.csr_array(
        (np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr), shape=X.shape
    )  # every element in two parts
    for start, end in zip(halves.indptr[:-1], halves.indptr[1:], strict=True):
        for array in (halves.indices, halves.data):
            array[start:end] = array[start:end][::-1].copy()
    before = halves.data.tobytes(), halves.indices.tobytes()
    model = LogisticRegression().fit(halves, y)
    np.testing.assert_array_equal(model.coef_, LogisticRegression().fit(X, y).coef_)
    np.testing.assert_allclose(model.predict_proba(halves), model.predict_proba(X), rtol=1e-13)  # added in their order
    assert (halves.data.tobytes(), halves.indices.tobytes()) == before


@classes
@pytest.mark.parametrize("solver", ["auto", "lbfgs", "proximal"])
def test_a_warm_start_goes_on_from_dense_or_sparse_rows(solver, K):
    D, y, s = data(K, n=3000)
    X = sparse.csr_array(D)
    model = LogisticRegression(solver=solver, warm_start=True).fit(X, y, s)
    cold, first = int(model.n_iter_[0]), model.objective_
    model.fit(X, y, s)
    assert model.n_iter_[0] < cold
    assert model.objective_ == pytest.approx(first, rel=1e-8)
    from_dense = LogisticRegression(solver=solver, warm_start=True).fit(D, y, s).fit(X, y, s)
    assert from_dense.n_iter_[0] < cold
    with pytest.raises(DataError, match="warm_start: the last fit had 8 columns, and X has 7"):
        model.fit(X[:, :7], y, s)


@pytest.mark.parametrize("impl", ["reference", "cpu"])
def test_a_fit_gives_the_same_bits_again_and_on_one_thread(impl, monkeypatch):
    D, y, s = data(2, n=2000)
    X = sparse.csr_array(D)
    monkeypatch.setattr(sparse_module, "LEAST_CHUNK_WORK", 1)
    monkeypatch.setattr("gpu_logreg.arrays.thread_limit.OMP_NUM_THREADS", "")
    first, again = (LogisticRegression(impl=impl).fit(X, y, s) for _ in range(2))
    monkeypatch.setattr("gpu_logreg.arrays.thread_limit.OMP_NUM_THREADS", "1")
    alone = LogisticRegression(impl=impl).fit(X, y, s)
    for model in (again, alone):
        assert model.coef_.tobytes() == first.coef_.tobytes()
        assert model.loss_curve_ == first.loss_curve_


@penalties
@pytest.mark.parametrize("n", [2001, 5000])
def test_samples_of_two_classes_stay_sparse(n, l1_ratio, monkeypatch):
    D, y, s = data(2, n=n)

    def written_out(rows):
        raise AssertionError("a sample was made dense")

    monkeypatch.setattr(StandardisedRows, "U", property(written_out))
    assert LogisticRegression(l1_ratio=l1_ratio).fit(sparse.csr_array(D), y, s).converged_
    with pytest.raises(AssertionError, match="a sample was made dense"):
        LogisticRegression(l1_ratio=l1_ratio).fit(D, y, s)


# ---- the minimum, by others


@impls
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@classes
def test_the_objective_of_newton_cholesky(K, C, impl):
    D, y, _ = data(K, n=1500, d=12)
    model = LogisticRegression(C=C, impl=impl).fit(sparse.csr_array(D), y)
    assert model.converged_, model.stop_reason_
    assert value(model, D, y) <= least(D, y, C) * (1 + 1e-9)


@impls
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("C", [0.05, 0.5])
def test_value_and_zeros_are_those_of_saga(C, l1_ratio, impl):
    D, y, _ = data(2, n=400, d=15)
    options = {"C": C, "l1_ratio": l1_ratio}
    theirs = ScikitLearn(**options, solver="saga", tol=1e-10, max_iter=100_000).fit(D, y)
    model = LogisticRegression(**options, impl=impl).fit(sparse.csr_array(D), y)
    assert model.converged_, model.stop_reason_
    assert model.solver_ == "proximal"
    assert value(model, D, y) <= value(theirs, D, y) * (1 + 1e-9)
    assert value(model, D, y) == pytest.approx(value(theirs, D, y), rel=1e-8)
    np.testing.assert_array_equal(model.coef_ != 0.0, theirs.coef_ != 0.0)
    assert C > 0.1 or 0 < np.count_nonzero(model.coef_) < 15


@impls
@classes
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("n", [400, 6000])
def test_a_column_far_from_zero_that_is_stored_as_a_whole(n, l1_ratio, K, impl):
    D, y, _ = data(K, n=n)
    D[:, 2] = np.random.default_rng(1).standard_normal(n) + D[:, 3]
    far = D + 1e4 * (np.arange(8) == 2)
    model = LogisticRegression(l1_ratio=l1_ratio, impl=impl).fit(sparse.csr_array(far), y)
    near = LogisticRegression(l1_ratio=l1_ratio).fit(D, y)  # the intercept makes up for the rest
    assert model.converged_, model.stop_reason_
    assert model.n_reads_ < 40
    assert model.objective_ == pytest.approx(near.objective_, rel=1e-10)
    assert value(model, far, y) == pytest.approx(near.objective_, rel=1e-10)
    np.testing.assert_allclose(model.coef_, near.coef_, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(model.predict(sparse.csr_array(far)), near.predict(D))


@impls
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_columns_carried_by_few_rows(l1_ratio, impl):
    rng = np.random.default_rng(3)
    D, y, _ = data(2, n=8000, d=10)
    hits = rng.choice(8000, (3, 4), replace=False)
    for column, rows in enumerate(hits, 5):
        D[:, column] = 0.0
        D[rows, column] = 1.0
        y[rows] = column % 2
    X = sparse.csr_array(D)
    for seed in range(3):
        model = LogisticRegression(l1_ratio=l1_ratio, impl=impl, random_state=seed).fit(X, y)
        dense = LogisticRegression(l1_ratio=l1_ratio, random_state=seed).fit(D, y)
        assert model.converged_, model.stop_reason_
        assert model.n_reads_ < 40
        assert value(model, D, y) == pytest.approx(value(dense, D, y), rel=1e-10)
        if l1_ratio == 0.0:
            assert value(model, D, y) <= least(D, y, 1.0) * (1 + 1e-9)


@impls
def test_large_logits_on_rare_columns_of_many_scales_with_a_weak_l1_penalty(impl):
    """Models of the curvature had next to none along some directions, and were followed without end."""
    rng = np.random.default_rng(2)
    n, d = 20_000, 40
    D = rng.standard_normal((n, d)) * (rng.random((n, d)) < np.geomspace(0.5, 3e-4, d)) * 10.0 ** rng.uniform(-3, 3, d)
    y = (D @ (0.3 * rng.standard_normal(d) / np.sqrt((D**2).mean(axis=0))) + rng.logistic(size=n) > 1).astype(int)
    X, found = sparse.csr_array(D), []
    for seed in range(3):
        model = LogisticRegression(C=100.0, l1_ratio=1.0, impl=impl, random_state=seed).fit(X, y)
        assert model.converged_, model.stop_reason_
        assert model.objective_ == pytest.approx(value(model, D, y), rel=1e-10)
        found.append(value(model, D, y))
    np.testing.assert_allclose(found, min(found), rtol=1e-9)


@impls
@classes
def test_more_columns_than_rows(K, impl):
    D, y, _ = data(K, n=80, d=1000 if K == 2 else 300, density=0.03)
    model = LogisticRegression(impl=impl).fit(sparse.csr_array(D), y)
    assert model.solver_ == "lbfgs" or K > 2
    assert model.converged_, model.stop_reason_
    assert value(model, D, y) <= value(LogisticRegression(solver="lbfgs", tol=1e-9).fit(D, y), D, y) * (1 + 1e-9)
    sparsest = LogisticRegression(impl=impl, l1_ratio=1.0, C=3.0).fit(sparse.csr_array(D), y)
    assert sparsest.converged_, sparsest.stop_reason_
    assert value(sparsest, D, y) == pytest.approx(
        value(LogisticRegression(l1_ratio=1.0, C=3.0).fit(D, y), D, y), rel=1e-9
    )


@impls
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_l1_of_more_columns_than_are_solved_at_once(fit_intercept, impl, monkeypatch):
    D, y, s = data(2, n=200, d=150, density=0.1)
    options = {"l1_ratio": 1.0, "C": 0.5, "fit_intercept": fit_intercept}
    whole = LogisticRegression(**options).fit(D, y, s)
    monkeypatch.setattr("gpu_logreg.estimators.linear.problem.LARGEST_WHOLE", 40)
    model = LogisticRegression(impl=impl, **options).fit(sparse.csr_array(D), y, s)
    assert model.converged_, model.stop_reason_
    assert value(model, D, y, s) == pytest.approx(value(whole, D, y, s), rel=1e-9)
    np.testing.assert_array_equal(model.coef_ != 0.0, whole.coef_ != 0.0)


def test_columns_that_are_empty_get_no_weight_and_rows_that_are_empty_the_intercept():
    D, y, _ = data(2)
    D[:, [0, 5]] = 0.0
    X = sparse.csr_array(D)
    for options in ({}, {"solver": "lbfgs"}, {"l1_ratio": 1.0}, {"impl": "cpu"}):
        model = LogisticRegression(**options).fit(X, y)
        assert not model.coef_[0, [0, 5]].any()
        np.testing.assert_array_equal(model.decision_function(sparse.csr_array((3, 8))), np.repeat(model.intercept_, 3))


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "proximal", "gradient-descent"])
@impls
def test_rows_without_any_element_leave_the_intercept(impl, solver):
    y = np.arange(30) % 3 == 0
    model = LogisticRegression(solver=solver, impl=impl, tol=1e-9).fit(sparse.csr_array((30, 4)), y)
    assert not model.coef_.any()
    assert model.intercept_[0] == pytest.approx(np.log(0.5), rel=1e-6)
    assert model.converged_, model.stop_reason_


@quiet
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(8, 300),
    st.integers(1, 12),
    st.sampled_from([0.02, 0.2, 1.0]),
    st.sampled_from([0.01, 1.0, 100.0]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.booleans(),
    st.sampled_from(["reference", "cpu"]),
    st.sampled_from([2, 2, 3]),
)
def test_any_sparse_rows_are_fitted_as_dense_ones(seed, n, d, density, C, l1_ratio, fit_intercept, impl, K):
    D, y, s = data(K, n, d, density, seed)
    D *= 10.0 ** np.random.default_rng(seed).integers(-2, 3, d)
    options = {"C": C, "l1_ratio": l1_ratio, "fit_intercept": fit_intercept, "tol": 1e-8}
    model, other = (LogisticRegression(impl=impl, **options).fit(rows, y, s) for rows in (sparse.csr_array(D), D))
    assert model.converged_ == other.converged_
    assert value(model, D, y, s) == pytest.approx(model.objective_, rel=1e-9)
    assert value(model, D, y, s) == pytest.approx(value(other, D, y, s), rel=1e-9)


# ---- predictions, and what is said


def networks(K: int):
    return MLPClassifier((5,), solver="lbfgs", max_iter=20, activation="tanh", random_state=0)


@quiet
@pytest.mark.parametrize("make", [lambda K: LogisticRegression(), networks], ids=["linear", "network"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@classes
def test_predictions_are_those_of_dense_rows(K, dtype, make, monkeypatch):
    D, y, s = data(K)
    D, y = D.astype(dtype), np.array(["ash", "birch", "cedar"])[y]
    model = make(K).fit(sparse.csr_array(D), y)
    monkeypatch.setattr("gpu_logreg.estimators.network.prediction.NETWORK", BlockSize(500, 500))
    for container in (sparse.csr_array, sparse.csc_matrix, sparse.coo_array):
        X = container(D)
        for ask in ("decision_function", "predict_proba", "predict_log_proba"):
            found, wanted = getattr(model, ask)(X), getattr(model, ask)(D)
            assert type(found) is np.ndarray
            assert found.dtype == wanted.dtype == dtype
            tolerance = 1e-12 if dtype == "float64" else 2e-5
            np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(model.predict(X), model.predict(D))
        assert model.score(X, y) == model.score(D, y)
        assert model.score(X, y, s) == pytest.approx(model.score(D, y, s), rel=1e-14)
    assert model.score(sparse.csr_array(D), y) > 1.0 / K


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@classes
def test_logits_of_float32_rows_far_from_zero_are_summed_in_float64(K, make):
    D, y, _ = data(K, n=2000)
    D[:, 2] += 1e4 * (1.0 + 1e-4 * y)
    D = D.astype(np.float32)
    model = LogisticRegression().fit(make(D), y)
    wanted = D.astype(np.float64) @ model.coef_.T.astype(np.float64) + model.intercept_
    found = model.decision_function(make(D)).reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


@classes
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_sparse_coef_and_a_pickled_model_predict_the_same(l1_ratio, K):
    D, y, _ = data(K)
    X = sparse.csr_array(D)
    model = LogisticRegression(l1_ratio=l1_ratio, C=0.1).fit(X, y)
    wanted = model.predict_proba(X)
    back = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(back.predict_proba(X), wanted)
    assert vars(back).keys() == vars(model).keys()
    np.testing.assert_array_equal(model.sparsify().predict_proba(X), wanted)
    np.testing.assert_allclose(back.to_sklearn().predict_proba(X), wanted, rtol=1e-12)


@classes
def test_what_was_chosen_is_said(K, monkeypatch):
    D, y, _ = data(K)
    X = sparse.csr_array(D)
    model = LogisticRegression().fit(X, y)
    assert (model.device_, model.device_reason_) == ("cpu", SPARSE_DEVICE)
    assert (model.impl_, model.impl_reason_) == ("reference", "auto: the elements are few; the rows are sparse")
    asked = LogisticRegression(device="cpu", impl="cpu").fit(X, y)
    assert (asked.device_, asked.device_reason_) == ("cpu", "asked for")
    assert (asked.impl_, asked.impl_reason_) == ("cpu", "asked for; the rows are sparse")
    monkeypatch.setattr("gpu_logreg.passes.choice.SPARSE_PASS_ELEMENTS", 100)
    many = LogisticRegression().fit(X, y)
    assert (many.impl_, many.impl_reason_) == ("cpu", "auto: one read per gradient; the rows are sparse")
    assert model.n_features_in_ == 8
    assert not hasattr(model, "feature_names_in_")


# ---- refusals


def one_line(kind, function, *arguments) -> str:
    with pytest.raises(kind) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@classes
@pytest.mark.parametrize("impl", ["cuda", "cublas"])
def test_passes_of_a_gpu(impl, K):
    D, y, _ = data(K)
    model = LogisticRegression(impl=impl)
    message = one_line(ImplementationError, model.fit, sparse.csr_array(D), y)
    if K == 2 or impl == "cuda":
        assert message == f"impl={impl!r} reads dense rows, and X is sparse; use impl='auto', or X.toarray()"
    assert not hasattr(model, "coef_")


def test_steps_of_a_gpu():
    D, y, _ = data(2)
    assert "impl='cuda'" in one_line(ImplementationError, MLPClassifier((3,), impl="cuda").fit, sparse.csr_array(D), y)


@pytest.mark.parametrize("storage", ["uint8", "float16", "bfloat16"])
def test_narrow_storage(storage):
    D, y, _ = data(2)
    message = one_line(DataError, LogisticRegression(storage=storage).fit, sparse.csr_array(D), y)
    assert message == f"storage={storage!r} is for dense rows, and X is sparse; use 'auto', 'float32' or 'float64'"


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
@pytest.mark.parametrize("model", [LogisticRegression(), MLPClassifier((3,))], ids=["linear", "network"])
def test_a_gpu(model, device):
    D, y, _ = data(2)
    message = one_line(DeviceError, model.set_params(device=device).fit, sparse.coo_matrix(D), y)
    assert message == (
        f"device={device!r} cannot be used: X is sparse, and sparse rows are walked on the CPU; "
        "use device='cpu', or give X.toarray()"
    )


EVERY = [
    *(LogisticRegression(solver=solver) for solver in ("auto", "lbfgs", "gradient-descent", "proximal")),
    LogisticRegression(solver="adam", max_iter=2),
    LogisticRegression(impl="cpu"),
    LogisticRegression(l1_ratio=1.0),
    MLPClassifier((3,), max_iter=2),
    MLPClassifier((3,), max_iter=2, solver="lbfgs"),
]


@quiet
@classes
@pytest.mark.parametrize("n", [300, 3000])
@pytest.mark.parametrize(("bad", "kind"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
@pytest.mark.parametrize("model", EVERY, ids=repr)
def test_values_that_are_not_finite_are_named_by_row_and_column(model, bad, kind, n, K):
    D, y, _ = data(K, n=n)
    D[[41, 17, 17], [2, 3, 6]] = bad
    message = f"Input X contains {kind} at row 17, column 3; remove or impute it"
    for container in (sparse.csr_array, sparse.csc_matrix):
        assert one_line(DataError, model.fit, container(D), y) == message
        good = sparse.csr_array(np.where(np.isfinite(D), D, 0.0))
        assert one_line(DataError, model.fit(good, y).predict, container(D)) == message


@quiet
def test_an_infinity_that_activations_hide():
    D, y, _ = data(2)
    model = MLPClassifier((3,), max_iter=2, activation="tanh").fit(sparse.csr_array(D), y)
    D[17, 3] = np.inf
    message = "Input X contains infinity at row 17, column 3; remove or impute it"
    assert one_line(DataError, model.predict, sparse.csr_array(D)) == message


@impls
@classes
@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
def test_values_that_are_not_finite_in_a_row_of_no_weight(solver, K, impl):
    D, y, s = data(K)
    D[17, 3], s[17] = np.nan, 0.0
    for rows in (sparse.csr_array(D), D):
        message = one_line(DataError, LogisticRegression(solver=solver, impl=impl).fit, rows, y, s)
        assert message == "Input X contains NaN at row 17, column 3; remove or impute it"


@pytest.mark.parametrize("model", [LogisticRegression(), MLPClassifier((3,))], ids=["linear", "network"])
def test_rows_and_labels_of_another_kind(model):
    D, y, _ = data(2)
    X = sparse.csr_array(D)
    labels = sparse.csr_array(y[:, None])
    message = "y is a sparse matrix; give a dense array, such as y.toarray()"
    assert one_line(DataError, model.fit, X, labels) == message
    complex_rows = "Complex data not supported: X has dtype complex128; give real numbers"
    assert one_line(DataError, model.fit, X * 1j, y) == complex_rows
    one = "Expected 2D array, got 1D array instead; sparse X must have shape (n, d)"
    assert one_line(DataError, model.fit, sparse.coo_array(D[:, 0]), y) == one
    damaged = sparse.csr_array(D)
    damaged.indices[5] = 8
    assert "sparse X is damaged: indices hold 0 to 8" in one_line(DataError, model.fit, damaged, y)
    assert "[300, 299]" in one_line(ValueError, model.fit, X, y[:-1])
    assert "0 sample(s)" in one_line(ValueError, model.fit, X[:0], y[:0])
    assert "0 feature(s)" in one_line(ValueError, model.fit, X[:, :0], y)


@quiet
@pytest.mark.parametrize(
    "model", [LogisticRegression(), MLPClassifier((3,), max_iter=2, n_iter_no_change=9)], ids=["linear", "network"]
)
def test_columns_of_another_number(model):
    D, y, _ = data(2)
    X = sparse.csr_array(D)
    model.fit(X, y)
    for rows in (X[:, :7], sparse.hstack([X, X])):
        assert f"X has {rows.shape[1]} features" in one_line(ValueError, model.predict, rows)
    one = "Expected 2D array, got 1D array instead; sparse X must have shape (n, d)"
    assert one_line(DataError, model.predict, sparse.coo_array(D[0])) == one


# ---- life with others


def frame(D, names) -> pd.DataFrame:
    zero = D.dtype.type(0)
    columns = (pd.arrays.SparseArray(column, fill_value=zero) for column in D.T)
    return pd.DataFrame(dict(zip(names, columns, strict=True)))


@quiet
@pytest.mark.parametrize(
    "make", [LogisticRegression, lambda: MLPClassifier((3,), max_iter=3, activation="tanh")], ids=["linear", "network"]
)
def test_a_table_of_sparse_columns(make):
    D, y, _ = data(2)
    names = list("abcdefgh")
    table = frame(D, names)
    model, other = make().fit(table, y), make().fit(sparse.csr_array(D), y)
    np.testing.assert_array_equal(model.predict_proba(table), other.predict_proba(sparse.csr_array(D)))
    assert list(model.feature_names_in_) == names
    assert model.device_reason_ == SPARSE_DEVICE
    D[3, 1] = np.nan
    message = "Input X contains NaN at row 3, column 1 ('b'); remove or impute it"
    assert one_line(DataError, make().fit, frame(D, names), y) == message
    assert one_line(DataError, model.predict, frame(D, names)) == message
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame(D, list("bacdefgh")))


@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_a_table_of_sparse_columns_of_whole_numbers(dtype):
    D, y, _ = data(2)
    D = (D > 0.3).astype(dtype)
    model, other = (LogisticRegression(tol=1e-9).fit(rows, y) for rows in (frame(D, "abcdefgh"), D.astype(float)))
    check_same(model, other, D, y)
    assert "the rows are sparse" in model.impl_reason_


def test_grid_search():
    D, y, _ = data(2, n=400)
    searches = [
        GridSearchCV(LogisticRegression(tol=1e-9), {"C": [1e-3, 1.0], "l1_ratio": [0.0, 1.0]}, scoring="neg_log_loss")
        for _ in range(2)
    ]
    for search, rows in zip(searches, (sparse.csr_matrix(D), D), strict=True):
        search.fit(rows, y)
    ours, theirs = searches
    assert ours.best_params_ == theirs.best_params_
    # Two fits with this tol end 1e-6 apart at most, and a score moves by less than they do.
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], atol=1e-6)


def test_a_pipeline_of_words():
    rng = np.random.default_rng(0)
    words = np.array(["ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine"])
    y = rng.integers(0, 2, 200)
    texts = [" ".join(rng.choice(words[2 * label : 6 + 4 * label], 12)) for label in y]
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10.0)).fit(texts, y)
    rows = TfidfVectorizer().fit_transform(texts).toarray()
    assert "the rows are sparse" in pipeline[-1].impl_reason_
    assert value(pipeline[-1], rows, y) <= least(rows, y, 10.0) * (1 + 1e-9)
    assert pipeline.score(texts, y) > 0.9


def test_a_pipeline_of_categories():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"tree": rng.choice(list("abcde"), 400), "soil": rng.choice(list("xyz"), 400)})
    y = (table["tree"].isin(["a", "b"]) ^ (rng.random(400) < 0.2)).astype(int)
    model = LogisticRegression()
    pipeline = make_pipeline(OneHotEncoder(), MaxAbsScaler(), model).fit(table, y)
    rows = OneHotEncoder(sparse_output=False).fit_transform(table)
    assert "the rows are sparse" in model.impl_reason_
    assert value(model, rows, y) <= least(rows, y, 1.0) * (1 + 1e-9)
    np.testing.assert_allclose(pipeline.predict_proba(table), model.predict_proba(rows), rtol=1e-13)


@impls
@pytest.mark.parametrize("make", [sparse.csr_array, sparse.coo_matrix])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_loss_and_gradient(dtype, make, impl):
    D, y, s = data(2)
    D = (3 * D).astype(dtype)
    w, b = np.linspace(-1.0, 1.0, 8), 0.3
    X = make(D)
    for weights, labels in ((None, y), (s, y), (s, np.linspace(0.0, 1.0, len(y)))):
        found = loss_and_gradient(X, labels, w, b, sample_weight=weights, l2=0.4, impl=impl)
        wanted = loss_and_gradient(D.astype(np.float64), labels, w, b, sample_weight=weights, l2=0.4)
        assert found.value == pytest.approx(wanted.value, rel=1e-14)
        np.testing.assert_allclose(found.dw, wanted.dw, rtol=0, atol=1e-13)
        assert found.db == pytest.approx(wanted.db, abs=1e-14)
    np.testing.assert_array_equal(X.toarray(), D)


def test_loss_and_gradient_refuse_what_a_fit_refuses():
    D, y, _ = data(2)
    X = sparse.csr_array(D)
    w = np.ones(8)
    assert "X is sparse" in one_line(DeviceError, lambda: loss_and_gradient(X, y, w, device="cuda"))
    assert "X is sparse" in one_line(ImplementationError, lambda: loss_and_gradient(X, y, w, impl="cublas"))
    assert "shape (0, 8)" in one_line(DataError, loss_and_gradient, X[:0], y[:0], w)
    assert "X has 8 columns" in one_line(DataError, loss_and_gradient, X, y, w[:7])
    D[17, 3] = np.nan
    message = "Input X contains NaN at row 17, column 3; remove or impute it"
    assert one_line(DataError, loss_and_gradient, sparse.csr_array(D), y, 0 * w) == message


# ---- networks


def check_networks(model, other, tolerance: float) -> None:
    for ours, theirs in zip(model.coefs_ + model.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    assert model.n_iter_ == other.n_iter_
    np.testing.assert_allclose(model.loss_curve_, other.loss_curve_, rtol=tolerance)


def targets(kind: str):
    """Rows, and labels of two classes, of three, or several of a row."""
    D, y, s = data(2 if kind == "two" else 3)
    return D, (D[:, :3] > 0.2).astype(int) if kind == "labels" else y, s


@quiet
@pytest.mark.parametrize("kind", ["two", "three", "labels"])
@pytest.mark.parametrize("hidden", [(), (6,), (70, 5)], ids=str)
@pytest.mark.parametrize("solver", ["adam", "adamw", "sgd", "lbfgs", "gradient-descent"])
def test_networks_are_those_of_dense_rows(solver, hidden, kind):
    D, y, s = targets(kind)
    for impl in ("reference", "cpu") if solver in ("adam", "adamw", "sgd") else ("auto",):
        options = {"solver": solver, "impl": impl, "max_iter": 4, "n_iter_no_change": 9, "activation": "tanh"}
        for weights in (None, s * (np.arange(len(s)) % 7 > 0)):
            model, other = (MLPClassifier(hidden, **options).fit(rows, y, weights) for rows in (sparse.csc_array(D), D))
            check_networks(model, other, 1e-11)
            assert model.device_reason_ == SPARSE_DEVICE
    np.testing.assert_array_equal(model.predict(sparse.csr_array(D)), other.predict(D))
    assert model.score(sparse.csr_array(D), y) == other.score(D, y)


@quiet
@impls
@pytest.mark.parametrize("activation", ["relu", "logistic", "identity"])
def test_float32_rows_of_networks(activation, impl):
    D, y, _ = data(2)
    D = D.astype(np.float32)
    options = {"max_iter": 3, "n_iter_no_change": 9, "activation": activation, "impl": impl}
    model, other = (MLPClassifier((70,), **options).fit(rows, y) for rows in (sparse.csr_array(D), D))
    assert model.coefs_[0].dtype == np.float32
    check_networks(model, other, 1e-5)


@quiet
@impls
@pytest.mark.parametrize("kind", ["two", "three", "labels"])
def test_going_on_by_partial_fit(kind, impl):
    D, y, s = targets(kind)
    fitted = []
    for rows in (sparse.csr_array(D), D):
        model = MLPClassifier((6,), activation="tanh", impl=impl)
        for part in (slice(0, 150), slice(150, 300), slice(0, 300)):
            model.partial_fit(rows[part], y[part], classes=np.arange(2 if kind == "two" else 3), sample_weight=s[part])
        fitted.append(model)
    check_networks(*fitted, 1e-11)
    assert fitted[0].t_ == 600


@quiet
@impls
@pytest.mark.parametrize("kind", ["two", "labels"])
def test_rows_held_back(kind, impl):
    D, y, _ = targets(kind)
    options = {"early_stopping": True, "max_iter": 12, "activation": "tanh", "n_iter_no_change": 3, "impl": impl}
    model, other = (MLPClassifier((6,), **options).fit(rows, y) for rows in (sparse.csr_array(D), D))
    check_networks(model, other, 1e-11)
    assert model.validation_scores_ == other.validation_scores_
    assert model.best_validation_score_ == max(model.validation_scores_)


@quiet
def test_a_network_goes_on_from_a_warm_start():
    D, y, _ = data(3)
    fitted = []
    for rows in (sparse.csr_array(D), D):
        model = MLPClassifier((6,), activation="tanh", warm_start=True, max_iter=3, n_iter_no_change=9)
        fitted.append(model.fit(rows, y).fit(rows, y))
    check_networks(*fitted, 1e-11)


@quiet
def test_wide_rows_are_stepped_on_by_products():
    D, y, _ = data(2, n=60)
    wide = sparse.csr_array((np.ones(60), np.arange(60), np.arange(61)), shape=(60, WIDEST_SPARSE - 7))
    options = {"max_iter": 2, "n_iter_no_change": 9, "activation": "tanh"}
    for columns, name in ((WIDEST_SPARSE + 1, "reference"), (WIDEST_SPARSE, "cpu")):
        X = sparse.hstack([sparse.csr_array(D), wide[:, : columns - 8]])
        assert X.shape == (60, columns)
        if name == "cpu":
            asked = MLPClassifier((2,), impl="cpu", **options).fit(X, y)
            check_networks(asked, MLPClassifier((2,), impl="reference", **options).fit(X.toarray(), y), 1e-11)
            continue
        message = one_line(ImplementationError, MLPClassifier((2,), impl="cpu", **options).fit, X, y)
        assert "sparse" in message
        assert f"X has {columns:,} columns" in message
        model = MLPClassifier((2,), **options).fit(X, y)
        assert model.impl_ == "reference"
        check_networks(model, MLPClassifier((2,), impl="reference", **options).fit(X.toarray(), y), 1e-11)


# ---- the diagonal metric


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_the_diagonal_metric_is_that_of_the_hessian(fit_intercept, weighted):
    D, y, s = data(2)
    s = s if weighted else None
    dataset = ResidentDataset.from_arrays(csr_rows(sparse.csr_array(D)), y.astype(np.uint8), s, Device("cpu"))
    objective = Objective(dataset, choose("reference", dataset.rows, Device("cpu")), 0.03, fit_intercept)
    params = np.random.default_rng(0).standard_normal(objective.n_params)
    w, b = objective.unpack(params)
    p = 1.0 / (1.0 + np.exp(-(D @ w + b)))
    h = (1.0 if s is None else s) * p * (1.0 - p) / dataset.weight_total
    mean = h @ D / h.sum()
    diagonal = h @ (D - mean) ** 2 + 0.03
    v = np.random.default_rng(1).standard_normal(objective.n_params)
    if fit_intercept:
        T = np.eye(objective.n_params)  # from centred parameters to [w, b]
        T[-1, :-1], diagonal = -mean, np.append(diagonal, h.sum())
        wanted = T @ (T.T @ v / diagonal)
    else:
        wanted = np.linalg.solve(np.diag(diagonal) + h.sum() * np.outer(mean, mean), v)
    np.testing.assert_allclose(diagonal_at(objective, params).solve(v), wanted, rtol=1e-11)
    assert objective.reads.total == 1.0


def test_it_saves_reads_where_one_class_is_rare():
    rng = np.random.default_rng(0)
    D = np.where(rng.random((4000, 60)) < 0.1, rng.exponential(size=(4000, 60)), 0.0)
    y = (D @ rng.standard_normal(60) * 3.0 + rng.logistic(size=4000) > 18.0).astype(int)
    assert 0.005 < y.mean() < 0.1
    for fit_intercept in (False, True):
        model = LogisticRegression(solver="lbfgs", fit_intercept=fit_intercept).fit(sparse.csr_array(D), y)
        dense = LogisticRegression(solver="lbfgs", fit_intercept=fit_intercept).fit(D, y)
        assert model.n_reads_ < dense.n_reads_
