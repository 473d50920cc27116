"""Standard errors and tests of a fitted linear model: from the rows of its fit to a `Summary`."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import numpy_defaults, to_numpy
from gpu_logreg.arrays.device_choice import resolve_device, several_devices
from gpu_logreg.arrays.on_device import on_device
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, HostArray
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.inputs import given_column
from gpu_logreg.estimators.label_types import label_array
from gpu_logreg.estimators.labels import weights_by_class
from gpu_logreg.estimators.linear.firth import profile_of
from gpu_logreg.estimators.linear.maximum import (
    contrasts,
    information_of,
    parameter_names,
    refuse_not_converged,
    refuse_other_rows,
    refuse_penalty,
    shift_of_contrasts,
)
from gpu_logreg.estimators.linear.summary import Summary, by_standard_errors, check_level
from gpu_logreg.estimators.prepare import Prepared, prepare
from gpu_logreg.estimators.streamed import prepare_stream, stream_of, streams_on
from gpu_logreg.estimators.target import Target
from gpu_logreg.mathematics.inference import (
    COVARIANCES,
    half_width,
    log_likelihood_of_shares,
    sandwich,
    sandwich_of_groups,
)
from gpu_logreg.mathematics.whitening import Whitening, keeps_digits
from gpu_logreg.objectives.firth import FirthAt
from gpu_logreg.objectives.information import Information, refuse_wide
from gpu_logreg.passes.choice import row_products
from gpu_logreg.passes.reference.information import Point, outer_sums
from gpu_logreg.passes.reference.leverage import Correction
from gpu_logreg.passes.sums import Groups

__all__ = ["LinearInference"]


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
        offset: Any = None,
    ) -> Summary:
        """Coefficients with standard errors, tests and confidence intervals, without a penalty or with Firth's.

        It takes a walk over the rows for the information and the robust covariance, and a second for HC2 and HC3, on
        the device of the fit. Rows are computed in float64, and very many of two classes on the host in float32, where
        that keeps six digits; it takes one walk more where it proves not to. With ``penalty="firth"`` p values and
        intervals are those of the profile of the penalised likelihood, which takes some tens of walks for each
        parameter.

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
        offset : as of `fit`, optional
            That of the fit.

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

        With ``prior`` or ``sampling_rates`` the intercept is that of the population, whose shares are taken as known;
        likelihoods are those of the rows.

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
        refuse_penalty(self, covariance)
        if (offset is not None) != hasattr(self, "has_offset_"):
            said = "was fitted with an offset" if offset is None else "was fitted without an offset"
            raise DataError(f"the model {said}; give summary the offset of the fit")
        stream = stream_of(X, y, sample_weight)
        if stream is None:
            X, y = self._validated(X, y, reset=False)
        several = None if stream is not None else several_devices(self.device)
        if several is not None:
            device = several[0]  # one is enough for two walks
        else:
            device = resolve_device(self.device, X) if stream is None else streams_on("cpu")
        with on_device(device), blas_on_one_thread(), numpy_defaults():
            if stream is None:
                target, columns = Target(self.classes_), getattr(self, "feature_names_in_", None)
                prepared = prepare(X, y, sample_weight, device, target=target, column_names=columns, offset=offset)
            else:
                prepared = prepare_stream(stream, device, class_weight=None, storage="auto")
            if not np.array_equal(prepared.target.classes, self.classes_):
                raise DataError("the classes of the rows are not those of the fit; give the rows of the fit")
            refuse_wide((len(self.classes_) - 1) * len(parameter_names(self)))
            if self.penalty == "firth":
                return _firth_summary(self, prepared, level)
            return _summary(self, prepared, covariance, groups, level)


def _summary(model: Any, prepared: Prepared, kind: str, groups: Any, level: float) -> Summary:
    """The summary of a fit without a penalty."""
    data, names = prepared.data, parameter_names(model)
    K, p = len(model.classes_), len(names)
    weights_of_classes = data.weights_of_classes(prepared.offset_loss or prepared.target.loss)
    by_class = None
    if model.class_weight is not None:
        by_class = weights_by_class(model.class_weight, model.classes_, weights_of_classes)
    W, b = contrasts(model)
    point = Point.of(data, W, b, model.fit_intercept, by_class)
    of_groups = None if groups is None else _groups(groups, data.n_rows, point.n_params)
    fitted = information_of(model, prepared, point, names, kind, of_groups)
    there, n_groups = _covariance(prepared, fitted, kind, of_groups)
    packed = np.column_stack([W, b + shift_of_contrasts(model)])[:, :p]
    coefficients, covariance = packed[0] if K == 2 else packed, fitted.by_params(there)
    errors, p_values, intervals = by_standard_errors(coefficients, covariance, level)
    sums = weights_of_classes if by_class is None else weights_of_classes * by_class
    null = log_likelihood_of_shares(sums) if model.fit_intercept else -float(sums.sum()) * math.log(K)
    if prepared.offset_loss is not None:
        null = _null_with_offset(data, by_class, K, model.fit_intercept)
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


