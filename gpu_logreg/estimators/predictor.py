"""What is the same for every model: what it takes for rows and labels, and its answers from logits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from gpu_logreg.arrays.checks import check_sample_weight, first_not_finite, not_finite_error
from gpu_logreg.arrays.csr import csr_rows_of
from gpu_logreg.arrays.device import device_of, numpy_defaults, one_line, to_numpy, using
from gpu_logreg.arrays.interchange import as_array, is_bfloat16, like
from gpu_logreg.arrays.on_device import POOL_BYTES, on_device
from gpu_logreg.errors import DataError, NotNumbersError
from gpu_logreg.estimators.inputs import GivenRows, given_column, given_rows, is_plain
from gpu_logreg.estimators.known_parameters import KnownParameters
from gpu_logreg.estimators.label_types import exact_array, is_whole, label_array, of_one_type, same_labels
from gpu_logreg.estimators.labels import holds_labels, label_indicator, refuse_continuous
from gpu_logreg.estimators.no_numbers import refuse_dates, refuse_no_numbers
from gpu_logreg.estimators.reported import Reported
from gpu_logreg.estimators.streamed import logits_by_block, score_by_block, stream_of
from gpu_logreg.estimators.target import Target
from gpu_logreg.rows.extremes import largest_of_row

__all__ = ["Predictor"]


class Predictor(Reported, KnownParameters, ClassifierMixin):  # type: ignore[misc]
    """What follows from ``_logits(X)`` and ``classes_`` of shape (K,)."""

    classes_: Any
    _learns_labels = False
    """Whether ``y`` may be an indicator matrix of several labels."""

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn's own checks are to expect: sparse rows are taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _logits(self, X: Any) -> Any:
        """Logits of rows as they are given: see `_logits_of_rows`."""
        check_is_fitted(self)
        return self._logits_of_rows(self._validated_rows(X))

    def _logits_of_rows(self, X: Any) -> Any:
        """Logits where ``X`` lives: of shape (n,), positive for the second, for two classes; (n, K) for more."""
        raise NotImplementedError

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """Rows and labels to learn from, in the memory they are in; finiteness of ``X`` is seen by the first read.

        An indicator matrix of labels, where one may be given, becomes ``uint8``.

        Parameters
        ----------
        X, y : as for `fit`
        reset : bool
            Whether names and number of the columns are noted, or compared with those noted before.
        """
        if y is None:
            raise DataError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        given = given_rows(X)
        if is_plain(given, y) and self._has_columns_of(given.X, reset):
            return given.X, y
        y = self._labels(y)
        several = self._learns_labels and holds_labels(y)
        if given.scikit_learn_knows:
            y = to_numpy(y)
            return self._by_scikit_learn(given.X, reset, y=y, multi_output=several)  # type: ignore[no-any-return]
        self._check_rows(given, reset)
        y = column_or_1d(y, warn=True) if isinstance(y, np.ndarray) and not several else y
        if y.shape[:1] != given.X.shape[:1] or y.ndim != 1 + several:
            raise DataError(f"y has shape {y.shape}, and X has {given.X.shape[0]} rows")
        return given.X, y

    def _labels(self, y: Any) -> Any:
        """``y`` as an array of labels, in the memory it is in; an indicator matrix, where one may be given, as `uint8`.

        Raises
        ------
        DataError
            One line that names the row of a missing or masked label, or what cannot be a label.
        """
        if hasattr(y, "toarray"):
            raise DataError("y is a sparse matrix; give a dense array, such as y.toarray()")
        y = exact_array(given_column(y, "y"))
        if y.ndim > 2:
            raise DataError(f"y has shape {y.shape}; give a vector of labels")
        with contextlib.nullcontext() if type(y) is np.ndarray else using(device_of(y)):
            if not holds_labels(y):
                return label_array(y)
            return label_indicator(y) if self._learns_labels else y  # which scikit-learn refuses for its shape

    def _validated_rows(self, X: Any) -> Any:
        """Rows to predict, in the memory they are in, with the columns of the fit."""
        given = given_rows(X)
        if is_plain(given) and self._has_columns_of(given.X, reset=False):
            return given.X
        if given.scikit_learn_knows:
            return self._by_scikit_learn(given.X, reset=False)
        self._check_rows(given, reset=False)
        return given.X

    def _by_scikit_learn(self, X: Any, reset: bool, **labels: Any) -> Any:
        refuse_dates(X)
        try:
            valid = validate_data(self, X, **labels, accept_sparse="csr", reset=reset, ensure_all_finite=False)
        except Exception as error:
            refuse_no_numbers(X)  # what scikit-learn and NumPy say does not name the column
            if isinstance(error, ValueError):
                raise
            raise NotNumbersError(f"X cannot be read as rows of numbers ({one_line(error)})") from error
        rows = valid[0] if labels else valid
        sparse_rows = csr_rows_of(rows, X)  # of a table of sparse columns, too, scikit-learn makes a sparse matrix
        if sparse_rows is not None:
            return (sparse_rows, valid[1]) if labels else sparse_rows
        if rows.dtype.kind in "fiub" or is_bfloat16(rows):
            return valid
        refuse_dates(rows)
        refuse_no_numbers(X)
        if rows.dtype.kind != "O":
            raise DataError(f"X has dtype {rows.dtype}; give real numbers")
        rows = rows.astype(np.float64)  # decimals, or categories that are numbers
        return (rows, valid[1]) if labels else rows

    def _has_columns_of(self, X: Any, reset: bool) -> bool:
        """Whether rows without names have the columns of the fit; their number is noted if ``reset``."""
        if hasattr(self, "feature_names_in_"):
            return False
        if reset:
            self.n_features_in_ = X.shape[1]
        return bool(X.shape[1] == getattr(self, "n_features_in_", None))

    def _check_rows(self, given: GivenRows, reset: bool) -> None:
        """What `validate_data` checks, for rows that it cannot look at."""
        X = given.X
        if X.ndim != 2:
            raise DataError(f"Expected 2D array, got {X.ndim}D array instead; X must have shape (n, d)")
        if 0 in X.shape:
            raise DataError(f"X has shape {X.shape}; at least one row and one column are required")
        refuse_dates(X)
        if X.dtype.kind not in "fiub" and not is_bfloat16(X):
            raise DataError(f"X has dtype {X.dtype}; give real numbers")
        named = X if given.header is None else given.header
        validate_data(self, named, skip_check_array=True, reset=reset)  # names and number of the columns alone

    def _refuse_not_finite(self, X: Any) -> None:
        """Raise a `DataError` that names the first NaN or infinity of ``X``; nothing if there is none."""
        found = first_not_finite(X)
        if found is not None:
            raise not_finite_error(*found, self._column_name(found[1]))

    def _refuse_overflow(self, X: Any, row: int) -> None:
        """Raise a `DataError` that names the largest value of a row whose logits are beyond the arithmetic."""
        column, value = largest_of_row(X, row)
        raise DataError(
            f"the logits of row {row} overflow: X holds {value:g} in column {column}{self._column_name(column)}; "
            "give values of the size of those of the fit"
        )

    def _column_name(self, column: int) -> str:
        names = getattr(self, "feature_names_in_", None)
        return "" if names is None else f" ({names[column]!r})"

    def decision_function(self, X: Any) -> Any:
        """Logits: of two classes one, positive for the second.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n, d), or stream

        Returns
        -------
        array of shape (n,), or (n, K) for K >= 3 classes, of the library of ``X``; for tables as of `predict`
        """
        return self._answer(X, lambda z: z)

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n, d), or stream

        Returns
        -------
        array of shape (n, K), of the library of ``X``; for tables as of `predict`
        """
        return self._answer(X, lambda z: self._target().loss.probabilities(z))

    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of the probabilities of the classes, finite for every finite logit.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n, d), or stream

        Returns
        -------
        array of shape (n, K), of the library of ``X``; for tables as of `predict`
        """
        return self._answer(X, lambda z: self._target().loss.log_probabilities(z))

    def predict(self, X: Any) -> Any:
        """The most probable class of each row.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n, d), or stream

        Returns
        -------
        array of shape (n,), or (n, L) zeros and ones from a network of L labels
            Of the library of ``X`` where that can hold the labels; strings come back as a NumPy array. Lists and
            tables get NumPy arrays, cuDF's tables CuPy arrays. JAX has 64 bits only where it is told to.
        """
        return self._answer(X, lambda z: self._target().decide(z))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Weighted share of the rows whose class, or all of whose labels, are predicted rightly.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (n, d), or stream
        y : array of the shape of what `predict` gives; None for a stream, which brings labels and weights
        sample_weight : array of shape (n,), optional

        Returns
        -------
        float
        """
        stream = stream_of(X, y, sample_weight)
        if stream is not None:
            self._with_offset(np.zeros(0), None)
            return score_by_block(self, stream)
        return self._score(X, y, sample_weight)

    def _score(self, X: Any, y: Any, sample_weight: Any, **more: Any) -> float:
        """`score` of rows in memory; ``more`` is what `predict` needs beside them."""
        if y is None:
            raise DataError("score requires y, but it is None; only a stream brings its own labels")
        predicted = to_numpy(as_array(self.predict(X, **more)))
        with numpy_defaults():
            y = to_numpy(self._labels(y))
            if len(y.shape) == 0 or len(y) != len(predicted):
                raise DataError(
                    f"X and y have inconsistent numbers of samples: X has {len(predicted)} rows, and y has "
                    f"{len(y) if y.shape else 'no'} labels"
                )
            weights = given_column(sample_weight, "sample_weight")
            with using(device_of(weights)):
                weights = check_sample_weight(weights, len(predicted))
            right = self._is_right(predicted, y)
            return float(np.average(right, weights=None if weights is None else to_numpy(weights)))

    def _with_offset(self, z: Any, offset: Any) -> Any:
        """Logits with what is known of them beforehand: nothing, but for linear models."""
        return z

    def _answer(self, X: Any, made_of: Callable[[Any], Any], offset: Any = None) -> Any:
        """What is made of the logits of ``X``, in its library and on its device, whichever is the current one."""
        stream = stream_of(X)
        if stream is not None:
            if offset is not None:
                raise DataError("offset cannot be used: a stream brings rows without one; give rows in memory")
            self._with_offset(np.zeros(0), None)
            return np.concatenate([made_of(z) for z, _, _ in logits_by_block(self, stream)])
        rows_device = device_of(X)
        less, otherwise = "fewer rows at a time", "give rows in the memory of the host"
        with (
            on_device(rows_device, pool_growth=POOL_BYTES, less=less, otherwise=otherwise),
            numpy_defaults(),
        ):
            return like(made_of(self._with_offset(self._logits(X), offset)), X)

    def _target(self) -> Target:
        """The classes, or the labels, that the model tells apart."""
        return Target(self.classes_)

    def _is_right(self, predicted: Any, y: Any) -> Any:
        """Whether every row is predicted rightly; of labels, whether all of them are."""
        if self._target().several:
            if y.shape != predicted.shape:
                raise DataError(f"y has shape {y.shape}, and the predictions of X have shape {predicted.shape}")
            return (predicted == y).all(axis=1)
        y = column_or_1d(y)
        if not is_whole(of_one_type(y)):
            refuse_continuous(of_one_type(y))
        return same_labels(predicted, y, self.classes_)
