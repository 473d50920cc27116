r"""Dense layers, forward and backward side by side, written once for NumPy and CuPy arrays.

With the rows ``a_0 = X`` of shape (n, d), hidden layers l = 1 ... L of sizes m_l and K logits::

    z_l = a_{l-1} @ W_l + b_l        (n, m_l)          a_l = f(z_l)                    forward, hidden
    z   = a_L @ W_{L+1} + b_{L+1}    (n, K)                                            forward, logits
    dz  = s (p - y)                  (n, K)                                            from the loss
    dW_l = a_{l-1}.T @ dz_l          (m_{l-1}, m_l)    db_l = sum over rows of dz_l    backward, a layer
    dz_{l-1} = (dz_l @ W_l.T) * f'(z_{l-1})            (n, m_{l-1})                    backward, to the layer below

``L = 0`` is logistic regression. ``f'`` is a function of ``a = f(z)``, so that ``z_l`` of hidden layers is not stored.
A network for two classes has one logit (`gpu_logreg.mathematics.logistic`), one for K >= 3 classes has K logits
(`gpu_logreg.mathematics.softmax`). Where a row has any number of K labels, ``y`` has a column for each label, every
logit is that of two classes, and the loss of a row is the sum over its labels.

All weights and intercepts of a network lie in one vector ``params``: the weights of every layer, then the intercepts
of every layer. An update is one walk over it, and a penalty on the weights is one on its first part.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.arrays.vector import Array
from gpu_logreg.mathematics import logistic, softmax

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Layer",
    "Network",
    "backward",
    "forward",
    "is_right",
    "loss_and_dz",
    "loss_and_gradient",
]


class Activation(NamedTuple):
    """An activation and its derivative.

    Attributes
    ----------
    f : function z -> a
    derivative : function a -> f'(z)
        Takes ``a = f(z)``, not ``z``.
    """

    f: Callable[[Array], Array]
    derivative: Callable[[Array], Array]


ACTIVATIONS = {
    "identity": Activation(lambda z: z, lambda a: array_namespace(a).ones_like(a)),
    "logistic": Activation(logistic.sigmoid, lambda a: a * (1 - a)),
    "tanh": Activation(lambda z: array_namespace(z).tanh(z), lambda a: 1 - a * a),
    # relu has no derivative at zero; 0 is taken, as everywhere in the field.
    "relu": Activation(lambda z: array_namespace(z).maximum(z, 0), lambda a: (a > 0).astype(a.dtype)),
}
"""Activations of the hidden layers, by scikit-learn's names."""


class Layer(NamedTuple):
    """Weights ``W`` of shape (m_in, m_out) and intercepts ``b`` of shape (m_out,), or their gradients."""

    W: Array
    b: Array


