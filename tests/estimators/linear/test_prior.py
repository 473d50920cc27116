"""Intercepts for the population that rows were drawn from by their class: by simulation, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gpu_logreg import LogisticRegression, load_model, save_model
from gpu_logreg.errors import DataError

W, B = np.array([1.0, -0.7]), -4.0


def population(n=400_000, seed=0):
    """Rows with few positives."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 2))
    return rng, X, (rng.random(n) < 1.0 / (1.0 + np.exp(-(X @ W + B)))).astype(int)


def drawn(rate=0.05):
    """All positives, and of the negatives a share; with the share of positives in the population."""
    rng, X, y = population()
    kept = (y == 1) | (rng.random(len(y)) < rate)
    return X[kept], y[kept], float(y.mean())


@pytest.mark.parametrize("parameters", [{"C": np.inf}, {"C": 1.0}, {"penalty": "firth"}])
def test_the_coefficients_are_those_of_the_population(parameters):
    X, y, share = drawn()
    for correction in ({"prior": share}, {"prior": {0: 1.0 - share, 1: share}}, {"sampling_rates": {0: 0.05, 1: 1.0}}):
        model = LogisticRegression(**parameters, **correction).fit(X, y)
        np.testing.assert_allclose(model.coef_[0], W, atol=0.05)
        np.testing.assert_allclose(model.intercept_, B, atol=0.06)
        plain = LogisticRegression(**parameters).fit(X, y)
        np.testing.assert_array_equal(model.coef_, plain.coef_)
        np.testing.assert_allclose(model.intercept_, plain.intercept_ + model.prior_shift_)
        assert not hasattr(plain, "prior_shift_")
    q = y.mean()
    by_formula = plain.intercept_ - np.log((1.0 - share) / share * q / (1.0 - q))
    model = LogisticRegression(**parameters, prior=share).fit(X, y)
    np.testing.assert_allclose(model.intercept_, by_formula)  # equation 7 of King and Zeng


def test_probabilities_are_right_on_other_rows_of_the_population():
    X, y, share = drawn()
    _, others, outcome = population(seed=1)
    p = LogisticRegression(C=np.inf, prior=share).fit(X, y).predict_proba(others)[:, 1]
    for low, high in ((0.0, 0.01), (0.01, 0.05), (0.05, 0.2)):
        chosen = (p >= low) & (p < high)
        error = np.sqrt(p[chosen].mean() / chosen.sum())
        assert abs(outcome[chosen].mean() - p[chosen].mean()) < 5.0 * error + 0.03 * high


def test_many_classes():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((60_000, 2))
    V, b = np.array([[0.0, 0.0], [1.0, 0.5], [-1.0, 1.0]]), np.array([0.0, -1.0, -2.5])
    y = (X @ V.T + b + rng.gumbel(size=(60_000, 3))).argmax(axis=1)
    names, rates = np.array(["a", "b", "c"]), np.array([0.1, 0.5, 1.0])
    kept = rng.random(len(y)) < rates[y]
    shares = dict(zip(names, np.bincount(y) / len(y), strict=True))
    for correction in ({"prior": shares}, {"sampling_rates": dict(zip(names, rates, strict=True))}):
        model = LogisticRegression(C=np.inf, **correction).fit(X[kept], names[y[kept]])
        np.testing.assert_allclose(model.coef_[1:] - model.coef_[0], V[1:], atol=0.12)
        np.testing.assert_allclose(model.intercept_[1:] - model.intercept_[0], b[1:], atol=0.12)
        assert abs(model.intercept_.sum()) < 1e-9


def test_weights_of_rows_and_classes_count_in_the_shares():
    X, y, share = drawn()
    s = np.random.default_rng(3).integers(1, 4, len(y))
    weighted = LogisticRegression(C=np.inf, tol=1e-9, prior=share).fit(X, y, s)
    repeated = LogisticRegression(C=np.inf, tol=1e-9, prior=share).fit(X.repeat(s, axis=0), y.repeat(s))
    np.testing.assert_allclose(weighted.intercept_, repeated.intercept_, rtol=1e-6)
    balanced = LogisticRegression(C=np.inf, prior=share, class_weight="balanced").fit(X, y)
    np.testing.assert_allclose(balanced.intercept_, B, atol=0.06)


