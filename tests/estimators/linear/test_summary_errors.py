"""What `summary` refuses: one line that names the culprit and the remedy."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gpu_logreg import LogisticRegression, Stream
from gpu_logreg.errors import DataError, MissingDependencyError


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    return X, (rng.random(200) < 1.0 / (1.0 + np.exp(-X[:, 0]))).astype(int)


def unpenalised(X, y, **parameters):
    return LogisticRegression(C=np.inf, **parameters).fit(X, y)


def refused(text, model, *data, **asked):
    with pytest.raises(DataError, match=re.escape(text)) as caught:
        model.summary(*data, **asked)
    assert "\n" not in str(caught.value)


def test_penalties(rows):
    refused("C=1 draws the coefficients towards zero", LogisticRegression().fit(*rows), *rows)
    refused("fit with C=np.inf", LogisticRegression(C=10.0).fit(*rows), *rows)
    refused("an L1 penalty leaves no standard errors", LogisticRegression(l1_ratio=1.0).fit(*rows), *rows)
    refused("an L1 penalty leaves no standard errors", LogisticRegression(l1_ratio=0.5).fit(*rows), *rows)


def test_no_penalty_by_its_old_name(rows):
    with pytest.warns(FutureWarning, match="penalty"):
        model = LogisticRegression(penalty=None).fit(*rows)
    assert model.summary(*rows).n_params == 4


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_that_did_not_converge(rows):
    refused("the fit did not converge", unpenalised(*rows, max_iter=1), *rows)


def test_parameters_that_cannot_be(rows):
    model = unpenalised(*rows)
    refused("covariance='HC4' is none of nonrobust, HC0", model, *rows, covariance="HC4")
    refused("covariance='cluster' needs groups=", model, *rows, covariance="cluster")
    refused("takes no groups; use covariance='cluster', not 'HC1'", model, *rows, covariance="HC1", groups=[1] * 200)
    for level in (0.0, 1.0, 95, "0.95", True, np.nan):
        refused(f"level={level!r} is not a number between 0 and 1", model, *rows, level=level)


def test_groups_that_cannot_be(rows):
    model = unpenalised(*rows)
    refused("groups has shape (3,), and X has 200 rows", model, *rows, covariance="cluster", groups=[1, 2, 3])
    refused("groups holds 1 group of positive weight", model, *rows, covariance="cluster", groups=["a"] * 200)
    gap = np.arange(200.0)
    gap[7] = np.nan
    refused("groups holds NaN at row 7", model, *rows, covariance="cluster", groups=gap)
    shops = np.array(["a", "b"] * 100, dtype=object)
    days = np.array(["2026-01-01", "2026-01-02"] * 100, dtype="datetime64[D]")
    assert model.summary(*rows, covariance="cluster", groups=shops).n_groups == 2
    assert model.summary(*rows, covariance="cluster", groups=days).n_groups == 2
    shops[7], days[7] = None, "NaT"
    refused("groups holds a missing label, None, at row 7", model, *rows, covariance="cluster", groups=shops)
    refused("groups holds a missing label, NaT, at row 7", model, *rows, covariance="cluster", groups=days)
    shops[7] = 7
    refused("str at row 0 and int at row 7", model, *rows, covariance="cluster", groups=shops)


def test_other_rows_than_those_of_the_fit(rows):
    X, y = rows
    model = unpenalised(X, y)
    refused("coef_ is not the maximum of the likelihood of these rows", model, X[:100], y[:100])
    refused("standard errors away in 'x0'", model, X, 1 - y)
    refused("coef_ is not the maximum", model, X, y, np.arange(200.0))
    with pytest.raises(DataError, match="not among the classes"):
        model.summary(X, y + 1)
    with pytest.raises(DataError, match="the classes of the rows are not those of the fit"):
        model.summary(Stream([(X[:100], y[:100] + 5), (X[100:], y[100:] + 5)]))
    with pytest.raises(ValueError, match="2 features"):
        model.summary(X[:, :2], y)
    X = X.copy()
    X[3, 1] = np.nan
    refused("Input X contains NaN at row 3, column 1", model, X, y)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("far", [0.0, 1e4])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_collinear_columns_are_named(rows, n_classes, far):
    X, _ = rows
    X = X + far
    y = np.random.default_rng(2).integers(0, n_classes, 200)
    twice = np.column_stack([X, X[:, 0] + X[:, 2]])
    refused("singular: 'x0', 'x2', 'x3' are collinear", unpenalised(twice, y), twice, y)
    constant = np.column_stack([X[:, :2], np.full(200, 0.1 + far)])
    refused("singular: 'x2' is constant", unpenalised(constant, y), constant, y)
    kinds = np.eye(3)[np.random.default_rng(3).integers(0, 3, 200)]
    refused(
        "'x1', 'x2', 'x3' are collinear, by themselves or with the intercept",
        unpenalised(np.column_stack([X[:, :1], kinds]), y),
        np.column_stack([X[:, :1], kinds]),
        y,
    )
    if far == 0.0:  # where one column is a sum of the others but for a millionth without an intercept too
        without = unpenalised(np.column_stack([X[:, :1], kinds]), y, fit_intercept=False)
        assert without.summary(np.column_stack([X[:, :1], kinds]), y).n_params == 4 * (n_classes - 1)


def test_nearly_collinear_columns_are_not_refused(rows):
    X, y = rows
    near = np.column_stack([X, X[:, 0] + 1e-4 * np.random.default_rng(1).standard_normal(200)])
    assert unpenalised(near, y, tol=1e-9).summary(near, y).standard_errors[0] > 100.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_columns_that_separate_the_classes_are_named(rows):
    X, y = rows
    rng = np.random.default_rng(1)
    complete = np.column_stack([X, 2.0 * y + rng.random(200)])
    refused("the classes are separated by 'x3'", unpenalised(complete, y), complete, y)
    rare = np.column_stack([X, (rng.random(200) < 0.1) & (y == 1)])  # 1 only where y is
    for tol in (1e-4, 1e-6, 1e-10):
        refused("the classes are separated by 'x3'", unpenalised(rare, y, tol=tol), rare, y)
    x = rng.standard_normal(200)
    pair = np.column_stack([X, x, np.where(rng.random(200) < 0.3, x + (2 * y - 1) * rng.random(200), x)])
    refused("the classes are separated by 'x3', 'x4'", unpenalised(pair, y), pair, y)
    y = rng.integers(0, 3, 200)
    third = np.column_stack([X, (rng.random(200) < 0.2) & (y == 1)])
    refused("the classes are separated by 'x3'", unpenalised(third, y), third, y)


def test_too_many_columns():
    from scipy import sparse

    X = sparse.random(60, 6000, 0.01, "csr", rng=0)
    y = np.arange(60) % 2
    model = LogisticRegression().fit(X, y).set_params(C=np.inf)
    refused("6,001 parameters is a matrix of 0.3 GB; at most 5,000 are taken", model, X, y)


@pytest.mark.parametrize("scale", [1e-5, 1e3, 1e6])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_columns_that_separate_the_classes_at_any_scale(scale, fit_intercept):
    rng = np.random.default_rng(0)
    apart = np.where(rng.random(300) < 0.3, rng.uniform(0.5, 1.0, 300), 0.0)
    X = rng.standard_normal((300, 2))
    X[:, 0] = apart + 0.3 * X[:, 1]
    y = ((rng.random(300) < 0.5) | (apart > 0.0)).astype(int)
    model = unpenalised(scale * X, y, fit_intercept=fit_intercept)
    refused("the classes are separated by 'x0', 'x1'", model, scale * X, y)


def test_a_test_of_more_columns_than_groups_tell_of():
    rng = np.random.default_rng(0)
    X, groups = rng.standard_normal((200, 4)), rng.integers(0, 4, 200)
    y = (X[:, 0] + rng.logistic(size=200) > 0.0).astype(int)
    found = unpenalised(X, y).summary(X, y, covariance="cluster", groups=groups)
    assert found.wald([0, 1, 2]).p < 1e-3
    with pytest.raises(DataError, match="covariance of 4 parameters is singular, as of few groups; test fewer"):
        found.wald([0, 1, 2, 3])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_leverages_of_one_and_more(n_classes):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 2)), rng.integers(0, n_classes, 60)
    s = np.full(60, 0.02)  # a weight below 1 is a part of a row, whose leverage is that of the whole one
    model = LogisticRegression(C=np.inf).fit(X, y, s)
    for kind in ("HC2", "HC3"):
        refused("needs leverages below 1, and a row has 1 or more; use 'HC1'", model, X, y, s, covariance=kind)


def test_columns_and_probabilities_that_cannot_be(rows):
    X, y = rows
    found = unpenalised(X, y).summary(X, y)
    for columns, text in (
        (["age"], "no column 'age'; there are 'x0', 'x1'"),
        ([4], "column 4 is neither"),
        ([], "empty"),
    ):
        with pytest.raises(DataError, match=text):
            found.wald(columns)
    with pytest.raises(DataError, match="level=2 is not"):
        found.predict_interval(X, level=2)
    three = np.arange(200) % 3
    with pytest.raises(DataError, match="two classes, and the model has 3"):
        unpenalised(X, three).summary(X, three).predict_interval(X)


def test_a_frame_without_pandas(rows, monkeypatch):
    found = unpenalised(*rows).summary(*rows)
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match="pip install pandas"):
        found.to_frame()


def test_a_row_that_the_fit_cannot_do_without(rows):
    X, y = rows
    alone = np.column_stack([X, np.arange(200) == 0])
    model = unpenalised(alone, y)
    with pytest.raises(DataError, match="separated by 'x3'"):
        model.summary(alone, y, covariance="HC3")
