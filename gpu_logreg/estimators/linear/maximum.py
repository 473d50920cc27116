"""Whether a fitted linear model is the maximum of a likelihood of given rows: what `summary` refuses."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, HostArray
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear.parameters import asks_for_bounds
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.objectives.information import Information, SingularError, information_at
from gpu_logreg.objectives.separation import looks_separated, separating_columns
from gpu_logreg.passes.reference.information import Point
from gpu_logreg.passes.sums import Groups

__all__ = [
    "contrasts",
    "information_of",
    "parameter_names",
    "refuse_not_converged",
    "refuse_other_rows",
    "refuse_penalty",
]

LARGEST_STEP = 0.1
"""Standard errors that Newton's step from ``coef_`` may move a parameter by: a fit ends far below, and on other rows
the step is about as large as the standard error itself."""


def contrasts(model: Any) -> tuple[Float64Matrix, Float64Vector]:
    """Weights of shape (K - 1, d) and intercepts, as they were before a prior moved them: see `_of_contrasts`."""
    W, b = model._last()
    return _of_contrasts(W.astype(np.float64)), _of_contrasts(np.asarray(b, np.float64))


def shift_of_contrasts(model: Any) -> Float64Vector:
    """What a prior has moved the intercepts of the contrasts by, of shape (K - 1,)."""
    shift = getattr(model, "prior_shift_", None)
    return np.zeros(max(1, len(model.classes_) - 1)) if shift is None else _of_contrasts(np.asarray(shift))


def _of_contrasts(of_classes: Float64Matrix) -> Float64Matrix:
    """What a class has more than the first; of two classes, which have one logit, as it is."""
    return of_classes if len(of_classes) == 1 else np.asarray(of_classes[1:] - of_classes[0])


def parameter_names(model: Any) -> list[str]:
    """Of the parameters of one class: those of the fit, or ``x0``, ``x1``, ..., and ``intercept``."""
    names = getattr(model, "feature_names_in_", None)
    found = [f"x{j}" for j in range(model.n_features_in_)] if names is None else [str(name) for name in names]
    return [*found, "intercept"] if model.fit_intercept else found


def refuse_penalty(model: Any, kind: str) -> None:
    """Refuse a penalty, but Firth's, and with that what is for fits without a penalty."""
    if asks_for_bounds(model):
        raise DataError("summary knows no bounds: a weight at one has no standard error; fit without bounds")
    if model.soft_labels:
        raise DataError("summary counts rows of one class each, and soft labels are none; fit without soft_labels")
    if model.penalty == "firth":
        if kind != "nonrobust":
            raise DataError(f"covariance={kind!r} is for fits without a penalty; with penalty='firth' use 'nonrobust'")
        if model.class_weight is not None:
            raise DataError("class_weight leaves no likelihood to take a profile of; fit penalty='firth' without it")
        return
    l1 = model.penalty in ("l1", "elasticnet") or (model.penalty == "deprecated" and bool(model.l1_ratio))
    if model.penalty is None or np.isinf(model.C):
        return
    if l1:
        raise DataError(
            "an L1 penalty leaves no standard errors: it chooses columns, and normal intervals do not hold for those "
            "it has chosen; fit with C=np.inf"
        )
    raise DataError(
        f"C={model.C:g} draws the coefficients towards zero, and standard errors do not tell of that; fit with C=np.inf"
    )


def _refuse_separated(columns: HostArray, names: list[str]) -> None:
    """Refuse columns that separate the classes, if there are any."""
    if len(columns):
        shown = ", ".join(repr(names[j]) for j in columns[:8]) + (
            f" and {len(columns) - 8} more" if len(columns) > 8 else ""
        )
        raise DataError(
            f"the classes are separated by {shown}: the likelihood has no maximum, and coefficients go to infinity; "
            "leave out a column, or fit with penalty='firth'"
        )


def refuse_not_converged(model: Any) -> None:
    """Refuse a fit that ended before its maximum."""
    if not getattr(model, "converged_", True):
        raise DataError(f"the fit did not converge ({model.stop_reason_}); standard errors are those of a maximum")


def refuse_other_rows(step: Float64Vector, inverse: Float64Matrix, names: list[str]) -> None:
    """Refuse a point that is not the maximum of the likelihood of the rows, by Newton's step from there."""
    steps = np.abs(step) / np.sqrt(inverse.diagonal())
    worst = int(steps.argmax())
    if steps[worst] > LARGEST_STEP:
        raise DataError(
            f"coef_ is not the maximum of the likelihood of these rows: it is {steps[worst]:.2g} standard errors away "
            f"in {names[worst % len(names)]!r}; give the rows, labels and weights of the fit, or fit with a smaller tol"
        )


def information_of(
    model: Any, prepared: Prepared, point: Point, names: list[str], kind: str, groups: Groups | None
) -> Information:
    """The information at the maximum; a `DataError` where there is none, or another."""
    data, n_classes = prepared.data, len(model.classes_)
    try:
        fitted = information_at(
            data,
            point,
            lambda j: repr(names[j]),
            kind in ("HC0", "HC1"),
            groups,
            kind in ("HC2", "HC3"),
            in_single=True,
        )
    except SingularError:  # along directions in which all rows are certain, too
        _refuse_separated(separating_columns(data, point, n_classes), names)
        raise
    no_value_tells = hasattr(model, "has_offset_")
    if not getattr(model, "converged_", True) and ("separable" in model.stop_reason_ or no_value_tells):
        _refuse_separated(separating_columns(data, point, n_classes), names)
    refuse_not_converged(model)
    refuse_other_rows(fitted.step(), fitted.inverse, names)
    if looks_separated(fitted.step(), fitted.inverse, point):
        _refuse_separated(separating_columns(data, point, n_classes), names)
    return fitted