@pytest.mark.parametrize("parameters", [{"C": np.inf}, {"penalty": "firth"}])
def test_a_summary_has_the_intercept_of_the_population(parameters):
    X, y, share = drawn(0.01)
    plain = LogisticRegression(**parameters).fit(X, y)
    moved = LogisticRegression(prior=share, **parameters).fit(X, y)
    here, there = plain.summary(X, y), moved.summary(X, y)
    shift = np.append([0.0, 0.0], moved.prior_shift_)
    np.testing.assert_allclose(there.coefficients, [*moved.coef_[0], moved.intercept_[0]], rtol=1e-12)
    np.testing.assert_allclose(there.coefficients, here.coefficients + shift, rtol=1e-12)
    np.testing.assert_allclose(there.intervals, here.intervals + shift[:, None], rtol=1e-9)
    np.testing.assert_allclose(there.standard_errors, here.standard_errors, rtol=1e-9)
    low, high = there.predict_interval(X[:50]).T
    p = moved.predict_proba(X[:50])[:, 1]
    assert ((low < p) & (p < high)).all()


def test_a_second_fit_and_a_file_keep_it(tmp_path):
    X, y, share = drawn(0.01)
    model = LogisticRegression(prior=share, warm_start=True).fit(X, y)
    first = model.intercept_.copy()
    np.testing.assert_allclose(model.fit(X, y).intercept_, first, rtol=1e-4)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert loaded.prior == share
    np.testing.assert_allclose(model.to_sklearn().predict_proba(X), model.predict_proba(X), rtol=1e-6)
    model.set_params(prior=None).fit(X, y)
    assert not hasattr(model, "prior_shift_")


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"prior": 0.1, "sampling_rates": {0: 1.0, 1: 1.0}}, "prior and sampling_rates both tell the shares"),
        ({"prior": 0.1, "fit_intercept": False}, "prior changes the intercept, and fit_intercept=False leaves none"),
        ({"prior": {0: 0.5, 1: 0.6}}, "prior holds shares that add up to 1.1; those of all classes add up to 1"),
        ({"prior": {0: 0.5, 2: 0.5}}, "prior has the classes [0, 2], and y [0, 1]: 2 is in one alone"),
        ({"prior": {0: 1.0}}, "prior has the classes [0], and y [0, 1]: 1 is in one alone"),
        ({"prior": {0: 1.5, 1: -0.5}}, "prior has -0.5 for the class 1; give a positive number"),
        ({"sampling_rates": {0: 5.0, 1: 1.0}}, "sampling_rates holds 5; a rate is the share of a class that was kept"),
        ({"sampling_rates": {0: 0.0, 1: 1.0}}, "sampling_rates has 0.0 for the class 0; give a positive number"),
        (
            {"sampling_rates": {0: 1.0, 1: 1.0}, "class_weight": "balanced"},
            "sampling_rates and class_weight both",
        ),
        ({"prior": 0.0}, "The 'prior' parameter"),
        ({"prior": 1.0}, "The 'prior' parameter"),
        ({"sampling_rates": 0.5}, "The 'sampling_rates' parameter"),
    ],
)
def test_what_cannot_be(parameters, text):
    X, y, _ = drawn(0.002)
    with pytest.raises(ValueError, match=re.escape(text)):
        LogisticRegression(**parameters).fit(X, y)


def test_a_share_of_one_class_of_three():
    X, y, _ = drawn(0.002)
    with pytest.raises(
        DataError, match=re.escape("prior=0.2 is the share of one class, and y has 3; give a dict of all")
    ):
        LogisticRegression(prior=0.2).fit(X, np.arange(len(y)) % 3)
    s = np.where(np.arange(len(y)) % 3 == 2, 0.0, 1.0)
    with pytest.raises(DataError, match="no row of the class 2 has weight"):
        LogisticRegression(prior={0: 0.2, 1: 0.2, 2: 0.6}).fit(X, np.arange(len(y)) % 3, s)
