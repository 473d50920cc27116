"""Logistic regression on large data, on an NVIDIA GPU or a CPU, from hand-written forward and backward passes.

Public names are loaded on first use, so ``import gpu_logreg`` imports neither CuPy nor Numba nor scikit-learn.
"""

from __future__ import annotations

from gpu_logreg.arrays import thread_limit as thread_limit  # which reads the environment now

TYPE_CHECKING = False  # as typing's, without the time that takes to import: Ctrl-C has no answer yet
if TYPE_CHECKING:
    from typing import Any

    from gpu_logreg.estimators.checkpoint import Checkpoint
    from gpu_logreg.estimators.cross_validation.logistic_path import logistic_path
    from gpu_logreg.estimators.cross_validation.model import LogisticRegressionCV
    from gpu_logreg.estimators.functions import loss_and_gradient
    from gpu_logreg.estimators.linear.model import LogisticRegression
    from gpu_logreg.estimators.network.model import MLPClassifier
    from gpu_logreg.estimators.stream import Stream
    from gpu_logreg.saved.model_file import load_model, save_model

__version__ = "0.2.0"

__all__ = [
    "Checkpoint",
    "LogisticRegression",
    "LogisticRegressionCV",
    "MLPClassifier",
    "Stream",
    "__version__",
    "load_model",
    "logistic_path",
    "loss_and_gradient",
    "save_model",
]

_HOMES = {
    "Checkpoint": "gpu_logreg.estimators.checkpoint",
    "LogisticRegression": "gpu_logreg.estimators.linear.model",
    "LogisticRegressionCV": "gpu_logreg.estimators.cross_validation.model",
    "MLPClassifier": "gpu_logreg.estimators.network.model",
    "Stream": "gpu_logreg.estimators.stream",
    "load_model": "gpu_logreg.saved.model_file",
    "logistic_path": "gpu_logreg.estimators.cross_validation.logistic_path",
    "loss_and_gradient": "gpu_logreg.estimators.functions",
    "save_model": "gpu_logreg.saved.model_file",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
