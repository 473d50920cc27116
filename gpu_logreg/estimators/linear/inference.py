"""Standard errors and tests of a fitted linear model: from the rows of its fit to a `Summary`."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.csr import dense_coef
from gpu_logreg.arrays.device import numpy_defaults, to_numpy
from gpu_logreg.arrays.device_choice import resolve_device
from gpu_logreg.arrays.on_device import on_device
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, HostArray
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.inputs import given_column
from gpu_logreg.estimators.labels import weights_by_class
from gpu_logreg.estimators.linear.summary import Summary, by_standard_errors, check_level
from gpu_logreg.estimators.prepare import Prepared, prepare
from gpu_logreg.estimators.streamed import prepare_stream, stream_of, streams_on
from gpu_logreg.estimators.target import Target
from gpu_logreg.mathematics.inference import COVARIANCES, log_likelihood_of_shares, sandwich, sandwich_of_groups
from gpu_logreg.objectives.information import Information, SingularError, information_at, refuse_wide
from gpu_logreg.objectives.separation import looks_separated, separating_columns
from gpu_logreg.passes.reference.information import Groups, Point, outer_sums
from gpu_logreg.passes.reference.leverage import Correction

__all__ = ["LinearInference"]

LARGEST_STEP = 0.1
"""Standard errors that Newton's step from ``coef_`` may move a parameter by: a fit ends far below, and on other rows
the step is about as large as the standard error itself."""


class LinearInference:
    """`summary` of logistic regression."""

    def summary(
        self: Any,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        covariance: str = "nonrobust",
        groups: Any = None,
        level: float = 0.95,
    ) -> Summary:
        """Coefficients with standard errors, tests and confidence intervals, of a fit without a penalty.

        It takes a walk over the rows for the information and the robust covariance, and a second for HC2, HC3 and
        groups. Rows are computed in float64, on the device of the fit.

        Parameters
        ----------
        X, y, sample_weight : as of `fit`
            Those of the fit.
        covariance : {"nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster"}, default="nonrobust"
            ``"nonrobust"``: the inverse of the information, which is right where the model is. The others are robust
            against a model that is not: HC1 multiplies HC0 by ``n / (n - P)``, HC2 and HC3 correct every row by its
            leverage (`gpu_logreg.passes.reference.leverage.Correction`); ``"cluster"`` takes rows of one group as
            dependent.
        groups : array of shape (n,), optional
            The group of every row, of any type; for ``"cluster"`` alone.
        level : float, default=0.95
            Of the confidence intervals.

        Returns
        -------
        Summary

        Raises
        ------
        DataError
            A fit with a penalty or one that did not converge; rows that are not those of the fit; collinear columns and
            columns that separate the classes, which the message names.

        Notes
        -----
        A row of weight 2 is a row written twice, so that weights count rows: with weights that all double, standard
        errors fall by the root of 2. Class weights do not count rows: they multiply the gradient of their rows, the
        likelihood is no longer one, and of the covariances the robust ones alone remain right; likelihood ratios and
        criteria are then to be read with care.

        Examples
        --------
        >>> import numpy as np
        >>> from gpu_logreg import LogisticRegression
        >>> x = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).reshape(-1, 1)
        >>> y = np.array([0, 0, 1, 0, 1, 1])
        >>> summary = LogisticRegression(C=np.inf).fit(x, y).summary(x, y)
        >>> summary.standard_errors.round(2)
        array([0.91, 2.55])
        """
        check_is_fitted(self)
        level = check_level(level)
        if covariance not in COVARIANCES:
            raise DataError(f"covariance={covariance!r} is none of {', '.join(COVARIANCES)}")
        if (covariance == "cluster") != (groups is not None):
            said = (
                "needs groups=" if groups is None else f"takes no groups; use covariance='cluster', not {covariance!r}"
            )
            raise DataError(f"covariance={covariance!r} {said}" if groups is None else f"covariance {said}")
        _refuse_penalty(self)
        stream = stream_of(X, y, sample_weight)
        if stream is None:
            X, y = self._validated(X, y, reset=False)
        device = resolve_device(self.device, X) if stream is None else streams_on(self.device)
        with on_device(device), blas_on_one_thread(), numpy_defaults():
            if stream is None:
                target, columns = Target(self.classes_), getattr(self, "feature_names_in_", None)
                prepared = prepare(X, y, sample_weight, device, target=target, column_names=columns)
            else:
                prepared = prepare_stream(stream, device, class_weight=None, storage="auto", solver="auto")
            return _summary(self, prepared, covariance, groups, level)


def _summary(model: Any, prepared: Prepared, kind: str, groups: Any, level: float) -> Summary:
    data, names = prepared.data, _names(model)
    K, p = len(model.classes_), len(names)
    if not np.array_equal(prepared.target.classes, model.classes_):
        raise DataError("the classes of the rows are not those of the fit; give the rows of the fit")
    refuse_wide((K - 1) * p)
    weights_of_classes = data.weights_of_classes(prepared.target.loss)
    by_class = None
    if model.class_weight is not None:
        by_class = weights_by_class(model.class_weight, model.classes_, weights_of_classes)
    W, b = contrasts(model)
    point = Point.of(data, W, b, model.fit_intercept, by_class)
    of_groups = None if groups is None else _groups(groups, data.n_rows, point.n_params)
    fitted = _information(model, prepared, point, names, kind, of_groups)
    there, n_groups = _covariance(prepared, fitted, kind, of_groups)
    packed = np.column_stack([W, b])[:, :p]
    coefficients = packed[0] if K == 2 else packed
    covariance = fitted.by_params(there)
    errors, p_values, intervals = by_standard_errors(coefficients, covariance, level)
    sums = weights_of_classes if by_class is None else weights_of_classes * by_class
    null = log_likelihood_of_shares(sums) if model.fit_intercept else -float(sums.sum()) * math.log(K)
    return Summary(
        classes=model.classes_.copy(),
        names=names,
        coefficients=coefficients,
        standard_errors=errors,
        p_values=p_values,
        intervals=intervals,
        covariance=covariance,
        covariance_kind=kind,
        level=level,
        n_rows=fitted.sums.weight_sum,
        n_groups=n_groups,
        log_likelihood=fitted.sums.log_likelihood,
        null_log_likelihood=null,
        likelihood="log-likelihood",
        _model=copy.copy(model),
        _coordinates=point.coordinates,
        _covariance_there=there,
    )


def _information(
    model: Any, prepared: Prepared, point: Point, names: list[str], kind: str, groups: Groups | None
) -> Information:
    """The information at the maximum; a `DataError` where there is none, or another."""
    data, n_classes = prepared.data, len(model.classes_)
    try:
        fitted = information_at(data, point, lambda j: repr(names[j]), kind in ("HC0", "HC1"), groups)
    except SingularError:  # along directions in which all rows are certain, too
        _refuse_separated(separating_columns(data, point, n_classes), names)
        raise
    if not getattr(model, "converged_", True):
        if "separable" in model.stop_reason_:
            _refuse_separated(separating_columns(data, point, n_classes), names)
        raise DataError(f"the fit did not converge ({model.stop_reason_}); standard errors are those of a maximum")
    _refuse_other_rows(fitted, names)
    if looks_separated(fitted.step(), fitted.inverse):
        _refuse_separated(separating_columns(data, point, n_classes), names)
    return fitted


def _covariance(
    prepared: Prepared, fitted: Information, kind: str, groups: Groups | None
) -> tuple[Float64Matrix, int | None]:
    """The covariance in the coordinates of the point, and the number of groups."""
    data, point, inverse, n = prepared.data, fitted.point, fitted.inverse, fitted.sums.weight_sum
    if kind == "nonrobust":
        return inverse, None
    if kind in ("HC1", "cluster") and n <= point.n_params:
        raise DataError(
            f"covariance={kind!r} divides by n - P, and there are {n:g} rows and {point.n_params} parameters"
        )
    if groups is not None:
        sums = groups.grad_sums[groups.weights > 0.0]
        if len(sums) < 2:
            raise DataError(f"groups holds {len(sums)} group of positive weight; at least 2 are needed")
        return sandwich_of_groups(inverse, sums, n), len(sums)
    outer = fitted.sums.outer
    if kind in ("HC2", "HC3"):
        outer = outer_sums(data, point, Correction(inverse, root=kind == "HC2"))
        if not np.isfinite(outer).all():
            raise DataError(f"covariance={kind!r} divides by 1 - leverage, and a row has leverage 1; use 'HC1'")
    return sandwich(inverse, outer, kind, n), None


def _groups(groups: Any, n: int, n_params: int) -> Groups:
    """Groups of any type as numbers, with sums of zero."""
    values = np.asarray(to_numpy(given_column(groups, "groups")))
    if values.shape != (n,):
        raise DataError(f"groups has shape {values.shape}, and X has {n} rows")
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise DataError(f"groups holds NaN at row {int(np.isnan(values).argmax())}; give every row a group")
    found, codes = np.unique(values, return_inverse=True)
    return Groups(codes, np.zeros((len(found), n_params)), np.zeros(len(found)))


def contrasts(model: Any) -> tuple[Float64Matrix, Float64Vector]:
    """Weights of shape (K - 1, d) and intercepts: of two classes as they are, of more less those of the first class."""
    W, b = dense_coef(model.coef_).astype(np.float64), np.asarray(model.intercept_, np.float64)
    return (W, b) if len(W) == 1 else (W[1:] - W[0], b[1:] - b[0])


def _names(model: Any) -> list[str]:
    names = getattr(model, "feature_names_in_", None)
    found = [f"x{j}" for j in range(model.n_features_in_)] if names is None else [str(name) for name in names]
    return [*found, "intercept"] if model.fit_intercept else found


def _refuse_penalty(model: Any) -> None:
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


def _refuse_other_rows(fitted: Information, names: list[str]) -> None:
    """Refuse a point that is not the maximum of the likelihood of the rows."""
    steps = np.abs(fitted.step()) / np.sqrt(fitted.inverse.diagonal())
    worst = int(steps.argmax())
    if steps[worst] > LARGEST_STEP:
        raise DataError(
            f"coef_ is not the maximum of the likelihood of these rows: it is {steps[worst]:.2g} standard errors away "
            f"in {names[worst % len(names)]!r}; give the rows, labels and weights of the fit, or fit with a smaller tol"
        )
