"""scikit-learn's tests of its LogisticRegression, of ours."""

from adapter import load

from gpu_logreg import LogisticRegression

globals().update(load("sklearn.linear_model.tests.test_logistic", {"LogisticRegression": LogisticRegression}))
