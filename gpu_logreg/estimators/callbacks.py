"""What an estimator tells while it is fitted: scikit-learn's callback protocol (1.9 and later) and progress lines.

On older versions of scikit-learn the mixin is empty and the hooks are never called.
"""

from __future__ import annotations

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
        """Stands in where scikit-learn has no callbacks."""

    def with_callbacks(method: Any) -> Any:
        """Stands in where scikit-learn has no callbacks."""
        return method


WRAPPER_FRAMES = int(hasattr(CallbackSupportMixin, "set_callbacks"))
"""Frames that `with_callbacks` puts between a method and its caller, for warnings that point at the caller."""

__all__ = [
    "WRAPPER_FRAMES",
    "CallbackSupportMixin",
    "FitTask",
    "epoch_lines",
    "observe_all",
    "progress_lines",
    "upload_lines",
    "with_callbacks",
]

logger = logging.getLogger("gpu_logreg")


class FitTask:
    """The fit as scikit-learn's callbacks see it: one task, with a subtask for every iteration.

    Parameters
    ----------
    estimator : estimator
    max_iter : int
    X, y, sample_weight : arrays
        What the hooks may ask for.
    attributes : function params -> dict
        Fitted attributes at given parameters.
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
        if hasattr(estimator, "_init_callback_context"):
            self._root = estimator._init_callback_context(max_subtasks=max_iter)
            self._root.call_on_fit_task_begin(estimator=estimator, **self._data)

    def begin_iteration(self, params: Any) -> None:
        """Open the subtask of an iteration that starts at ``params``."""
        if self._root is None or self._max_iter == 0:
            return
        self._iteration = self._root.subcontext(task_name="iteration")
        self._iteration.call_on_fit_task_begin(
            estimator=self._estimator,
            reconstruction_attributes=lambda: self._attributes(params),
            **self._data,
        )

    def __call__(self, iteration: Iteration) -> bool:
        """End the subtask of an iteration; true if a callback asks to stop."""
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
        """End the task, and a subtask that was begun and not run."""
        if self._root is None:
            return
        for task in (self._iteration, self._root):
            if task is not None:
                task.call_on_fit_task_end(
                    estimator=self._estimator,
                    reconstruction_attributes=lambda: self._attributes(params),
                    **self._data,
                )


def progress_lines(solver: str, reads: Callable[[], float]) -> Observer:
    """Print a line after every iteration.

    ``left`` is what the model of the curvature says is left to gain, half the squared Newton decrement, and ``rate``
    what a read of the data has left of it, on average since the last line.
    """
    begin = time.perf_counter()
    before: tuple[float, float] | None = None

    def tell(iteration: Iteration) -> None:
        nonlocal before
        now, left = reads(), ""
        if iteration.left > 0.0:
            left = f"left {iteration.left:.2e}  "
            if before is not None and now > before[1]:
                left += f"rate {(iteration.left / before[0]) ** (1.0 / (now - before[1])):.1e} per read  "
            before = iteration.left, now
        print(
            f"{solver} {iteration.n_iter:4d}  objective {iteration.value:.10g}  max |grad| {iteration.grad_max:.2e}  "
            f"{left}step {iteration.step:.2g}  reads {now:.1f}  {time.perf_counter() - begin:.2f} s",
            flush=True,
        )

    return tell


def upload_lines(device: Device) -> Callable[[int, int], None]:
    """Print, about once in two seconds and at the end, how many of the rows have reached ``device``."""
    begin = last = time.perf_counter()

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if done < total and now - last < 2.0:
            return
        last = now
        rate = done / max(now - begin, 1e-9) / 1e9
        print(f"rows to {device.name}: {done / 2**20:,.0f} of {total / 2**20:,.0f} MiB, {rate:.1f} GB/s", flush=True)

    return tell


def epoch_lines(solver: str) -> Observer:
    """Print a line after every epoch or iteration of a network."""
    begin = time.perf_counter()

    def tell(iteration: Iteration) -> None:
        print(
            f"{solver}  Iteration {iteration.n_iter:4d}  loss {iteration.value:.8g}  step {iteration.step:.2g}  "
            f"{time.perf_counter() - begin:.2f} s",
            flush=True,
        )

    return tell


def observe_all(*observers: Observer | None) -> Observer:
    """One observer for several; the solver stops if any asks for it."""
    present = [observer for observer in observers if observer is not None]

    def tell(iteration: Iteration) -> bool:
        answers = [bool(observer(iteration)) for observer in present]  # every one is told, whoever asks to stop
        return any(answers)

    return tell
