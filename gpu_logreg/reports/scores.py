"""Scores of predicted probabilities, by scikit-learn's metrics where it has them, and tables of decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BinaryCurves",
    "Calibration",
    "Labelled",
    "ThresholdRow",
    "binary_curves",
    "calibration",
    "thinned",
    "thresholds",
]

CURVE_POINTS = 250
"""Most points of a curve on a page; its area is that of the whole curve."""

THRESHOLDS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Labelled:
    """Rows as a report sees them.

    Attributes
    ----------
    codes : ndarray of shape (n,), int
        Numbers of their classes.
    probabilities : ndarray of shape (n, K)
    weights : ndarray of shape (n,) or None
    classes : tuple of str
        Names of the K classes.
    """

    codes: NDArray[np.int64]
    probabilities: Vector
    weights: Vector | None
    classes: tuple[str, ...]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.codes)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of every row; of two classes the second above one half, as `predict` decides."""
        if len(self.classes) == 2:
            return (self.probabilities[:, 1] > 0.5).astype(np.int64)
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def accuracy(self) -> float:
        """Weighted share of the rows whose class is predicted."""
        return float(np.average(self.predicted == self.codes, weights=self.weights))

    @property
    def log_loss(self) -> float:
        """Weighted mean of minus the logarithm of the probability of the class of a row."""
        own = self.probabilities[np.arange(self.n_rows), self.codes]
        return float(np.average(-np.log(np.maximum(own, np.finfo(np.float64).tiny)), weights=self.weights))

    @property
    def confusion(self) -> Vector:
        """Weights of the rows of a class (down) that are taken for another (across)."""
        from sklearn.metrics import confusion_matrix

        labels = np.arange(len(self.classes))
        return np.asarray(confusion_matrix(self.codes, self.predicted, labels=labels, sample_weight=self.weights))

    def weight_of(self, k: int) -> float:
        """Weight of the rows of a class."""
        is_k = self.codes == k
        return float(is_k.sum() if self.weights is None else self.weights[is_k].sum())


@dataclass(frozen=True)
class BinaryCurves:
    """How one class is told from the others.

    Attributes
    ----------
    auc, average_precision : float
        Areas under the curve of receiver operating characteristic, and of precision and recall by steps.
    false_positive, true_positive : ndarray
        Points of the first curve.
    recall, precision : ndarray
        Points of the second, recall falling.
    """

    auc: float
    average_precision: float
    false_positive: Vector
    true_positive: Vector
    recall: Vector
    precision: Vector


def binary_curves(rows: Labelled, k: int) -> BinaryCurves | None:
    """The curves of class ``k`` against all others; None where the rows are all of it, or none is."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    is_k, scores, s = rows.codes == k, rows.probabilities[:, k], rows.weights
    if not 0.0 < rows.weight_of(k) < (rows.n_rows if s is None else float(s.sum())):
        return None
    false_positive, true_positive, _ = roc_curve(is_k, scores, sample_weight=s)
    precision, recall, _ = precision_recall_curve(is_k, scores, sample_weight=s, drop_intermediate=True)
    return BinaryCurves(
        float(roc_auc_score(is_k, scores, sample_weight=s)),
        float(average_precision_score(is_k, scores, sample_weight=s)),
        *thinned(false_positive, true_positive),
        *thinned(recall, precision),
    )


def thinned(x: Vector, y: Vector, most: int = CURVE_POINTS) -> tuple[Vector, Vector]:
    """At most about ``most`` points of a curve, evenly spaced along it, with both ends.

    Examples
    --------
    >>> x, y = thinned(np.linspace(0, 1, 1001), np.linspace(0, 1, 1001), most=5)
    >>> x
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    if len(x) <= most:
        return x, y
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    at = np.unique(np.searchsorted(along, np.linspace(0.0, along[-1], most)).clip(0, len(x) - 1))
    at = np.unique(np.concatenate([[0], at, [len(x) - 1]]))
    return x[at], y[at]


@dataclass(frozen=True)
class Calibration:
    """Rows in bins of equal numbers of rows by their predicted probability.

    Attributes
    ----------
    predicted, observed, weight : ndarray
        Mean probability, share of the class, and weight of the rows, of every bin that holds any.
    brier : float
        Mean squared difference of probability and label.
    expected_error : float
        Mean difference of the two over the bins, by weight.
    """

    predicted: Vector
    observed: Vector
    weight: Vector
    brier: float
    expected_error: float


def calibration(is_right: NDArray[Any], probability: Vector, weights: Vector | None, n_bins: int = 10) -> Calibration:
    """How often what has a probability is right. Bins are those of scikit-learn's ``strategy="quantile"``."""
    s = np.ones(len(probability)) if weights is None else weights
    edges = np.percentile(probability, np.linspace(0.0, 100.0, n_bins + 1))
    bins = np.searchsorted(edges[1:-1], probability)
    weight = np.asarray(np.bincount(bins, s, n_bins), dtype=np.float64)
    held = weight > 0.0
    predicted = np.bincount(bins, s * probability, n_bins)[held] / weight[held]
    observed = np.bincount(bins, s * is_right, n_bins)[held] / weight[held]
    brier = float(np.average((probability - is_right) ** 2, weights=s))
    error = float(np.average(np.abs(predicted - observed), weights=weight[held]))
    return Calibration(predicted, observed, weight[held], brier, error)


@dataclass(frozen=True)
class ThresholdRow:
    """Decisions for the second class from a probability on; NaN where there is nothing to divide by."""

    threshold: float
    taken: float
    precision: float
    recall: float
    specificity: float
    f1: float


def thresholds(rows: Labelled) -> list[ThresholdRow]:
    """Decisions for the second of two classes, where its probability is at least each of `THRESHOLDS`."""
    s = np.ones(rows.n_rows) if rows.weights is None else rows.weights
    is_second, p = rows.codes == 1, rows.probabilities[:, 1]
    found = []
    for threshold in THRESHOLDS:
        taken = p >= threshold
        both, alone = float(s[taken & is_second].sum()), float(s[taken & ~is_second].sum())
        missed, rest = float(s[~taken & is_second].sum()), float(s[~taken & ~is_second].sum())
        found.append(
            ThresholdRow(
                threshold,
                (both + alone) / float(s.sum()),
                _over(both, both + alone),
                _over(both, both + missed),
                _over(rest, rest + alone),
                _over(2.0 * both, 2.0 * both + alone + missed),
            )
        )
    return found


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else float("nan")
