"""A fitted model with its standard errors: what `gpu_logreg.LogisticRegression.summary` returns, and its table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import device_of, to_numpy, using
from gpu_logreg.arrays.vector import Float64Matrix, HostArray
from gpu_logreg.errors import DataError, MissingDependencyError
from gpu_logreg.estimators.offset import logits_with_offset
from gpu_logreg.mathematics.inference import ChiSquareTest, chi_square_test, half_width, two_sided_p, wald_statistic
from gpu_logreg.mathematics.logistic import sigmoid
from gpu_logreg.passes.reference.leverage import row_variances
from gpu_logreg.passes.reference.logits import row_logits
from gpu_logreg.rows.coordinates import Coordinates

__all__ = ["Summary"]

NAME_WIDTH = 26
"""Characters of a name in the table, which is 100 wide with it."""


@dataclass(frozen=True, eq=False)
class Summary:
    """Coefficients with their standard errors, tests and intervals, and how well the model fits.

    Arrays of parameters are of shape (p,) for two classes: columns in their order, then the intercept. For K classes
    they are of shape (K - 1, p), a row for each class but the first: the differences of its coefficients from those of
    the first class, as in statsmodels' ``MNLogit``. ``str(summary)`` is a table.

    Attributes
    ----------
    classes : ndarray of shape (K,)
    names : list of str
        Of the p parameters of a class: ``feature_names_in_`` or ``x0``, ``x1``, ..., and ``"intercept"``.
    coefficients, standard_errors : ndarray of shape (p,) or (K - 1, p)
    p_values : ndarray of that shape
        Of the hypotheses that a coefficient is zero: by ``z``, or with Firth's penalty by the penalised likelihood.
    intervals : ndarray of that shape and two
        Confidence intervals of the coefficients: by standard errors, or of the profile of the penalised likelihood.
    covariance : ndarray of shape (P, P)
        Of the ``P = (K - 1) p`` parameters, one class after another.
    covariance_kind : str
        ``"nonrobust"``, ``"HC0"`` to ``"HC3"`` or ``"cluster"``.
    level : float
        Of the intervals.
    n_rows : float
        Sum of ``sample_weight``.
    n_groups : int or None
    log_likelihood, null_log_likelihood : float
        Of the model, and of the intercept alone, or without an intercept of no parameter at all.
    likelihood_ratio : ChiSquareTest
        Of the two: ``(chi2, df, p)``.
    likelihood : str
        ``"log-likelihood"``, or ``"penalised log-likelihood"`` of Firth.
    """

    classes: HostArray
    names: list[str]
    coefficients: HostArray
    standard_errors: HostArray
    p_values: HostArray
    intervals: HostArray
    covariance: Float64Matrix
    covariance_kind: str
    level: float
    n_rows: float
    n_groups: int | None
    log_likelihood: float
    null_log_likelihood: float
    likelihood: str
    _model: Any
    _coordinates: Coordinates
    _covariance_there: Float64Matrix

    @property
    def z(self) -> HostArray:
        """Coefficients over their standard errors."""
        return np.asarray(self.coefficients / self.standard_errors)

    @property
    def n_params(self) -> int:
        """P."""
        return int(self.coefficients.size)

    @property
    def likelihood_ratio(self) -> ChiSquareTest:
        """Of the model against the intercept alone: twice the difference of their log-likelihoods."""
        df = self.n_params - (self.coefficients.size // len(self.names) if self._coordinates.fit_intercept else 0)
        return chi_square_test(2.0 * (self.log_likelihood - self.null_log_likelihood), df)

    @property
    def aic(self) -> float:
        """Akaike's criterion, ``2 P - 2 log_likelihood``."""
        return 2.0 * self.n_params - 2.0 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion, ``P log(n) - 2 log_likelihood``."""
        return self.n_params * math.log(self.n_rows) - 2.0 * self.log_likelihood

    @property
    def mcfadden_r2(self) -> float:
        """McFadden's ``1 - log_likelihood / null_log_likelihood``."""
        return 1.0 - self.log_likelihood / self.null_log_likelihood

    def wald(self, columns: Any) -> ChiSquareTest:
        """Wald's test of the hypothesis that the coefficients of all these columns are zero, of every class.

        Parameters
        ----------
        columns : str, int, or sequence of them
            Names or numbers of parameters.

        Returns
        -------
        ChiSquareTest
            ``w.T inv(V) w`` for the coefficients ``w`` and their covariance ``V``, its degrees of freedom, and ``p``.

        Raises
        ------
        DataError
            A column that is not there, or none; a singular covariance, as with no more groups than parameters.
        """
        p = len(self.names)
        at = self._numbers(columns)
        every = np.add.outer(p * np.arange(self.coefficients.size // p), at).ravel()
        chi2 = wald_statistic(self.coefficients.ravel()[every], self.covariance[np.ix_(every, every)])
        if math.isinf(chi2) or len(every) >= (self.n_groups or math.inf):  # gradients of groups add up to 0
            raise DataError(f"the covariance of {len(every)} parameters is singular, as of few groups; test fewer")
        return chi_square_test(chi2, len(every))

    def predict_interval(self, X: Any, level: float | None = None, *, offset: Any = None) -> Float64Matrix:
        """Confidence intervals of the probability of the second class of every row; for two classes.

        By the delta method on the logit ``z = x @ w + b``, whose variance is ``[x, 1].T V [x, 1]`` with the covariance
        ``V`` of the parameters: the interval is that of ``z``, ``z -+ q se(z)``, taken to probabilities, so that it
        lies within 0 and 1. It is an interval of the probability, in which the label is drawn.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n, d)
        level : float, optional
            That of the summary by default.
        offset : as of `LogisticRegression.predict_proba`, optional

        Returns
        -------
        ndarray of shape (n, 2)
            Lower and upper end.

        Raises
        ------
        DataError
            Of a model of more than two classes.
        """
        if len(self.classes) > 2:
            raise DataError(
                f"intervals of probabilities are for two classes, and the model has {len(self.classes)}; "
                "fit one class against the others"
            )
        rows, level = self._model._validated_rows(X), self.level if level is None else check_level(level)
        with using(device_of(rows)), blas_on_one_thread():
            w, b = np.split(self.coefficients, [len(self.names) - self._coordinates.fit_intercept])
            z = row_logits(rows, w[None], b if len(b) else np.zeros(1), np.dtype(np.float64))
            self._model._refuse_no_logits(rows, z)
            z = logits_with_offset(self._model, z, offset)
            z, variances = to_numpy(z), row_variances(rows, self._coordinates, self._covariance_there)
        reach = half_width(level) * np.sqrt(variances)
        return np.asarray(np.column_stack([sigmoid(z - reach), sigmoid(z + reach)]))

    def to_frame(self) -> Any:
        """The table of the coefficients as a `pandas.DataFrame`.

        Its index has the names, and for K classes the class before the name.

        Raises
        ------
        MissingDependencyError
            Without pandas.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependencyError("to_frame needs pandas; install it with: pip install pandas") from error
        columns = {
            "coefficient": self.coefficients,
            "standard_error": self.standard_errors,
            "z": self.z,
            "p": self.p_values,
            "lower": self.intervals[..., 0],
            "upper": self.intervals[..., 1],
        }
        index: Any = self.names
        if len(self.classes) > 2:
            index = pd.MultiIndex.from_product([list(self.classes[1:]), self.names], names=["class", "column"])
        return pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index=index)

    def _numbers(self, columns: Any) -> HostArray:
        """Numbers of the parameters of a class that are named or numbered."""
        given = [columns] if isinstance(columns, str) or np.ndim(columns) == 0 else list(columns)
        if not given:
            raise DataError("columns is empty; name at least one column")
        found = []
        for column in given:
            if isinstance(column, str):
                if column not in self.names:
                    raise DataError(f"there is no column {column!r}; there are {_few(self.names)}")
                found.append(self.names.index(column))
            elif isinstance(column, int | np.integer) and 0 <= int(column) < len(self.names):
                found.append(int(column))
            else:
                raise DataError(f"column {column!r} is neither a name nor a number from 0 to {len(self.names) - 1}")
        return np.unique(found)

    def __repr__(self) -> str:
        """The table."""
        return str(self)

    def __str__(self) -> str:
        """A table, at most 100 characters wide."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        test = self.likelihood_ratio
        K, groups = len(self.classes), "" if self.n_groups is None else f", {self.n_groups:,} groups"
        yield f"Logistic regression of {K} classes, {self.n_rows:,.10g} rows, {self.n_params:,} parameters"
        profile = "; p values and intervals of the profile" if self.likelihood.startswith("penalised") else ""
        yield f"covariance: {self.covariance_kind}{groups}{profile}"
        yield (
            f"{self.likelihood} {self.log_likelihood:.6g}, {self.null_log_likelihood:.6g} of the intercept alone"
            if (self._coordinates.fit_intercept)
            else f"{self.likelihood} {self.log_likelihood:.6g}, {self.null_log_likelihood:.6g} without parameters"
        )
        yield f"likelihood ratio {test.chi2:.6g}, df {test.df}, p {_p(test.p)}"
        yield f"AIC {self.aic:.6g}, BIC {self.bic:.6g}, McFadden's R2 {self.mcfadden_r2:.4f}"
        interval = f"{100.0 * self.level:g} % interval"
        head = ("coefficient", "std. error", "z", "p")
        for k in range(K - 1):
            yield ""
            what = f"{self.classes[1]}" if K == 2 else f"{self.classes[k + 1]} against {self.classes[0]}"
            yield f"{_cut(what):<{NAME_WIDTH}}{''.join(f'{word:>12}' for word in head)}{interval:>25}"
            yield from self._table(k)

    def _table(self, k: int) -> Iterator[str]:
        p = len(self.names)
        arrays = (self.coefficients, self.standard_errors, self.z, self.p_values)
        rows = zip(self.names, *(a.reshape(-1, p)[k] for a in arrays), self.intervals.reshape(-1, p, 2)[k], strict=True)
        for name, w, se, z, p_value, (low, high) in rows:
            numbers = (
                f"{_number(w):>12}{_number(se):>12}{z:>12.3f}{_p(p_value):>12}{_number(low):>13}{_number(high):>12}"
            )
            yield f"{_cut(name):<{NAME_WIDTH}}{numbers}"


def check_level(level: Any) -> float:
    """The level of an interval, between 0 and 1.

    Raises
    ------
    DataError
    """
    if isinstance(level, bool) or not isinstance(level, int | float | np.number) or not 0.0 < float(level) < 1.0:
        raise DataError(f"level={level!r} is not a number between 0 and 1, such as 0.95")
    return float(level)


def by_standard_errors(
    coefficients: HostArray, covariance: Float64Matrix, level: float
) -> tuple[HostArray, HostArray, HostArray]:
    """Standard errors, p values and intervals of normal coefficients, of the shape of these."""
    errors = np.sqrt(np.maximum(covariance.diagonal(), 0.0)).reshape(coefficients.shape)
    reach = half_width(level) * errors
    intervals = np.stack([coefficients - reach, coefficients + reach], axis=-1)
    return errors, two_sided_p(coefficients / errors), intervals


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:8]))
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


def _cut(name: str) -> str:
    return name if len(name) < NAME_WIDTH else f"{name[: NAME_WIDTH - 4]}..."


def _number(value: float) -> str:
    """Six digits at most."""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 else f"{value:.4g}"


def _p(p: float) -> str:
    return f"{p:.4f}" if p >= 1e-4 else f"{p:.1e}"
