"""scikit-learn's own checks of an estimator, all of them, none expected to fail."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from gpu_logreg import LogisticRegression, LogisticRegressionCV, MLPClassifier

ESTIMATORS = [
    LogisticRegression(),
    LogisticRegression(solver="lbfgs"),
    LogisticRegression(solver="sgd"),
    LogisticRegressionCV(Cs=[0.1, 1.0], cv=2, l1_ratios=[0.0], scoring=None, use_legacy_attributes=False),
    MLPClassifier(max_iter=100),
    MLPClassifier((8, 4), "tanh", solver="lbfgs"),
]

MORE_SOLVERS = [
    LogisticRegression(impl="cpu", class_weight="balanced"),  # compiled for every dtype that the checks try
    MLPClassifier(impl="cpu", max_iter=100),
    LogisticRegression(solver="gradient-descent"),
    LogisticRegression(solver="adam", max_iter=300, learning_rate=0.02),
    MLPClassifier(solver="sgd", learning_rate_init=0.05),
    MLPClassifier((), solver="gradient-descent"),
]


few_iterations = pytest.mark.filterwarnings(
    # The checks fit toy data with a few iterations, on purpose or by their own defaults.
    "ignore::sklearn.exceptions.ConvergenceWarning",
    # Checks that do not apply say so by a warning of their own.
    "ignore::sklearn.exceptions.SkipTestWarning",
)


@few_iterations
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


@few_iterations
@pytest.mark.slow
@parametrize_with_checks(MORE_SOLVERS)
def test_scikit_learn_estimator_checks_of_more_solvers(estimator, check):
    check(estimator)
