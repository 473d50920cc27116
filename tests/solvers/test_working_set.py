"""L1 problems of many columns, solved for a few at a time: the solution is that of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from gpu_logreg import LogisticRegression
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear import column_sets
from gpu_logreg.estimators.linear import problem as problem_module
from gpu_logreg.solvers import working_set as module
from gpu_logreg.solvers.working_set import Columns


def wide(n: int = 400, d: int = 150, classes: int = 2, density: float = 0.1):
    X = sparse.random(n, d, density, format="csr", random_state=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    W = rng.standard_normal((d, classes)) * (rng.random((d, 1)) < 0.2) * 4.0
    return X, (X @ W + rng.gumbel(size=(n, classes))).argmax(axis=1)


@pytest.fixture
def few_at_a_time(monkeypatch):
    """Working sets for problems of any size, of few columns at first."""
    monkeypatch.setattr(problem_module, "in_working_sets", lambda objective: True)
    monkeypatch.setattr(module, "FIRST_COLUMNS", 5)


def both(monkeypatch, make, X, y, **fit):
    """The same fit with all columns at once, and in working sets."""
    at_once = make().fit(X, y, **fit)
    with monkeypatch.context() as patch:
        patch.setattr(problem_module, "in_working_sets", lambda objective: True)
        patch.setattr(module, "FIRST_COLUMNS", 5)
        return at_once, make().fit(X, y, **fit)


@pytest.mark.parametrize("kind", ["sparse", "dense", "fortran"])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_solution_is_that_of_all_columns(monkeypatch, kind, l1_ratio, fit_intercept, classes):
    X, y = wide(classes=classes)
    X = X if kind == "sparse" else np.asarray(X.toarray(), order="F" if kind == "fortran" else "C")

    def make():
        return LogisticRegression(solver="proximal", C=2.0, l1_ratio=l1_ratio, fit_intercept=fit_intercept, tol=1e-9)

    at_once, in_sets = both(monkeypatch, make, X, y)
    assert in_sets.converged_
    assert "by all 150 columns" in in_sets.stop_reason_
    np.testing.assert_allclose(in_sets.objective_, at_once.objective_, rtol=1e-12)
    np.testing.assert_array_equal(in_sets.coef_ != 0.0, at_once.coef_ != 0.0)
    np.testing.assert_allclose(in_sets.coef_, at_once.coef_, atol=1e-6)
    np.testing.assert_allclose(in_sets.intercept_, at_once.intercept_, atol=1e-6)
    assert 0 < np.count_nonzero(in_sets.coef_) < in_sets.coef_.size


def test_against_liblinear():
    X, y = wide(300, 2500)
    model = LogisticRegression(solver="proximal", C=3.0, l1_ratio=1.0, fit_intercept=False).fit(X, y)
    assert "by all 2500 columns" in model.stop_reason_
    theirs = SklearnLogisticRegression(
        C=3.0, l1_ratio=1.0, solver="liblinear", fit_intercept=False, tol=1e-10, max_iter=10_000, random_state=0
    ).fit(X, y)

    def value(w):
        margins = np.where(y > 0, 1.0, -1.0) * (X @ w)
        return 3.0 * np.logaddexp(0.0, -margins).sum() + np.abs(w).sum()

    assert abs(value(model.coef_[0]) / value(theirs.coef_[0]) - 1.0) < 1e-8
    np.testing.assert_array_equal(model.coef_ != 0.0, theirs.coef_ != 0.0)
    assert value(model.coef_[0]) <= value(theirs.coef_[0]) + 3.0 * len(y) * model.duality_gap_


@pytest.mark.parametrize("classes", [2, 3])
def test_weights_are_repetitions(few_at_a_time, classes):
    X, y = wide(classes=classes)
    s = np.random.default_rng(2).integers(0, 3, len(y))
    again = np.repeat(np.arange(len(y)), s)

    def make():
        return LogisticRegression(solver="proximal", C=2.0, l1_ratio=1.0, tol=1e-10)

    weighted, repeated = make().fit(X, y, sample_weight=s), make().fit(X[again], y[again])
    np.testing.assert_allclose(weighted.objective_, repeated.objective_, rtol=1e-12)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-7)


def test_a_strong_penalty_leaves_no_column(few_at_a_time):
    X, y = wide()
    model = LogisticRegression(solver="proximal", C=1e-6, l1_ratio=1.0).fit(X, y)
    assert not model.coef_.any()
    share = y.mean()
    np.testing.assert_allclose(model.intercept_, np.log(share / (1.0 - share)), rtol=1e-12)
    assert model.n_iter_[0] == 0
    assert model.n_reads_ == 2.0  # the gradient, and the moments of the columns for its certificate


def test_a_warm_start_goes_on_from_the_weights_it_has(few_at_a_time):
    X, y = wide()
    model = LogisticRegression(solver="proximal", C=2.0, l1_ratio=1.0, warm_start=True).fit(X, y)
    first, n_reads = model.coef_.copy(), model.n_reads_
    model.fit(X, y)
    np.testing.assert_allclose(model.coef_, first, atol=1e-6)
    assert model.n_reads_ < 0.5 * n_reads


def test_an_observer_sees_every_round_and_stops_it(few_at_a_time):
    X, y = wide()
    seen = []

    def observe(iteration):
        seen.append(iteration)
        return len(seen) == 2

    model = LogisticRegression(solver="proximal", C=2.0, l1_ratio=1.0, verbose=observe).fit(X, y)
    assert [iteration.last for iteration in seen] == [False, False]
    assert model.stop_reason_ == "stopped by a callback"
    assert not model.converged_
    assert seen[0].params.shape == (151,)
    assert seen[1].value < seen[0].value


def test_as_many_iterations_as_are_allowed(few_at_a_time):
    X, y = wide()
    model = LogisticRegression(solver="proximal", C=2.0, l1_ratio=1.0, max_iter=2)
    with pytest.warns(match=r"max_iter = 2 reached with max \|subgradient\|"):
        model.fit(X, y)
    assert not model.converged_


def test_more_columns_with_weights_than_can_be_solved_together(few_at_a_time, monkeypatch):
    X, y = wide()
    monkeypatch.setattr(column_sets, "LARGEST_P", 20)
    with pytest.raises(
        DataError, match=r"19 of the 150 columns have weights on the way .*, and 19 can be solved together"
    ):
        LogisticRegression(solver="proximal", C=100.0, l1_ratio=1.0).fit(X, y)


def test_parameters_of_columns_with_and_without_an_intercept():
    columns = Columns(4, 2, 4)
    np.testing.assert_array_equal(columns.parameters(np.array([1, 3]), 10), [1, 3, 4, 6, 8, 9])
    np.testing.assert_array_equal(columns.parameters(np.array([1, 3]), 8), [1, 3, 5, 7])
    np.testing.assert_array_equal(columns.largest(np.array([1.0, -2, 0, 0, 9, -3, 1, 0, 4, 9])), [3, 2, 0, 4])


@pytest.mark.parametrize("far", [100.0, 3000.0])
def test_narrow_rows_far_from_zero(far):
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((300, 2100)).astype(np.float32)
    X = (Z + np.float32(far)).astype(np.float32)
    y = (Z[:, :5].sum(axis=1) + rng.standard_normal(300) > 0).astype(int)
    model = LogisticRegression(solver="proximal", C=0.05, l1_ratio=1.0).fit(X, y)
    exact = LogisticRegression(solver="proximal", C=0.05, l1_ratio=1.0, tol=1e-10).fit(X.astype(np.float64) - far, y)
    assert model.converged_
    assert model.coef_.dtype == np.float32
    assert "by all 2100 columns" in model.stop_reason_
    np.testing.assert_array_equal(model.coef_ != 0.0, exact.coef_ != 0.0)
    z = X.astype(np.float64) @ model.coef_[0].astype(np.float64) + model.intercept_[0]
    np.testing.assert_allclose(z, (X.astype(np.float64) - far) @ exact.coef_[0] + exact.intercept_[0], atol=1e-5)
