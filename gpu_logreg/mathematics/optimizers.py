"""Update rules on vectors of parameters, and schedules of the learning rate; NumPy and CuPy alike.

An optimiser changes ``params`` in place, given the gradient and the learning rate; what it remembers between updates
are arrays like ``params``, made at the first update where ``params`` lives. Names: ``g`` the gradient, ``t`` the rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from gpu_logreg.arrays.device import array_namespace

__all__ = ["SCHEDULES", "Adam", "Optimizer", "Schedule", "Sgd"]


class Optimizer(Protocol):
    """An update rule with what it remembers."""

    def update(self, params: Any, grad: Any, rate: float, n_weights: int) -> None:
        """Change ``params`` in place; the first ``n_weights`` are weights, the rest intercepts."""

    def move(self, place: Callable[[Any], Any]) -> None:
        """Put what is remembered elsewhere, or in another dtype: ``place`` of every array."""


@dataclass
class Sgd:
    """Gradient descent, with momentum if asked for.

    Plain: ``params -= t g``. Momentum (B. Polyak, 1964): ``v = momentum v - t g; params += v``. Nesterov's (Y.
    Nesterov, 1983), in the form of I. Sutskever et al. (2013): the same ``v``; ``params += momentum v - t g``.

    Attributes
    ----------
    momentum : float
        In [0, 1); 0 for plain.
    nesterov : bool
    velocity : array or None
    """

    momentum: float = 0.0
    nesterov: bool = False
    velocity: Any = None

    def update(self, params: Any, grad: Any, rate: float, n_weights: int) -> None:
        """Change ``params`` in place."""
        step = rate * grad
        if self.momentum == 0.0:
            params -= step
            return
        self.remember(params)
        self.velocity *= self.momentum
        self.velocity -= step
        params += self.momentum * self.velocity - step if self.nesterov else self.velocity

    def remember(self, params: Any) -> None:
        """Make the velocity, zero, where there is none yet."""
        if self.velocity is None:
            self.velocity = array_namespace(params).zeros_like(params)

    def move(self, place: Callable[[Any], Any]) -> None:
        """Put the velocity elsewhere."""
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
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    decay: float = 0.0
    n_updates: int = 0
    m: Any = None
    v: Any = None

    def update(self, params: Any, grad: Any, rate: float, n_weights: int) -> None:
        """Change ``params`` in place."""
        xp = array_namespace(params)
        self.remember(params)
        self.n_updates += 1
        if self.decay:
            params[:n_weights] *= 1.0 - rate * self.decay
        self.m *= self.beta_1
        self.m += (1.0 - self.beta_1) * grad
        self.v *= self.beta_2
        self.v += (1.0 - self.beta_2) * grad * grad
        first, root = self.corrections(self.n_updates)
        params -= (rate / first) * self.m / (xp.sqrt(self.v) / root + self.epsilon)

    def remember(self, params: Any) -> None:
        """Make the running means, zero, where there are none yet."""
        if self.m is None:
            xp = array_namespace(params)
            self.m, self.v = xp.zeros_like(params), xp.zeros_like(params)

    def move(self, place: Callable[[Any], Any]) -> None:
        """Put the running means elsewhere."""
        if self.m is not None:
            self.m, self.v = place(self.m), place(self.v)

    def corrections(self, k: int) -> tuple[float, float]:
        """``1 - beta_1**k`` and ``sqrt(1 - beta_2**k)`` of the k-th update."""
        return 1.0 - self.beta_1**k, math.sqrt(1.0 - self.beta_2**k)


SCHEDULES = ("constant", "invscaling", "adaptive", "cosine")

_ADAPTIVE_FACTOR = 5.0
_ADAPTIVE_LEAST = 1e-6


@dataclass
class Schedule:
    """The learning rate of every epoch.

    ``"constant"``: ``t``. ``"invscaling"``: ``t / (rows seen + 1)**power_t``. ``"adaptive"``: ``t``, divided by 5
    whenever the loss stops to fall, down to 1e-6. ``"cosine"``: from ``t`` to 0 over ``n_epochs`` by half a wave
    (I. Loshchilov and F. Hutter, 2017). The first three are scikit-learn's.

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
    """

    name: str
    first: float
    power_t: float = 0.5
    n_epochs: int = 1

    def __post_init__(self) -> None:
        self.rate = self.first

    def after_epoch(self, n_epochs: int, rows_seen: int) -> None:
        """Set the rate of the next epoch, after ``n_epochs`` that saw ``rows_seen`` rows, all together."""
        if self.name == "invscaling":
            self.rate = self.first / (rows_seen + 1) ** self.power_t
        elif self.name == "cosine":
            self.rate = 0.5 * self.first * (1.0 + math.cos(math.pi * min(1.0, n_epochs / self.n_epochs)))

    def falls_on_plateau(self) -> bool:
        """Lower the rate where this schedule does so once the loss no longer falls; false if the fit should end."""
        if self.name != "adaptive" or self.rate <= _ADAPTIVE_LEAST:
            return False
        self.rate /= _ADAPTIVE_FACTOR
        return True
