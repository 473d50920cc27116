r"""The mathematics of one row of many classes, written once for NumPy and CuPy arrays.

With the logits ``z`` of K classes and the class ``y`` of the row::

    p_k      = exp(z_k) / sum_j exp(z_j)                       probability of the class k
    row_loss = -log p_y                                        cross-entropy, in nats
    dz_k     = d row_loss / d z_k = p_k - (k == y)

Every formula is rearranged around the largest logit ``m``: ``e_k = exp(z_k - m)`` lies in [0, 1] and is 1 for the
largest, so that ``sum_k e_k = 1 + rest`` where ``rest`` is the sum of the others. Nothing overflows for any finite
``z``, nothing is clipped and no epsilon enters a logarithm. For K = 2 they are those of
`gpu_logreg.mathematics.logistic` at the
logit ``z_1 - z_0``.
"""

from __future__ import annotations

from typing import Any

from gpu_logreg.arrays.device import array_namespace

__all__ = ["log_proba", "loss_and_dz", "softmax"]


def softmax(z: Any) -> Any:
    """Probabilities of the classes, ``p_k = e_k / (1 + rest)``.

    Parameters
    ----------
    z : floating array of shape (n, K)
        Logits.

    Returns
    -------
    array of shape (n, K), dtype of ``z``
    """
    _, e, rest = _shifted(z)
    return e / (1 + rest)


def log_proba(z: Any) -> Any:
    """Logarithms of the probabilities, ``(z_k - m) - log1p(rest)``, finite for every finite logit.

    Parameters
    ----------
    z : floating array of shape (n, K)
        Logits.

    Returns
    -------
    array of shape (n, K), dtype of ``z``
    """
    xp = array_namespace(z)
    below, _, rest = _shifted(z)
    return below - xp.log1p(rest)


def loss_and_dz(z: Any, y: Any) -> tuple[Any, Any]:
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
    """
    xp = array_namespace(z)
    below, e, rest = _shifted(z)
    is_class = xp.arange(z.shape[1]) == y[:, None]
    others = xp.where(is_class, 0, e)
    total = 1 + rest
    row_loss = xp.log1p(rest)[:, 0] - xp.where(is_class, below, 0).sum(axis=1)
    return row_loss, xp.where(is_class, -others.sum(axis=1, keepdims=True), others) / total


def _shifted(z: Any) -> tuple[Any, Any, Any]:
    """``z - m`` and ``e = exp(z - m)``, both (n, K), and ``rest``, (n, 1): the sum of ``e`` without the largest."""
    xp = array_namespace(z)
    below = z - z.max(axis=1, keepdims=True)
    e = xp.exp(below)
    is_largest = xp.arange(z.shape[1]) == z.argmax(axis=1)[:, None]
    return below, e, xp.where(is_largest, 0, e).sum(axis=1, keepdims=True)
