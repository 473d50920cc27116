r"""The mathematics of one row of many classes, written once for NumPy and CuPy arrays.

With the logits ``z`` of K classes and the class ``y`` of the row::

    p_k      = exp(z_k) / sum_j exp(z_j)                       probability of the class k
    row_loss = -log p_y                                        cross-entropy, in nats
    dz_k     = d row_loss / d z_k = p_k - (k == y)
    C        = d dz / d z = diag(p) - p p.T                    curvature

Every formula is rearranged around the largest logit ``m``: ``e_k = exp(z_k - m)`` lies in [0, 1] and is 1 for the
largest, so that ``sum_k e_k = 1 + rest`` where ``rest`` is the sum of the others. Nothing overflows for any finite
``z``, nothing is clipped and no epsilon enters a logarithm. For K = 2 the formulas are those of
`gpu_logreg.mathematics.logistic` at the logit ``z_1 - z_0``.
"""

from __future__ import annotations

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.arrays.vector import Array

__all__ = ["curvature_diagonal", "curvature_product", "log_proba", "loss_and_dz", "softmax"]


def softmax(z: Array) -> Array:
    """Probabilities of the classes, ``p_k = e_k / (1 + rest)``.

    Parameters
    ----------
    z : floating array of shape (n, K)
        Logits.

    Returns
    -------
    array of shape (n, K), dtype of ``z``

    Examples
    --------
    >>> import numpy as np
    >>> softmax(np.array([[0.0, 0.0, 800.0]]))
    array([[0., 0., 1.]])
    """
    _, e, rest = _shifted(z)
    return e / (1 + rest)


def log_proba(z: Array) -> Array:
    """Logarithms of the probabilities, ``(z_k - m) - log1p(rest)``, finite for every finite logit.

    Parameters
    ----------
    z : floating array of shape (n, K)
        As of `softmax`.

    Returns
    -------
    array of shape (n, K), dtype of ``z``

    Examples
    --------
    >>> import numpy as np
    >>> log_proba(np.array([[0.0, 0.0, 800.0]]))
    array([[-800., -800.,    0.]])
    """
    xp = array_namespace(z)
    below, _, rest = _shifted(z)
    return below - xp.log1p(rest)


def loss_and_dz(z: Array, y: Array) -> tuple[Array, Array]:
    """Cross-entropy of each row and its derivative by the logits, from one exponential for each logit.

    ``row_loss = log1p(rest) - (z_y - m)``; ``dz_k = p_k`` for the other classes, and for the class of the row minus
    their sum, which keeps its digits where ``p_y`` is nearly 1.
    Row weights are the caller's: loss and ``dz`` are both multiplied by them.

    Parameters
    ----------
    z : floating array of shape (n, K)
        Logits.
    y : integer array of shape (n,)
        Class of each row, 0 to K - 1.

    Returns
    -------
    row_loss : array of shape (n,), dtype of ``z``
    dz : array of shape (n, K), dtype of ``z``

    Examples
    --------
    >>> import numpy as np
    >>> row_loss, dz = loss_and_dz(np.log([[0.2, 0.3, 0.5]]), np.array([2]))
    >>> row_loss.round(3), dz.round(3)  # -log(0.5), and p - e_y
    (array([0.693]), array([[ 0.2,  0.3, -0.5]]))
    """
    xp = array_namespace(z)
    below, e, rest = _shifted(z)
    is_class = xp.arange(z.shape[1]) == y[:, None]
    others = xp.where(is_class, 0, e)
    total = 1 + rest
    row_loss = xp.log1p(rest)[:, 0] - xp.where(is_class, below, 0).sum(axis=1)
    return row_loss, xp.where(is_class, -others.sum(axis=1, keepdims=True), others) / total


def curvature_product(p: Array, t: Array) -> Array:
    """``(diag(p) - p p.T) t`` of every row: the change of its ``dz`` where its logits change by ``t``.

    It is ``p_k (t_k - m)`` with the mean ``m = p @ t``. The mean is subtracted twice: of a row that is nearly certain
    of its class, ``t_k - m`` of that class is a small difference of large numbers. What the first subtraction leaves
    has the rounding of ``m`` as its mean, and the second removes it.

    Parameters
    ----------
    p : floating array of shape (n, K)
        Probabilities.
    t : array of shape (n, K), of the same dtype

    Returns
    -------
    array of shape (n, K), dtype of ``p``

    Examples
    --------
    >>> import numpy as np
    >>> p, t = np.array([[0.2, 0.3, 0.5]]), np.array([[1.0, 2.0, 0.0]])
    >>> curvature_product(p, t).round(3), curvature_product(p, t + 7.0).round(3)
    (array([[ 0.04,  0.36, -0.4 ]]), array([[ 0.04,  0.36, -0.4 ]]))
    """
    u = t - (p * t).sum(axis=1, keepdims=True)
    u -= (p * u).sum(axis=1, keepdims=True)
    u *= p
    return u


def curvature_diagonal(p: Array) -> Array:
    """``p_k (1 - p_k)``, the diagonal of ``diag(p) - p p.T``, of every row.

    For the largest ``p_k``, ``1 - p_k`` is the sum of the others, which keeps its digits where ``p_k`` is nearly 1.

    Parameters
    ----------
    p : floating array of shape (n, K)
        Of `softmax`.

    Returns
    -------
    array of shape (n, K), dtype of ``p``

    Examples
    --------
    >>> import numpy as np
    >>> curvature_diagonal(np.array([[0.2, 0.3, 0.5]]))
    array([[0.16, 0.21, 0.25]])
    """
    xp = array_namespace(p)
    is_largest = xp.arange(p.shape[1]) == p.argmax(axis=1)[:, None]
    others = xp.where(is_largest, 0, p).sum(axis=1, keepdims=True)
    return p * xp.where(is_largest, others, 1 - p)


def _shifted(z: Array) -> tuple[Array, Array, Array]:
    """``z - m`` and ``e = exp(z - m)``, both (n, K), and ``rest``, (n, 1): the sum of ``e`` without the largest."""
    xp = array_namespace(z)
    below = z - z.max(axis=1, keepdims=True)
    e = xp.exp(below)
    is_largest = xp.arange(z.shape[1]) == z.argmax(axis=1)[:, None]
    return below, e, xp.where(is_largest, 0, e).sum(axis=1, keepdims=True)
