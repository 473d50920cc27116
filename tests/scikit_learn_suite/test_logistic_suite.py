"""scikit-learn's tests of its LogisticRegression and LogisticRegressionCV, of ours."""

from adapter import load

from gpu_logreg import LogisticRegression, LogisticRegressionCV

OURS = {"LogisticRegression": LogisticRegression, "LogisticRegressionCV": LogisticRegressionCV}
globals().update(load("sklearn.linear_model.tests.test_logistic", OURS))
