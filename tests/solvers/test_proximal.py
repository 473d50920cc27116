"""L1 and elastic net: scikit-learn's solutions, conditions of optimality, few reads on hard data, what is reported."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_data import real_data
from sklearn.datasets import load_breast_cancer, load_svmlight_file
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as ScikitLearn
from test_subsampled_newton import hard_cases

from gpu_logreg import LogisticRegression
from gpu_logreg.solvers import Stop, proximal
from gpu_logreg.solvers.composite import Composite
from gpu_logreg.solvers.composite_steps import proximal_steps


@functools.cache
def breast_cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


@functools.cache
def generated(n: int = 3000, d: int = 20, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) @ (np.eye(d) + 0.3 * rng.standard_normal((d, d)))
    w = np.where(np.arange(d) < 5, rng.standard_normal(d), 0.0)
    return X, (rng.logistic(size=n) < X @ w + 0.5).astype(np.int64)


@functools.cache
def a9a():
    X, y = load_svmlight_file(str(real_data("a9a.gz")), n_features=123)
    return X.toarray(), (y > 0).astype(np.int64)


def parts(model, X, y, sample_weight=None):
    """Value, gradient of the smooth part by ``[w, b]``, and ``l1``, in float64; shares no code with the package."""
    X = np.asarray(X, np.float64)
    s = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    w, b = model.coef_[0].astype(np.float64), float(np.ravel(model.intercept_)[0])
    strength = 1.0 / (model.C * s.sum())
    l1, l2 = model.l1_ratio * strength, (1.0 - model.l1_ratio) * strength
    z = X @ w + b
    with np.errstate(over="ignore"):
        dz = s * (1.0 / (1.0 + np.exp(-z)) - y) / s.sum()
    value = s @ (np.logaddexp(0, z) - y * z) / s.sum() + l1 * np.abs(w).sum() + 0.5 * l2 * w @ w
    return value, X.T @ dz + l2 * w, dz.sum(), l1


def violation(model, X, y, sample_weight=None) -> float:
    """How far the conditions of optimality are from being met: the largest, per root mean square of its column."""
    _, dw, db, l1 = parts(model, X, y, sample_weight)
    w = model.coef_[0]
    v = np.where(w != 0, np.abs(dw + l1 * np.sign(w)), np.maximum(np.abs(dw) - l1, 0.0))
    size = np.sqrt((np.asarray(X, np.float64) ** 2).mean(axis=0))
    worst = (v / np.maximum(size, 1e-300)).max(initial=0.0)
    return max(worst, abs(db)) if model.fit_intercept else worst


def agrees(model, theirs, X, y, unique: bool = True):
    """The same value within 1e-8, and the same zeros; where the minimum is not unique, the same logits."""
    found, wanted = parts(model, X, y)[0], parts(theirs, X, y)[0]
    assert model.converged_, model.stop_reason_
    assert found <= wanted * (1 + 1e-9), f"{found / wanted - 1:.2g} above"
    assert found == pytest.approx(wanted, rel=1e-8)
    assert model.objective_ == pytest.approx(found, rel=1e-11)
    if unique:
        assert ((model.coef_ != 0) == (theirs.coef_ != 0)).all()
    else:
        np.testing.assert_allclose(model.decision_function(X), theirs.decision_function(X), atol=1e-3)
        assert np.abs(model.coef_).sum() == pytest.approx(np.abs(theirs.coef_).sum(), rel=1e-5)


@pytest.mark.parametrize("load", [breast_cancer, generated])
@pytest.mark.parametrize("C", [0.01, 0.1])
@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
def test_value_and_zeros_are_those_of_saga(load, C, l1_ratio):
    X, y = load()
    options = {"C": C, "l1_ratio": l1_ratio}
    theirs = ScikitLearn(**options, solver="saga", tol=1e-10, max_iter=50_000).fit(X, y)
    agrees(LogisticRegression(**options).fit(X, y), theirs, X, y)


@pytest.mark.parametrize("load", [breast_cancer, generated])
@pytest.mark.parametrize("C", [0.01, 0.1, 1.0, 10.0])
def test_value_and_zeros_are_those_of_liblinear(load, C):
    X, y = load()
    options = {"C": C, "l1_ratio": 1.0, "fit_intercept": False}  # liblinear penalises the intercept
    theirs = ScikitLearn(**options, solver="liblinear", tol=1e-10, max_iter=100_000, random_state=0).fit(X, y)
    agrees(LogisticRegression(**options).fit(X, y), theirs, X, y)


@pytest.mark.slow
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_a9a_as_saga(l1_ratio):
    X, y = a9a()
    options = {"C": 0.03, "l1_ratio": l1_ratio}
    theirs = ScikitLearn(**options, solver="saga", tol=1e-9, max_iter=5000, random_state=0).fit(X, y)
    # Groups of indicators add up to one: which of them carry the weights is not unique without a ridge.
    agrees(LogisticRegression(**options).fit(X, y), theirs, X, y, unique=l1_ratio < 1.0)


@pytest.mark.slow
def test_a9a_as_liblinear():
    X, y = a9a()
    options = {"C": 0.1, "l1_ratio": 1.0, "fit_intercept": False}
    theirs = ScikitLearn(**options, solver="liblinear", tol=1e-8, max_iter=100_000, random_state=0).fit(X, y)
    agrees(LogisticRegression(**options).fit(X, y), theirs, X, y, unique=False)


@pytest.mark.parametrize("load", [breast_cancer, generated])
def test_all_zero_above_the_largest_strength_and_one_coefficient_below(load):
    X, y = load()
    largest = np.abs(X.T @ (y.mean() - y)).max()  # n times l1: the gradient where only the intercept is fitted
    above = LogisticRegression(C=0.999 / largest, l1_ratio=1.0).fit(X, y)
    assert not above.coef_.any()
    assert above.intercept_[0] == pytest.approx(np.log(y.mean() / (1 - y.mean())), abs=1e-6)
    below = LogisticRegression(C=1.001 / largest, l1_ratio=1.0).fit(X, y)
    assert np.count_nonzero(below.coef_) == 1
    assert np.argmax(np.abs(below.coef_)) == np.argmax(np.abs(X.T @ (y.mean() - y)))


def test_a_path_in_c_by_warm_starts_is_that_of_single_fits():
    X, y = generated()
    path, counts = LogisticRegression(l1_ratio=1.0, warm_start=True), []
    for C in np.geomspace(1e-3, 10, 9):
        path.set_params(C=C).fit(X, y)
        single = LogisticRegression(C=C, l1_ratio=1.0).fit(X, y)
        assert path.converged_
        np.testing.assert_allclose(path.coef_, single.coef_, atol=1e-5)
        assert ((path.coef_ != 0) == (single.coef_ != 0)).all()
        counts.append(np.count_nonzero(single.coef_))
    assert counts[0] <= 2
    assert counts[-1] >= 15
    assert counts == sorted(counts)


@pytest.mark.parametrize("n", [300, 3000])
def test_weights_are_repetitions(n):
    X, y = (part[:n] for part in generated())
    s = np.random.default_rng(0).integers(0, 4, n)
    options = {"C": 0.1, "l1_ratio": 0.8, "tol": 1e-9}
    weighted = LogisticRegression(**options).fit(X, y, s)
    repeated = LogisticRegression(**options).fit(np.repeat(X, s, axis=0), np.repeat(y, s))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-8)
    assert weighted.objective_ == pytest.approx(repeated.objective_, rel=1e-11)
    assert violation(weighted, X, y, s) < 1e-8


@pytest.mark.parametrize("n", [500, 5000])
def test_duplicated_columns_share_what_one_would_have(n):
    X, y = generated(n)
    options = {"C": 0.1, "l1_ratio": 1.0}
    single = LogisticRegression(**options).fit(X, y)
    double = LogisticRegression(**options).fit(np.hstack([X, X]), y)
    assert double.converged_, double.stop_reason_
    np.testing.assert_allclose(double.coef_[:, :20] + double.coef_[:, 20:], single.coef_, atol=1e-5)
    assert double.objective_ == pytest.approx(single.objective_, rel=1e-9)


LIMITS = {
    "heavy tails": 14,
    "one-hot, 3 x 20 Zipf": 17,
    "one-hot, 60 Zipf": 17,
    "positives 0.06 %": 15,
    "separable": 16,
}


@pytest.mark.parametrize("C", [0.01, 1.0])
@pytest.mark.parametrize(
    "name",
    [
        "Gaussian", "sorted by label", "collinear columns", "means of 1,000", "scales 1e-6 to 1e6", "positives 0.06 %",
        "near-separable", "separable", "heavy tails", "one-hot, 3 x 20 Zipf", "one-hot, 60 Zipf",
        "rare columns, 10 hits",
    ],
)  # fmt: skip
def test_hard_data_take_few_reads(name, C):
    X, y, _ = hard_cases()[name]
    models = [LogisticRegression(C=C, l1_ratio=1.0, random_state=seed).fit(X, y) for seed in range(3)]
    values = [parts(model, X, y)[0] for model in models]
    for model, value in zip(models, values, strict=True):
        assert model.converged_, model.stop_reason_
        assert model.n_reads_ <= LIMITS.get(name, 13)
        assert value <= min(values) * (1 + 1e-10)
        if "scales" not in name and "1,000" not in name:
            assert violation(model, X, y) < 1e-6


def test_reads_are_counted_and_the_path_depends_on_the_sample_alone():
    X, y, _ = hard_cases()["Gaussian"]
    first, again = (LogisticRegression(C=0.01, l1_ratio=1.0, random_state=3).fit(X, y) for _ in range(2))
    assert first.coef_.tobytes() == again.coef_.tobytes()
    assert first.intercept_.tobytes() == again.intercept_.tobytes()
    other = LogisticRegression(C=0.01, l1_ratio=1.0, random_state=4).fit(X, y)
    np.testing.assert_allclose(other.coef_, first.coef_, atol=1e-6)
    assert ((other.coef_ != 0) == (first.coef_ != 0)).all()


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_float32_rows(l1_ratio):
    X, y = generated(20_000)
    options = {"C": 0.01, "l1_ratio": l1_ratio}
    model = LogisticRegression(**options).fit(X.astype(np.float32), y)
    exact = LogisticRegression(**options).fit(X.astype(np.float32).astype(np.float64), y)
    assert model.converged_, model.stop_reason_
    assert model.objective_ == pytest.approx(exact.objective_, rel=1e-8)
    assert ((model.coef_ != 0) == (exact.coef_ != 0)).all()
    np.testing.assert_allclose(model.coef_, exact.coef_, atol=1e-5)


@pytest.mark.parametrize("C", [0.1, 100.0])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(("n", "d"), [(30, 100), (100, 300)])
def test_more_columns_than_rows(n, d, C, fit_intercept):
    X, y = generated(n, d)
    model = LogisticRegression(C=C, l1_ratio=1.0, fit_intercept=fit_intercept).fit(X, y)
    assert model.converged_, model.stop_reason_
    assert violation(model, X, y) < 1e-6
    assert np.count_nonzero(model.coef_) < d / 2


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(8, 400),
    st.integers(1, 12),
    st.sampled_from([0.01, 0.3, 3.0, 100.0]),
    st.sampled_from([0.05, 0.5, 1.0]),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 3.0]),
)
def test_conditions_of_optimality(seed, n, d, C, l1_ratio, fit_intercept, spread):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-spread, spread, d) + rng.integers(0, 2, d)
    if d > 2:
        X[:, 0] = X[:, 1]
        X[:, 2] = 1.0
    y = rng.integers(0, 2, n)
    y[:2] = 0, 1
    model = LogisticRegression(C=C, l1_ratio=l1_ratio, fit_intercept=fit_intercept, tol=1e-7).fit(X, y)
    assert model.converged_, model.stop_reason_
    assert violation(model, X, y) < 1e-6
    assert model.objective_ == pytest.approx(parts(model, X, y)[0], rel=1e-10)


@pytest.mark.parametrize(("n", "l1_ratio"), [(500, 1.0), (500, 0.5), (20_000, 0.5), (20_000, 1.0)])
def test_the_duality_gap_bounds_what_was_left(n, l1_ratio):
    X, y = generated(n)
    rough = LogisticRegression(C=0.1, l1_ratio=l1_ratio, tol=1e-2, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rough.fit(X, y)
    exact = LogisticRegression(C=0.1, l1_ratio=l1_ratio, tol=1e-9).fit(X, y)
    assert rough.duality_gap_ >= rough.objective_ - exact.objective_ - 1e-12
    assert 0.0 <= exact.duality_gap_ <= rough.duality_gap_ + 1e-15
    assert exact.duality_gap_ < 1e-4 * exact.objective_
    assert "duality gap at most" in exact.stop_reason_
    assert not hasattr(LogisticRegression().fit(X, y), "duality_gap_")


def test_what_ends_a_fit_is_said():
    X, y = generated()
    model = LogisticRegression(l1_ratio=1.0, C=0.1).fit(X, y)
    assert model.solver_ == "proximal"
    assert model.stop_reason_.startswith("max |subgradient| = ")
    with pytest.warns(ConvergenceWarning, match=r"proximal did not converge: max_iter = 0 .*max \|subgradient\|"):
        LogisticRegression(l1_ratio=1.0, C=0.1, max_iter=0).fit(X, y)
    seen = []
    stopped = LogisticRegression(l1_ratio=1.0, C=0.1, verbose=lambda iteration: seen.append(iteration) or True)
    stopped.fit(X, y)
    assert len(seen) == 1
    assert "stopped by a callback" in stopped.stop_reason_
    assert seen[0].params.shape == (21,)
    assert stopped.n_iter_[0] == 1


@pytest.mark.parametrize("n", [500, 20_000])
def test_by_name_it_solves_ridge_and_no_penalty_too(n):
    X, y = generated(n)
    for C in (1.0, np.inf):
        model = LogisticRegression(C=C, solver="proximal").fit(X, y)
        other = LogisticRegression(C=C).fit(X, y)
        assert model.solver_ == "proximal"
        assert model.objective_ == pytest.approx(other.objective_, rel=1e-10)
        np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-5)


def test_strength_without_end_is_no_penalty():
    X, y = generated()
    model = LogisticRegression(C=np.inf, l1_ratio=1.0).fit(X, y)
    assert model.solver_ == "subsampled-newton"
    assert model.objective_ == LogisticRegression(C=np.inf).fit(X, y).objective_


def test_separable_classes_have_a_minimum():
    X, _ = generated()
    y = (X[:, 0] - X[:, 1] > 0).astype(np.int64)
    model = LogisticRegression(C=10.0, l1_ratio=1.0).fit(X, y)
    assert model.converged_, model.stop_reason_
    assert violation(model, X, y) < 1e-6


def test_a_column_that_no_row_of_the_sample_has(monkeypatch):
    X, y = generated(20_000)
    X = X.copy()
    X[:, 3] = 0.0
    X[np.flatnonzero(y)[:40], 3] = 1.0
    monkeypatch.setattr(proximal, "sample_size", lambda n, form, costs: 400)
    model = LogisticRegression(C=1.0, l1_ratio=1.0).fit(X, y)
    assert model.converged_, model.stop_reason_
    assert model.coef_[0, 3] > 1.0
    assert violation(model, X, y) < 1e-5


@pytest.mark.parametrize("C", [1.0, 10.0])
@pytest.mark.parametrize("size", [400, 1000])
def test_a_sample_of_few_rows_leads_far_away_and_back(monkeypatch, C, size):
    # On so few rows the classes are separable by rare indicators: their solution puts other rows far on the wrong side,
    # where they have no curvature. Trial points further still must not spoil the rounding at the point itself.
    monkeypatch.setattr(proximal, "sample_size", lambda n, form, costs: size)
    rng = np.random.default_rng(0)
    share = 0.5 ** np.arange(1, 11)
    groups = [np.eye(10)[rng.choice(10, 4000, p=share / share.sum())] for _ in range(6)]
    X = np.hstack(groups)  # each group adds up to one: singular
    y = (rng.logistic(size=4000) < 2.0 * X @ rng.standard_normal(60)).astype(np.int64)
    model = LogisticRegression(C=C, l1_ratio=1.0, fit_intercept=False).fit(X, y)
    least = parts(LogisticRegression(C=C, l1_ratio=1.0, fit_intercept=False, tol=1e-10).fit(X, y), X, y)[0]
    assert model.converged_
    assert parts(model, X, y)[0] <= least * (1.0 + 1e-9)
    assert model.n_reads_ < 100.0
    assert all(np.diff(model.loss_curve_) <= 1e-12)


class OffsetBowl:
    """``offset + |x|**2 / 2``, whose rounding is that of the last point evaluated, and large far from zero."""

    separable_below = 0.0
    precision = 1e-16

    def __init__(self, offset):
        self.offset, self.rounding, self.n_calls = offset, 1e-16, 0

    def widen(self):
        return False

    def __call__(self, x):
        self.n_calls += 1
        self.rounding = 1e-16 if np.abs(x).max() < 10.0 else 1.0
        return self.offset + 0.5 * float(x @ x), x.copy()


def from_a_wrong_model(bowl):
    """Steps with a model that has next to no curvature along the second coordinate."""
    return proximal_steps(
        Composite(bowl, np.zeros(2)),
        np.ones(2),
        np.diag([1.0, 1e-9]),
        criterion=lambda here, left: Stop("enough", True) if np.abs(here.grad).max() < 1e-2 else None,
        max_iter=30,
    )


@pytest.mark.parametrize(("offset", "most_calls"), [(1.0, 3), (1e9, 60)])
def test_a_model_without_curvature_is_given_some(offset, most_calls):
    # With the small offset the model promises more than the value; with the large one only trials tell it is wrong.
    bowl = OffsetBowl(offset)
    result = from_a_wrong_model(bowl)
    assert result.converged, result.message
    assert all(np.diff(result.loss_curve) <= 1e-6)
    np.testing.assert_allclose(result.params, 0.0, atol=1e-2)
    assert bowl.n_calls <= most_calls


def test_a_matrix_of_rows_without_a_column_leaves_its_weight_where_it_belongs():
    # At the minimum of a coordinate the gradient is as large as the penalty. A model that knows of no curvature there
    # must neither halve the weight nor push it, least of all by the last step, which nobody looks at.
    class Shifted(OffsetBowl):
        def __call__(self, x):
            return super().__call__(x - 1.0)

    l1 = np.array([0.25, 0.25])
    minimum = np.array([0.75, 0.75])
    for off in (0.0, 1e-9, -1e-9):
        result = proximal_steps(
            Composite(Shifted(1.0), l1),
            minimum + np.array([0.0, off]),
            np.diag([1.0, 0.0]),
            criterion=lambda here, left: Stop("enough", True) if np.abs(here.grad).max() < 1e-6 else None,
            max_iter=5,
            last_step=True,
        )
        assert result.n_iter == 0
        np.testing.assert_allclose(result.params, minimum, atol=1e-8)
