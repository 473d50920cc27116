"""Parameters of scikit-learn's logistic regression, in its old and new spellings, and what they ask for here."""

from __future__ import annotations

import math
import numbers
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Hidden, Interval, StrOptions

from gpu_logreg.errors import DataError
from gpu_logreg.estimators.callbacks import WRAPPER_FRAMES
from gpu_logreg.estimators.linear.solver_names import SOLVER_NAMES
from gpu_logreg.rows.storage import STORAGES

__all__ = [
    "CONSTRAINTS",
    "MAY_DIFFER",
    "OTHER_NAMES",
    "Asked",
    "read_parameters",
    "refuse_groups",
    "refuse_solver",
    "stand_in",
]

OTHER_NAMES = {
    "newton-cholesky": "subsampled-newton",
    "liblinear": "auto",
    "sag": "auto",
    "saga": "auto",
}
"""Solvers of scikit-learn that are not here, and which of ours stands in for each; the optimum is the same."""

CONSTRAINTS: dict[str, list[Any]] = {
    "C": [Interval(numbers.Real, 0, None, closed="right")],
    "l1_ratio": [Interval(numbers.Real, 0, 1, closed="both"), None],
    "fit_intercept": ["boolean"],
    "class_weight": [dict, StrOptions({"balanced"}), None],
    "tol": [Interval(numbers.Real, 0, None, closed="left")],
    "max_iter": [Interval(numbers.Integral, 0, None, closed="left")],
    "solver": [
        StrOptions({"auto", *SOLVER_NAMES, *OTHER_NAMES}),
    ],
    "device": [str, list, tuple],
    "device_memory_budget": [str, Interval(numbers.Real, 0, None, closed="neither"), None],
    "impl": [StrOptions({"auto", "reference", "cpu", "cuda", "cublas"})],
    "storage": [StrOptions({"auto", *STORAGES})],
    "random_state": ["random_state"],
    "warm_start": ["boolean"],
    "verbose": ["verbose", Hidden(callable)],
    "step": [StrOptions({"armijo", "fixed", "momentum"})],
    "learning_rate": [Interval(numbers.Real, 0, None, closed="neither"), None],
    "max_time": [Interval(numbers.Real, 0, None, closed="neither"), None],
    "penalty": [StrOptions({"l1", "l2", "elasticnet", "firth"}), None, Hidden(StrOptions({"deprecated"}))],
    "dual": ["boolean"],
    "intercept_scaling": [Interval(numbers.Real, 0, None, closed="neither")],
    "n_jobs": [None, numbers.Integral],
    "prior": [Interval(numbers.Real, 0, 1, closed="neither"), dict, None],
    "sampling_rates": [dict, None],
    "penalty_factor": ["array-like", None],
    "penalty_groups": ["array-like", None],
    "soft_labels": ["boolean"],
    "lower_bounds": ["array-like", numbers.Real, None],
    "upper_bounds": ["array-like", numbers.Real, None],
    "positive": ["boolean"],
}
"""Values that each parameter may have, in scikit-learn's form; `read_parameters` refuses what excludes each other."""

MAY_DIFFER = ("tol", "max_iter", "max_time", "verbose", "n_jobs", "device_memory_budget")
"""Parameters by which a fit goes the same way, and only ends elsewhere: it may go on from a checkpoint with others."""

L1_SOLVERS = ("auto", "proximal", "coordinate-descent", "liblinear", "saga")
"""Solvers that can deal with an L1 penalty."""

_OF_ALL_ROWS = ("sgd", "adam", "coordinate-descent")
"""Solvers that walk over rows in the memory of one device."""


