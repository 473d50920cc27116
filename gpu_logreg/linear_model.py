"""`LogisticRegression` and `LogisticRegressionCV` by the path that scikit-learn gives them."""

from __future__ import annotations

from gpu_logreg.estimators.cross_validation.model import LogisticRegressionCV
from gpu_logreg.estimators.linear.model import LogisticRegression

__all__ = ["LogisticRegression", "LogisticRegressionCV"]
