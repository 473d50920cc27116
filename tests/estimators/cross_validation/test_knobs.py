"""Offsets, penalty factors, bounds, groups, soft labels and priors in cross-validation: the fits are those of
`LogisticRegression` on the rows of a fold, and scores are those of its predictions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, StratifiedKFold

from gpu_logreg import LogisticRegression, LogisticRegressionCV
from gpu_logreg.errors import DataError

CS = [0.02, 1.0, 50.0]
CV = StratifiedKFold(3)


def rows(n=400, d=5, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    Z = X @ rng.standard_normal((d, classes)) + rng.gumbel(size=(n, classes))
    return X, Z.argmax(axis=1), rng


def cv(**parameters):
    known = {"Cs": CS, "cv": CV, "l1_ratios": (0,), "scoring": "neg_log_loss", "use_legacy_attributes": False}
    return LogisticRegressionCV(**(known | {"tol": 1e-9} | parameters))


def alone(C, l1_ratio=0.0, **parameters):
    return LogisticRegression(C=C, l1_ratio=l1_ratio, tol=1e-10, **parameters)


def cut(offset, at):
    return offset if np.ndim(offset) == 0 else offset[at]


def compare(model, X, y, knobs, offset=None, atol=1e-6, s=None):
    """Every fold's coefficients and score against a fit of its own; the refit too."""
    labels = y if y.ndim == 1 and y.dtype.kind in "iu" else np.asarray(y if y.ndim > 1 else [1 - y, y].T).argmax(axis=1)
    for fold, (train, test) in enumerate(model.cv.split(X, labels)):
        for at_ratio, ratio in enumerate(model.l1_ratios):
            for at, C in enumerate(model.Cs):
                one = alone(C, ratio, **knobs)
                more = {} if offset is None else {"offset": cut(offset, train)}
                one.fit(X[train], y[train], None if s is None else s[train], **more)
                found = model.coefs_paths_[fold, at_ratio, at]
                np.testing.assert_allclose(found[:, :-1], one.coef_, atol=atol)
                np.testing.assert_allclose(found[:, -1], one.intercept_, atol=atol)
                if y.ndim == 1 and y.dtype.kind in "iu":
                    more = {} if offset is None else {"offset": cut(offset, test)}
                    expected = -log_loss(y[test], one.predict_proba(X[test], **more), labels=one.classes_)
                    assert model.scores_[fold, at_ratio, at] == pytest.approx(expected, abs=1e-6)
    refit = alone(float(model.C_), float(model.l1_ratio_), **knobs)
    refit.fit(X, y, s, **({} if offset is None else {"offset": offset}))
    np.testing.assert_allclose(model.coef_, refit.coef_, atol=atol)
    np.testing.assert_allclose(model.intercept_, refit.intercept_, atol=atol)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.7])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_an_offset(classes, l1_ratio, is_sparse):
    X, y, rng = rows(classes=classes)
    offset = rng.standard_normal(len(y) if classes == 2 else (len(y), classes))
    X = sparse.csr_array(X * (rng.random(X.shape) < 0.5)) if is_sparse else X
    model = cv(l1_ratios=(l1_ratio,)).fit(X, y, offset=offset)
    compare(model, X, y, {}, offset)
    with pytest.raises(DataError, match="the model was fitted with an offset"):
        model.predict_proba(X)
    expected = -log_loss(y, model.predict_proba(X, offset=offset))
    assert model.score(X, y, offset=offset) == pytest.approx(expected)
    with pytest.raises(DataError, match="the model was fitted with an offset"):
        model.score(X, y)
    assert cv(scoring=None).fit(X, y, offset=offset).score(X, y, offset=offset) > 0.5


def test_a_fit_without_an_offset_forgets_that_of_the_last():
    X, y, _ = rows()
    model = cv().fit(X, y, offset=1.0)
    model.fit(X, y)
    assert not hasattr(model, "has_offset_")
    assert model.predict(X).shape == y.shape


