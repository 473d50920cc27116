"""One training of a network estimator: from validated rows and labels to fitted attributes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import Device, cupy_to_device, numpy_defaults
from gpu_logreg.arrays.device_choice import resolve_device, several_devices
from gpu_logreg.arrays.on_device import on_device
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.callbacks import FitTask, TimeLimit, epoch_lines, logger, observe_all, upload_lines
from gpu_logreg.estimators.checkpoint import journal_of
from gpu_logreg.estimators.journal import Journal
from gpu_logreg.estimators.linear.several_devices import on_devices
from gpu_logreg.estimators.network.fit import choose_way, fit_by_batches, fit_by_reads, of_unit_size, refuse_extremes
from gpu_logreg.estimators.network.parameters import MAY_DIFFER, STOCHASTIC, hidden_sizes
from gpu_logreg.estimators.network.parted import fit_parts, prepare_network_on_devices, refuse_extremes_of_parts
from gpu_logreg.estimators.network.streamed import (
    fit_by_streamed_batches,
    fit_by_streamed_reads,
    prepare_network_stream,
    refuse_extremes_of_blocks,
    unit_factor,
)
from gpu_logreg.estimators.prepare import Prepared, prepare
from gpu_logreg.estimators.stream import Stream
from gpu_logreg.estimators.streamed import note_columns, stream_of, streams_on
from gpu_logreg.estimators.target import Target
from gpu_logreg.mathematics.network import Network
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["NetworkTraining"]

_LESS = "a narrower storage such as 'float16', a smaller batch_size, fewer rows"
"""What takes less memory of a GPU."""


class NetworkTraining:
    """What `fit` and `partial_fit` of a network share: rows are prepared, steps chosen, a solver runs, its end is kept.

    What is kept, and how, is in `gpu_logreg.estimators.network.state`; the solvers are run by
    `gpu_logreg.estimators.network.fit`.
    """

    def _given(self: Any, X: Any, y: Any, *, reset: bool) -> list[Any]:
        """Validated rows, and labels, which are encoded on the host; or a stream, and its classes."""
        stream = stream_of(X, y)
        if stream is not None:
            note_columns(self, stream)
            return [stream, np.repeat(stream.opened.classes, 2)]
        if reset:
            self.__dict__.pop("table_columns_", None)
        X, y = self._validated(X, y, reset=reset)
        return [X, cupy_to_device(y, Device("cpu"))]

    def _validation(self: Any, X_val: Any, y_val: Any) -> tuple[Any, Any] | None:
        """Validated rows and labels to stop by; None where there are none.

        Raises
        ------
        DataError
            If one is given without the other, or both to a training that does not stop by them.
        """
        if X_val is None and y_val is None:
            return None
        if X_val is None or y_val is None:
            raise DataError("X_val and y_val belong together; give both, or none")
        if not self.early_stopping or self.solver not in STOCHASTIC:
            raise DataError("X_val and y_val are what early_stopping=True of 'adam', 'adamw' and 'sgd' goes by")
        return tuple(self._given(X_val, y_val, reset=False))

    def _check_same(self: Any, before: tuple[int, Target], target: Target) -> None:
        n_features, old = before
        old.refuse_other(target)
        if n_features != self.n_features_in_:
            raise DataError(f"warm_start: the last fit had {n_features} columns, and X has {self.n_features_in_}")

    def _fit(
        self: Any,
        given: list[Any],
        target: Target,
        sample_weight: Any,
        going_on: bool,
        *,
        only_one_epoch: bool,
        validation: tuple[Any, Any] | None = None,
        checkpoint: Any = None,
    ) -> None:
        """Train on validated rows and labels, taken out of ``given``, as they may be of this fit's own making."""
        X, y = given
        given.clear()
        if isinstance(X, Stream) and sample_weight is not None:
            raise DataError("a Stream brings its own labels and weights; give them to Stream, and fit(stream)")
        if isinstance(X, Stream) and only_one_epoch:
            raise DataError("partial_fit goes on over rows in memory; give a stream to fit")
        several = None if isinstance(X, Stream) else several_devices(self.device)
        device: Any = several
        if several is None:
            on_stream = isinstance(X, Stream)
            device = streams_on(self.device, by_blocks=True) if on_stream else resolve_device(self.device, X)
        place = on_device(device, less=_LESS) if several is None else on_devices(several)
        with place, blas_on_one_thread(), numpy_defaults():
            try:
                self._train(X, y, target, sample_weight, device, going_on, only_one_epoch, validation, checkpoint)
            finally:
                del X, y
                self._leave_device()
        self._warn(only_one_epoch)

    def _train(
        self: Any,
        X: Any,
        y: Any,
        target: Target,
        sample_weight: Any,
        device: Device | list[Device],
        going_on: bool,
        only_one_epoch: bool,
        validation: tuple[Any, Any] | None,
        checkpoint: Any,
    ) -> None:
        task_of = functools.partial(FitTask, self, self.max_iter, X, y, sample_weight)
        start = [*self.coefs_, *self.intercepts_] if going_on else []
        if isinstance(device, list):
            how: dict[str, Any] = {"only_one_epoch": only_one_epoch, "validated": validation is not None}
            prepared = prepare_network_on_devices(self, X, y, sample_weight, device, **how)
            data: Any = prepared.data
            refuse_extremes_of_parts(data)
            with journal_of(checkpoint, self, [data], MAY_DIFFER, start) as journal:
                fit_parts(self, prepared, data, going_on, journal, task_of)
            self.device_, self.device_reason_ = ", ".join(one.name for one in device), "asked for"
            return
        if isinstance(X, Stream):
            prepared = prepare_network_stream(self, X, device, validation is not None)
        else:
            prepared = prepare(
                X,
                y,
                sample_weight,
                device,
                storage=self.storage,
                target=target,
                column_names=getattr(self, "feature_names_in_", None),
                progress=upload_lines(device) if self.verbose and not callable(self.verbose) else None,
            )
        stop_by = None
        if validation is not None:
            X_val, y_val = validation
            stop_by = prepare(X_val, y_val, None, device, storage=self.storage, target=target).data
            refuse_extremes(stop_by)
        with journal_of(checkpoint, self, [prepared.data, stop_by], MAY_DIFFER, start) as journal:
            self._fit_prepared(prepared, task_of, going_on, only_one_epoch, stop_by, journal)

    def _fit_prepared(
        self: Any,
        prepared: Prepared,
        task_of: Callable[..., FitTask],
        going_on: bool,
        only_one_epoch: bool,
        stop_by: ResidentDataset | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Train on prepared rows.

        Parameters
        ----------
        prepared : Prepared
        task_of : function (attributes of parameters) -> FitTask
        going_on : bool
            Whether to start from the weights of the last fit.
        only_one_epoch : bool
            Whether this is a call of `partial_fit`.
        stop_by : ResidentDataset or None
            The validation set, where it is none of the rows.
        journal : Journal or None
        """
        data, target, device = prepared.data, prepared.target, prepared.device
        (refuse_extremes if data.is_resident else refuse_extremes_of_blocks)(data)
        network = Network(
            (data.n_columns, *hidden_sizes(self.hidden_layer_sizes), target.loss.n_logits), self.activation
        )
        if going_on and network.shapes != [W.shape for W in self.coefs_]:
            raise DataError(
                f"the layers of the last fit, {[W.shape for W in self.coefs_]}, are not those of "
                f"hidden_layer_sizes={self.hidden_layer_sizes!r}; use warm_start=False or a new estimator"
            )
        rows = data.rows if data.is_resident else data.template_there()
        if not (rows.sample_weight is None or only_one_epoch or target.several):
            _ = prepared.shares  # refused where all the weight lies on one class
        if data.is_resident:
            weights, alpha = of_unit_size(rows.sample_weight, self.alpha)
            rows = rows._replace(sample_weight=weights)
        else:
            alpha = self.alpha * unit_factor(data)
        training = self._training(network, data.batch_dtype, device, going_on, only_one_epoch)
        training.alpha = 0.0 if self.solver == "adamw" else alpha
        steps = choose_way(self, rows, device, training)
        logger.info("device %s (%s), steps %s (%s)", device.name, device.reason, steps.name, steps.reason)
        self.classes_, self.out_activation_ = target.classes, target.loss.link
        task = task_of(lambda params: self._attributes(network, params))
        told = self.verbose if callable(self.verbose) else epoch_lines(self.solver) if self.verbose else None
        task.begin_iteration(training.params)
        time_limit = None if self.max_time is None else TimeLimit(self.max_time)
        observer = observe_all(task, told, time_limit)
        if not data.is_resident and self.solver not in STOCHASTIC:
            self._keep_result(*fit_by_streamed_reads(self, training, data, observer, journal))
        elif not data.is_resident:
            parts = data, steps, self._rng, self._progress, observer
            validation = None if stop_by is None else stop_by.rows
            fit_by_streamed_batches(self, training, *parts, validation=validation, journal=journal)
            self._keep_progress(data.n_rows)
        elif self.solver in STOCHASTIC:
            of_rows = rows, target, steps, self._rng, self._progress, observer
            validation = None if stop_by is None else stop_by.rows
            more: dict[str, Any] = {"validation": validation, "journal": journal, "only_one_epoch": only_one_epoch}
            fit_by_batches(self, training, *of_rows, **more)
            self._keep_progress(data.n_rows)
        else:
            self._keep_result(*fit_by_reads(self, training, rows, observer, journal))
        if time_limit is not None:
            self.stop_reason_ = time_limit.reason(self.stop_reason_)
        self.impl_, self.impl_reason_ = steps.name, steps.reasons
        self.storage_ = data.storage_name
        self._keep(network, training.params, device)
        task.end(training.params)
