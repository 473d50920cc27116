"""`logistic_path` against a fit for every C."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import LogisticRegression, Stream, logistic_path
from gpu_logreg.errors import DataError
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.solvers.proximal_path import ProximalPath

CS = [0.3, 0.003, 3.0, 0.03]


def drawn(n_classes=2, n=400, d=8):
    rng = np.random.default_rng(n_classes)
    X = rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.5)
    return X, (X @ rng.standard_normal((d, n_classes)) + rng.gumbel(size=(n, n_classes))).argmax(axis=1)


@pytest.mark.parametrize("solver", ["auto", "coordinate-descent"])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_model_is_that_of_a_fit_of_its_own(solver, l1_ratio, n_classes):
    if solver != "auto" and l1_ratio == 0.0:
        pytest.skip("coordinate descent takes an L1 penalty")
    X, y = drawn(n_classes)
    X = X if solver == "auto" else sp.csr_array(X)
    s = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    impl = "auto" if solver == "auto" else "cpu"
    path = logistic_path(X, y, CS, l1_ratio=l1_ratio, sample_weight=s, solver=solver, impl=impl, tol=1e-10)
    assert path.converged.all()
    assert path.coefs.shape == (4, 1 if n_classes == 2 else 3, 8)
    for at, C in enumerate(CS):
        one = LogisticRegression(C=C, l1_ratio=l1_ratio, tol=1e-10).fit(X, y, s)
        np.testing.assert_allclose(path.coefs[at], one.coef_, atol=1e-7)
        np.testing.assert_allclose(path.intercepts[at], one.intercept_, atol=1e-7)
        assert path.objectives[at] == pytest.approx(one.objective_, rel=1e-10)


def test_the_path_with_l1_takes_fewer_reads_than_fits_of_their_own():
    X, y = drawn(n=20_000)
    Cs = np.logspace(-4, 0, 20)
    path = logistic_path(X, y, Cs, l1_ratio=1.0)
    assert path.n_reads < sum(LogisticRegression(C=C, l1_ratio=1.0).fit(X, y).n_reads_ for C in Cs)
    assert (np.diff((path.coefs != 0).sum(axis=(1, 2))) >= 0).all()


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0, 0.5])
def test_a_path_draws_one_sample(l1_ratio, monkeypatch):
    drawn = []
    X, y = drawn_for_a_sample()
    whole = Sampler._rows_drawn

    def noted(sampler, size):
        drawn.append((size, sampler._objective.l2))
        return whole(sampler, size)

    monkeypatch.setattr(Sampler, "_rows_drawn", noted)
    Cs = [0.01, 0.03, 0.1]
    path = logistic_path(X, y, Cs, l1_ratio=l1_ratio, tol=1e-9)
    assert len(drawn) == 1
    for at, C in enumerate(Cs):
        one = LogisticRegression(C=C, l1_ratio=l1_ratio, tol=1e-9).fit(X, y)
        np.testing.assert_allclose(path.coefs[at], one.coef_, atol=1e-6)
    assert len(drawn) == 1 + len(Cs)


def drawn_for_a_sample():
    """Rows of which a few carry most of the variance of a column, so that they are drawn by their scores."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((40_000, 12))
    X[::500, 0] *= 50.0
    return X, (X[:, 1:] @ rng.standard_normal(11) + rng.logistic(size=len(X)) > 0.0).astype(int)


def test_what_cannot_be_fitted_is_told_of_in_a_line():
    X, y = drawn()
    with pytest.raises(DataError, match=r"Cs\[0\] is -1; inverse strengths"):
        logistic_path(X, y, [-1.0])
    with pytest.raises(DataError, match="takes rows in memory"):
        logistic_path(Stream([(X, y)]), None)
    with pytest.raises(ValueError, match="'l1_ratio' parameter"):
        logistic_path(X, y, l1_ratio=2.0)
    with pytest.warns(ConvergenceWarning, match=r"\d of 2 fits did not converge; the first is that of C="):
        logistic_path(100.0 * X**3, y, [1.0, 100.0], solver="lbfgs", max_iter=1)


@pytest.mark.parametrize(("l1_ratio", "fit_intercept"), [(1.0, True), (1.0, False), (0.5, True)])
@pytest.mark.parametrize("kind", ["normal", "sparse", "far", "float32"])
def test_fits_that_share_the_curvature_end_where_fits_of_their_own_do(kind, l1_ratio, fit_intercept):
    X, y = of_a_kind(kind)
    Cs = np.geomspace(1e-3, 1.0, 12)
    exact = {"l1_ratio": l1_ratio, "fit_intercept": fit_intercept, "tol": 1e-6 if kind == "float32" else 1e-9}
    path = logistic_path(X, y, Cs, **exact)
    assert path.converged.all()
    for at, C in enumerate(Cs):
        one = LogisticRegression(C=C, **exact).fit(X, y)
        assert path.objectives[at] == pytest.approx(one.objective_, rel=1e-8 if kind == "float32" else 1e-11)
        scale = 1.0 if kind == "sparse" else X.std(axis=0)
        atol = 1e-4 if kind == "float32" else 1e-7
        np.testing.assert_allclose(path.coefs[at] * scale, one.coef_ * scale, atol=atol)


def of_a_kind(kind, n=8_000):
    """Rows of 30 columns of which some are correlated; so many that fits begin with a sample of them."""
    rng = np.random.default_rng(5)
    if kind == "sparse":
        X = sp.random_array((n, 30), density=0.2, rng=rng, format="csr")
    else:
        X = rng.standard_normal((n, 30))
        X[:, :5] += X[:, 5:6]
        if kind == "far":
            X = 100.0 + X * np.logspace(-2, 2, 30)
    z = np.asarray((X - (100.0 if kind == "far" else 0.0) * np.ones(30)) @ np.where(np.arange(30) % 3, 0.0, 1.0))
    y = (z / z.std() + rng.logistic(size=n) > z.mean() / z.std()).astype(int)
    return X.astype(np.float32) if kind == "float32" else X, y


def test_a_path_takes_few_reads_and_the_same_bits_twice():
    X, y = of_a_kind("normal")
    Cs = np.geomspace(1e-3, 1.0, 30)
    path = logistic_path(X, y, Cs, l1_ratio=1.0)
    assert path.converged.all()
    assert path.n_reads < 4.5 * len(Cs)
    again = logistic_path(X, y, Cs, l1_ratio=1.0)
    np.testing.assert_array_equal(path.coefs, again.coefs)


def test_a_path_goes_on_where_the_shared_model_misleads(monkeypatch):
    X, y = of_a_kind("normal")
    Cs = np.geomspace(1e-3, 1.0, 6)
    expected = logistic_path(X, y, Cs, l1_ratio=1.0, tol=1e-9)
    minimum = ProximalPath.minimum

    def misled(path, *needs, **limits):
        known = path._known
        path._known = known._replace(grad=-known.grad, matrix=1e-3 * known.matrix)
        return minimum(path, *needs, **limits)

    monkeypatch.setattr(ProximalPath, "minimum", misled)
    path = logistic_path(X, y, Cs, l1_ratio=1.0, tol=1e-9)
    assert path.converged.all()
    np.testing.assert_allclose(path.coefs, expected.coefs, atol=1e-7)


@pytest.mark.parametrize("number", [0, -1])
def test_no_number_of_values(number):
    X, y = np.eye(4), np.array([0, 1, 0, 1])
    with pytest.raises(DataError, match=f"Cs={number} is a number of values; give at least 1"):
        logistic_path(X, y, number)
