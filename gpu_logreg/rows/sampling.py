"""Samples of rows with inverse-probability weights, never a prefix of the data.

Uniform samples take one row at random from each of m equal stretches of the data, so that data sorted by anything is
sampled evenly. A rare class is sampled apart, with all its rows where they are few. Where some columns are carried by
few rows (rare indicators, heavy tails), rows are drawn with probability in proportion to ``1 + |u|**2 / d``, with
``u`` the row in standardised columns: a cheap stand-in for its leverage. As a rule the rows that carry a rare column
are then all in the sample, with their true weight. To draw rows far from the centre more often is importance sampling
by row norms as in P. Drineas, R. Kannan and M. Mahoney, "Fast Monte Carlo algorithms for matrices" (2006).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Float64Vector

__all__ = ["draw", "evenly", "inclusion"]

RARE_SHARE = 0.05
"""Of two classes one with a smaller share of the rows is sampled apart; of K classes one with 2 / K of that."""

Indices = npt.NDArray[np.int64]


def evenly(n: int, m: int, generator: np.random.Generator) -> Indices:
    """One row at random from each of ``m`` equal stretches of ``n`` rows, in order."""
    if m >= n:
        return np.arange(n)
    return np.minimum(((np.arange(m) + generator.random(m)) * (n / m)).astype(np.int64), n - 1)


def _even_sample(members: Indices | None, n: int, m: int, generator: np.random.Generator) -> Any:
    """Rows drawn evenly, of ``n`` or of ``members``, and the number of rows that each stands for."""
    rows = evenly(n, max(1, m), generator)
    return (rows if members is None else members[rows]), np.full(len(rows), n / len(rows))


def inclusion(size: Float64Vector, m: float) -> Float64Vector:
    """Probabilities ``min(1, c size)`` of being drawn, with ``c`` such that they add up to ``m``.

    Parameters
    ----------
    size : ndarray of shape (n,)
        Not negative; rows of size 0 are never drawn.
    m : float
        Expected number of rows drawn.
    """
    positive = int(np.count_nonzero(size))
    if m >= positive:
        return (size > 0).astype(np.float64)
    # The largest have probability 1: of them as many, k, as are needed for c times the next to be less than 1.
    falling = -np.sort(-size[size > 0])
    rest = np.cumsum(falling[::-1])[::-1]
    k = np.arange(positive)
    c = np.maximum(m - k, 0.0) / rest
    at = min(int(np.argmax(c * falling < 1.0)), max(0, math.ceil(m) - 1))  # beyond, c is 0: sizes of all magnitudes
    probability: Float64Vector = np.minimum(1.0, c[at] * size)
    return probability


def _systematic(probability: Float64Vector, generator: np.random.Generator) -> Indices:
    """Rows drawn with the given probabilities by one random start on their running total; in order."""
    total = np.cumsum(probability)
    points = np.arange(generator.random(), total[-1], 1.0)
    rows = np.minimum(np.searchsorted(total, points, side="right"), len(total) - 1)
    return rows[np.flatnonzero(np.diff(rows, prepend=-1))]  # they rise; a row of probability 1 may be met twice


def _counts(labels: Any) -> list[int]:
    """Rows of every class, counted where the labels live."""
    xp = array_namespace(labels)
    if labels.dtype != np.uint8:
        return [int(count) for count in to_numpy(xp.bincount(labels))]
    seconds = int(xp.count_nonzero(labels))
    return [len(labels) - seconds, seconds]


def draw(
    labels: Any, m: int, generator: np.random.Generator, size: Float64Vector | None = None
) -> tuple[Indices, Float64Vector]:
    """Rows of a sample stratified by class, and one over the probability with which each was drawn.

    Parameters
    ----------
    labels : integer array of shape (n,)
        Number of each row's class; ``uint8`` for two classes. From a GPU they are copied where a class is rare.
    m : int
        Rows wanted; a rare class may add up to a quarter, of K classes 1 / (2 K).
    generator : numpy Generator
    size : ndarray of shape (n,), optional
        Rows are drawn in proportion to it; evenly if None.

    Returns
    -------
    rows : ndarray of int64, in order
    weight : ndarray of float64
    """
    n = len(labels)
    if m >= n:
        rows = np.arange(n) if size is None else np.flatnonzero(size > 0)
        return rows, np.ones(len(rows))
    counts = _counts(labels)
    if size is None and min(counts) >= 2.0 * RARE_SHARE / len(counts) * n:
        rows, weight = _even_sample(None, n, m, generator)
        return rows, weight
    labels = to_numpy(labels)
    parts: list[tuple[Indices, Float64Vector]] = []
    for label, count in enumerate(counts):
        if count == 0:
            continue
        members = np.flatnonzero(labels == label)
        wanted = max(m * count / n, m / (2 * len(counts)))
        if size is None:
            parts.append(_even_sample(members, count, int(wanted), generator))
        else:
            probability = inclusion(size[members], wanted)
            taken = _systematic(probability, generator)
            parts.append((members[taken], 1.0 / probability[taken]))
    rows = np.concatenate([rows for rows, _ in parts])
    order = np.argsort(rows, kind="stable")
    return rows[order], np.concatenate([weight for _, weight in parts])[order]
