"""Update rules on vectors of parameters, and schedules of the learning rate; NumPy and CuPy alike.

An optimiser updates ``params`` in place from the gradient ``g`` and the learning rate ``t``. Its state between updates
are arrays like ``params``; the first update allocates them, where ``params`` lives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.arrays.vector import Array

__all__ = ["SCHEDULES", "Adam", "Optimizer", "Schedule", "Sgd"]


class Optimizer(Protocol):
    """An update rule with its state."""

    def update(self, params: Array, grad: Array, rate: float, n_weights: int) -> None:
        """Update ``params`` in place; the first ``n_weights`` of them are weights, the rest intercepts."""

    def move(self, place: Callable[[Array], Array]) -> None:
        """Replace every array of the state by ``place(array)``: a copy on another device, or in another dtype."""


@dataclass
class Sgd:
    """Stochastic gradient descent: plain, with momentum, or with Nesterov's momentum.

    Plain: ``params -= t g``. Momentum (B. Polyak, 1964): ``v = momentum v - t g; params += v``. Nesterov's (Y.
    Nesterov, 1983), in the form of I. Sutskever et al. (2013): the same ``v``; ``params += momentum v - t g``.

    Attributes
    ----------
    momentum : float
        In [0, 1); 0 for plain.
    nesterov : bool
    velocity : array or None
        ``v``.

    Examples
    --------
    >>> import numpy as np
    >>> params, sgd = np.zeros(1), Sgd(momentum=0.5)
    >>> for _ in range(2):
    ...     sgd.update(params, np.ones(1), rate=0.1, n_weights=1)
    >>> params  # -0.1, then -0.1 - 0.05
    array([-0.25])
    """

    momentum: float = 0.0
    nesterov: bool = False
    velocity: Array = None

    def update(self, params: Array, grad: Array, rate: float, n_weights: int) -> None:
        """Update ``params`` in place."""
        step = rate * grad
        if self.momentum == 0.0:
            params -= step
            return
        self.allocate(params)
        self.velocity *= self.momentum
        self.velocity -= step
        params += self.momentum * self.velocity - step if self.nesterov else self.velocity

    def allocate(self, params: Array) -> None:
        """Allocate the velocity, zero, where there is none yet."""
        if self.velocity is None:
            self.velocity = array_namespace(params).zeros_like(params)

    def move(self, place: Callable[[Array], Array]) -> None:
        """Replace the velocity by ``place(velocity)``."""
        if self.velocity is not None:
            self.velocity = place(self.velocity)


@dataclass
class Adam:
    """Adam, algorithm 1 of D. Kingma and J. Ba (2015), and AdamW of I. Loshchilov and F. Hutter (2019).

    ``m = beta_1 m + (1 - beta_1) g``; ``v = beta_2 v + (1 - beta_2) g**2``;
    ``params -= t m^ / (sqrt(v^) + epsilon)`` with ``m^ = m / (1 - beta_1**k)`` and ``v^ = v / (1 - beta_2**k)`` at the
    k-th update. AdamW first shrinks the weights, not the intercepts, by ``1 - t decay``.

    Attributes
    ----------
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
    decay : float
        AdamW's weight decay; 0 for Adam.
    n_updates : int
    m, v : arrays or None
        Running means of the gradient and of its square.

    Examples
    --------
    >>> import numpy as np
    >>> params, adam = np.zeros(2), Adam()
    >>> adam.update(params, np.array([5.0, -0.01]), rate=0.001, n_weights=2)
    >>> params.round(6)  # the first step is the rate, whatever the size of the gradient
    array([-0.001,  0.001])
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    decay: float = 0.0
    n_updates: int = 0
    m: Array = None
    v: Array = None

    def update(self, params: Array, grad: Array, rate: float, n_weights: int) -> None:
        """Update ``params`` in place."""
        xp = array_namespace(params)
        self.allocate(params)
        self.n_updates += 1
        if self.decay:
            params[:n_weights] *= 1.0 - rate * self.decay
        self.m *= self.beta_1
        self.m += (1.0 - self.beta_1) * grad
        self.v *= self.beta_2
        self.v += (1.0 - self.beta_2) * grad * grad
        first, root = self.corrections(self.n_updates)
        params -= (rate / first) * self.m / (xp.sqrt(self.v) / root + self.epsilon)

    def allocate(self, params: Array) -> None:
        """Allocate the running means, zero, where there are none yet."""
        if self.m is None:
            xp = array_namespace(params)
            self.m, self.v = xp.zeros_like(params), xp.zeros_like(params)

    def move(self, place: Callable[[Array], Array]) -> None:
        """Replace the running means by ``place`` of them."""
        if self.m is not None:
            self.m, self.v = place(self.m), place(self.v)

    def corrections(self, k: int) -> tuple[float, float]:
        """Bias corrections of the k-th update: ``1 - beta_1**k`` and ``sqrt(1 - beta_2**k)``."""
        return 1.0 - self.beta_1**k, math.sqrt(1.0 - self.beta_2**k)


SCHEDULES = ("constant", "invscaling", "adaptive", "cosine")

_ADAPTIVE_FACTOR = 5.0
_ADAPTIVE_LEAST = 1e-6
"""Divisor of the rate on a plateau, and the rate below which a fit ends instead: scikit-learn's."""


@dataclass
class Schedule:
    """The learning rate of every epoch.

    ``"constant"``: ``t``. ``"invscaling"``: ``t / (rows seen + 1)**power_t``. ``"adaptive"``: ``t``, divided by 5
    on a plateau of the loss, down to 1e-6. ``"cosine"``: from ``t`` to 0 over ``n_epochs`` by half a cosine
    wave (I. Loshchilov and F. Hutter, 2017). The first three are scikit-learn's.

    Attributes
    ----------
    name : str
        One of `SCHEDULES`.
    first : float
        ``t``.
    power_t : float
    n_epochs : int
    rate : float
        The present learning rate.

    Examples
    --------
    >>> schedule = Schedule("cosine", first=0.1, n_epochs=2)
    >>> schedule.after_epoch(1, rows_seen=100)
    >>> round(schedule.rate, 3)
    0.05
    """

    name: str
    first: float
    power_t: float = 0.5
    n_epochs: int = 1

    def __post_init__(self) -> None:
        self.rate = self.first

    def after_epoch(self, n_epochs: int, rows_seen: int) -> None:
        """Set the rate of the next epoch, after ``n_epochs`` epochs with ``rows_seen`` rows in total."""
        if self.name == "invscaling":
            self.rate = self.first / (rows_seen + 1) ** self.power_t
        elif self.name == "cosine":
            self.rate = 0.5 * self.first * (1.0 + math.cos(math.pi * min(1.0, n_epochs / self.n_epochs)))

    def falls_on_plateau(self) -> bool:
        """Lower the rate on a plateau of the loss; false where this schedule does not, so that the fit should end."""
        if self.name != "adaptive" or self.rate <= _ADAPTIVE_LEAST:
            return False
        self.rate /= _ADAPTIVE_FACTOR
        return True
