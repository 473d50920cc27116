"""Covariances of logistic regression by the plainest formulas: row by row, in loops, without code of the package."""

from __future__ import annotations

import numpy as np
from scipy.linalg import sqrtm


def contrasts(model):
    """Weights and intercepts against the first class, a row for each other class."""
    W, b = np.asarray(model.coef_, np.float64), np.asarray(model.intercept_, np.float64)
    both = np.column_stack([W, b]) if model.fit_intercept else W
    return both if len(both) == 1 else both[1:] - both[0]


def probabilities(x, Theta):
    """Of the classes from the second on."""
    z = np.append(0.0, Theta @ x)
    e = np.exp(z - z.max())
    return (e / e.sum())[1:]


def covariance(model, X, y, kind, s=None, c=None, groups=None):
    """That of the parameters of every contrast, one class after another.

    ``y`` holds numbers of classes, ``s`` weights of rows and ``c`` weights of classes.
    """
    Theta = contrasts(model)
    U = np.column_stack([X, np.ones(len(X))]) if model.fit_intercept else np.asarray(X, np.float64)
    s = np.ones(len(U)) if s is None else np.asarray(s, np.float64)
    c = np.ones(len(U)) if c is None else np.asarray(c)[y]
    L, P = len(Theta), Theta.size
    information, residuals, curvatures = np.zeros((P, P)), [], []
    for i, u in enumerate(U):
        p = probabilities(u, Theta)
        V = np.diag(p) - np.outer(p, p)
        information += s[i] * c[i] * np.kron(V, np.outer(u, u))
        residuals.append((np.arange(1, L + 1) == y[i]) - p)
        curvatures.append(V)
    inverse = np.linalg.inv(information)
    if kind == "nonrobust":
        return inverse
    n = s.sum()
    if kind == "cluster":
        sums = {}
        for i, u in enumerate(U):
            sums[groups[i]] = sums.get(groups[i], np.zeros(P)) + s[i] * c[i] * np.kron(residuals[i], u)
        meat = sum(np.outer(g, g) for g in sums.values())
        return inverse @ meat @ inverse * len(sums) / (len(sums) - 1) * (n - 1) / (n - P)
    meat = np.zeros((P, P))
    for i, u in enumerate(U):
        e = residuals[i]
        if kind in ("HC2", "HC3"):
            rows = np.kron(np.eye(L), u)
            kept = np.eye(L) - c[i] * curvatures[i] @ rows @ inverse @ rows.T
            e = np.linalg.solve(kept if kind == "HC3" else np.real(sqrtm(kept)), e)
        g = c[i] * np.kron(e, u)
        meat += s[i] * np.outer(g, g)
    found = inverse @ meat @ inverse
    return found * n / (n - P) if kind == "HC1" else found


def log_likelihood(Theta, X, y, fit_intercept=True):
    """Of unweighted rows."""
    U = np.column_stack([X, np.ones(len(X))]) if fit_intercept else X
    Z = np.column_stack([np.zeros(len(U)), U @ np.atleast_2d(Theta).T])
    return float((Z[np.arange(len(Z)), y] - np.logaddexp.reduce(Z, axis=1)).sum())
