"""`LogisticRegression` by the path that scikit-learn and cuML give it."""

from __future__ import annotations

from gpu_logreg.estimators.linear.model import LogisticRegression

__all__ = ["LogisticRegression"]
