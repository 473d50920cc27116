"""The random initial parameters of a network."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.mathematics.network import Layer, Network

__all__ = ["INITIALISATIONS", "initialise"]


def _normal(rng: np.random.Generator, m_in: int, m_out: int) -> Float64Matrix:
    return 0.01 * rng.standard_normal((m_in, m_out))


def _glorot(rng: np.random.Generator, m_in: int, m_out: int) -> Float64Matrix:
    bound = math.sqrt(6.0 / (m_in + m_out))
    return rng.uniform(-bound, bound, (m_in, m_out))


def _he(rng: np.random.Generator, m_in: int, m_out: int) -> Float64Matrix:
    return math.sqrt(2.0 / m_in) * rng.standard_normal((m_in, m_out))


INITIALISATIONS: dict[str, Callable[[np.random.Generator, int, int], Float64Matrix]] = {
    "normal": _normal,
    "glorot": _glorot,
    "he": _he,
}
"""Random initial weights of a layer, by name.

``"normal"``: 0.01 N(0, 1). ``"glorot"``: uniform within ``sqrt(6 / (m_in + m_out))`` (X. Glorot and
Y. Bengio, 2010), which keeps the variance through tanh layers. ``"he"``: N(0, 2 / m_in) (K. He et al., 2015), through
relu layers.
"""


def initialise(network: Network, rng: np.random.Generator, init: str = "glorot") -> Float64Vector:
    """Initial parameters, float64 on the host: random weights by ``init``, intercepts zero.

    Hidden units with equal weights have equal gradients and would stay equal: random weights break the symmetry.

    Raises
    ------
    DataError
        If there is no initialisation of that name.

    Examples
    --------
    >>> initialise(Network((2, 1)), np.random.default_rng(0), "he").round(3)
    array([ 0.126, -0.132,  0.   ])
    """
    if init not in INITIALISATIONS:
        raise DataError(f"init={init!r} is not known; use {', '.join(map(repr, INITIALISATIONS))}")
    draw = INITIALISATIONS[init]
    params: Float64Vector = network.pack(
        [Layer(draw(rng, m_in, m_out), np.zeros(m_out)) for m_in, m_out in network.shapes]
    )
    return params
