"""``gpu-logreg train --cv``, which chooses the strength of the penalty by folds: what it refuses and what it prints."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.command.report import Estimator, describe_fit, print_table
from gpu_logreg.command.training_request import TrainingRequest
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.cross_validation.model import LogisticRegressionCV

__all__ = ["describe_choice", "print_choice", "refuse_for_folds", "refuse_small_classes"]


def refuse_for_folds(request: TrainingRequest, estimator: Estimator) -> None:
    """Refuse, before anything is read, what fits of folds cannot do.

    Raises
    ------
    DataError
        One line that names the option.
    """
    if not isinstance(estimator, LogisticRegressionCV):
        return
    if request.checkpoint is not None:
        raise DataError("--checkpoint is for one fit, and --cv makes many; leave one of them out")
    for option, given in (
        ("--scheduler", request.scheduler),
        ("--workers", request.workers),
        ("--memory-budget", request.memory_budget),
    ):
        if given is not None:
            raise DataError(f"--cv is for rows in the memory of this process; leave it out, or {option}")


def refuse_small_classes(estimator: Estimator, y: NDArray[Any]) -> None:
    """Refuse a class with fewer rows than there are folds, each of which is to hold some of every class.

    Raises
    ------
    DataError
        One line that names the class.
    """
    if not isinstance(estimator, LogisticRegressionCV):
        return
    classes, counts = np.unique(y, return_counts=True)
    if counts.min() < estimator.cv:
        rows = "1 row" if counts.min() == 1 else f"{counts.min()} rows"
        raise DataError(
            f"--cv {estimator.cv}: the class {str(classes[counts.argmin()])!r} has {rows} to train on; give a smaller "
            "number of folds, or leave --cv out"
        )


def print_choice(model: Estimator) -> None:
    """Print, where C was chosen, the log loss of every C on the rows that its fits were not given."""
    if not isinstance(model, LogisticRegressionCV):
        return
    losses = -model.scores_[:, 0]
    columns: dict[str, dict[str, str]] = {"log loss": {}, "of the folds": {}, "": {}}
    for at in np.argsort(model.Cs_, kind="stable"):
        name = f"C={model.Cs_[at]:.6g}"
        columns["log loss"][name] = f"{losses[:, at].mean():.5f}"
        columns["of the folds"][name] = f"{losses[:, at].min():.5f} to {losses[:, at].max():.5f}"
        columns[""][name] = "chosen" if model.Cs_[at] == model.C_ else ""
    print_table(columns)
    print()


def describe_choice(model: Estimator) -> dict[str, str]:
    """Facts of a fit, or of the choice of C and its fits, as texts by name."""
    if not isinstance(model, LogisticRegressionCV) or isinstance(model.scores_, dict):  # the legacy shapes of Python
        return describe_fit(model)
    n_folds, n_cs = len(model.scores_), len(model.Cs_)
    edge = ", at the end of what was tried" if n_cs > 1 and model.C_ in (model.Cs_.min(), model.Cs_.max()) else ""
    iterations = f"{int(model.n_iter_.sum()):,} in {model.scores_.size:,} fits, the chosen one by {model.solver_}"
    return {
        "choice": f"C={model.C_:.6g} of {n_cs:,}, by {n_folds} folds{edge}",
        **describe_fit(model),
        "iterations": f"{iterations}; {model.n_reads_:.1f} reads of the data",
    }
