"""What scikit-learn's liblinear cannot do, and refuses: a script that names it meets the same words here."""

from __future__ import annotations

from typing import Any

from gpu_logreg.errors import DataError

__all__ = ["refuse_for_liblinear"]


def refuse_for_liblinear(solver: str, X: Any, n_classes: int) -> None:
    """Refuse, as scikit-learn does, what liblinear cannot do.

    Raises
    ------
    DataError
        Of more than two classes, and of values that liblinear would not end with.
    """
    if solver != "liblinear":
        return
    if n_classes > 2:
        raise DataError(
            "The 'liblinear' solver does not support multiclass classification (n_classes >= 3). Either use another "
            "solver or wrap the estimator in a OneVsRestClassifier to keep applying a one-versus-rest scheme."
        )
    if hasattr(X, "max") and float(X.max()) > 1e30:
        raise DataError(
            "Using the 'liblinear' solver while X contains a maximum value > 1e30 results in a frozen fit. "
            "Please choose another solver or rescale the input X."
        )
