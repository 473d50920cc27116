"""Logistic regression on Dask collections: rows stay on the workers, and the fit is the same."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from distributed import Client

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.device import numpy_defaults
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.callbacks import FitTask
from gpu_logreg.estimators.checkpoint import journal_of
from gpu_logreg.estimators.distributed.collections import blocks_of
from gpu_logreg.estimators.distributed.on_cluster import OnCluster, leaving_room
from gpu_logreg.estimators.distributed.parts import prepare_parts
from gpu_logreg.estimators.linear import model as linear
from gpu_logreg.estimators.linear.liblinear import refuse_for_liblinear
from gpu_logreg.estimators.linear.parameters import MAY_DIFFER, read_parameters

__all__ = ["LogisticRegression"]


class LogisticRegression(OnCluster, linear.LogisticRegression):  # type: ignore[misc]  # predictions without offset
    """`gpu_logreg.LogisticRegression` for rows on the workers of a Dask cluster.

    A read of the data is a call of every worker, which sends back the sums of its partitions; they are added in the
    order of the partitions, so that no bit of the result depends on the number of workers, on their speed, or on
    whether one died and its partitions were made anew. Samples come to the client. A partition is copied once where
    its rows are not in C order.

    Parameters
    ----------
    C : float, default=1.0
    client : distributed.Client or None, default=None
        None for the current one. It is neither copied nor pickled with the model.
    **parameters
        Those of `gpu_logreg.LogisticRegression`; ``device`` is that of every worker.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import load_breast_cancer
    >>> from gpu_logreg.dask import LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> with Client(processes=False, n_workers=2, dashboard_address=":0") as client:
    ...     model = LogisticRegression().fit(da.from_array(X, chunks=(100, 30)), da.from_array(y, chunks=100))
    >>> round(model.score(X, y), 2)
    0.96
    """

    __module__ = "gpu_logreg.dask"

    _local = linear.LogisticRegression

    def __init__(self, C: float = 1.0, *, client: Client | None = None, **parameters: Any) -> None:
        super().__init__(C, **parameters)
        self.client = client

    _parameter_constraints = {  # noqa: RUF012 - as scikit-learn's
        **linear.LogisticRegression._parameter_constraints,
        "client": [object, None],
    }

    @leaving_room()
    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None, checkpoint: Any = None
    ) -> LogisticRegression:
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, delayed block, or sequence of delayed blocks
            Dense or sparse rows; a partition may be empty, and sizes may be unknown. Of delayed blocks each may be a
            tuple ``(X, y)`` or ``(X, y, sample_weight)``, and ``y`` is None then.
        y, sample_weight : as ``X``
            In as many partitions as ``X``.
        offset : None
            Refused: rows on workers have none.
        checkpoint : path or Checkpoint, optional
            File of the client's from which the same call goes on after the client was killed, to the same bits; see
            `gpu_logreg.Checkpoint`.

        Returns
        -------
        self : LogisticRegression
            Its attributes are in the memory of the client.

        Raises
        ------
        DataError
            Data or parameters that cannot be used; the message names the partition.
        ClusterError
            No workers are left, or there is no cluster.
        """
        self._validate_params()
        asked = read_parameters(self)
        start = self._last() if self.warm_start and hasattr(self, "coef_") else None
        client = self._client()
        if self.soft_labels:
            raise DataError("soft_labels=True cannot be used with rows on workers; give rows in memory, on one device")
        if offset is not None:
            raise DataError("offset cannot be used: rows on workers have none; give rows in memory, on one device")
        if asked.solver in ("sgd", "adam"):
            raise DataError(
                f"solver={asked.solver!r} steps over rows in random order, and these stay on their workers; use 'auto'"
            )
        try:
            options = self._options(self.impl)
            blocks = blocks_of(X, y, sample_weight)
            prepared, names = prepare_parts(client, blocks, self.class_weight, options)
            self.n_features_in_ = prepared.data.n_columns
            self.__dict__.pop("feature_names_in_", None)
            if names is not None:
                self.feature_names_in_ = names
            self.classes_ = prepared.target.classes
            refuse_for_liblinear(self.solver, prepared.data.template().X, len(self.classes_))
            narrow = prepared.data.stored_dtype == np.float32 and self.solver != "liblinear"
            task_of = functools.partial(FitTask, self, self.max_iter, X, y, sample_weight)
            how = prepared, task_of, np.float32 if narrow else np.float64, start, asked
            with (
                numpy_defaults(),
                blas_on_one_thread(),
                journal_of(checkpoint, self, [prepared.data], (*MAY_DIFFER, "client"), start or ()) as journal,
            ):
                self._fit_prepared(*how, journal)
        except BaseException:
            self._forget()
            raise
        return self
