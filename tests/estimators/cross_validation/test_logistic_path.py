"""`logistic_path` against a fit for every C."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import LogisticRegression, Stream, logistic_path
from gpu_logreg.errors import DataError
from gpu_logreg.objectives.sampler import Sampler

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
