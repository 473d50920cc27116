"""Which penalty is meant: scikit-learn's spellings, warnings and refusals, word for word."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as ScikitLearn

from gpu_logreg import LogisticRegression
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear import fit
from gpu_logreg.estimators.linear.parameters import read_parameters
from gpu_logreg.mathematics.penalty import elastic_net_strengths

rng = np.random.default_rng(0)
X = rng.standard_normal((80, 4))
Y = (rng.logistic(size=80) < X[:, 0]).astype(np.int64)


def fitted(estimator):
    """The estimator, fitted, and what was said meanwhile."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X, Y)
    return estimator, [(warning.category, str(warning.message)) for warning in caught]


@pytest.mark.parametrize(
    ("penalty", "C", "l1_ratio"),
    [
        *itertools.product(["deprecated", "l1", "l2", "elasticnet", None], [0.5, np.inf], [0.0, 0.5, 1.0]),
        *itertools.product(["deprecated", "l1", "l2", None], [1.0], [None]),
    ],
)
def test_means_and_warns_as_in_scikit_learn(penalty, C, l1_ratio):
    options = {"penalty": penalty, "C": C, "l1_ratio": l1_ratio}
    theirs, they_said = fitted(ScikitLearn(**options, solver="saga", tol=1e-10, max_iter=100_000))
    ours, we_said = fitted(LogisticRegression(**options, tol=1e-9))
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    assert ((ours.coef_ != 0) == (theirs.coef_ != 0)).all()
    assert we_said == they_said


@pytest.mark.parametrize("solver", ["lbfgs", "subsampled-newton", "gradient-descent", "sgd", "adam"])
@pytest.mark.parametrize(("l1_ratio", "name"), [(1.0, "l1"), (0.5, "elasticnet")])
def test_solvers_that_cannot_say_so(solver, l1_ratio, name):
    with pytest.raises(DataError) as caught:
        LogisticRegression(l1_ratio=l1_ratio, solver=solver).fit(X, Y)
    assert str(caught.value) == (
        f"Solver {solver} supports only 'l2' or None penalties, got {name} penalty. "
        "Use solver='auto' or 'proximal', or l1_ratio=0"
    )


def test_what_a_solver_cannot_do_is_no_matter_where_there_is_no_penalty():
    assert LogisticRegression(C=np.inf, l1_ratio=1.0, solver="lbfgs").fit(X, Y).solver_ == "lbfgs"


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_elastic_net_without_a_ratio():
    with pytest.raises(ValueError, match=r"l1_ratio must be specified when penalty is elasticnet\."):
        LogisticRegression(penalty="elasticnet", l1_ratio=None).fit(X, Y)


def test_warnings_point_at_the_call_of_fit():
    with pytest.warns(FutureWarning, match="'penalty' was deprecated") as caught:
        LogisticRegression(penalty="l2").fit(X, Y)
    assert caught[0].filename == __file__


def test_strengths():
    asked = read_parameters(LogisticRegression(C=2.0, l1_ratio=0.5))
    assert (asked.C, asked.l1_ratio) == (2.0, 0.5)
    assert elastic_net_strengths(asked.C, asked.l1_ratio, 10.0) == (0.025, 0.025)
    assert elastic_net_strengths(np.inf, 0.0, 10.0) == (0.0, 0.0)


def test_a_hessian_that_does_not_fit_is_not_taken_and_it_is_said(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 30))
    y = (X[:, 0] + rng.logistic(size=200) > 0).astype(int)
    kept = LogisticRegression().fit(X, y)
    assert kept.solver_ == "subsampled-newton"
    monkeypatch.setattr(fit, "SMALL_HESSIANS", 0)
    assert LogisticRegression().fit(X, y).solver_ == "subsampled-newton"  # there is memory
    monkeypatch.setattr(fit, "free_memory", lambda: 2**10)
    other = LogisticRegression().fit(X, y)
    assert other.solver_ == "lbfgs"
    said = "its Hessians take 0.0 GiB, and 0.0 GiB are available"
    assert other.solver_reason_.endswith(f"not 'subsampled-newton': {said}")
    assert other.objective_ == pytest.approx(kept.objective_, rel=1e-8)
    refused = f"solver='subsampled-newton' cannot be used: {said}; use solver='lbfgs'"
    with pytest.raises(DataError, match=f"^{refused}$"):
        LogisticRegression(solver="subsampled-newton").fit(X, y)
