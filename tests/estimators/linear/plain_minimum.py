"""The minimum of a logistic model with a penalty, by SciPy and a few plain Newton steps: nothing of the package's."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax


class PlainModel:
    """``sum_i s_i row_loss_i / sum(s)``, with ``l2_j |w_j|**2 / 2`` and the intercept free.

    Parameters
    ----------
    X : array of shape (n, d)
    P : array of shape (n, K)
        Probabilities of the classes: rows of an identity matrix for whole labels.
    s : array of shape (n,)
    l2 : array of shape (d,)
    offset : array of shape (n, K), or (n, 1) for two classes
    """

    def __init__(self, X, P, s=None, l2=0.0, offset=0.0):
        n, d = X.shape
        self.U, self.P = np.column_stack([X, np.ones(n)]), P
        self.s = np.full(n, 1.0 / n) if s is None else s / s.sum()
        self.L = 1 if P.shape[1] == 2 else P.shape[1]
        self.l2 = np.append(np.broadcast_to(l2, d), 0.0)
        self.offset = np.broadcast_to(offset, (n, self.L))

    def logits(self, params):
        """Of all classes; the first of two has the logit 0."""
        z = self.U @ params.reshape(self.L, -1).T + self.offset
        return np.column_stack([np.zeros(len(z)), z]) if self.L == 1 else z

    def value_and_grad(self, params):
        """Mean loss plus ridge, and its gradient."""
        z, W = self.logits(params), params.reshape(self.L, -1)
        loss = logsumexp(z, axis=1) * self.P.sum(axis=1) - (self.P * z).sum(axis=1)
        r = (softmax(z, axis=1) - self.P)[:, -self.L :] * self.s[:, None]
        grad = r.T @ self.U + self.l2 * W
        return float(self.s @ loss) + 0.5 * float((self.l2 * W * W).sum()), grad.ravel()

    def hessian(self, params):
        """The second derivative."""
        p = softmax(self.logits(params), axis=1)[:, -self.L :]
        n, K, m = len(p), self.L, self.U.shape[1]
        V = -p[:, :, None] * p[:, None, :]
        V[:, np.arange(K), np.arange(K)] = p * (1.0 - p)
        H = np.einsum("n,nkl,ni,nj->kilj", self.s, V, self.U, self.U, optimize=True).reshape(K * m, K * m)
        assert n == len(self.s)
        return H + np.diag(np.tile(self.l2, K))

    def minimum(self):
        """Parameters of shape (L, d + 1); of K classes intercepts add up to 0."""
        start = np.zeros(self.L * self.U.shape[1])
        x = minimize(self.value_and_grad, start, jac=True, method="BFGS", options={"gtol": 1e-8}).x
        for _ in range(5):
            x = x - np.linalg.lstsq(self.hessian(x), self.value_and_grad(x)[1], rcond=1e-12)[0]
        assert np.abs(self.value_and_grad(x)[1]).max() < 1e-14
        x = x.reshape(self.L, -1)
        if self.L > 1:
            x[:, -1] -= x[:, -1].mean()
        return x


def parameters_of(model):
    """``coef_`` and ``intercept_`` side by side."""
    return np.column_stack([model.coef_, model.intercept_])


def plain_l1(model, l1):
    """The minimum with ``sum_j l1_j |w_j|`` too: by twice as many positive parameters, then Newton's on the others."""
    m, L = model.U.shape[1], model.L
    strengths = np.tile(np.append(l1, 0.0), L)

    def of_parts(parts):
        plus, minus = parts.reshape(2, -1)
        value, grad = model.value_and_grad(plus - minus)
        return value + strengths @ (plus + minus), np.concatenate([grad + strengths, strengths - grad])

    bounds = [(0.0, None)] * (2 * L * m)
    options = {"maxiter": 100_000, "maxfun": 100_000, "ftol": 1e-16, "gtol": 1e-9}
    parts = minimize(of_parts, np.zeros(2 * L * m), jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    x = np.subtract(*parts.reshape(2, -1))
    x[(np.abs(x) < 1e-5) & (strengths > 0.0)] = 0.0
    at, sign = np.flatnonzero((x != 0.0) | (strengths == 0.0)), np.sign(x)
    for _ in range(8):
        slope = model.value_and_grad(x)[1] + strengths * sign
        x[at] -= np.linalg.lstsq(model.hessian(x)[np.ix_(at, at)], slope[at], rcond=1e-12)[0]
    slope = model.value_and_grad(x)[1] + strengths * sign
    assert np.abs(slope[at]).max() < 1e-14
    assert (np.abs(slope) <= strengths + 1e-14).all()
    assert (np.sign(x) == sign)[strengths > 0.0].all()
    return x.reshape(L, m)


def plain_bounded(model, low, high, l1=0.0):
    """The minimum within bounds of shape (d,), or (L, d), with ``sum_j l1_j |w_j|``; checked by its conditions."""
    m, L = model.U.shape[1], model.L
    packed = [
        np.column_stack([np.broadcast_to(b, (L, m - 1)), np.full(L, s * np.inf)]).ravel()
        for b, s in ((low, -1), (high, 1))
    ]
    low, high = packed
    strengths = np.tile(np.append(np.broadcast_to(l1, m - 1), 0.0), L)

    def of_parts(parts):
        plus, minus = parts.reshape(2, -1)
        value, grad = model.value_and_grad(plus - minus)
        return value + strengths @ (plus + minus), np.concatenate([grad + strengths, strengths - grad])

    if strengths.any():  # plus - minus, of which at most one is not 0: bounds that hold 0 become theirs
        assert (low <= 0.0).all()
        assert (high >= 0.0).all()
        bounds = [(0.0, h) for h in high] + [(0.0, -b) for b in low]
        function, n = of_parts, 2 * L * m
    else:
        bounds, function, n = list(zip(low, high, strict=True)), model.value_and_grad, L * m
    options = {"maxiter": 100_000, "maxfun": 100_000, "ftol": 1e-16, "gtol": 1e-9}
    start = np.clip(np.zeros(n), *np.array(bounds).T)
    found = minimize(function, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    x = np.subtract(*found.reshape(2, -1)) if strengths.any() else found
    for end in (low, high):
        x = np.where(np.abs(x - end) < 1e-5, end, x)
    x[(np.abs(x) < 1e-5) & (strengths > 0.0)] = 0.0
    sign = np.sign(x)
    inside = (x > low) & (x < high) & ((x != 0.0) | (strengths == 0.0))
    at = np.flatnonzero(inside)
    for _ in range(8):
        slope = model.value_and_grad(x)[1] + strengths * sign
        x[at] -= np.linalg.lstsq(model.hessian(x)[np.ix_(at, at)], slope[at], rcond=1e-12)[0]
    grad = model.value_and_grad(x)[1]
    slope = grad + strengths * sign
    assert np.abs(slope[at]).max() < 1e-13
    least = np.where(x <= low, -np.inf, grad + np.where(x > 0.0, strengths, -strengths))
    most = np.where(x >= high, np.inf, grad + np.where(x < 0.0, -strengths, strengths))
    assert (least[~inside] <= 1e-13).all()
    assert (most[~inside] >= -1e-13).all()
    assert (x >= low).all()
    assert (x <= high).all()
    return x.reshape(L, m)