def _null_with_offset(data: Any, by_class: Float64Vector | None, n_classes: int, fit_intercept: bool) -> float:
    """The log-likelihood of the intercepts alone beside the offset."""
    from gpu_logreg.objectives.null_model import log_likelihood_with_offset

    _, labels, s = data.rows
    weights = np.ones(data.n_rows) if s is None else to_numpy(s).astype(np.float64)
    if by_class is not None:
        weights = weights * by_class[to_numpy(labels[:, 0]).astype(np.intp)]
    return log_likelihood_with_offset(labels, weights, n_classes, fit_intercept)


def _firth_summary(model: Any, prepared: Prepared, level: float) -> Summary:
    """The summary of a fit with Firth's penalty: tests and intervals by the profile of the penalised likelihood."""
    data, names = prepared.data, parameter_names(model)
    refuse_not_converged(model)
    W, b = contrasts(model)
    point = Point.of(data, W, b, model.fit_intercept)

    def check(at: FirthAt, grad: Float64Vector) -> None:
        refuse_other_rows(at.inverse @ grad, at.inverse, names)

    fall = 0.5 * half_width(level) ** 2
    profile = profile_of(data, point, lambda j: repr(names[j]), fall, check)
    information = profile.at.information
    covariance, shift = information.by_params(profile.at.inverse), shift_of_contrasts(model)
    moved = np.append(np.zeros(W.shape[1]), shift)[: len(names)]
    return Summary(
        classes=model.classes_.copy(),
        names=names,
        coefficients=np.column_stack([W, b + shift])[0, : len(names)],
        standard_errors=np.sqrt(covariance.diagonal()),
        p_values=profile.p_values,
        intervals=profile.intervals + moved[:, None],
        covariance=covariance,
        covariance_kind="nonrobust",
        level=level,
        n_rows=information.sums.weight_sum,
        n_groups=None,
        log_likelihood=profile.at.value,
        null_log_likelihood=profile.null,
        likelihood="penalised log-likelihood",
        _model=copy.copy(model),
        _coordinates=point.coordinates,
        _covariance_there=profile.at.inverse,
    )


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
        white = None
        if point.Phi.shape[0] == 1 and fitted.n_reads == 1:  # with a walk in float32 that was not enough there are 3
            white = Whitening.of(inverse, fitted.sums.information, n, data.n_rows)
        correction = Correction(inverse, kind == "HC2", white)
        products = row_products(data, point.n_params)
        outer = outer_sums(data, point, correction, products, fitted.kept)
        if white is not None and not keeps_digits(inverse, outer):
            outer = outer_sums(data, point, correction._replace(whitening=None), products, fitted.kept)
        if not np.isfinite(outer).all():
            raise DataError(f"covariance={kind!r} needs leverages below 1, and a row has 1 or more; use 'HC1'")
    return sandwich(inverse, outer, kind, n), None


def _groups(groups: Any, n: int, n_params: int) -> Groups:
    """Groups of any type as numbers, with sums of zero."""
    values = np.asarray(to_numpy(given_column(groups, "groups")))
    if values.shape != (n,):
        raise DataError(f"groups has shape {values.shape}, and X has {n} rows")
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise DataError(f"groups holds NaN at row {int(np.isnan(values).argmax())}; give every row a group")
    if values.dtype.kind in "mMO":
        values = label_array(values, "groups")  # which names a missing one, and types that have no order
    codes, n_groups = _numbered(values)
    return Groups(codes, np.zeros((n_groups, n_params)), np.zeros(n_groups))


def _numbered(values: HostArray) -> tuple[HostArray, int]:
    """Numbers from 0 of the different values, and how many there are; integers of a small range are not sorted."""
    if values.dtype.kind in "iu" and len(values):
        least, largest = int(values.min()), int(values.max())
        if largest - least < 4 * len(values):
            steps = ((values.astype(np.int64) if values.dtype.kind == "i" else values) - least).astype(np.intp)
            numbers = np.cumsum(np.bincount(steps) > 0)
            return numbers[steps] - 1, int(numbers[-1])
    found, codes = np.unique(values, return_inverse=True)
    return codes, len(found)
