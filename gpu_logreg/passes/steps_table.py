"""The steps by name, and the choice among them, made once per fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpu_logreg.backend import Device
from gpu_logreg.passes import Rows
from gpu_logreg.passes.steps import Training, reference_epoch

__all__ = ["Steps", "choose_steps"]


@dataclass(frozen=True)
class Steps:
    """A way to make an epoch of steps, chosen by name.

    Attributes
    ----------
    name : str
    reason : str
        How the choice came about.
    epoch : function (training, rows, order, batch_size, rate) -> value
        See `gpu_logreg.passes.steps.reference_epoch`.
    """

    name: str
    reason: str
    epoch: Callable[[Training, Rows, Any, int, float], Any]


def choose_steps(impl: str, rows: Rows, device: Device, training: Training) -> Steps:
    """Pick the steps for ``rows`` on ``device``."""
    return Steps("reference", "the only one", reference_epoch)
