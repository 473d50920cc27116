"""Parameters of scikit-learn's logistic regression with cross-validation, and the grid that they ask for."""

from __future__ import annotations

import math
import numbers
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Hidden, Interval, StrOptions

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear.parameters import (
    CONSTRAINTS,
    Asked,
    asks_for_bounds,
    refuse_groups,
    refuse_solver,
    stand_in,
)

__all__ = ["CV_CONSTRAINTS", "Grid", "read_Cs", "read_grid"]

_NOT_OF_A_GRID = ("C", "l1_ratio", "warm_start", "step", "learning_rate", "max_time", "device_memory_budget")

CV_CONSTRAINTS: dict[str, list[Any]] = {
    name: kinds for name, kinds in CONSTRAINTS.items() if name not in _NOT_OF_A_GRID
}
CV_CONSTRAINTS |= {
    "Cs": [Interval(numbers.Integral, 1, None, closed="left"), "array-like"],
    "l1_ratios": ["array-like", None, Hidden(StrOptions({"warn"}))],
    "cv": ["cv_object"],
    "scoring": [StrOptions(set(get_scorer_names())), callable, None, Hidden(StrOptions({"warn"}))],
    "refit": ["boolean"],
    "penalty": [StrOptions({"l1", "l2", "elasticnet"}), Hidden(StrOptions({"deprecated"}))],
    "use_legacy_attributes": ["boolean", Hidden(StrOptions({"warn"}))],
}
"""Values that each parameter may have, in scikit-learn's form; `read_grid` refuses what excludes each other."""


@dataclass(frozen=True)
class Grid:
    """The models that cross-validation compares, whatever the spelling of the parameters.

    Attributes
    ----------
    Cs : ndarray of shape (n_cs,)
        As given: in any order, and repeated ones are there.
    l1_ratios : list of float
        Share of L1 in the penalty of every model.
    named_l1_ratios : ndarray of shape (n_l1_ratios,)
        As scikit-learn names them: ``[None]`` where none were given.
    has_l1_ratios : bool
        Whether any were given: legacy attributes have a dimension for them then.
    solver, solver_reason : str
        One of ours, and why it is that one.
    scoring : str, callable or None
    legacy : bool
        Whether attributes have the shapes of scikit-learn before 1.10.
    """

    Cs: Float64Vector
    l1_ratios: list[float]
    named_l1_ratios: Any
    has_l1_ratios: bool
    solver: str
    solver_reason: str
    scoring: Any
    legacy: bool

    def asked(self, C: float, l1_ratio: float) -> Asked:
        """What a single fit of the grid asks for."""
        return Asked(C, l1_ratio, self.solver, self.solver_reason)


def read_grid(model: Any) -> Grid:
    """The grid that an estimator's parameters ask for; warnings and refusals are those of scikit-learn 1.9.

    Parameters
    ----------
    model : LogisticRegressionCV

    Raises
    ------
    DataError
        Of a C or an l1_ratio that is none, and of parameters that exclude each other.
    """
    given = _given_l1_ratios(model)
    penalty = _penalty(model, given)
    scoring, legacy = _scoring(model), _legacy(model)
    refuse_solver(model.solver, penalty, model.dual)
    ratios = _checked_l1_ratios(given, penalty, model)
    fixed = {"l1": 1.0, "l2": 0.0}.get(penalty)
    shares = [float(ratio) if fixed is None else fixed for ratio in ([None] if ratios is None else ratios)]  # type: ignore[arg-type]
    named = np.asarray([None] if ratios is None else ratios)
    solver, reason = stand_in(model)
    _refuse_restrictions(model, solver, shares)
    return Grid(read_Cs(model.Cs), shares, named, ratios is not None, solver, reason, scoring, legacy)


def _refuse_restrictions(model: Any, solver: str, shares: list[float]) -> None:
    """Refuse bounds and groups that fits of the grid cannot go with."""
    has_bounds = asks_for_bounds(model)
    if model.penalty_groups is not None:
        refuse_groups(model, solver, has_bounds)
        if 0.0 in shares:
            raise DataError(
                "penalty_groups share the L1 part of the penalty, and l1_ratios holds 0, which has none; use "
                "l1_ratios=(1,)"
            )


