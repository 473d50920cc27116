"""Penalties on the weights; the intercept is never penalised.

``R(w) = l1 |w|_1 + l2 |w|_2**2 / 2``. The ridge part is smooth, and an objective adds it to its value and
gradient. The L1 part is not smooth: solvers for it are given its strength on every parameter and add it themselves.

Sources: J. Friedman, T. Hastie and R. Tibshirani, "Regularization paths for generalized linear models via coordinate
descent" (2010); K. Koh, S.-J. Kim and S. Boyd, "An interior-point method for large-scale l1-regularized logistic
regression" (2007), for the duality gap.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector

__all__ = [
    "duality_gap",
    "elastic_net_strengths",
    "l1_by_parameter",
    "l1_penalty",
    "l2_penalty",
    "least_shift",
    "ridge_strength",
    "soft_threshold",
    "subgradient",
]

LARGEST_STRENGTH = 1e303
"""Largest strength of a penalty: above it products of a strength and a weight overflow float64.

At this strength every weight is below 1e-300, so that a larger one would change no prediction."""


def ridge_strength(C: float, weight_total: float) -> float:
    """Strength of the ridge penalty on the mean loss: ``l2 = 1 / (C sum(s))``.

    With it, ``mean loss + l2 |w|**2 / 2`` is scikit-learn's ``C sum(s row_loss) + |w|**2 / 2`` divided by ``C sum(s)``.
    ``C = inf`` gives 0; no strength is above `LARGEST_STRENGTH`.

    Examples
    --------
    >>> ridge_strength(C=2.0, weight_total=50.0)
    0.01
    """
    inverse = C * weight_total
    return 1.0 / max(inverse, 1.0 / LARGEST_STRENGTH)


def elastic_net_strengths(C: float, l1_ratio: float, weight_total: float) -> tuple[float, float]:
    """Strengths ``(l1, l2)`` on the mean loss, as scikit-learn divides them.

    ``l1 = l1_ratio / (C sum(s))`` and ``l2 = (1 - l1_ratio) / (C sum(s))``.

    Examples
    --------
    >>> elastic_net_strengths(C=2.0, l1_ratio=0.25, weight_total=50.0)
    (0.0025, 0.0075)
    """
    strength = ridge_strength(C, weight_total)
    return l1_ratio * strength, (1.0 - l1_ratio) * strength


def l2_penalty(w: Float64Vector, l2: float | Float64Vector) -> tuple[float, Float64Vector]:
    """Value ``l2 |w|**2 / 2`` and gradient ``l2 w`` of the ridge penalty; ``l2`` one strength, or one for each column.

    Examples
    --------
    >>> l2_penalty(np.array([1.0, 2.0]), 0.5)
    (1.25, array([0.5, 1. ]))
    """
    if isinstance(l2, np.ndarray):
        return 0.5 * float(np.vdot(l2 * w, w)), l2 * w
    return 0.5 * l2 * float(np.vdot(w, w)), l2 * w


def l1_by_parameter(l1: float | Float64Vector, n_weights: int, n_params: int) -> Float64Vector:
    """``l1`` for each weight and 0 for what follows them, the intercept; of shape (n_params,).

    Examples
    --------
    >>> l1_by_parameter(0.5, n_weights=2, n_params=3)
    array([0.5, 0.5, 0. ])
    """
    strengths = np.zeros(n_params)
    strengths[:n_weights] = l1
    return strengths


def l1_penalty(x: Float64Vector, l1: Float64Vector) -> float:
    """Value ``sum_j l1_j |x_j|`` of the L1 penalty; ``x`` and ``l1`` of shape (p,).

    Examples
    --------
    >>> l1_penalty(np.array([1.0, -2.0]), np.array([0.5, 0.5]))
    1.5
    """
    return float(l1 @ np.abs(x))


def soft_threshold(x: Float64Vector, threshold: Float64Vector) -> Float64Vector:
    """``argmin_u (u - x)**2 / 2 + t |u|``, ``= sign(x) max(|x| - t, 0)`` per element: the proximal operator.

    Zeros of the result are ``0.0`` and never ``-0.0``, so that equal results have equal bits.

    Examples
    --------
    >>> soft_threshold(np.array([3.0, -0.5]), np.array([1.0, 1.0]))
    array([2., 0.])
    """
    return np.asarray(x - np.clip(x, -threshold, threshold) + 0.0)


def subgradient(x: Float64Vector, grad: Float64Vector, l1: Float64Vector) -> Float64Vector:
    """The subgradient of least norm of ``f(x) + sum_j l1_j |x_j|``, with ``grad`` that of ``f``; 0 at the minimum.

    ``v_j = grad_j + l1_j sign(x_j)`` where ``x_j != 0``, and where ``x_j = 0`` the distance of ``-grad_j`` from the
    subdifferential ``[-l1_j, l1_j]``: ``v_j = sign(grad_j) max(|grad_j| - l1_j, 0)``. All of shape (p,).

    Examples
    --------
    >>> subgradient(np.array([1.0, 0.0, 0.0]), np.array([-0.5, 0.2, 0.8]), np.full(3, 0.5))
    array([0. , 0. , 0.3])
    """
    return np.where(x != 0.0, grad + l1 * np.sign(x), grad - np.clip(grad, -l1, l1) + 0.0)  # soft_threshold


def duality_gap(value: float, w: Float64Vector, v: Float64Vector, l1: float, l2: float) -> float:
    """Duality gap: an upper bound of the value minus its minimum over the weights, with the intercept fixed; no read.

    With ``loss = sum(s row_loss) / sum(s)`` and ``dw = X.T @ dz / sum(s)``, residuals ``a dz``, ``0 <= a <= 1``, are a
    dual point of value at least ``a (loss - dw @ w) - R*(a dw)``: the conjugate of a row's loss is convex, is
    ``dz z - row_loss`` at ``dz``, and 0 at 0. The conjugate of the penalty is
    ``R*(u) = sum_j max(|u_j| - l1, 0)**2 / (2 l2)``, or, for ``l2 = 0``, 0 where no ``|u_j|`` exceeds ``l1`` and
    infinite elsewhere. The gap is the least of those of ``a = 1`` and of the largest ``a`` that makes ``R*`` vanish.

    Parameters
    ----------
    value : float
        ``loss + l1 |w|_1 + l2 |w|**2 / 2``.
    w, v : ndarray of shape (d,)
        Weights, and the `subgradient` of the value, from which ``dw`` is recovered as far as the gap needs it.
    l1, l2 : float
        ``l1 > 0``.

    Examples
    --------
    >>> w, dw, loss = np.zeros(1), np.array([0.1]), 0.5  # at zero weights, with |dw| below l1
    >>> duality_gap(loss, w, subgradient(w, dw, np.array([0.2])), l1=0.2, l2=0.0)
    0.0
    """
    dw = v - l2 * w - l1 * np.where(w != 0.0, np.sign(w), -np.sign(v))
    l1_value, l2_value = l1 * float(np.abs(w).sum()), l2_penalty(w, l2)[0]
    dual = value - l1_value - l2_value - float(dw @ w)
    largest = float(np.abs(dw).max(initial=0.0))
    gap = value - min(1.0, l1 / max(largest, l1)) * dual
    if l2 > 0.0:
        excess = np.maximum(np.abs(dw) - l1, 0.0)
        gap = min(gap, value - dual + 0.5 * float(excess @ excess) / l2)
    return max(gap, 0.0)


def least_shift(w: Float64Matrix, l1: float, l2: float) -> Float64Vector:
    """The constants ``c`` of shape (d,) that minimise ``sum_k l1 |w_k - c| + l2 (w_k - c)**2 / 2`` for weights (K, d).

    The derivative by ``c`` is piecewise linear with jumps of ``2 l1`` at the ``w_k``. Between two neighbours, with m
    weights below, it vanishes at ``mean(w) + (l1 / l2) (K - 2 m) / K``; if that is outside the interval, the best point
    of the interval is its nearer end. The best of the K + 1 intervals is the minimum.
    """
    K = len(w)
    if l1 == 0.0:
        return np.asarray(w.mean(axis=0))
    ordered = np.sort(w, axis=0)
    if l2 == 0.0:
        middle = ordered[[(K - 1) // 2, K // 2]]
        return np.asarray(np.clip(0.0, middle[0], middle[1]))
    below = np.arange(K + 1)[:, None]
    between = w.mean(axis=0) + l1 / l2 * (K - 2 * below) / K
    low = np.vstack([np.full(w.shape[1], -np.inf), ordered])
    high = np.vstack([ordered, np.full(w.shape[1], np.inf)])
    at = np.clip(between, low, high)
    cost = np.abs(at[None] - w[:, None]).sum(axis=0) * l1 + 0.5 * l2 * ((at[None] - w[:, None]) ** 2).sum(axis=0)
    best = at[cost.argmin(axis=0), np.arange(w.shape[1])]
    zero = np.abs(w).sum(axis=0) * l1 + 0.5 * l2 * (w * w).sum(axis=0)
    return np.where(cost.min(axis=0) < zero * (1.0 - 1e-12), best, 0.0)
