"""Standard errors, tests and intervals: against formulas in loops, differences of the likelihood, and statsmodels."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
from plain_inference import contrasts, covariance, log_likelihood
from scipy import sparse, stats

from gpu_logreg import LogisticRegression, Stream

KINDS = ("nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster")


def problem(n_classes, n=150, seed=0):
    """Columns of several scales, one far from zero, that tell a little of the classes; and groups."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3)) * [1.0, 20.0, 0.1] + [0.0, 500.0, 5.0]
    Z = rng.gumbel(size=(n, n_classes)) + np.outer(X[:, 0] + (X[:, 1] - 500.0) / 40.0, np.arange(n_classes)) / n_classes
    return X, Z.argmax(axis=1), rng.integers(0, 12, n)


def fitted(X, y, **parameters):
    return LogisticRegression(C=np.inf, tol=1e-11, **parameters).fit(X, y)


def of_kind(kind, groups):
    return {"covariance": kind, "groups": groups if kind == "cluster" else None}


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_the_covariance_is_that_of_the_formulas_row_by_row(kind, n_classes, fit_intercept):
    X, y, groups = problem(n_classes)
    model = fitted(X, y, fit_intercept=fit_intercept)
    found = model.summary(X, y, **of_kind(kind, groups))
    truth = covariance(model, X, y, kind, groups=groups)
    scale = np.sqrt(truth.diagonal())
    np.testing.assert_allclose(found.covariance / np.outer(scale, scale), truth / np.outer(scale, scale), atol=1e-7)
    np.testing.assert_allclose(found.standard_errors.ravel(), scale, rtol=1e-7)
    np.testing.assert_array_equal(found.coefficients, np.squeeze(contrasts(model)))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_weight_3_is_a_row_three_times(kind, n_classes):
    X, y, groups = problem(n_classes)
    s = np.random.default_rng(1).integers(0, 4, len(X))
    model = LogisticRegression(C=np.inf, tol=1e-11).fit(X, y, s)
    weighted = model.summary(X, y, s, **of_kind(kind, groups))
    repeated = model.summary(X.repeat(s, axis=0), y.repeat(s), **of_kind(kind, groups.repeat(s)))
    np.testing.assert_allclose(
        weighted.covariance, repeated.covariance, rtol=1e-7, atol=1e-9 * weighted.covariance.max()
    )
    np.testing.assert_allclose(weighted.log_likelihood, repeated.log_likelihood, rtol=1e-12)
    assert weighted.n_rows == repeated.n_rows == s.sum()
    assert weighted.n_groups == repeated.n_groups
    np.testing.assert_allclose(
        [weighted.bic, weighted.null_log_likelihood], [repeated.bic, repeated.null_log_likelihood]
    )


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", ["HC2", "HC3"])
def test_a_row_of_weight_0_corrects_nothing_by_its_leverage(kind, n_classes):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 2)), rng.integers(0, n_classes, 60)
    X[5] = 0.1, 80.0
    s = np.where(np.arange(60) == 5, 0.0, 1.0)
    found = LogisticRegression(C=np.inf).fit(X, y, s).summary(X, y, s, covariance=kind)
    X, y = np.delete(X, 5, axis=0), np.delete(y, 5)
    without = fitted(X, y).summary(X, y, covariance=kind)
    np.testing.assert_allclose(found.covariance, without.covariance, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_class_weights_multiply_the_gradient_of_their_rows(kind, n_classes):
    X, y, groups = problem(n_classes)
    c = np.array([0.5, 2.0, 1.5])[:n_classes]
    model = fitted(X, y, class_weight=dict(enumerate(c)))
    found = model.summary(X, y, **of_kind(kind, groups))
    truth = covariance(model, X, y, kind, c=c, groups=groups)
    np.testing.assert_allclose(found.standard_errors.ravel(), np.sqrt(truth.diagonal()), rtol=1e-7)
    assert found.n_rows == len(X)


def test_the_information_is_the_second_difference_of_the_log_likelihood():
    X, y, _ = problem(3)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = fitted(X, y)
    found, Theta, h = model.summary(X, y), contrasts(model), 1e-3
    P = Theta.size
    information = np.empty((P, P))
    for a, b in np.ndindex(P, P):
        value = 0.0
        for da, db in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            moved = Theta.ravel().copy()
            moved[a] += da * h
            moved[b] += db * h
            value -= da * db * log_likelihood(moved.reshape(Theta.shape), X, y)
        information[a, b] = value / (4.0 * h * h)
    np.testing.assert_allclose(np.linalg.inv(found.covariance), information, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(found.log_likelihood, log_likelihood(Theta, X, y), rtol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_likelihood_ratio_criteria_and_wald_are_their_formulas(n_classes):
    X, y, _ = problem(n_classes)
    model = fitted(X, y)
    found, P = model.summary(X, y, level=0.9), 4 * (n_classes - 1)
    shares = np.bincount(y) / len(y)
    null = float(np.log(shares[y]).sum())
    np.testing.assert_allclose(found.null_log_likelihood, null, rtol=1e-12)
    chi2 = 2.0 * (log_likelihood(contrasts(model), X, y) - null)
    expected = chi2, P - n_classes + 1, stats.chi2.sf(chi2, P - n_classes + 1)
    np.testing.assert_allclose(found.likelihood_ratio, expected, rtol=1e-9)
    np.testing.assert_allclose(found.aic, 2 * P - 2 * found.log_likelihood)
    np.testing.assert_allclose(found.bic, P * math.log(len(y)) - 2 * found.log_likelihood)
    np.testing.assert_allclose(found.mcfadden_r2, 1 - found.log_likelihood / null)
    np.testing.assert_allclose(found.p_values, 2 * stats.norm.sf(np.abs(found.z)), rtol=1e-12)
    np.testing.assert_allclose(found.z, found.coefficients / found.standard_errors)
    reach = stats.norm.ppf(0.95) * found.standard_errors
    np.testing.assert_allclose(found.intervals[..., 1], found.coefficients + reach)
    np.testing.assert_allclose(found.intervals[..., 0], found.coefficients - reach)
    at = np.array([4 * k + j for k in range(n_classes - 1) for j in (0, 2)])
    w, V = found.coefficients.ravel()[at], found.covariance[np.ix_(at, at)]
    chi2 = w @ np.linalg.solve(V, w)
    np.testing.assert_allclose(found.wald(["x0", 2]), (chi2, len(at), stats.chi2.sf(chi2, len(at))), rtol=1e-9)
    np.testing.assert_allclose(found.wald("x1").chi2, found.wald(1).chi2)


def test_without_an_intercept_the_null_model_has_no_parameters():
    X, y, _ = problem(3)
    found = fitted(X, y, fit_intercept=False).summary(X, y)
    np.testing.assert_allclose(found.null_log_likelihood, -len(y) * math.log(3.0))
    assert found.likelihood_ratio.df == found.n_params == 6
    assert "without parameters" in str(found)


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_rows_float32_and_streams_have_the_same_covariance(kind):
    X, y, groups = problem(2, n=5000)
    X = np.where(np.abs(X - X.mean(axis=0)) > X.std(axis=0), X, 0.0).astype(np.float32)
    dense = fitted(X, y, storage="float64")
    truth = dense.summary(X.astype(np.float64), y, **of_kind(kind, groups))
    for rows in (X, sparse.csr_matrix(X), np.asfortranarray(X)):
        found = dense.summary(rows, y, **of_kind(kind, groups))
        np.testing.assert_allclose(found.covariance, truth.covariance, rtol=1e-9, atol=1e-12 * truth.covariance.max())
    cut = [slice(0, 1700), slice(1700, 1701), slice(1701, None)]
    stream = Stream([(X[part], y[part]) for part in cut])
    found = dense.summary(stream, **of_kind(kind, groups))
    np.testing.assert_allclose(found.covariance, truth.covariance, rtol=1e-9, atol=1e-12 * truth.covariance.max())


@pytest.mark.parametrize("kind", ["HC1", "HC3", "cluster"])
def test_many_blocks_on_threads_give_the_same_bits_and_the_same_figures(kind, monkeypatch):
    X, y, groups = problem(2, n=30_000)
    model = fitted(X, y)
    one = model.summary(X, y, **of_kind(kind, groups))
    assert (one.covariance == model.summary(X, y, **of_kind(kind, groups)).covariance).all()
    from gpu_logreg.arrays import block_sizes
    from gpu_logreg.passes.reference import information

    for name in ("INFORMATION", "READ_ONCE"):
        monkeypatch.setattr(information, name, block_sizes.BlockSize(2**16, 2**16))
    many = model.summary(X, y, **of_kind(kind, groups))
    np.testing.assert_allclose(many.covariance, one.covariance, rtol=1e-8, atol=1e-10 * one.covariance.max())


@pytest.mark.parametrize("kind", ["HC0", "HC2", "cluster"])
def test_compiled_products_have_the_same_covariance(kind, monkeypatch):
    from gpu_logreg.passes import choice

    X, y, groups = problem(2, n=3000)
    model = fitted(X, y)
    plain = model.summary(X, y, **of_kind(kind, groups))
    monkeypatch.setattr(choice, "CPU_PASS_ELEMENTS", 0)
    monkeypatch.setattr("gpu_logreg.passes.cpu.row_products.supports_products", lambda n_params: True)
    found = model.summary(X, y, **of_kind(kind, groups))
    np.testing.assert_allclose(found.covariance, plain.covariance, rtol=1e-9, atol=1e-11 * plain.covariance.max())


def test_names_tables_and_frames_hold_every_coefficient():
    pd = pytest.importorskip("pandas")
    X, y, _ = problem(3)
    table = pd.DataFrame(X, columns=["age", "a rather long name of some column", "c"])
    labels = np.array(["no", "perhaps", "yes"])[y]
    found = fitted(table, labels).summary(table, labels)
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 100
    assert "perhaps against no" in str(found)
    assert "yes against no" in str(found)
    assert sum(line.startswith("age ") for line in lines) == 2
    frame = found.to_frame()
    assert frame.shape == (8, 6)
    np.testing.assert_array_equal(frame["coefficient"], found.coefficients.ravel())
    assert frame.loc[("yes", "intercept"), "upper"] == found.intervals[1, 3, 1]
    X, y, _ = problem(2)
    found = fitted(X, y).summary(X, y)
    assert found.names == ["x0", "x1", "x2", "intercept"]
    assert list(found.to_frame().index) == found.names
    assert repr(found) == str(found)
    assert max(map(len, str(found).splitlines())) <= 100


def test_intervals_of_probabilities_are_those_of_the_logit():
    X, y, groups = problem(2)
    model = fitted(X, y)
    for kind in ("nonrobust", "cluster"):
        found = model.summary(X, y, **of_kind(kind, groups))
        U = np.column_stack([X, np.ones(len(X))])
        z, se = U @ found.coefficients, np.sqrt(np.einsum("ij,jk,ik->i", U, found.covariance, U))
        for rows in (X, sparse.csr_matrix(X)):
            low, high = found.predict_interval(rows).T
            np.testing.assert_allclose(low, 1 / (1 + np.exp(-(z - stats.norm.ppf(0.975) * se))), rtol=1e-6)
            np.testing.assert_allclose(high, 1 / (1 + np.exp(-(z + stats.norm.ppf(0.975) * se))), rtol=1e-6)
    wide = found.predict_interval(X[:5], level=0.99)
    p = model.predict_proba(X[:5])[:, 1]
    assert ((wide[:, 0] < low[:5]) & (low[:5] < p) & (p < high[:5]) & (high[:5] < wide[:, 1])).all()


def test_a_later_fit_does_not_change_a_summary():
    X, y, _ = problem(2)
    model = fitted(X, y)
    found = model.summary(X, y)
    before = found.predict_interval(X)
    model.fit(X[:, ::-1], 1 - y)
    np.testing.assert_array_equal(found.predict_interval(X), before)


STATSMODELS = pytest.mark.skipif(
    importlib.util.find_spec("statsmodels") is None, reason="statsmodels is not installed: pip install statsmodels"
)


@STATSMODELS
@pytest.mark.parametrize("kind", ["nonrobust", "HC0", "HC1", "cluster", "HC2", "HC3"])
def test_two_classes_are_those_of_statsmodels(kind):
    """Its ``Logit`` knows HC0 alone by that name: HC1 is multiplied here, and HC2 and HC3 are made of its leverages."""
    import statsmodels.api as sm

    X, y, groups = problem(2)
    U = np.column_stack([X, np.ones(len(X))])
    n, P = U.shape
    asked = {"HC0": {"cov_type": "HC0"}, "HC1": {"cov_type": "HC0"}}.get(kind, {})
    if kind == "cluster":
        asked = {"cov_type": "cluster", "cov_kwds": {"groups": groups}}
    theirs = sm.Logit(y, U).fit(disp=0, method="newton", tol=1e-14, **asked)
    truth = np.asarray(theirs.cov_params()) * (n / (n - P) if kind == "HC1" else 1.0)
    if kind in ("HC2", "HC3"):
        influence = sm.GLM(y, U, family=sm.families.Binomial()).fit(tol=1e-14).get_influence()
        rest = 1.0 - np.asarray(influence.hat_matrix_diag)
        e = (y - theirs.predict()) / (np.sqrt(rest) if kind == "HC2" else rest)
        B = np.asarray(theirs.cov_params())
        truth = B @ ((U * (e * e)[:, None]).T @ U) @ B
    model = fitted(X, y)
    found = model.summary(X, y, **of_kind(kind, groups))
    np.testing.assert_allclose(found.coefficients, theirs.params, rtol=1e-6)
    np.testing.assert_allclose(found.standard_errors, np.sqrt(truth.diagonal()), rtol=1e-6)
    np.testing.assert_allclose(
        [found.log_likelihood, found.null_log_likelihood, found.aic, found.bic, found.mcfadden_r2],
        [theirs.llf, theirs.llnull, theirs.aic, theirs.bic, theirs.prsquared],
        rtol=1e-6,
    )
    np.testing.assert_allclose(found.likelihood_ratio.p, theirs.llr_pvalue, rtol=1e-5)


@STATSMODELS
def test_many_classes_are_those_of_statsmodels():
    import statsmodels.api as sm

    X, y, groups = problem(4)
    X = (X - X.mean(axis=0)) / X.std(axis=0)  # its Newton steps end early on columns far from zero
    U = np.column_stack([X, np.ones(len(X))])
    theirs = sm.MNLogit(y, U).fit(disp=0, method="newton", tol=1e-14, maxiter=100)
    found = fitted(X, y).summary(X, y)
    np.testing.assert_allclose(found.coefficients, np.asarray(theirs.params).T, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.standard_errors, np.asarray(theirs.bse).T, rtol=1e-6)
    np.testing.assert_allclose(found.p_values, np.asarray(theirs.pvalues).T, rtol=1e-5)
    np.testing.assert_allclose([found.log_likelihood, found.aic], [theirs.llf, theirs.aic], rtol=1e-8)
    scores = theirs.model.score_obs(np.asarray(theirs.params))
    B, n, P = np.asarray(theirs.cov_params()), len(X), scores.shape[1]
    of_groups = np.array([scores[groups == g].sum(axis=0) for g in np.unique(groups)])
    G = len(of_groups)
    truths = {
        "HC0": B @ (scores.T @ scores) @ B,
        "HC1": B @ (scores.T @ scores) @ B * n / (n - P),
        "cluster": B @ (of_groups.T @ of_groups) @ B * (G / (G - 1) * (n - 1) / (n - P)),
    }
    for kind, truth in truths.items():
        errors = fitted(X, y).summary(X, y, **of_kind(kind, groups)).standard_errors
        np.testing.assert_allclose(errors.ravel(), np.sqrt(truth.diagonal()), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nonrobust", "HC0", "HC1", "HC2", "HC3"])
def test_intervals_cover_as_often_as_they_say(kind):
    """Within three deviations of the number of intervals of 90 % that hold the truth, and half a point of small n."""
    rng, n, times = np.random.default_rng(5), 600, 400
    w, covered = np.array([0.8, -0.5]), 0
    for _ in range(times):
        X = rng.standard_normal((n, 2))
        y = (rng.random(n) < 1.0 / (1.0 + np.exp(-(X @ w + 0.3)))).astype(int)
        intervals = LogisticRegression(C=np.inf).fit(X, y).summary(X, y, covariance=kind, level=0.9).intervals
        covered += int(((intervals[:, 0] < [*w, 0.3]) & ([*w, 0.3] < intervals[:, 1])).sum())
    n_intervals = 3 * times
    assert abs(covered / n_intervals - 0.9) < 3.0 * math.sqrt(0.09 / n_intervals) + 0.005


@pytest.mark.slow
def test_intervals_of_groups_cover_where_rows_depend():
    """Rows of a group share their column and their label, so that the rows tell as much as the groups do."""
    rng, times, covered, naive = np.random.default_rng(6), 300, 0, 0
    for _ in range(times):
        x = rng.standard_normal(150)
        label = (rng.random(150) < 1.0 / (1.0 + np.exp(-x))).astype(int)
        X, y, groups = x.repeat(5)[:, None], label.repeat(5), np.arange(150).repeat(5)
        model = LogisticRegression(C=np.inf).fit(X, y)
        for kind in ("cluster", "nonrobust"):
            low, high = model.summary(X, y, level=0.9, **of_kind(kind, groups)).intervals[0]
            covered += kind == "cluster" and low < 1.0 < high
            naive += kind == "nonrobust" and low < 1.0 < high
    assert abs(covered / times - 0.9) < 3.0 * math.sqrt(0.09 / times) + 0.01
    assert naive / times < 0.7