@dataclass(frozen=True)
class Asked:
    """What an estimator's parameters ask for, whatever their spelling.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty; ``inf`` for none.
    l1_ratio : float
        Share of L1 in the penalty.
    solver : str
        One of ours.
    solver_reason : str
        Why it is that one.
    firth : bool
        Whether Firth's penalty is asked for, with ``C`` infinite.
    penalty_factor : array-like of shape (d,) or None
    has_bounds : bool
        Whether weights have bounds.
    has_groups : bool
        Whether columns are penalised in groups.
    takes_blocks : bool
        Whether a GPU can walk the rows block by block, so that it need not hold all of them.
    in_path : bool
        Whether it is one of many fits, from the strongest penalty to the weakest.
    """

    C: float
    l1_ratio: float
    solver: str
    solver_reason: str
    firth: bool = False
    penalty_factor: Any = None
    has_bounds: bool = False
    has_groups: bool = False
    takes_blocks: bool = True
    in_path: bool = False


def read_parameters(model: Any) -> Asked:
    """What ``penalty``, ``C``, ``l1_ratio``, ``dual``, ``solver`` and ``n_jobs`` of an estimator ask for together.

    Warnings and refusals, and their words, are those of scikit-learn 1.9.

    Parameters
    ----------
    model : LogisticRegression

    Raises
    ------
    DataError
        Of parameters that exclude each other.
    """
    if model.penalty == "firth":
        return _firth(model)
    penalty = _penalty(model)
    refuse_solver(model.solver, penalty, model.dual)
    _warn_of_strange_mixtures(model, penalty)
    if penalty == "elasticnet" and model.l1_ratio is None:
        raise DataError("l1_ratio must be specified when penalty is elasticnet.")
    if model.penalty is None and model.C != 1.0:
        _warn("Setting penalty=None will ignore the C and l1_ratio parameters", UserWarning, deeper=0)
    if model.n_jobs is not None:
        _warn(
            "'n_jobs' has no effect since 1.8 and will be removed in 1.10. "
            f"You provided 'n_jobs={model.n_jobs}', please leave it unspecified.",
            FutureWarning,
            deeper=0,
        )
    share = {"l1": 1.0, "elasticnet": model.l1_ratio}.get(penalty or "", 0.0)
    C, has_bounds = math.inf if penalty is None else model.C, asks_for_bounds(model)
    ours, reason = stand_in(model)
    if has_groups := model.penalty_groups is not None:
        refuse_groups(model, ours, has_bounds)
        if penalty == "l2":
            raise DataError("penalty_groups share the L1 part of the penalty, and l1_ratio=0 has none; use l1_ratio=1")
    by_blocks = ours not in _OF_ALL_ROWS and not has_bounds and not has_groups
    return Asked(C, share, ours, reason, False, model.penalty_factor, has_bounds, has_groups, by_blocks)


def asks_for_bounds(model: Any) -> bool:
    """Whether weights have bounds, by any of the parameters.

    Raises
    ------
    DataError
        For a solver that knows none.
    """
    if not (model.positive or model.lower_bounds is not None or model.upper_bounds is not None):
        return False
    if OTHER_NAMES.get(model.solver, model.solver) not in ("auto", "subsampled-newton"):
        raise DataError(f"Solver {model.solver} knows no bounds; use solver='auto'")
    return True


def refuse_groups(model: Any, ours: str, has_bounds: bool) -> None:
    """Refuse a solver, or bounds, that groups of columns cannot go with.

    Raises
    ------
    DataError
    """
    if ours != "auto":
        raise DataError(f"Solver {model.solver} knows no penalty_groups; use solver='auto'")
    if has_bounds:
        raise DataError("penalty_groups cannot be used with bounds; leave out one of them")


def _penalty(model: Any) -> str | None:
    """Its name in the old spelling; None for none."""
    if model.penalty != "deprecated":
        _warn(
            "'penalty' was deprecated in version 1.8 and will be removed in 1.10. To avoid this warning, leave "
            "'penalty' set to its default value and use 'l1_ratio' or 'C' instead. Use l1_ratio=0 instead of "
            "penalty='l2', l1_ratio=1 instead of penalty='l1', l1_ratio set to a float between 0 and 1 instead of "
            "penalty='elasticnet', and C=np.inf instead of penalty=None.",
            FutureWarning,
        )
        return None if model.penalty is None else str(model.penalty)
    if model.l1_ratio is None:
        _warn(
            "'l1_ratio=None' was deprecated in version 1.8 and will trigger an error in 1.10. "
            "Use 0<=l1_ratio<=1 instead.",
            FutureWarning,
        )
    if np.isinf(model.C):
        return None
    if model.l1_ratio is None or model.l1_ratio == 0:
        return "l2"
    return "l1" if model.l1_ratio == 1 else "elasticnet"


