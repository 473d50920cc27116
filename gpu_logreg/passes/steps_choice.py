"""The choice of steps for a network by the parameter ``impl``, made once for each fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from gpu_logreg.arrays.device import Device, is_sparse
from gpu_logreg.arrays.vector import Array, IntVector
from gpu_logreg.errors import ImplementationError
from gpu_logreg.passes.reference.steps import reference_epoch
from gpu_logreg.passes.training import Training
from gpu_logreg.rows.block import Rows

__all__ = ["CPU_STEPS_WORK", "Steps", "choose_steps"]

CPU_STEPS_WORK = 50_000_000
"""Rows times parameters from which ``impl="auto"`` takes the compiled steps.

For fewer, 200 epochs take less time than the import of Numba and the loading of the compiled loops.
"""


Epoch = Callable[[Training, Rows, IntVector, int, float], Array]
"""``(training, rows, order, batch_size, rate) -> value``: see `gpu_logreg.passes.reference.steps.reference_epoch`."""


@dataclass(frozen=True)
class Steps:
    """An implementation of an epoch of steps.

    Attributes
    ----------
    name : str
    reason : str
        How the choice came about.
    epoch : Epoch
    """

    name: str
    reason: str
    epoch: Epoch

    @property
    def reasons(self) -> str:
        """The reason, and `how` where it is known."""
        return f"{self.reason}; {self.how}" if self.how else self.reason

    @property
    def how(self) -> str:
        """How the implementation made the epochs; empty before the first, and where it has one way only."""
        return str(getattr(self.epoch, "how", ""))


def choose_steps(impl: str, rows: Rows, device: Device, training: Training) -> Steps:
    """The steps for ``rows`` on ``device``.

    ``"auto"``: on the CPU ``reference`` while an epoch is less than `CPU_STEPS_WORK` of work, and ``cpu`` from there
    on; on a GPU ``cuda``. Where those cannot be made, ``reference`` with the reason.

    Raises
    ------
    ImplementationError
        If the steps of an explicit ``impl`` cannot be made.

    Examples
    --------
    >>> import numpy as np
    >>> from gpu_logreg.mathematics.network import Network
    >>> from gpu_logreg.mathematics.optimizers import Adam
    >>> training = Training(Network((2, 1)), np.zeros(3), Adam())
    >>> rows = Rows(np.zeros((4, 2)), np.zeros(4, np.uint8), None)
    >>> choose_steps("auto", rows, Device("cpu"), training).reason
    'auto: rows times parameters, 12, are fewer than 50,000,000'
    """
    if impl == "reference":
        return Steps(impl, "asked for", reference_epoch)
    if impl == "auto":
        work = rows.X.shape[0] * training.network.n_params
        if device.kind == "cpu" and work < CPU_STEPS_WORK:
            reason = f"auto: rows times parameters, {work:,}, are fewer than {CPU_STEPS_WORK:,}"
            return Steps("reference", reason, reference_epoch)
        name = device.kind
        problem = _supports(name, rows, training)
        if problem is not None:
            return Steps("reference", f"auto: {problem}", reference_epoch)
        return Steps(name, "auto: fused steps", _epoch(name))
    if impl != device.kind:
        if is_sparse(rows.X):
            raise ImplementationError(
                f"impl={impl!r} reads dense rows, and X is sparse; use impl='auto', or X.toarray()"
            )
        where = "rows on a GPU" if impl == "cuda" else "rows in host memory"
        raise ImplementationError(f"impl={impl!r} needs {where}, and the device is {device.name}; use device={impl!r}")
    problem = _supports(impl, rows, training)
    if problem is not None:
        raise ImplementationError(f"impl={impl!r} cannot be used: {problem}; use impl='auto'")
    return Steps(impl, "asked for", _epoch(impl))


def _supports(name: str, rows: Rows, training: Training) -> str | None:
    problem: str | None = import_module(f"gpu_logreg.passes.{name}.steps").supports(rows, training)
    return problem


def _epoch(name: str) -> Epoch:
    # Imported here: Numba takes 0.3 s to import, and CuPy may not be installed.
    steps = import_module(f"gpu_logreg.passes.{name}.steps")
    epoch: Epoch = steps.CudaSteps() if name == "cuda" else getattr(steps, f"{name}_epoch")
    return epoch
