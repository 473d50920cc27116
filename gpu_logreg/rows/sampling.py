"""Random samples of rows, stratified by class, with inverse-probability weights.

A row drawn with probability ``p_i`` has the weight ``1 / p_i``, so that weighted sums over the sample are unbiased
estimates of sums over all rows (D. Horvitz and D. Thompson, 1952). There are two ways to draw ``m`` of ``n`` rows:

- *Evenly*: one row at random from each of ``m`` consecutive stretches of ``n / m`` rows, which samples sorted data
  evenly too.
- *In proportion to a size of every row* (row weight, or row weight times an estimate of leverage): systematic sampling
  with inclusion probabilities ``p_i = min(1, c size_i)``. It is used where the variance of a column comes from few
  rows (rare indicators, heavy tails): with ``size_i = 1 + |u_i|**2 / d``, where ``u_i`` is the row in standardised
  columns, those rows have probability 1 as a rule. This is importance sampling by row norms, as in P. Drineas, R.
  Kannan and M. Mahoney, "Fast Monte Carlo algorithms for matrices" (2006).

Where a class is rare, each class is a stratum of its own, and the rare class gets more than its share of the sample.
"""

from __future__ import annotations

import math

import numpy as np

from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, Float64Vector, IntVector

__all__ = ["class_counts", "draw", "draws_evenly", "evenly", "inclusion"]

RARE_SHARE = 0.05
"""Share of the rows below which one of two classes is rare, so that classes are strata; of K classes 2 / K of it.

A choice, not measured."""


def evenly(n: int, m: int, generator: np.random.Generator) -> IntVector:
    """One row at random from each of ``m`` equal stretches of ``n`` rows, in ascending order; all rows if ``m >= n``.

    Examples
    --------
    >>> evenly(9, 3, np.random.default_rng(0))
    array([1, 3, 6])
    """
    if m >= n:
        return np.arange(n)
    return np.minimum(((np.arange(m) + generator.random(m)) * (n / m)).astype(np.int64), n - 1)


def _even_sample(
    members: IntVector | None, n: int, m: int, generator: np.random.Generator
) -> tuple[IntVector, Float64Vector]:
    """Rows drawn evenly, out of ``n`` rows or out of the ``n`` rows ``members``, and their weights ``n / m``."""
    rows = evenly(n, max(1, m), generator)
    return (rows if members is None else members[rows]), np.full(len(rows), n / len(rows))


def inclusion(size: Float64Vector, m: float) -> Float64Vector:
    """Inclusion probabilities ``min(1, c size)``, with ``c`` such that they add up to ``m``.

    Parameters
    ----------
    size : ndarray of shape (n,)
        Not negative; the probability of a row of size 0 is 0.
    m : float
        Expected number of rows of the sample; from the number of positive sizes on, all their probabilities are 1.

    Examples
    --------
    >>> inclusion(np.array([1.0, 1.0, 2.0, 100.0]), 2.0)
    array([0.25, 0.25, 0.5 , 1.  ])
    """
    positive = int(np.count_nonzero(size))
    if m >= positive:
        return (size > 0).astype(np.float64)
    # The k largest have probability 1, with the smallest k for which c times the next size is less than 1.
    falling = -np.sort(-size[size > 0])
    rest = np.cumsum(falling[::-1])[::-1]
    k = np.arange(positive)
    c = np.maximum(m - k, 0.0) / rest
    at = min(int(np.argmax(c * falling < 1.0)), max(0, math.ceil(m) - 1))  # c is 0 beyond
    probability: Float64Vector = np.minimum(1.0, c[at] * size)
    return probability


def _systematic(probability: Float64Vector, generator: np.random.Generator) -> IntVector:
    """Systematic sample: rows whose intervals of cumulated probability hold one of u, u + 1, u + 2, ...; in order."""
    total = np.cumsum(probability)
    points = np.arange(generator.random(), total[-1], 1.0)
    rows = np.minimum(np.searchsorted(total, points, side="right"), len(total) - 1)
    return rows[np.flatnonzero(np.diff(rows, prepend=-1))]  # ascending; rounding may hit a row of probability 1 twice


def class_counts(labels: Array, n_classes: int) -> list[int]:
    """Number of rows of every class, counted where the labels live."""
    xp = array_namespace(labels)
    if n_classes > 2:
        return [int(count) for count in to_numpy(xp.bincount(labels, minlength=n_classes))]
    n_ones = int(xp.count_nonzero(labels))
    return [len(labels) - n_ones, n_ones]


def draws_evenly(counts: list[int]) -> bool:
    """Whether no class is rare among so many rows of each."""
    return min(counts) >= 2.0 * RARE_SHARE / len(counts) * sum(counts)


def draw(
    labels: Array, m: int, generator: np.random.Generator, size: Float64Vector | None = None, n_classes: int = 2
) -> tuple[IntVector, Float64Vector]:
    """Rows of a random sample, stratified by class where a class is rare, and their inverse-probability weights.

    Parameters
    ----------
    labels : integer array of shape (n,)
        Number of each row's class. They are copied from a GPU where a class is rare.
    m : int
        Wanted number of rows. A rare class may add up to a quarter to it, each rare class of K up to 1 / (2 K).
    generator : numpy Generator
    size : ndarray of shape (n,), optional
        Rows are drawn with probabilities in proportion to it; evenly if None.
    n_classes : int

    Returns
    -------
    rows : ndarray of int64, ascending
    weight : ndarray of float64
        ``1 / p_i``.

    Examples
    --------
    >>> labels = np.arange(1000) >= 990  # ten rows of the second class, all of them in the sample
    >>> rows, weight = draw(labels, 100, np.random.default_rng(0))
    >>> len(rows), weight[labels[rows]]
    (109, array([1., 1., 1., 1., 1., 1., 1., 1., 1., 1.]))
    """
    n = len(labels)
    if m >= n:
        rows = np.arange(n) if size is None else np.flatnonzero(size > 0)
        return rows, np.ones(len(rows))
    counts = class_counts(labels, n_classes)
    if size is None and draws_evenly(counts):
        rows, weight = _even_sample(None, n, m, generator)
        return rows, weight
    labels = to_numpy(labels)
    parts: list[tuple[IntVector, Float64Vector]] = []
    for label, count in enumerate(counts):
        if count == 0:
            continue
        members = np.flatnonzero(labels == label)
        wanted = max(m * count / n, m / (2 * len(counts)))
        if size is None:
            parts.append(_even_sample(members, count, int(wanted), generator))
        else:
            probability = inclusion(size[members], wanted)
            at = _systematic(probability, generator)
            parts.append((members[at], 1.0 / probability[at]))
    rows = np.concatenate([rows for rows, _ in parts])
    order = np.argsort(rows, kind="stable")
    return rows[order], np.concatenate([weight for _, weight in parts])[order]
