"""`MLPClassifier` by the path that scikit-learn gives it."""

from __future__ import annotations

from gpu_logreg.estimators.network.model import MLPClassifier

__all__ = ["MLPClassifier"]
