r"""Dense layers, forward and backward side by side, written once for NumPy and CuPy arrays.

With the rows ``a_0 = X`` of shape (n, d), hidden layers l = 1 ... L of sizes m_l and K logits::

    z_l = a_{l-1} @ W_l + b_l        (n, m_l)          a_l = f(z_l)                    forward, hidden
    z   = a_L @ W_{L+1} + b_{L+1}    (n, K)                                            forward, logits
    dz  = s (p - y)                  (n, K)                                            from the loss
    dW_l = a_{l-1}.T @ dz_l          (m_{l-1}, m_l)    db_l = sum over rows of dz_l    backward, a layer
    dz_{l-1} = (dz_l @ W_l.T) * f'(z_{l-1})            (n, m_{l-1})                    backward, to the layer below

``L = 0`` is logistic regression. ``f'`` is computed from ``a = f(z)``, so ``z_l`` of hidden layers need not be kept.
One logit is the output of two classes (`gpu_logreg.mathematics.logistic`), K >= 3 are those of K classes
(`gpu_logreg.mathematics.softmax`).
Where a row has any number of K labels, ``y`` has a column for each, and every logit is that of two classes: the loss of
a row is the sum of theirs.

All weights and intercepts of a network lie in one vector ``params``: the weights of every layer, then the intercepts
of every layer. An update is one walk over it, and a penalty on the weights is one on its first part.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.errors import DataError
from gpu_logreg.mathematics import logistic, softmax

__all__ = [
    "ACTIVATIONS",
    "INITIALISATIONS",
    "Activation",
    "Layer",
    "Network",
    "backward",
    "forward",
    "initialise",
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

    f: Callable[[Any], Any]
    derivative: Callable[[Any], Any]


ACTIVATIONS = {
    "identity": Activation(lambda z: z, lambda a: array_namespace(a).ones_like(a)),
    "logistic": Activation(logistic.sigmoid, lambda a: a * (1 - a)),
    "tanh": Activation(lambda z: array_namespace(z).tanh(z), lambda a: 1 - a * a),
    # Its derivative at zero, where it has none, is taken as 0.
    "relu": Activation(lambda z: array_namespace(z).maximum(z, 0), lambda a: (a > 0).astype(a.dtype)),
}
"""Activations of the hidden layers, by scikit-learn's names."""


class Layer(NamedTuple):
    """Weights ``W`` of shape (m_in, m_out) and intercepts ``b`` of shape (m_out,), or their gradients."""

    W: Any
    b: Any


@dataclass(frozen=True)
class Network:
    """The shape of a network.

    Attributes
    ----------
    sizes : tuple of int
        d, the sizes of the hidden layers, and the number of logits.
    activation : str
        Name of the activation of the hidden layers.
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

    def unpack(self, params: Any) -> list[Layer]:
        """Views of ``params`` as layers: what is written to them is written to ``params``."""
        layers, w_at, b_at = [], 0, self.n_weights
        for m_in, m_out in self.shapes:
            W = params[w_at : w_at + m_in * m_out].reshape(m_in, m_out)
            layers.append(Layer(W, params[b_at : b_at + m_out]))
            w_at, b_at = w_at + m_in * m_out, b_at + m_out
        return layers

    def pack(self, layers: Sequence[Layer]) -> Any:
        """One new vector of all weights, then all intercepts."""
        xp = array_namespace(*(layer.W for layer in layers))
        return xp.concatenate([*(layer.W.reshape(-1) for layer in layers), *(layer.b for layer in layers)])


def forward(layers: Sequence[Layer], X: Any, activation: str) -> tuple[list[Any], Any]:
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
    """
    f = ACTIVATIONS[activation].f
    activations = [X]
    for W, b in layers[:-1]:
        activations.append(f(activations[-1] @ W + b))
    W, b = layers[-1]
    return activations, activations[-1] @ W + b


def backward(layers: Sequence[Layer], activations: Sequence[Any], dz: Any, activation: str) -> list[Layer]:
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
    """
    derivative = ACTIVATIONS[activation].derivative
    gradients = []
    for l in range(len(layers) - 1, -1, -1):  # noqa: E741 - the letter of the formulas
        a = activations[l]
        gradients.append(Layer(a.T @ dz, dz.sum(axis=0)))
        if l > 0:  # the rows themselves are no parameters
            dz = (dz @ layers[l].W.T) * derivative(a)
    return gradients[::-1]


def loss_and_dz(z: Any, y: Any, sample_weight: Any = None) -> tuple[Any, Any]:
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
        Where the rows live: a GPU is not waited for.
    dz : array of shape (n, K), dtype of ``z``
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


def loss_and_gradient(network: Network, params: Any, X: Any, y: Any, sample_weight: Any = None) -> tuple[Any, Any]:
    """Loss of some rows and its gradient, as plain sums: the slow and obvious way, by which the others are judged.

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
    """
    layers = network.unpack(params)
    activations, z = forward(layers, X, network.activation)
    loss_sum, dz = loss_and_dz(z, y, sample_weight)
    return loss_sum, network.pack(backward(layers, activations, dz, network.activation))


def _normal(rng: np.random.Generator, m_in: int, m_out: int) -> Any:
    return 0.01 * rng.standard_normal((m_in, m_out))


def _glorot(rng: np.random.Generator, m_in: int, m_out: int) -> Any:
    bound = math.sqrt(6.0 / (m_in + m_out))
    return rng.uniform(-bound, bound, (m_in, m_out))


def _he(rng: np.random.Generator, m_in: int, m_out: int) -> Any:
    return math.sqrt(2.0 / m_in) * rng.standard_normal((m_in, m_out))


INITIALISATIONS: dict[str, Callable[[np.random.Generator, int, int], Any]] = {
    "normal": _normal,
    "glorot": _glorot,
    "he": _he,
}
"""First weights of a layer, by name.

``"normal"``: 0.01 N(0, 1), the textbook's. ``"glorot"``: uniform within ``sqrt(6 / (m_in + m_out))`` (X. Glorot and
Y. Bengio, 2010), which keeps the variance through tanh layers. ``"he"``: N(0, 2 / m_in) (K. He et al., 2015), through
relu layers.
"""


def initialise(network: Network, rng: np.random.Generator, init: str = "glorot") -> Any:
    """First parameters, float64 on the host: weights by ``init``, intercepts zero.

    Units of a layer that start alike stay alike, so weights are drawn; with no hidden layer there is nothing to tell
    apart, and they are drawn all the same.

    Raises
    ------
    DataError
        If there is no initialisation of that name.
    """
    if init not in INITIALISATIONS:
        raise DataError(f"init={init!r} is not known; use {', '.join(map(repr, INITIALISATIONS))}")
    draw = INITIALISATIONS[init]
    return network.pack([Layer(draw(rng, m_in, m_out), np.zeros(m_out)) for m_in, m_out in network.shapes])
