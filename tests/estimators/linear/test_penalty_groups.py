"""Groups of columns: the minimum against a plain proximal gradient method, its conditions, and what is refused."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from plain_minimum import PlainModel, parameters_of
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg import LogisticRegression, Stream, load_model, save_model
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear import penalty_groups
from gpu_logreg.estimators.linear.penalty_groups import given_groups
from gpu_logreg.estimators.linear.projected_steps import projected_steps
from gpu_logreg.rows import block_store

N, D = 300, 8
GROUPS = [[0, 5, 1], [3, 2], [6, 7]]
WITH_ALONE = [*GROUPS, [4]]


def rows(n=N, seed=0):
    """Rows with correlated columns, some far from zero."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, D)) + 0.7 * rng.standard_normal((n, 1))
    X = X * [1.0, 2.0, 0.5, 2.0, 1.0, 1.0, 0.7, 1.0] + [0.0, 1.0, 2.0, 0.0, 0.0, 2.0, 0.0, -1.0]
    z = 0.6 * X @ (rng.standard_normal(D) * (np.arange(D) < 6))
    return X, (z - z.mean() + rng.logistic(size=n) > 0).astype(int)


def plain_groups(X, P, strengths, l2, s=None, offset=0.0, fit_intercept=True):
    """``[w, b]`` by the accelerated proximal gradient method, restarted where it rises, until nothing moves."""
    mean = X.mean(axis=0) if fit_intercept else np.zeros(D)
    plain = PlainModel(X - mean, P, s, l2, offset)
    curvature = np.linalg.norm(plain.U * np.sqrt(plain.s)[:, None], 2) ** 2 / 4.0 + np.max(l2)
    x = v = np.zeros(D + 1)
    t = 1.0
    for _ in range(100_000):
        grad = plain.value_and_grad(v)[1]
        new = v - grad / curvature
        if not fit_intercept:
            new[D] = 0.0
        for group, strength in zip(WITH_ALONE, strengths, strict=True):
            new[group] *= max(0.0, 1.0 - strength / curvature / np.linalg.norm(new[group]))
        if (v - new) @ (new - x) > 0.0:
            t = 1.0
        t, last = 0.5 + np.sqrt(0.25 + t * t), t
        v = new + (last - 1.0) / t * (new - x)
        moved, x = np.abs(new - x).max(), new
        if moved < 1e-15:
            break
    assert moved < 1e-15
    x[D] -= mean @ x[:D]
    return x


def strengths_of(C, l1_ratio, total=N, factors=(1.0, 1.0, 1.0, 1.0)):
    """Of `WITH_ALONE`."""
    return l1_ratio / (C * total) * np.array(factors) * np.sqrt([3, 2, 2, 1])


@pytest.mark.parametrize(("C", "l1_ratio"), [(0.03, 1.0), (0.1, 1.0), (1.0, 1.0), (0.1, 0.5), (1.0, 0.1)])
def test_the_minimum_is_the_plain_ones(C, l1_ratio):
    X, y = rows()
    truth = plain_groups(X, np.eye(2)[y], strengths_of(C, l1_ratio), (1.0 - l1_ratio) / (C * N))
    for given in (X, sp.csr_array(X)):
        model = LogisticRegression(C, l1_ratio=l1_ratio, penalty_groups=GROUPS, tol=1e-10).fit(given, y)
        np.testing.assert_allclose(parameters_of(model)[0], truth, rtol=0.0, atol=1e-9)
        np.testing.assert_array_equal(model.coef_[0] == 0.0, truth[:D] == 0.0)
        assert (model.converged_, model.solver_) == (True, "group-newton")
        penalty = sum(s * np.linalg.norm(truth[g]) for s, g in zip(strengths_of(C, l1_ratio), WITH_ALONE, strict=True))
        value = PlainModel(X, np.eye(2)[y], None, (1.0 - l1_ratio) / (C * N)).value_and_grad(truth)[0]
        assert model.objective_ == pytest.approx(value + penalty, rel=1e-12)
        assert model.loss_curve_[-1] == model.objective_
    if (C, l1_ratio) == (0.1, 1.0):
        assert 0 < np.count_nonzero(truth[:D]) < D