def read_Cs(Cs: Any) -> Float64Vector:  # noqa: N802 - the name of the parameter
    """The values of C: a number of them from 1e-4 to 1e4 in equal steps of the logarithm, or those given.

    Raises
    ------
    DataError
        If there is none, or one that is not a positive number.

    Examples
    --------
    >>> read_Cs(3), read_Cs([10.0, 1.0])
    (array([1.e-04, 1.e+00, 1.e+04]), array([10.,  1.]))
    """
    if isinstance(Cs, numbers.Integral):
        if Cs < 1:
            raise DataError(f"Cs={Cs} is a number of values; give at least 1, or a list of numbers above 0")
        return np.logspace(-4, 4, int(Cs))
    try:
        values = np.asarray(Cs, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"Cs must be a number of values or a list of numbers above 0; got {Cs!r}") from None
    if values.ndim != 1 or not len(values):
        raise DataError(f"Cs must be a list of at least one number above 0; got an array of shape {values.shape}")
    bad = np.flatnonzero(~(values > 0.0))
    if len(bad):
        raise DataError(f"Cs[{bad[0]}] is {values[bad[0]]:g}; inverse strengths of the penalty are above 0")
    return values


def _given_l1_ratios(model: Any) -> Any:
    if isinstance(model.l1_ratios, str) and model.l1_ratios == "warn":
        _warn(
            "The default value for l1_ratios will change from None to (0.0,) in version 1.10. From version 1.10 "
            "onwards, only array-like with values in [0, 1] will be allowed, None will be forbidden. To avoid this "
            "warning, explicitly set a value, e.g. l1_ratios=(0,)."
        )
        return None
    return model.l1_ratios


def _penalty(model: Any, given: Any) -> str:
    if model.penalty != "deprecated":
        _warn(
            "'penalty' was deprecated in version 1.8 and will be removed in 1.10. To avoid this warning, leave "
            "'penalty' set to its default value and use 'l1_ratios' and 'Cs' instead. Use l1_ratios=(0,) instead of "
            "penalty='l2', l1_ratios=(1,) instead of penalty='l1', l1_ratios set to floats between 0 and 1 instead of "
            "penalty='elasticnet', and Cs=(np.inf,) instead of penalty=None."
        )
        return str(model.penalty)
    if model.l1_ratios is None:
        _warn(
            "'l1_ratios=None' was deprecated in version 1.8 and will trigger an error in 1.10. Use an array-like with "
            "values in [0, 1] instead."
        )
    if given is None or np.all(np.asarray(given) == 0):
        return "l2"
    return "l1" if np.all(np.asarray(given) == 1) else "elasticnet"


def _scoring(model: Any) -> Any:
    if not (isinstance(model.scoring, str) and model.scoring == "warn"):
        return model.scoring
    _warn(
        "The default value of the parameter 'scoring' will change from None, i.e. accuracy, to 'neg_log_loss' in "
        "version 1.11. To silence this warning, explicitly set the scoring parameter: scoring='neg_log_loss' for the "
        "new, scoring='accuracy' or scoring=None for the old default."
    )
    return None


def _legacy(model: Any) -> bool:
    if not isinstance(model.use_legacy_attributes, str):
        return bool(model.use_legacy_attributes)
    _warn(
        f"The fitted attributes of {type(model).__name__} will be simplified in scikit-learn 1.10 to remove "
        "redundancy. Set `use_legacy_attributes=False` to enable the new behavior now, or set it to `True` to silence "
        "this warning during the transition period while keeping the deprecated behavior for the time being. The "
        "default value of use_legacy_attributes will change from True to False in scikit-learn 1.10. See the "
        f"docstring of {type(model).__name__} for more details."
    )
    return True


def _checked_l1_ratios(given: Any, penalty: str, model: Any) -> Any:
    """Those given, of which the penalty takes none but those of an elastic net; None for none."""
    if penalty == "elasticnet":
        if given is None or len(given) == 0 or not all(_is_share(ratio) for ratio in given):
            raise DataError(f"l1_ratios must be an array-like of numbers between 0 and 1; got (l1_ratios={given!r})")
    elif given is not None and model.penalty != "deprecated":
        _warn(f"l1_ratios parameter is only used when penalty is 'elasticnet'. Got (penalty={penalty})", UserWarning)
    if given is not None and len(given) == 0:
        raise DataError("l1_ratios must be an array-like of numbers between 0 and 1; got none")
    return given


def _is_share(ratio: Any) -> bool:
    return isinstance(ratio, numbers.Number) and not math.isnan(ratio) and 0 <= ratio <= 1  # type: ignore[arg-type,operator]


def _warn(message: str, category: type[Warning] = FutureWarning) -> None:
    """Warn at the line that called `fit`."""
    warnings.warn(message, category, stacklevel=5)