def _firth(model: Any) -> Asked:
    """Firth's penalty, which has no strength, and one solver."""
    if model.solver not in ("auto", "subsampled-newton", "newton-cholesky"):
        raise DataError(f"Solver {model.solver} does not know penalty='firth'; use solver='auto'")
    if asks_for_bounds(model):
        raise DataError("bounds cannot be used with penalty='firth'; use C=np.inf, or a ridge")
    if model.penalty_factor is not None:
        raise DataError("penalty_factor cannot be used with penalty='firth', which has no strength; leave it out")
    if model.penalty_groups is not None:
        raise DataError("penalty_groups cannot be used with penalty='firth', which has no strength; leave them out")
    if model.C not in (1.0, math.inf) or model.l1_ratio:
        _warn("Setting penalty='firth' will ignore the C and l1_ratio parameters", UserWarning, deeper=1)
    reason = "penalty='firth' is fitted by Newton's method"
    return Asked(math.inf, 0.0, "subsampled-newton", reason, firth=True, takes_blocks=False)


def refuse_solver(solver: str, penalty: str | None, dual: bool) -> None:
    """Refuse a solver that cannot deal with the penalty, or with a dual problem.

    Raises
    ------
    DataError
    """
    if solver not in L1_SOLVERS and penalty not in ("l2", None):
        raise DataError(
            f"Solver {solver} supports only 'l2' or None penalties, got {penalty} penalty. "
            "Use solver='auto' or 'proximal', or l1_ratio=0"
        )
    if solver != "liblinear" and dual:
        raise DataError(f"Solver {solver} supports only dual=False, got dual={dual}")
    if solver == "liblinear" and penalty == "elasticnet":
        raise DataError(f"Only 'saga' solver supports elasticnet penalty, got solver={solver}.")
    if solver == "liblinear" and penalty is None:
        raise DataError("C=np.inf as well as penalty=None is not supported for the liblinear solver")


def _warn_of_strange_mixtures(model: Any, penalty: str | None) -> None:
    ratio = model.l1_ratio
    if penalty != "elasticnet" and ratio is not None and 0 < ratio < 1:
        _warn(f"l1_ratio parameter is only used when penalty is 'elasticnet'. Got (penalty={penalty})", UserWarning)
    if (model.penalty == "l2" and ratio != 0) or (model.penalty == "l1" and ratio != 1):
        _warn(
            f"Inconsistent values: penalty={model.penalty} with l1_ratio={ratio}. penalty is deprecated. "
            "Please use l1_ratio only.",
            UserWarning,
        )


def stand_in(model: Any) -> tuple[str, str]:
    """The solver of ours for the one that an estimator names, and why it is that one."""
    ours = OTHER_NAMES.get(model.solver, model.solver)
    return ours, _reason(model, ours)


def _reason(model: Any, ours: str) -> str:
    if model.solver == "auto":
        return "the cheaper one by a model of the cost"
    if model.solver == ours:
        return "asked for"
    reason = f"stands in for scikit-learn's {model.solver!r}, with the same optimum"
    if model.solver == "liblinear" and model.fit_intercept:
        reason += ", except that liblinear penalises the intercept and this does not"
    return reason


def _warn(message: str, category: type[Warning], deeper: int = 1) -> None:
    """Warn at the line that called `fit`; ``deeper`` frames below `read_parameters`."""
    warnings.warn(message, category, stacklevel=4 + deeper + WRAPPER_FRAMES)
