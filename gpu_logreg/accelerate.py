"""Scripts that import scikit-learn's estimators run on ours: ``python -m gpu_logreg.accelerate script.py``."""

from __future__ import annotations

import sys

from gpu_logreg.estimators.accelerate.places import install, run, uninstall
from gpu_logreg.estimators.accelerate.replacements import LogisticRegression, LogisticRegressionCV, MLPClassifier

__all__ = ["LogisticRegression", "LogisticRegressionCV", "MLPClassifier", "install", "uninstall"]

if __name__ == "__main__":
    sys.modules["gpu_logreg.accelerate"] = sys.modules[
        "__main__"
    ]  # where pickles for worker processes find the classes
    run(sys.argv[1:])
