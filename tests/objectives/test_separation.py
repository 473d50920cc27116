"""Columns that separate classes: cases that are known to, and to not, by themselves and together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.losses import loss_of_classes
from gpu_logreg.objectives.separation import separating_columns
from gpu_logreg.passes.reference.column_extremes import column_extremes
from gpu_logreg.passes.reference.information import Point
from gpu_logreg.rows.resident import ResidentDataset


def separating(X, y, s=None, fit_intercept=True):
    K = int(y.max()) + 1
    labels = y.astype(loss_of_classes(K).label_dtype)
    data = ResidentDataset.from_arrays(X, labels, s, Device("cpu"), encoded=True)
    point = Point.of(data, np.zeros((K - 1, X.shape[1])), np.zeros(K - 1), fit_intercept)
    return list(separating_columns(data, point, K))


def rows(n=3000, seed=0, n_classes=2):
    rng = np.random.default_rng(seed)
    return rng, rng.standard_normal((n, 2)) * [1.0, 100.0] + [0.0, 1000.0], rng.integers(0, n_classes, n)


def test_overlapping_classes():
    _, X, y = rows()
    assert separating(X, y) == []
    assert separating(sparse.csr_array(X), y) == []
    _, X, y = rows(n_classes=3)
    assert separating(X, y) == []


def test_one_row_on_the_wrong_side_of_many_is_seen():
    """The linear program begins with some of the rows, and the one that decides is not among them."""
    rng, X, y = rows()
    direction = (2 * y - 1) * (0.1 + rng.random(len(y)))
    Z = np.column_stack([X[:, 0], direction - X[:, 0]])
    assert separating(Z, y) == [0, 1]
    Z[1] *= -1.0
    assert separating(Z, y) == []
    s = np.ones(len(y))
    s[1] = 0.0  # a row of no weight is none
    assert separating(Z, y, s) == [0, 1]


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_rare_column_of_one_class(n_classes):
    rng, X, y = rows(n_classes=n_classes)
    rare = (rng.random(len(y)) < 0.01) & (y == 1)
    assert separating(np.column_stack([X, rare]), y) == [2]
    assert separating(np.column_stack([X, rare]), y, fit_intercept=False) == [2]
    assert separating(sparse.csr_array(np.column_stack([X, rare])), y) == [2]


def test_without_an_intercept_the_border_is_zero():
    y = np.arange(100) % 2
    x = 5.0 + np.where(y == 1, 1.0, -1.0) * np.linspace(0.1, 1.0, 100)
    assert separating(x[:, None], y) == [0]
    assert separating(x[:, None], y, fit_intercept=False) == []
    assert separating(x[:, None] - 5.0, y, fit_intercept=False) == [0]


def test_a_constant_column_separates_nothing():
    y = np.arange(100) % 2
    X = np.column_stack([np.full(100, 3.0), np.random.default_rng(0).standard_normal(100)])
    assert separating(X, y) == []


def test_extremes_are_those_of_the_rows_of_positive_weight():
    _, X, y = rows(n_classes=3)
    s = np.random.default_rng(1).integers(0, 2, len(y)).astype(float)
    for stored in (X, sparse.csr_array(X)):
        data = ResidentDataset.from_arrays(stored, y.astype(np.int32), s, Device("cpu"), encoded=True)
        least, largest = column_extremes(data, 4)
        for k in range(3):
            np.testing.assert_array_equal(least[k], X[(y == k) & (s > 0)].min(axis=0))
            np.testing.assert_array_equal(largest[k], X[(y == k) & (s > 0)].max(axis=0))
        assert np.isinf(least[3]).all()
        assert (largest[3] == -np.inf).all()
