"""Networks on Dask collections: rows stay on the workers, which walk over their shares of every batch."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from distributed import Client

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import numpy_defaults, to_numpy
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.callbacks import TimeLimit, epoch_lines, observe_all
from gpu_logreg.estimators.checkpoint import journal_of
from gpu_logreg.estimators.distributed.collections import blocks_of
from gpu_logreg.estimators.distributed.looks import Options
from gpu_logreg.estimators.distributed.on_cluster import OnCluster
from gpu_logreg.estimators.distributed.parts import prepare_parts
from gpu_logreg.estimators.journal import Journal
from gpu_logreg.estimators.network import model as network
from gpu_logreg.estimators.network.epochs import schedule_of
from gpu_logreg.estimators.network.fit import (
    MIN_HELD_BACK,
    minimise_over_rows,
    refuse_extremes,
)
from gpu_logreg.estimators.network.parameters import MAY_DIFFER, STOCHASTIC, hidden_sizes
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.estimators.target import known_target
from gpu_logreg.mathematics.network import Network
from gpu_logreg.objectives.batches_by_parts import Cut, PartedBatches, PartedObjective, auto_batch_size
from gpu_logreg.passes.training import Training
from gpu_logreg.rows.part import Part
from gpu_logreg.rows.parted import PartedDataset
from gpu_logreg.solvers import Observer
from gpu_logreg.solvers.minibatch import minibatch

__all__ = ["MLPClassifier"]


class MLPClassifier(OnCluster, network.MLPClassifier):
    """`gpu_logreg.MLPClassifier` for rows on the workers of a Dask cluster.

    A batch takes from every partition the share of its rows that the batch has of all rows, rounded up or down at
    random, in an order that the partition shuffles by ``random_state``, its number and the epoch. The workers send the
    gradients of their shares, and the client adds them in the order of the partitions and takes the step. So no bit of
    the result depends on the number of workers or their speed; it does on where the partitions are cut. A step is a
    message to every worker and back: batches are to be large.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
    activation : {"relu", "tanh", "logistic", "identity"}, default="relu"
    client : distributed.Client or None, default=None
        None for the current one. It is neither copied nor pickled with the model.
    **parameters
        Those of `gpu_logreg.MLPClassifier`; ``device`` is that of every worker. ``batch_size="auto"`` is 200 rows for
        every partition, or a 50th of all rows where that is less, but at least 200. With ``early_stopping`` every
        partition holds back the share of its rows, whatever their class. A row has one class.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import make_moons
    >>> from gpu_logreg.dask import MLPClassifier
    >>> X, y = make_moons(200, noise=0.1, random_state=0)
    >>> with Client(processes=False, n_workers=2, dashboard_address=":0") as client:
    ...     model = MLPClassifier((16,), activation="tanh", solver="lbfgs")
    ...     model = model.fit(da.from_array(X, chunks=(100, 2)), da.from_array(y, chunks=100))
    >>> round(model.score(X, y), 2)
    1.0
    """

    __module__ = "gpu_logreg.dask"

    _local = network.MLPClassifier

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        client: Client | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__(hidden_layer_sizes, activation, **parameters)
        self.client = client

    _parameter_constraints = {  # noqa: RUF012 - as scikit-learn's
        **network.MLPClassifier._parameter_constraints,
        "client": [object, None],
    }

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> MLPClassifier:
        """Not for rows on a cluster."""
        raise DataError("partial_fit takes rows in memory; fit those on a cluster, with warm_start=True to go on")

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, checkpoint: Any = None) -> MLPClassifier:
        """Fit the model.

        Parameters
        ----------
        X, y, sample_weight : Dask collections, or sequences of delayed blocks
            As of `gpu_logreg.dask.LogisticRegression.fit`.
        checkpoint : path or Checkpoint, optional
            File of the client's from which the same call goes on after the client was killed, to the same bits.

        Returns
        -------
        self : MLPClassifier

        Raises
        ------
        DataError, ClusterError
            As of `gpu_logreg.dask.LogisticRegression.fit`.
        """
        self._validate_params()
        hidden_sizes(self.hidden_layer_sizes)
        client = self._client()
        going_on = self.warm_start and hasattr(self, "coefs_")
        before = (self.n_features_in_, known_target(self)) if going_on else None
        if self.impl not in ("auto", "reference"):
            raise DataError(f"impl={self.impl!r} is for rows in memory; steps on a cluster have 'reference' alone")
        try:
            blocks = blocks_of(X, y, sample_weight)
            prepared, names = prepare_parts(client, blocks, None, Options(self.device, "reference", self.storage))
            data = prepared.data
            assert isinstance(data, PartedDataset)
            self.n_features_in_ = data.n_columns
            self.__dict__.pop("feature_names_in_", None)
            if names is not None:
                self.feature_names_in_ = names
            if before is not None:
                self._check_same(before, prepared.target)
            data.parts.each(_refuse_extremes)
            start = [*self.coefs_, *self.intercepts_] if going_on else []
            with (
                numpy_defaults(),
                blas_on_one_thread(),
                journal_of(checkpoint, self, [prepared.data], (*MAY_DIFFER, "client"), start) as journal,
            ):
                self._fit_parts(prepared, data, going_on, journal)
        except BaseException:
            self._forget()
            raise
        self._warn(False)
        return self

    def _fit_parts(self, prepared: Prepared, data: PartedDataset, going_on: bool, journal: Journal | None) -> None:
        """As `gpu_logreg.estimators.network.training.NetworkTraining._fit_prepared`, on parts."""
        target = prepared.target
        _ = prepared.shares  # refused where all the weight lies on one class
        sizes = data.n_columns, *hidden_sizes(self.hidden_layer_sizes), target.loss.n_logits
        layers = Network(sizes, self.activation)
        if going_on and layers.shapes != [W.shape for W in self.coefs_]:
            raise DataError("warm_start: the layers of the last fit are others; use warm_start=False")
        dtype = np.result_type(*data.parts.each(_batch_dtype))
        largest = [weight for weight in data.parts.each(_largest_weight) if weight is not None]
        factor = 2.0 ** -math.frexp(max(largest))[1] if largest else 1.0  # see `of_unit_size`
        training = self._training(layers, dtype, prepared.device, going_on, False)
        training.alpha = 0.0 if self.solver == "adamw" else self.alpha * factor
        self.classes_, self.out_activation_ = target.classes, target.loss.link
        told = self.verbose if callable(self.verbose) else epoch_lines(self.solver) if self.verbose else None
        time_limit = None if self.max_time is None else TimeLimit(self.max_time)
        observer = observe_all(told, time_limit)
        stochastic = self.solver in STOCHASTIC
        share = float(self.validation_fraction) if self.early_stopping and stochastic else 0.0
        # A weight that does not change the rounded sum of all is none: see `rows_with_weight`.
        least = float(np.finfo(dtype).eps) * data.weight_total / data.n_rows
        seed = int(self._rng.integers(2**63))
        cut = Cut(layers, dtype.name, least, factor, share, seed, bool(self.shuffle))
        if stochastic:
            self._fit_by_steps(training, data, cut, observer, journal)
        else:
            recall = None if journal is None else journal.recall
            objective = PartedObjective(layers, data, 0.0, dtype, cut, recall)
            self._keep_result(minimise_over_rows(self, training, objective, observer), data.n_rows, objective.n_reads)
        if time_limit is not None:
            self.stop_reason_ = time_limit.reason(self.stop_reason_)
        self.impl_, self.impl_reason_ = "reference", f"the rows are in {len(data.shapes)} parts"
        self.storage_ = data.storage_name
        self._keep(layers, training.params, prepared.device)

    def _fit_by_steps(
        self, training: Training, data: PartedDataset, cut: Cut, observer: Observer | None, journal: Journal | None
    ) -> None:
        progress = self._progress
        batches = PartedBatches(training, data, cut, progress.best_params)
        n = batches.n_rows
        if cut.share and (batches.n_held_back < MIN_HELD_BACK or n < MIN_HELD_BACK):
            raise DataError(
                f"validation_fraction={cut.share:g} holds back {batches.n_held_back} of "
                f"{batches.n_held_back + n} rows, too few to stop by or to train on; use early_stopping=False"
            )
        size = auto_batch_size(n, len(data.shapes)) if self.batch_size == "auto" else int(self.batch_size)
        if size > n:
            warnings.warn(f"batch_size={size} is larger than the {n} rows to train on; it is clipped to {n}")
            size = n
        minibatch(
            batches,
            range(n),
            batch_size=size,
            schedule=schedule_of(self),
            rng=None,  # parts shuffle their rows
            progress=progress,
            tol=self.tol,
            max_iter=self.max_iter,
            n_iter_no_change=self.n_iter_no_change,
            by_score=bool(cut.share),
            observer=observer,
            saved=None if journal is None else journal.saved_state("epoch"),
        )
        progress.best_params = batches.best()
        self._keep_progress(data.n_rows)


def _batch_dtype(part: Part) -> np.dtype[Any]:
    return part.data.batch_dtype


def _largest_weight(part: Part) -> float | None:
    s = part.data.rows.sample_weight
    return None if s is None else float(to_numpy(s.max()))


def _refuse_extremes(part: Part) -> None:
    try:
        refuse_extremes(part.data)
    except DataError as error:
        raise DataError(f"{part.place}{error}") from error