@dataclass(frozen=True)
class Network:
    """The shape of a network.

    Attributes
    ----------
    sizes : tuple of int
        d, the sizes of the hidden layers, and the number of logits.
    activation : str
        Name of the activation of the hidden layers.

    Examples
    --------
    >>> network = Network((2, 3, 1), "relu")  # two columns, three hidden units, one logit
    >>> network.n_params, [layer.W.shape for layer in network.unpack(np.zeros(13))]
    (13, [(2, 3), (3, 1)])
    """

    sizes: tuple[int, ...]
    activation: str = "tanh"

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Shape (m_in, m_out) of the weights of every layer."""
        return list(itertools.pairwise(self.sizes))

    @property
    def n_weights(self) -> int:
        """Number of weights, which come first in ``params``."""
        return sum(m_in * m_out for m_in, m_out in self.shapes)

    @property
    def n_params(self) -> int:
        """Length of ``params``."""
        return self.n_weights + sum(self.sizes[1:])

    def unpack(self, params: Array) -> list[Layer]:
        """Views of ``params`` as layers: writing to a layer writes to ``params``."""
        layers, w_at, b_at = [], 0, self.n_weights
        for m_in, m_out in self.shapes:
            W = params[w_at : w_at + m_in * m_out].reshape(m_in, m_out)
            layers.append(Layer(W, params[b_at : b_at + m_out]))
            w_at, b_at = w_at + m_in * m_out, b_at + m_out
        return layers

    def pack(self, layers: Sequence[Layer]) -> Array:
        """One new vector of all weights, then all intercepts."""
        xp = array_namespace(*(layer.W for layer in layers))
        return xp.concatenate([*(layer.W.reshape(-1) for layer in layers), *(layer.b for layer in layers)])


def forward(layers: Sequence[Layer], X: Array, activation: str) -> tuple[list[Array], Array]:
    """Activations of every hidden layer, below them the rows, and the logits.

    ``a_l = f(a_{l-1} @ W_l + b_l)`` and ``z = a_L @ W_{L+1} + b_{L+1}``.

    Parameters
    ----------
    layers : sequence of L + 1 Layer
    X : array of shape (n, d)
    activation : str

    Returns
    -------
    activations : list of L + 1 arrays of shape (n, m_l)
        ``a_0 = X`` to ``a_L``.
    z : array of shape (n, K)
        Logits.

    Examples
    --------
    >>> layers = [Layer(np.eye(2), np.zeros(2)), Layer(np.ones((2, 1)), np.array([0.5]))]
    >>> activations, z = forward(layers, np.array([[3.0, -4.0]]), "relu")
    >>> activations[1], z
    (array([[3., 0.]]), array([[3.5]]))
    """
    f = ACTIVATIONS[activation].f
    activations = [X]
    for W, b in layers[:-1]:
        activations.append(f(activations[-1] @ W + b))
    W, b = layers[-1]
    return activations, activations[-1] @ W + b


def backward(layers: Sequence[Layer], activations: Sequence[Array], dz: Array, activation: str) -> list[Layer]:
    """Gradients of every layer from the derivative by the logits, last layer first.

    ``dW_l = a_{l-1}.T @ dz_l``, ``db_l = sum_i dz_l``, ``dz_{l-1} = (dz_l @ W_l.T) * f'(z_{l-1})``.

    Parameters
    ----------
    layers : sequence of L + 1 Layer
    activations : sequence of L + 1 arrays
        From `forward`.
    dz : array of shape (n, K)
        Derivative of the weighted loss by the logits.
    activation : str

    Returns
    -------
    list of L + 1 Layer
        Sums over the rows: ``dW`` in ``W``, ``db`` in ``b``, in the order of ``layers``.

    Examples
    --------
    >>> layers = [Layer(np.eye(2), np.zeros(2)), Layer(np.ones((2, 1)), np.array([0.5]))]
    >>> activations, z = forward(layers, np.array([[3.0, -4.0]]), "relu")
    >>> backward(layers, activations, np.array([[1.0]]), "relu")[0].W  # nothing through the unit that is off
    array([[ 3.,  0.],
           [-4., -0.]])
    """
    derivative = ACTIVATIONS[activation].derivative
    gradients = []
    for l in range(len(layers) - 1, -1, -1):  # noqa: E741 - the letter of the formulas
        a = activations[l]
        gradients.append(Layer(a.T @ dz, dz.sum(axis=0)))
        if l > 0:  # below the first layer are the rows, which have no gradient
            dz = (dz @ layers[l].W.T) * derivative(a)
    return gradients[::-1]


def loss_and_dz(z: Array, y: Array, sample_weight: Array | None = None) -> tuple[Array, Array]:
    """Weighted cross-entropy summed over the rows, and its derivative by the logits, ``dz = s (p - y)``.

    Parameters
    ----------
    z : array of shape (n, K)
        Logits; one column for two classes.
    y : array of shape (n,) or (n, K)
        For one logit labels in [0, 1]; for K the class of each row as an integer, or K labels in [0, 1].
    sample_weight : array of shape (n,) or None

    Returns
    -------
    loss_sum : array of no dimension, float64
        Where the rows live, so that the host does not wait for a GPU.
    dz : array of shape (n, K), dtype of ``z``

    Examples
    --------
    >>> loss_sum, dz = loss_and_dz(np.zeros((2, 1)), np.array([0, 1]), np.array([1.0, 3.0]))
    >>> round(float(loss_sum), 3), dz  # 4 log(2), and s (p - y)
    (2.773, array([[ 0.5],
           [-1.5]]))
    """
    if y.ndim == 2:
        label_loss, dz = logistic.loss_and_dz(z, y)
        row_loss = label_loss.sum(axis=1)
    elif z.shape[1] == 1:
        row_loss, dz = logistic.loss_and_dz(z[:, 0], y)
        dz = dz[:, None]
    else:
        row_loss, dz = softmax.loss_and_dz(z, y)
    if sample_weight is None:
        return row_loss.sum(dtype=np.float64), dz
    loss_sum = (sample_weight * row_loss).sum(dtype=np.float64)
    return loss_sum, (sample_weight[:, None] * dz).astype(z.dtype, copy=False)


def is_right(z: Array, y: Array) -> Array:
    """Whether the most probable class of each row is its own, or all its labels are; booleans of shape (n,).

    Parameters
    ----------
    z : array of shape (n, K)
    y : array of shape (n,) or (n, K)
        As of `loss_and_dz`.

    Examples
    --------
    >>> is_right(np.array([[0.5], [0.5]]), np.array([0, 1]))
    array([False,  True])
    """
    if y.ndim == 2:
        right: Array = ((z > 0) == (y > 0)).all(axis=1)
        return right
    return (z[:, 0] > 0) == (y > 0) if z.shape[1] == 1 else z.argmax(axis=1) == y


def loss_and_gradient(
    network: Network, params: Array, X: Array, y: Array, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    """Loss of a batch of rows and its gradient, as sums over the rows: the reference for all faster steps.

    Parameters
    ----------
    network : Network
    params : array of shape (n_params,)
    X : array of shape (n, d), dtype of ``params``
    y : array of shape (n,) or (n, K)
    sample_weight : array of shape (n,) or None

    Returns
    -------
    loss_sum : array of no dimension, float64
    grad_sum : array of shape (n_params,), dtype of ``params``

    Examples
    --------
    >>> network = Network((1, 1))  # logistic regression of one column
    >>> loss_and_gradient(network, np.zeros(2), np.array([[2.0]]), np.array([1]))[1]  # X.T @ (p - y), sum(p - y)
    array([-1. , -0.5])
    """
    layers = network.unpack(params)
    activations, z = forward(layers, X, network.activation)
    loss_sum, dz = loss_and_dz(z, y, sample_weight)
    return loss_sum, network.pack(backward(layers, activations, dz, network.activation))