def test_with_factors_and_row_weights():
    X, y = rows()
    s = np.random.default_rng(1).integers(0, 4, N).astype(float)
    factors = np.array([1.0, 0.0, 3.0, 0.5])
    by_column = np.empty(D)
    for group, factor in zip(WITH_ALONE, factors, strict=True):
        by_column[group] = factor
    l2 = 0.4 * by_column / (0.05 * s.sum())
    truth = plain_groups(X, np.eye(2)[y], strengths_of(0.05, 0.6, s.sum(), factors), l2, s)
    how = {"l1_ratio": 0.6, "penalty_groups": GROUPS, "penalty_factor": by_column, "tol": 1e-10}
    model = LogisticRegression(0.05, **how).fit(X, y, sample_weight=s)
    np.testing.assert_allclose(parameters_of(model)[0], truth, rtol=0.0, atol=1e-9)
    assert (model.coef_[0, GROUPS[1]] != 0.0).all()  # unpenalised
    with pytest.raises(DataError, match=re.escape("penalty_factor differs within the group of column 0: 2 and 1")):
        LogisticRegression(l1_ratio=1.0, penalty_groups=GROUPS, penalty_factor=[2.0] + [1.0] * 7).fit(X, y)


def test_with_an_offset_soft_labels_and_no_intercept():
    X, y = rows()
    rng = np.random.default_rng(1)
    offset, p = rng.standard_normal(N), rng.uniform(size=N)
    how = {"l1_ratio": 1.0, "penalty_groups": GROUPS, "tol": 1e-10}
    truth = plain_groups(X, np.eye(2)[y], strengths_of(0.1, 1.0), 0.0, offset=offset[:, None])
    model = LogisticRegression(0.1, **how).fit(X, y, offset=offset)
    np.testing.assert_allclose(parameters_of(model)[0], truth, rtol=0.0, atol=1e-9)
    truth = plain_groups(X, np.column_stack([1.0 - p, p]), strengths_of(0.5, 1.0), 0.0)
    model = LogisticRegression(0.5, **how, soft_labels=True).fit(X, p)
    np.testing.assert_allclose(parameters_of(model)[0], truth, rtol=0.0, atol=1e-9)
    truth = plain_groups(X, np.eye(2)[y], strengths_of(0.1, 1.0), 0.0, fit_intercept=False)
    model = LogisticRegression(0.1, **how, fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(parameters_of(model)[0], truth, rtol=0.0, atol=1e-9)


def test_groups_of_one_are_l1_and_no_strength_is_no_penalty():
    X, y = rows()
    lasso = LogisticRegression(0.05, l1_ratio=1.0, tol=1e-11).fit(X, y)
    for groups in ([], [[j] for j in range(D)]):
        model = LogisticRegression(0.05, l1_ratio=1.0, penalty_groups=groups, tol=1e-10).fit(X, y)
        np.testing.assert_allclose(parameters_of(model), parameters_of(lasso), atol=1e-8)
    none = LogisticRegression(np.inf, tol=1e-10).fit(X, y)
    model = LogisticRegression(np.inf, penalty_groups=GROUPS, tol=1e-10).fit(X, y)
    np.testing.assert_array_equal(model.coef_, none.coef_)


def residual_of(model, X, y, groups, C):
    """The largest violation of the conditions of a minimum, on the mean loss."""
    e = 1.0 / (1.0 + np.exp(-(X @ model.coef_[0] + model.intercept_))) - y
    grad, w, worst = X.T @ e / len(X), model.coef_[0], abs(e.mean())
    for group in groups:
        strength, size = np.sqrt(len(group)) / (C * len(X)), np.linalg.norm(w[group])
        v = grad[group]
        v = v + strength * w[group] / size if size > 0.0 else max(0.0, np.linalg.norm(v) - strength)
        worst = max(worst, np.abs(v).max())
    return worst


@pytest.mark.parametrize(
    ("n", "d", "common", "C"), [(120, 300, 3.0, 0.5), (300, 120, 0.0, 20.0), (20_000, 30, 1.0, 0.01)]
)
def test_more_columns_than_rows_and_many_rows_by_samples(n, d, common, C):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((n, d)) + common * rng.standard_normal((n, 1))
    y = (X @ (rng.standard_normal(d) * (np.arange(d) < d // 3)) / np.sqrt(d) + rng.logistic(size=n) > 0).astype(int)
    groups = [list(range(j, j + 6)) for j in range(0, d, 6)]
    model = LogisticRegression(C, l1_ratio=1.0, penalty_groups=groups, tol=1e-8).fit(X, y)
    assert model.converged_
    assert residual_of(model, X, y, groups, C) < 1e-8
    assert model.n_iter_ < 15
    by_group = np.array([np.count_nonzero(model.coef_[0, g]) for g in groups])
    assert set(by_group) <= {0, 6}
    assert by_group.any()


def test_separable_rows_have_a_minimum():
    X, _ = rows()
    y = (X[:, 0] > 0.0).astype(int)
    model = LogisticRegression(1e4, l1_ratio=1.0, penalty_groups=GROUPS, tol=1e-7).fit(X, y)
    assert model.converged_, model.stop_reason_
    assert residual_of(model, X, y, WITH_ALONE, 1e4) < 1e-7


def test_columns_far_from_zero():
    X, y = rows()
    plain = LogisticRegression(0.1, l1_ratio=1.0, penalty_groups=GROUPS, tol=1e-9).fit(X, y)
    model = LogisticRegression(0.1, l1_ratio=1.0, penalty_groups=GROUPS, tol=1e-9).fit(X + 1e6, y)
    assert model.converged_, model.stop_reason_
    np.testing.assert_allclose(model.coef_, plain.coef_, atol=1e-7)
    assert model.objective_ == pytest.approx(plain.objective_, rel=1e-9)


@pytest.mark.parametrize("change", [0.0, 1e-9, 0.01, "a group of zeros", "no zeros"])
def test_the_certificate_is_of_the_end(monkeypatch, change):
    """A solver that ends elsewhere, and says that it has converged, is not believed."""

    def elsewhere(objective, *how):
        result, *more = projected_steps(objective, *how)
        params = result.params.copy()
        if change == "a group of zeros":
            params[GROUPS[0]] = 0.0
        elif change == "no zeros":
            params[GROUPS[2]] = 0.01
        else:
            params[0] += change
        value, grad = objective(params)
        for group, strength in zip(WITH_ALONE, strengths_of(0.1, 1.0), strict=True):
            value += strength * np.linalg.norm(params[group])
        return replace(result, params=params, value=value, smooth_grad=grad, converged=True), *more

    monkeypatch.setattr(penalty_groups, "projected_steps", elsewhere)
    X, y = rows()
    model = LogisticRegression(0.1, l1_ratio=1.0, penalty_groups=GROUPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert model.converged_ == (change in (0.0, 1e-9))
    assert model.converged_ or "the subgradient of groups by standardised columns is" in model.stop_reason_


def test_an_early_end_is_no_convergence():
    X, y = rows()
    with pytest.warns(match="did not converge"):
        model = LogisticRegression(1.0, l1_ratio=1.0, penalty_groups=GROUPS, max_iter=2).fit(X, y)
    assert not model.converged_


@pytest.mark.parametrize("how", [{"l1_ratio": 1.0, "penalty_groups": GROUPS}, {"positive": True}])
def test_an_observer_is_told_of_parameters(how):
    X, y = rows()
    seen = []
    model = LogisticRegression(0.1, **how, verbose=lambda it: seen.append(it.params)).fit(X, y)
    np.testing.assert_allclose(seen[-1], parameters_of(model)[0], atol=1e-12)


def test_the_protocol_and_the_file_keep_them(tmp_path):
    X, y = rows()
    how = {"l1_ratio": 1.0, "penalty_groups": GROUPS, "tol": 1e-9, "warm_start": True}
    model = LogisticRegression(0.1, **how).fit(X.astype(np.float32), y)
    assert model.coef_.dtype == np.float64
    save_model(model, tmp_path / "model.safetensors")
    for again in (clone(model), load_model(tmp_path / "model.safetensors"), model):
        np.testing.assert_allclose(again.fit(X, y).coef_, model.coef_, atol=1e-6)
        assert again.penalty_groups == GROUPS
    with pytest.raises(DataError, match="to_sklearn: scikit-learn's model has no penalty_groups"):
        model.to_sklearn()
    with pytest.raises(DataError, match="an L1 penalty leaves no standard errors"):
        model.summary(X, y)


def test_a_stream_has_them_too(monkeypatch, tmp_path):
    monkeypatch.setattr(block_store, "STREAMED_ELEMENTS", 2**11)
    monkeypatch.setattr(block_store, "STREAMED_ROWS", 2**8)
    X, y = rows(4000)
    np.save(tmp_path / "X.npy", X)
    stream = Stream(tmp_path / "X.npy", y, memory_budget="95kB")
    model = LogisticRegression(0.01, l1_ratio=1.0, penalty_groups=GROUPS, tol=1e-9)
    in_memory = parameters_of(model.fit(X, y))
    np.testing.assert_allclose(parameters_of(model.fit(stream)), in_memory, atol=1e-7)
    assert stream.n_blocks_ > 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"penalty_groups": [[0, 1], [2, 1]]}, "column 1 is in penalty_groups[0] and again in penalty_groups[1]"),
        ({"penalty_groups": [[0, 0]]}, "column 0 is in penalty_groups[0] and again in penalty_groups[0]"),
        ({"penalty_groups": [[0], [3, 8]]}, "penalty_groups[1] has column 8, and X has columns 0 to 7"),
        ({"penalty_groups": [[-1]]}, "penalty_groups[0] has column -1, and X has columns 0 to 7"),
        ({"penalty_groups": [[0], []]}, "penalty_groups[1] is empty; leave it out"),
        ({"penalty_groups": [0, 1]}, "penalty_groups[0] is no list of columns; give their numbers"),
        ({"penalty_groups": [["age"]]}, "penalty_groups[0] is no list of columns; give their numbers"),
        ({"penalty_groups": [[[0], [1, 2]]]}, "penalty_groups[0] is no list of columns; give their numbers"),
        ({"penalty_groups": GROUPS, "l1_ratio": 0.0}, "l1_ratio=0 has none; use l1_ratio=1"),
        ({"penalty_groups": GROUPS, "solver": "saga", "positive": True}, "penalty_groups cannot be used with bounds"),
        (
            {"penalty_groups": GROUPS, "solver": "proximal"},
            "Solver proximal knows no penalty_groups; use solver='auto'",
        ),
        ({"penalty_groups": GROUPS, "penalty": "firth"}, "penalty_groups cannot be used with penalty='firth'"),
    ],
)
def test_what_is_refused(parameters, message):
    X, y = rows(60)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        LogisticRegression(**{"l1_ratio": 1.0, **parameters}).fit(X, y)
    assert "\n" not in str(error.value)


def test_rows_and_models_that_are_refused():
    X, y = rows(60)
    model = LogisticRegression(l1_ratio=1.0, penalty_groups=GROUPS)
    with pytest.raises(DataError, match="penalty_groups are for two classes, and y has 3; fit one against the others"):
        model.fit(X, np.arange(60) % 3)
    with pytest.raises(DataError, match=re.escape("at most 4,000 parameters, and these are 4,001")):
        model.fit(sp.csr_array((60, 4000)), y)
    on_workers = SimpleNamespace(n_logits=1, n_params=D + 1, dataset=SimpleNamespace())
    with pytest.raises(DataError, match="not on a cluster or several devices"):
        given_groups(GROUPS, on_workers)
