"""The likelihood of intercepts alone beside an offset, which has no formula."""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Array, Float64Vector
from gpu_logreg.mathematics import softmax

__all__ = ["log_likelihood_with_offset"]

MAX_STEPS, MAX_HALVINGS = 100, 30
"""Newton steps of the intercepts, of which some ten are taken, and halvings of one."""


def log_likelihood_with_offset(labels: Array, weights: Float64Vector, n_classes: int, fit_intercept: bool) -> float:
    """The largest log-likelihood of the model ``logits = offset + b``, or that of the offset without an intercept.

    Parameters
    ----------
    labels : array of shape (n, 1 + n_logits)
        As of `gpu_logreg.mathematics.offsets`.
    weights : ndarray of shape (n,)
        Of the rows, times those of their classes.
    n_classes : int
    fit_intercept : bool

    Examples
    --------
    >>> labels = np.array([[0.0, 0.0], [1.0, 0.0]])
    >>> round(log_likelihood_with_offset(labels, np.ones(2), 2, True), 4)  # 2 log(1/2)
    -1.3863
    """
    both = to_numpy(labels)
    y, offset = both[:, 0].astype(np.int32), both[:, 1:]
    Z = np.column_stack([np.zeros(len(y)), offset]) if n_classes == 2 else offset
    b = np.zeros(n_classes)

    def at(b: Float64Vector) -> tuple[float, Array]:
        row_loss, dz = softmax.loss_and_dz(Z + b, y)
        return float(weights @ row_loss), dz

    value, dz = at(b)
    for _ in range(MAX_STEPS if fit_intercept else 0):
        P = softmax.softmax(Z + b)
        grad, sP = weights @ dz, P * weights[:, None]
        H = np.diag(sP.sum(axis=0)) - sP.T @ P
        step = -np.linalg.lstsq(H, grad, rcond=1e-12)[0]
        t, decrease = 1.0, -float(grad @ step)
        for _ in range(MAX_HALVINGS):
            there, dz_there = at(b + t * step)
            if there < value:
                break
            t *= 0.5
        else:
            break
        b, value, dz = b + t * step, there, dz_there
        if decrease <= 1e-15 * value:
            break
    return -value