def test_an_offset_of_weighted_rows_and_other_scorers():
    X, y, rng = rows()
    s, offset = rng.integers(0, 3, len(y)).astype(float), 2.0 * rng.standard_normal(len(y))
    model = cv(scoring=None).fit(X, y, s, offset=offset)
    for fold, (train, test) in enumerate(CV.split(X, y)):
        one = alone(CS[1]).fit(X[train], y[train], s[train], offset=offset[train])
        expected = one.score(X[test], y[test], s[test], offset=offset[test])
        assert model.scores_[fold, 0, 1] == pytest.approx(expected)
    y = (rng.logistic(size=len(y)) < X[:, 0] + offset).astype(int)
    areas = cv(scoring="roc_auc").fit(X, y, offset=offset).scores_
    without = cv(scoring="roc_auc").fit(X, y, offset=0.0).scores_
    assert (areas > without + 0.01).all()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("n", [400, 6000])
def test_penalty_factors(classes, l1_ratio, n):
    X, y, _ = rows(n, classes=classes)
    knobs = {"penalty_factor": [0.0, 1.0, 3.0, 0.5, 1.0]}
    compare(cv(l1_ratios=(l1_ratio,), **knobs).fit(X, y), X, y, knobs)


def test_penalty_factors_of_zero_leave_no_penalty():
    X, y, _ = rows()
    model = cv(penalty_factor=np.zeros(5), l1_ratios=(0.5,)).fit(X, y)
    free = LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(model.coef_, free.coef_, atol=1e-6)
    np.testing.assert_allclose(model.coefs_paths_[0, 0, 0], model.coefs_paths_[0, 0, 2], atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_bounds(classes, l1_ratio):
    X, y, _ = rows(classes=classes)
    for knobs in ({"positive": True}, {"lower_bounds": -0.1, "upper_bounds": [0.3, 0.1, np.inf, 0.0, 0.2]}):
        model = cv(l1_ratios=(l1_ratio,), **knobs).fit(X, y)
        compare(model, X, y, knobs)
        assert model.solver_ == "projected-newton"
        least = 0.0 if "positive" in knobs else -0.1
        assert model.coefs_paths_[..., :-1].min() >= least
        assert model.coef_.min() >= least


def test_groups_of_columns():
    X, y, _ = rows()
    knobs = {"penalty_groups": [[0, 1], [2, 3, 4]]}
    model = cv(l1_ratios=(1, 0.5), **knobs).fit(X, y)
    compare(model, X, y, knobs)
    assert model.solver_ == "group-newton"
    assert not cv(Cs=[1e-3], l1_ratios=(1,), **knobs).fit(X, y).coef_.any()


@pytest.mark.parametrize("classes", [2, 3])
def test_soft_labels_are_scored_as_the_rows_that_they_stand_for(classes):
    X, y, rng = rows(classes=classes)
    P = rng.dirichlet(np.ones(classes), len(y)) * 0.5 + 0.5 * np.eye(classes)[y]
    s = rng.random(len(y))
    model = cv(soft_labels=True, cv=KFold(3)).fit(X, P, s)
    plain = cv(soft_labels=True, cv=KFold(3), scoring=None).fit(X, P, s)
    named = cv(soft_labels=True, cv=KFold(3), scoring="accuracy").fit(X, P, s)
    for fold, (train, test) in enumerate(KFold(3).split(X)):
        one = alone(CS[1], soft_labels=True).fit(X[train], P[train], s[train])
        found = model.coefs_paths_[fold, 0, 1]
        np.testing.assert_allclose(found, np.column_stack([one.coef_, one.intercept_]), atol=1e-6)
        score = np.average((P[test] * one.predict_log_proba(X[test])).sum(axis=1), weights=s[test])
        assert model.scores_[fold, 0, 1] == pytest.approx(score, abs=1e-7)
        for accuracy in (plain, named):
            assert accuracy.scores_[fold, 0, 1] == pytest.approx(one.score(X[test], P[test], s[test]))
    assert plain.score(X, P) == pytest.approx(P[np.arange(len(P)), plain.predict(X)].mean())
    expected = (P * model.predict_log_proba(X)).sum(axis=1)
    assert model.score(X, P) == pytest.approx(expected.mean())
    assert model.score(X, P, sample_weight=s) == pytest.approx(np.average(expected, weights=s))
    with pytest.raises(DataError, match="takes no sample_weight"):
        cv(soft_labels=True, scoring=_without_weights()).fit(X, P)


def _without_weights():
    from sklearn.metrics import make_scorer

    def score(y, predicted):
        return float((y == predicted).mean())

    return make_scorer(score)


def test_soft_labels_with_an_offset():
    X, y, rng = rows()
    p, offset = rng.random(len(y)), rng.standard_normal(len(y))
    model = cv(soft_labels=True, cv=KFold(3)).fit(X, p, offset=offset)
    train, test = next(KFold(3).split(X))
    one = alone(CS[2], soft_labels=True).fit(X[train], p[train], offset=offset[train])
    np.testing.assert_allclose(model.coefs_paths_[0, 0, 2, 0, :-1], one.coef_[0], atol=1e-6)
    logs = one.predict_log_proba(X[test], offset=offset[test])
    expected = (np.column_stack([1.0 - p, p])[test] * logs).sum(axis=1).mean()
    assert model.scores_[0, 0, 2] == pytest.approx(expected)
    logs = model.predict_log_proba(X, offset=offset)
    assert model.score(X, p, offset=offset) == pytest.approx((np.column_stack([1.0 - p, p]) * logs).sum(axis=1).mean())


@pytest.mark.parametrize("refit", [True, False])
def test_a_prior_moves_the_intercept_of_the_end_alone(refit):
    X, y, _ = rows()
    model, plain = cv(prior=0.01, refit=refit).fit(X, y), cv(refit=refit).fit(X, y)
    np.testing.assert_array_equal(model.coefs_paths_, plain.coefs_paths_)
    np.testing.assert_array_equal(model.scores_, plain.scores_)
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    one = LogisticRegression(C=float(model.C_), prior=0.01).fit(X, y)
    np.testing.assert_allclose(model.prior_shift_, one.prior_shift_)
    np.testing.assert_allclose(model.intercept_, plain.intercept_ + one.prior_shift_)
    rates = cv(sampling_rates={0: 0.1, 1: 1.0}).fit(X, y)
    np.testing.assert_allclose(rates.prior_shift_, np.log(0.1))


REFUSED = {
    "offset has shape": ({}, {"offset": np.zeros(7)}),
    "offset contains NaN": ({}, {"offset": np.full(400, np.nan)}),
    "offset cannot be used with solver='adam'": ({"solver": "coordinate-descent", "l1_ratios": (1,)}, {"offset": 0.0}),
    "penalty_factor has shape": ({"penalty_factor": [1.0]}, {}),
    "penalty_factor is -1 at column 2": ({"penalty_factor": [1, 1, -1, 1, 1]}, {}),
    "bounds cross at column 0": ({"lower_bounds": 1.0, "upper_bounds": 0.0}, {}),
    "knows no bounds": ({"positive": True, "solver": "lbfgs"}, {}),
    "positive=True and lower_bounds": ({"positive": True, "lower_bounds": 0.0}, {}),
    "l1_ratios holds 0": ({"penalty_groups": [[0, 1]]}, {}),
    "penalty_groups cannot be used with bounds": (
        {"penalty_groups": [[0, 1]], "positive": True, "l1_ratios": (1,)},
        {},
    ),
    "knows no penalty_groups": ({"penalty_groups": [[0, 1]], "solver": "proximal", "l1_ratios": (1,)}, {}),
    "prior and sampling_rates both": ({"prior": 0.1, "sampling_rates": {0: 0.1, 1: 1.0}}, {}),
    "probabilities lie in": ({"soft_labels": True}, {"y": np.full(400, 2.0)}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_is_refused_in_a_line(message):
    parameters, given = REFUSED[message]
    X, y, _ = rows()
    model = cv(**parameters)
    with pytest.raises(DataError) as refused:
        model.fit(X, given.get("y", y), **{name: value for name, value in given.items() if name != "y"})
    assert message.split("'adam'")[0] in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    "knobs", [{"penalty_factor": [0, 1, 1, 1, 1]}, {"penalty_factor": np.zeros(5), "positive": True}]
)
def test_classes_that_free_weights_separate_have_no_minimum(knobs):
    X, y, _ = rows()
    X[:, 0] = y + 0.1 * X[:, 0] / np.abs(X[:, 0]).max()
    with pytest.warns(ConvergenceWarning, match="separable"):
        model = cv(**knobs).fit(X, y)
    assert not model.converged_


def test_scikit_learns_model_cannot_hold_them():
    X, y, _ = rows()
    for model in (cv(positive=True).fit(X, y), cv().fit(X, y, offset=1.0), cv(penalty_factor=np.ones(5)).fit(X, y)):
        with pytest.raises(DataError, match="to_sklearn: "):
            model.to_sklearn()
