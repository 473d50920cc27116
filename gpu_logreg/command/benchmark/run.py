"""The run of ``gpu-logreg bench``: all measurements within some seconds, and what is made of them at the end."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gpu_logreg.arrays.device import Device, cuda_problem
from gpu_logreg.command.benchmark.fits import device_races, fit_times
from gpu_logreg.command.benchmark.measurements import LeftOut, Measurements
from gpu_logreg.command.benchmark.passes import pass_times
from gpu_logreg.command.benchmark.tables import print_measurements
from gpu_logreg.command.benchmark.timing import Deadline
from gpu_logreg.command.interruption import received_signal
from gpu_logreg.command.machine import machine_facts
from gpu_logreg.command.report import waiting
from gpu_logreg.errors import DataError, MissingDependencyError
from gpu_logreg.saved.whole_files import check_destination, write_whole

__all__ = ["SECONDS", "BenchmarkRequest", "run_benchmark"]

T = TypeVar("T")

SECONDS = 75.0
"""Seconds of the measurements by default, so that the whole run takes less than two minutes."""

_PASSES, _FITS = 0.6, 0.6
"""Shares of the time that is left: of the passes in all, and then of the fits in what is left where there is a GPU."""


@dataclass(frozen=True)
class BenchmarkRequest:
    """What one ``gpu-logreg bench`` is to do.

    Attributes
    ----------
    seconds : float
        Of the measurements.
    as_json : bool
        Whether JSON is printed in place of tables.
    plot : Path or None
        SVG file to write.
    """

    seconds: float = SECONDS
    as_json: bool = False
    plot: Path | None = None


def run_benchmark(request: BenchmarkRequest) -> None:
    """Measure, and print what was measured; after Ctrl-C too, which is then raised again.

    Raises
    ------
    DataError, MissingDependencyError
        Before anything is measured.
    """
    _check(request)
    start = time.perf_counter()
    facts = machine_facts()
    found = Measurements(
        {name: facts[name] for name in ("gpu_logreg", "python", "system", "packages", "cpu", "cupy", "gpu")},
        cuda_problem(),
    )
    interruption: BaseException | None = None
    try:
        _measure(found, Deadline(request.seconds))
        found.complete = True
    except (KeyboardInterrupt, Exception) as error:
        if not isinstance(error, KeyboardInterrupt) and not received_signal():
            raise
        interruption = error
    found.seconds = time.perf_counter() - start
    if request.as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        print_measurements(found)
    if request.plot is not None and (found.passes or found.fits):
        from gpu_logreg.command.benchmark.picture import picture_of

        write_whole(request.plot, picture_of(found))
    if interruption is not None:
        raise interruption


def _check(request: BenchmarkRequest) -> None:
    if not 0.0 < request.seconds < float("inf"):
        raise DataError(f"--seconds {request.seconds:g} is no time to measure in; give a number above 0")
    if request.plot is None:
        return
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("--plot needs matplotlib; install it with: pip install 'gpu-logreg[report]'")
    if request.plot.suffix.lower() != ".svg":
        raise DataError(f"--plot {request.plot} is not the name of an SVG file; let it end in .svg")
    check_destination(request.plot)


def _measure(found: Measurements, deadline: Deadline) -> None:
    """Add to ``found`` what is measured, as soon as it is."""
    devices = [Device("cpu")] + ([] if found.gpu_problem else [Device("cuda", 0)])
    passes = Deadline(_PASSES * deadline.left)
    for number, device in enumerate(devices):
        with waiting(f"passes on {device.name}"):
            _keep(found, found.passes, pass_times(device, passes.part(len(devices) - number)))
    with waiting("fits"):
        _keep(found, found.fits, fit_times(Deadline(deadline.left * (1.0 if found.gpu_problem else _FITS))))
    if found.gpu_problem is None:
        with waiting("fits on the CPU and on the GPU"):
            _keep(found, found.devices, device_races("cuda:0", deadline))


def _keep(found: Measurements, kept: list[T], items: Iterator[T | LeftOut]) -> None:
    for item in items:
        if isinstance(item, LeftOut):
            found.left_out.append(item)
        else:
            kept.append(item)
