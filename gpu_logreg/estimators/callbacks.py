"""Progress of a fit: scikit-learn's callback protocol (1.9 and later), and the lines that ``verbose`` prints.

On older versions of scikit-learn the mixin is empty and the hooks are never called.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

from gpu_logreg.arrays.device import Device
from gpu_logreg.solvers import Iteration, Observer

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Empty stand-in where scikit-learn has no callbacks."""

    def with_callbacks(method: Any) -> Any:
        """The method itself: the stand-in where scikit-learn has no callbacks."""
        return method


WRAPPER_FRAMES = int(hasattr(CallbackSupportMixin, "set_callbacks"))
"""Stack frames, 1 or 0, that `with_callbacks` adds between a method and its caller: for ``stacklevel`` of warnings."""

__all__ = [
    "WRAPPER_FRAMES",
    "CallbackSupportMixin",
    "FitTask",
    "TimeLimit",
    "epoch_lines",
    "observe_all",
    "progress_lines",
    "upload_lines",
    "with_callbacks",
    "with_reads",
]

STOPPED = "stopped by a callback"
"""What solvers say where an observer has stopped them."""

logger = logging.getLogger("gpu_logreg")

_UPLOAD_SECONDS = 2.0
"""Least time between two lines on an upload."""


class FitTask:
    """The fit as scikit-learn's callbacks see it: one task, with a subtask for every iteration.

    Parameters
    ----------
    estimator : estimator
    max_iter : int
    X, y, sample_weight : arrays
        Data that are passed on to the hooks.
    attributes : function params -> dict
        Computes the fitted attributes at the parameters of an iteration.

    Attributes
    ----------
    is_watched : bool
        Whether there are callbacks, so that iterations are subtasks.
    """

    def __init__(
        self,
        estimator: Any,
        max_iter: int,
        X: Any,
        y: Any,
        sample_weight: Any,
        attributes: Callable[[Any], dict[str, Any]],
    ) -> None:
        self._estimator = estimator
        self._max_iter = max_iter
        self._data = {"X": X, "y": y, "metadata": None if sample_weight is None else {"sample_weight": sample_weight}}
        self._attributes = attributes
        self._root: Any = None
        self._iteration: Any = None
        self.is_watched = False
        if hasattr(estimator, "_init_callback_context"):
            self._root = estimator._init_callback_context(max_subtasks=max_iter)
            self._root.call_on_fit_task_begin(estimator=estimator, **self._data)
            self.is_watched = getattr(self._root, "_callbacks", None) != []  # an empty list: nobody would be called

    def begin_iteration(self, params: Any) -> None:
        """Open the subtask of the iteration that starts at ``params``."""
        if not self.is_watched or self._max_iter == 0:
            return
        self._iteration = self._root.subcontext(task_name="iteration")
        self._iteration.call_on_fit_task_begin(
            estimator=self._estimator,
            reconstruction_attributes=lambda: self._attributes(params),
            **self._data,
        )

    def __call__(self, iteration: Iteration) -> bool:
        """End the subtask of an iteration; True if a callback asks to stop the fit."""
        if self._iteration is None:
            return False
        stop = self._iteration.call_on_fit_task_end(
            estimator=self._estimator,
            reconstruction_attributes=lambda: self._attributes(iteration.params),
            **self._data,
        )
        self._iteration = None
        if not iteration.last and not stop:
            self.begin_iteration(iteration.params)
        return bool(stop)

    def end(self, params: Any) -> None:
        """End the task, and before it the subtask of an iteration that was begun and not completed."""
        if self._root is None:
            return
        for task in (self._iteration, self._root):
            if task is not None:
                task.call_on_fit_task_end(
                    estimator=self._estimator,
                    reconstruction_attributes=lambda: self._attributes(params),
                    **self._data,
                )


class TimeLimit:
    """An observer that stops a fit after some seconds.

    Parameters
    ----------
    seconds : float
        From now on.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self.reached = False

    def __call__(self, iteration: Iteration) -> bool:
        """Whether the time is over, and the solver has not come to its end by itself."""
        self.reached = not iteration.last and time.monotonic() >= self._end
        return self.reached

    def reason(self, message: str) -> str:
        """Why a fit ended, from what its solver says of it."""
        return f"max_time = {self._seconds:g} s reached" if self.reached and message == STOPPED else message


def progress_lines(solver: str, reads: Callable[[], float]) -> Observer:
    """An observer that prints a line after every iteration.

    ``left`` is half the squared Newton decrement, the decrease of the objective that the model of the curvature still
    expects. ``rate`` is the factor by which one read of the data reduced it, on average since the previous line.

    Parameters
    ----------
    solver : str
        Name of the solver, with which each line begins.
    reads : function () -> float
        Gives the number of reads of the data up to now.
    """
    start = time.perf_counter()
    previous: tuple[float, float] | None = None

    def print_line(iteration: Iteration) -> None:
        nonlocal previous
        n_reads, decrement = reads(), ""
        if iteration.left > 0.0:
            decrement = f"left {iteration.left:.2e}  "
            if previous is not None and n_reads > previous[1]:
                decrement += f"rate {(iteration.left / previous[0]) ** (1.0 / (n_reads - previous[1])):.1e} per read  "
            previous = iteration.left, n_reads
        print(
            f"{solver} {iteration.n_iter:4d}  objective {iteration.value:.10g}  max |grad| {iteration.grad_max:.2e}  "
            f"{decrement}step {iteration.step:.2g}  reads {n_reads:.1f}  {time.perf_counter() - start:.2f} s",
            flush=True,
        )

    return print_line


def with_reads(observer: Observer, reads: Callable[[], float]) -> Observer:
    """An observer that gives another one iterations that know the number of reads up to now."""
    return lambda iteration: observer(dataclasses.replace(iteration, n_reads=reads()))


def upload_lines(device: Device) -> Callable[[int, int], None]:
    """A progress callback of an upload, ``callback(bytes copied, bytes in all)``, which prints lines.

    There is one at the end, and one before it when `_UPLOAD_SECONDS` have passed since the previous one.
    """
    start = last_line = time.perf_counter()

    def print_line(n_copied: int, n_total: int) -> None:
        nonlocal last_line
        now = time.perf_counter()
        if n_copied < n_total and now - last_line < _UPLOAD_SECONDS:
            return
        last_line = now
        rate = n_copied / max(now - start, 1e-9) / 1e9
        print(
            f"rows to {device.name}: {n_copied / 2**20:,.0f} of {n_total / 2**20:,.0f} MiB, {rate:.1f} GB/s", flush=True
        )

    return print_line


def epoch_lines(solver: str) -> Observer:
    """An observer that prints a line after every epoch or iteration of a network."""
    start = time.perf_counter()

    def print_line(iteration: Iteration) -> None:
        print(
            f"{solver}  Iteration {iteration.n_iter:4d}  loss {iteration.value:.8g}  step {iteration.step:.2g}  "
            f"{time.perf_counter() - start:.2f} s",
            flush=True,
        )

    return print_line


def observe_all(*observers: Observer | None) -> Observer | None:
    """One observer that calls several; it asks the solver to stop if any of them does. None for none of them."""
    present = [observer for observer in observers if observer is not None]
    if not present:
        return None

    def observe(iteration: Iteration) -> bool:
        # Not any(generator): every observer must be called, even after one has asked to stop.
        answers = [bool(observer(iteration)) for observer in present]
        return any(answers)

    return observe
