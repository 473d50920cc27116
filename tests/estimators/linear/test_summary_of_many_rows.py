"""Standard errors of many rows: how often they are walked, and sums that are taken of products in float32."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_logreg import LogisticRegression
from gpu_logreg.estimators.linear.inference import _numbered
from gpu_logreg.mathematics import whitening
from gpu_logreg.objectives import information as at_maximum
from gpu_logreg.passes import choice
from gpu_logreg.passes.cpu import row_products
from gpu_logreg.passes.reference import information_rows

KINDS = ("nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster")


def problem(rows, seed=0):
    rng = np.random.default_rng(seed)
    z = (rows - rows.mean(axis=0)) / rows.std(axis=0) @ rng.standard_normal(rows.shape[1]) / 3.0
    return rows, (rng.random(len(rows)) < 1.0 / (1.0 + np.exp(-z))).astype(int)


@pytest.fixture
def single(monkeypatch):
    """Products in float32 for all numbers of rows and on all processors; the rows that were left out of them."""
    left_out = []

    def whitened_gram(self, *arguments):
        found = of_products(self, *arguments)
        left_out.append(len(found[1]))
        return found

    of_products = row_products.CompiledProducts.whitened_gram
    monkeypatch.setattr(row_products.CompiledProducts, "whitened_gram", whitened_gram)
    monkeypatch.setattr(choice, "CPU_PASS_ELEMENTS", 0)
    monkeypatch.setattr(row_products, "supports_products", lambda n_params: True)
    monkeypatch.setattr(whitening, "LEAST_ROWS", 0)
    monkeypatch.setattr(at_maximum, "LEAST_ROWS", 0)
    return left_out


def of_float64(monkeypatch):
    monkeypatch.setattr(whitening, "LEAST_ROWS", 10**9)
    monkeypatch.setattr(at_maximum, "LEAST_ROWS", 10**9)


def walks(monkeypatch):
    """The numbers of rows that are read, as a list that grows."""
    read = []

    def rows_at(rows, at, dtype):
        read.append(len(rows[at]))
        return whole(rows, at, dtype)

    whole = information_rows.rows_at
    monkeypatch.setattr(information_rows, "rows_at", rows_at)
    return read


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_walked_once_or_twice(kind, monkeypatch):
    X, y = problem(np.random.default_rng(1).standard_normal((30_000, 4)))
    model = LogisticRegression(C=np.inf).fit(X, y)
    read = walks(monkeypatch)
    model.summary(X, y, covariance=kind, groups=y if kind == "cluster" else None)
    n_walks = 2 if kind in ("HC2", "HC3") else 1
    assert n_walks * len(X) <= sum(read) <= n_walks * len(X) + 2 * information_rows.SAMPLED_ROWS


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_walked_at_most_three_times_where_float32_does_not_do(kind, single, monkeypatch):
    X, y = problem(np.random.default_rng(1).standard_cauchy((20_000, 5)))
    model = LogisticRegression(C=np.inf, tol=1e-9, max_iter=1000).fit(X, y)
    groups = np.arange(len(y)) % 50 if kind == "cluster" else None
    read = walks(monkeypatch)
    found = model.summary(X, y, covariance=kind, groups=groups)
    assert sum(read) <= 3 * len(X) + 3 * information_rows.SAMPLED_ROWS
    of_float64(monkeypatch)
    truth = model.summary(X, y, covariance=kind, groups=groups)
    np.testing.assert_allclose(found.standard_errors, truth.standard_errors, rtol=5e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["far from zero", "correlated", "two values", "scales", "weights", "no intercept"])
def test_products_in_float32_leave_seven_digits(kind, case, single, monkeypatch):
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((30_000, 9))
    if case == "far from zero":
        rows += 2.0
    if case == "correlated":
        rows += 0.7 * rows[:, :1]
    if case == "two values":
        rows = np.where(rows > 0.5, 0.3, 0.1)[np.lexsort((rows > 0.5).T)]  # equal rows behind one another
    if case == "scales":
        rows *= np.logspace(-20, 20, 9)
    X, y = problem(rows)
    s = 1e6 * rng.integers(1, 4, len(y)) if case == "weights" else None
    model = LogisticRegression(C=np.inf, tol=1e-9, fit_intercept=case != "no intercept").fit(X, y, s)
    groups = np.arange(len(y)) // 7 if kind == "cluster" else None
    found = model.summary(X, y, s, covariance=kind, groups=groups)
    assert single == [0] * len(single)
    assert bool(single) == (kind in ("HC2", "HC3"))
    of_float64(monkeypatch)
    truth = model.summary(X, y, s, covariance=kind, groups=groups)
    np.testing.assert_allclose(found.standard_errors, truth.standard_errors, rtol=2e-7)
    scale = np.sqrt(truth.covariance.diagonal())
    error = (found.covariance - truth.covariance) / np.outer(scale, scale)
    assert np.abs(error).max() < 4e-7
    again = model.summary(X, y, s, covariance=kind, groups=groups)
    np.testing.assert_array_equal(again.covariance, truth.covariance)


@pytest.mark.parametrize("kind", ["HC2", "HC3"])
def test_rows_of_large_leverage_are_taken_in_float64(kind, single, monkeypatch):
    X, y = problem(np.random.default_rng(3).standard_normal((3000, 5)))
    X[[7, 1500, 2999]] *= 60.0
    model = LogisticRegression(C=np.inf, tol=1e-9).fit(X, y)
    found = model.summary(X, y, covariance=kind)
    assert sum(single) > 0
    of_float64(monkeypatch)
    truth = model.summary(X, y, covariance=kind)
    np.testing.assert_allclose(found.standard_errors, truth.standard_errors, rtol=5e-7)


def test_columns_near_one_another_are_taken_in_float64(single):
    rows = np.random.default_rng(4).standard_normal((3000, 5))
    rows[:, 4] = rows[:, 3] + 0.01 * rows[:, 4]
    X, y = problem(rows)
    LogisticRegression(C=np.inf, tol=1e-9).fit(X, y).summary(X, y, covariance="HC3")
    assert single == []


@pytest.mark.parametrize(
    "values",
    [
        np.repeat(np.array([-128, 127, 3], np.int8), 50),
        np.repeat(np.array([250, 3], np.uint8), 90),
        np.array([-(2**63), -(2**63) + 1]),
        np.array([2**64 - 1, 2**64 - 2, 2**64 - 1], np.uint64),
        np.array([2**63 - 1, -(2**63)]),
        np.array([10**9, 5, 5]),
        np.array(["b", "a", "b"]),
        np.array([], int),
    ],
    ids=str,
)
def test_groups_are_numbered_in_their_order(values):
    found, codes = np.unique(values, return_inverse=True)
    numbers, n_groups = _numbered(values)
    np.testing.assert_array_equal(numbers, codes)
    assert n_groups == len(found)
