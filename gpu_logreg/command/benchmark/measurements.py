"""What ``gpu-logreg bench`` measures, as plain values: they are printed, drawn, and written as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import exp, log
from typing import Any

from gpu_logreg.command.benchmark.timing import Spread

__all__ = ["DeviceRace", "FitTime", "LeftOut", "Measurements", "PassTime"]


@dataclass(frozen=True)
class PassTime:
    """One pass over rows of one shape.

    Attributes
    ----------
    device : str
    storage : str
        Dtype of the elements; ``"sparse float64"`` for CSR rows.
    n, d : int
    nbytes : int
        Of the rows.
    read : Spread
        Seconds of a plain read.
    engines : dict of Spread
        Seconds of each engine.
    shares : dict of Spread
        Time of the plain read over that of the engine in the same round: the share of the rate of a plain read.
    """

    device: str
    storage: str
    n: int
    d: int
    nbytes: int
    read: Spread
    engines: dict[str, Spread]
    shares: dict[str, Spread]


@dataclass(frozen=True)
class FitTime:
    """A fit of one problem.

    Attributes
    ----------
    problem : str
    n, d, n_classes : int
    seconds : Spread
    plain_reads : Spread
        The time over that of a plain read of the rows in the same round.
    reads : float
        ``n_reads_``.
    iterations : int
    converged : bool
    solver, device, impl : str
    """

    problem: str
    n: int
    d: int
    n_classes: int
    seconds: Spread
    plain_reads: Spread
    reads: float
    iterations: int
    converged: bool
    solver: str
    device: str
    impl: str


@dataclass(frozen=True)
class DeviceRace:
    """Fits of the same rows, which lie on the host, on the CPU and on a GPU.

    Attributes
    ----------
    n, d : int
    cpu, gpu : Spread
        Seconds; those of the GPU with the way of the rows to it.
    cpu_per_gpu : Spread
        Of the times of one round: above 1 where the GPU is faster.
    """

    n: int
    d: int
    cpu: Spread
    gpu: Spread
    cpu_per_gpu: Spread


@dataclass(frozen=True)
class LeftOut:
    """Something that was not measured, because no time was left for it.

    Attributes
    ----------
    what : str
        ``kind: item``.
    """

    what: str


@dataclass
class Measurements:
    """All that was measured up to now; it grows as the measurements go on.

    Attributes
    ----------
    machine : dict
        Versions, processor and GPU.
    gpu_problem : str or None
        Why no GPU is measured.
    passes, fits, devices, left_out : list
    complete : bool
        Whether nothing was interrupted.
    seconds : float
        Of the whole run.
    """

    machine: dict[str, Any]
    gpu_problem: str | None
    passes: list[PassTime] = field(default_factory=list)
    fits: list[FitTime] = field(default_factory=list)
    devices: list[DeviceRace] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    complete: bool = False
    seconds: float = 0.0

    @property
    def crossover(self) -> int | None:
        """Rows from which a fit on the GPU is faster, between the sizes that were measured; None where it is not seen.

        Between two sizes the logarithm of the ratio is taken as a straight line over that of the number of rows.
        """
        for fewer, more in zip(self.devices, self.devices[1:], strict=False):
            before, after = log(fewer.cpu_per_gpu.median), log(more.cpu_per_gpu.median)
            if before <= 0.0 < after:
                return round(exp(log(fewer.n) + (log(more.n) - log(fewer.n)) * -before / (after - before)))
        return None

    def to_json(self) -> dict[str, Any]:
        """In the types of JSON."""
        return {**asdict(self), "crossover": self.crossover}
