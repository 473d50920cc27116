"""How far from the optimum a fit may end by what ``tol`` promises: what two right fits of one problem may differ by.

A fit ends where ``max |grad| <= tol``, or where the value can only fall by less than its rounding. Rounding, which is
another on another processor, decides which it is and whether the fit takes one step more, so two fits agree no further
than this. The objective is convex, and around the optimum its Hessian has a least eigenvalue ``m``. There the
subgradient of a point is at least ``m`` times its distance from the optimum, and the value at least ``m / 2`` times the
square of the distance above the minimum (Y. Nesterov, "Introductory Lectures on Convex Optimization" (2004), section
2.1.3). All is worked out here from the formulas in float64, without code of the package.
"""

from __future__ import annotations

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight


def least_eigenvalue(model, X, y, sample_weight=None) -> float:
    """Of the Hessian of the mean objective by the non-zero coefficients and the intercepts, at those of ``model``.

    Coefficients that are zero at the ends of two fits do not add to their distance. One direction is left out: with
    several classes, adding a constant to all intercepts changes nothing.
    """
    X, coef = np.asarray(X, np.float64), np.asarray(model.coef_, np.float64)
    s = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    s = s * compute_sample_weight(model.class_weight, y)
    U = np.hstack([X, np.ones((len(X), 1))])
    Z = U @ np.hstack([coef, np.reshape(model.intercept_, (-1, 1))]).T
    if len(coef) == 1:
        Z = np.hstack([0.0 * Z, Z])
    P = np.exp(Z - np.logaddexp.reduce(Z, axis=1, keepdims=True))[:, -len(coef) :]
    H = np.block(
        [[(s * P[:, k] * ((j == k) - P[:, j])) * U.T @ U for j in range(len(coef))] for k in range(len(coef))]
    ) / float(s.sum())
    ridge = (1.0 - (model.l1_ratio or 0.0)) / (model.C * s.sum())
    H += np.diag(np.tile(np.append(np.full(X.shape[1], ridge), 0.0), len(coef)))
    kept = np.hstack([coef != 0.0, np.full((len(coef), 1), model.fit_intercept)]).ravel()
    shift = len(coef) > 1 and model.fit_intercept
    return float(np.linalg.eigvalsh(H[np.ix_(kept, kept)])[int(shift)])


def farthest(model, X, y, sample_weight=None) -> float:
    """Distance of the ends of two fits of this problem that both kept what their ``tol``, that of ``model``, promises.

    Each ends within ``sqrt(p) tol / m`` of the optimum, for ``p`` parameters with a gradient of at most ``tol`` each,
    or within ``sqrt(2 e value / m)``, where a relative fall of ``e``, four roundings, does not show in the value.
    """
    p = model.coef_.size + model.intercept_.size
    m = least_eigenvalue(model, X, y, sample_weight)
    hidden = 4.0 * np.finfo(np.float64).eps * model.objective_
    apart = 2.0 * max(np.sqrt(p) * model.tol / m, np.sqrt(2.0 * hidden / m))
    assert 0.0 < apart < 1e-4, f"coefficients may be {apart:.1g} apart: a smaller tol would say more"
    return float(apart)
