r"""The mathematics of one row of logistic regression, written once for NumPy and CuPy arrays.

With the logit ``z = x @ w + b`` and the label ``y`` in [0, 1]::

    p        = 1 / (1 + exp(-z))                               probability of the class 1
    row_loss = -y log(p) - (1 - y) log(1 - p)                  cross-entropy, in nats
    dz       = d row_loss / d z = p - y
    d2z      = d dz / d z = p (1 - p)                          curvature

Every formula is rearranged around ``e = exp(-|z|)``, which lies in [0, 1], so that nothing overflows for
any finite ``z``, nothing is clipped and no epsilon enters a logarithm. The rearrangement of the loss is
the one studied in F. Pedregosa, "How to evaluate the logistic loss and not NaN trying" (fa.bianp.net, 2019).
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.arrays.vector import Array, ArrayNamespace

__all__ = [
    "curvature",
    "dz_in_place",
    "log_proba",
    "log_sigmoid",
    "loss_and_dz",
    "loss_dz_and_curvature",
    "row_loss",
    "sigmoid",
]


def sigmoid(z: Array) -> Array:
    """Probability of the class 1.

    ``p = (z >= 0 ? 1 : e) / (1 + e)`` with ``e = exp(-|z|)``, which equals ``1 / (1 + exp(-z))``.

    Parameters
    ----------
    z : floating array of any shape
        Logits.

    Returns
    -------
    array, shape and dtype of ``z``

    Examples
    --------
    >>> import numpy as np
    >>> sigmoid(np.array([-800.0, 0.0, 2.0])).round(3)
    array([0.   , 0.5  , 0.881])
    """
    xp = array_namespace(z)
    e = xp.exp(-xp.abs(z))
    return xp.where(z >= 0, 1, e) / (1 + e)


def log_sigmoid(z: Array) -> Array:
    """Logarithm of the probability of the class 1, finite for every finite logit.

    ``log p = min(z, 0) - log1p(exp(-|z|))``, which equals ``-log1p(exp(-z))``.

    Parameters
    ----------
    z : floating array of any shape
        As of `sigmoid`.

    Returns
    -------
    array, shape and dtype of ``z``

    Examples
    --------
    >>> import numpy as np
    >>> log_sigmoid(np.array([-800.0, 0.0])).round(3)
    array([-800.   ,   -0.693])
    """
    xp = array_namespace(z)
    return xp.minimum(z, 0) - xp.log1p(xp.exp(-xp.abs(z)))


def row_loss(z: Array, y: Array) -> Array:
    """Cross-entropy of each row, in nats.

    ``row_loss = max(z, 0) - y z + log1p(exp(-|z|))``

    Parameters
    ----------
    z : floating array of shape (n,)
        Logits.
    y : array of shape (n,)
        Labels in [0, 1].

    Returns
    -------
    array of shape (n,), dtype of ``z``

    Examples
    --------
    >>> import numpy as np
    >>> row_loss(np.array([0.0, 800.0]), np.array([1, 0])).round(3)
    array([  0.693, 800.   ])
    """
    return loss_and_dz(z, y)[0]


def loss_and_dz(z: Array, y: Array) -> tuple[Array, Array]:
    """Cross-entropy of each row and its derivative by the logit, from one exponential.

    ``row_loss = max(z, 0) - y z + log1p(e)`` and ``dz = p - y``, with ``e = exp(-|z|)``. With the smaller probability
    ``q = e / (1 + e)``, ``dz`` is ``(1 - y) - q`` for ``z >= 0`` and ``q - y`` below: no digit is lost where ``p`` is
    nearly ``y``.
    Row weights are the caller's: loss and ``dz`` are both multiplied by them.

    Parameters
    ----------
    z : floating array of shape (n,), or (n, L) for L labels of a row
        Logits.
    y : array of the shape of ``z``
        Labels in [0, 1].

    Returns
    -------
    row_loss, dz : arrays, shape and dtype of ``z``

    Examples
    --------
    >>> import numpy as np
    >>> loss, dz = loss_and_dz(np.array([0.0, 2.0]), np.array([1, 1]))
    >>> dz.round(3)  # p - y
    array([-0.5  , -0.119])
    """
    xp = array_namespace(z)
    y = y.astype(z.dtype, copy=False)
    e = xp.exp(-xp.abs(z))
    return _loss_and_dz(xp, z, y, e, e / (1 + e))


def dz_in_place(z: Array, y: Array) -> Array:
    """``p - y`` in the memory of the logits, for many logits of a row, of which no loss is asked.

    ``1 / (1 + exp(-z))`` is 0 where the exponential overflows. Its error is a rounding of 1 and not of ``p - y``.

    Parameters
    ----------
    z : floating array of shape (n, m)
        Overwritten.
    y : array of shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> dz_in_place(np.array([[0.0, 2.0]]), np.array([1])).round(3)
    array([[-0.5  , -0.119]])
    """
    xp = array_namespace(z)
    xp.negative(z, out=z)
    with np.errstate(over="ignore"):
        xp.exp(z, out=z)
    z += 1
    xp.divide(1, z, out=z)
    z -= y[:, None]
    return z


def loss_dz_and_curvature(z: Array, y: Array) -> tuple[Array, Array, Array]:
    """`loss_and_dz` and `curvature` of each row, from one exponential.

    Parameters
    ----------
    z : floating array of shape (n,)
        Logits.
    y : array of shape (n,)
        Labels in [0, 1].

    Returns
    -------
    row_loss, dz, d2z : arrays of shape (n,), dtype of ``z``
        ``d2z = q (1 - q)`` with the smaller probability ``q = e / (1 + e)``.

    Examples
    --------
    >>> import numpy as np
    >>> loss_dz_and_curvature(np.array([0.0]), np.array([1]))[2]
    array([0.25])
    """
    xp = array_namespace(z)
    y = y.astype(z.dtype, copy=False)
    e = xp.exp(-xp.abs(z))
    q = e / (1 + e)
    return *_loss_and_dz(xp, z, y, e, q), q * (1 - q)


def _loss_and_dz(xp: ArrayNamespace, z: Array, y: Array, e: Array, q: Array) -> tuple[Array, Array]:
    return xp.maximum(z, 0) - y * z + xp.log1p(e), xp.where(z >= 0, (1 - y) - q, q - y)


def curvature(z: Array) -> Array:
    """Second derivative of the loss of each row by its logit.

    ``p (1 - p) = e / (1 + e)**2`` with ``e = exp(-|z|)``, in [0, 1/4].

    Parameters
    ----------
    z : floating array of shape (n,)
        Logits.

    Returns
    -------
    array of shape (n,), dtype of ``z``

    Examples
    --------
    >>> import numpy as np
    >>> curvature(np.array([0.0, 2.0])).round(3)
    array([0.25 , 0.105])
    """
    xp = array_namespace(z)
    e = xp.exp(-xp.abs(z))
    return e / (1 + e) ** 2


def log_proba(z: Array) -> Array:
    """Logarithm of the probabilities of the classes 0 and 1, finite for every finite logit.

    `log_sigmoid` of ``-z`` and of ``z``.

    Parameters
    ----------
    z : floating array of shape (n,)
        Logits.

    Returns
    -------
    array of shape (n, 2), dtype of ``z``

    Examples
    --------
    >>> import numpy as np
    >>> log_proba(np.array([0.0, -800.0])).round(3)
    array([[  -0.693,   -0.693],
           [   0.   , -800.   ]])
    """
    return array_namespace(z).stack([log_sigmoid(-z), log_sigmoid(z)], axis=1)
