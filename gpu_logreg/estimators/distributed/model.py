"""Logistic regression on Dask collections: rows stay on the workers, and the fit is the same."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from distributed import Client, get_client
from sklearn.base import clone

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.arrays.csr import dense_coef
from gpu_logreg.arrays.device import numpy_defaults, to_numpy
from gpu_logreg.errors import ClusterError, DataError
from gpu_logreg.estimators.callbacks import FitTask
from gpu_logreg.estimators.checkpoint import journal_of
from gpu_logreg.estimators.distributed.collections import blocks_of
from gpu_logreg.estimators.distributed.parts import Options, prepare_parts, split_block
from gpu_logreg.estimators.distributed.workers import computed_blocks, results_of, submit_for_each
from gpu_logreg.estimators.inputs import given_column, is_collection
from gpu_logreg.estimators.linear import model as linear
from gpu_logreg.estimators.linear.parameters import MAY_DIFFER, read_parameters, refuse_for_liblinear

__all__ = ["LogisticRegression"]


class LogisticRegression(linear.LogisticRegression):
    """`gpu_logreg.LogisticRegression` for rows on the workers of a Dask cluster.

    A read of the data is one task for each partition, which sends its sums back; they are added in the order of the
    partitions, so that no bit of the result depends on the number of workers, on their speed, or on whether one died
    and its partitions were made anew. Samples come to the client. A partition is copied once where its rows are not in
    C order.

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

    def __init__(self, C: float = 1.0, *, client: Client | None = None, **parameters: Any) -> None:
        super().__init__(C, **parameters)
        self.client = client

    _parameter_constraints = {  # noqa: RUF012 - as scikit-learn's
        **linear.LogisticRegression._parameter_constraints,
        "client": [object, None],
    }

    @classmethod
    def _get_param_names(cls) -> list[str]:
        names: list[str] = linear.LogisticRegression._get_param_names()
        return sorted([*names, "client"])

    def __sklearn_clone__(self) -> LogisticRegression:
        parameters = self.get_params(deep=False)
        client = parameters.pop("client")
        return type(self)(client=client, **{name: clone(value, safe=False) for name, value in parameters.items()})

    def __getstate__(self) -> Any:
        return {**super().__getstate__(), "client": None}

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, checkpoint: Any = None) -> LogisticRegression:
        """Fit the model.

        Parameters
        ----------
        X : Dask array or DataFrame, or sequence of delayed blocks
            Dense or sparse rows; a partition may be empty, and sizes may be unknown. Of delayed blocks each may be a
            tuple ``(X, y)`` or ``(X, y, sample_weight)``, and ``y`` is None then.
        y, sample_weight : as ``X``
            In as many partitions as ``X``.
        checkpoint : path or Checkpoint, optional
            File of the client's from which the same call goes on after the client was killed, to the same bits; see
            `gpu_logreg.Checkpoint`.

        Returns
        -------
        self

        Raises
        ------
        DataError
            Data or parameters that cannot be used; the message names the partition.
        ClusterError
            No workers are left, or there is no cluster.
        """
        self._validate_params()
        asked = read_parameters(self)
        start = (dense_coef(self.coef_), self.intercept_) if self.warm_start and hasattr(self, "coef_") else None
        client = self._client()
        if asked.solver in ("sgd", "adam"):
            raise DataError(
                f"solver={asked.solver!r} steps over rows in random order, and these stay on their workers; use 'auto'"
            )
        try:
            options = Options(self.device, self.impl, self.storage)
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

    def _client(self) -> Client:
        client = self.client
        if client is None:
            try:
                client = get_client()
            except ValueError as error:
                raise ClusterError(
                    "no cluster is connected; make a client first, such as distributed.Client(n_workers=2)"
                ) from error
        if client.asynchronous:
            raise ClusterError(
                "the client is asynchronous, and a fit waits for its reads; use Client(asynchronous=False)"
            )
        return client

    def to_local(self) -> linear.LogisticRegression:
        """The fitted model as a `gpu_logreg.LogisticRegression`, which needs no Dask."""
        parameters = self.get_params(deep=False)
        del parameters["client"]
        local = linear.LogisticRegression(**parameters)
        local.__dict__.update({name: value for name, value in vars(self).items() if name.endswith("_")})
        return local

    def predict(self, X: Any) -> Any:
        """The class of every row; lazy for a Dask collection, in its kind."""
        return self._lazily("predict", X)

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes; lazy for a Dask collection, in its kind."""
        return self._lazily("predict_proba", X)

    def predict_log_proba(self, X: Any) -> Any:
        """Their logarithms; lazy for a Dask collection, in its kind."""
        return self._lazily("predict_log_proba", X)

    def decision_function(self, X: Any) -> Any:
        """Logits; lazy for a Dask collection, in its kind."""
        return self._lazily("decision_function", X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """The weighted share of rows whose class is predicted rightly; computed on the cluster."""
        local = self.to_local()
        if not is_collection(X[0] if isinstance(X, list | tuple) and X else X):
            return local.score(X, y, sample_weight)
        client = self._client()
        futures = computed_blocks(client, blocks_of(X, y, sample_weight))
        found = np.array(results_of(client, submit_for_each(client, _right, *futures, model=local)))
        return float(found[:, 0].sum() / found[:, 1].sum())

    def _lazily(self, method: str, X: Any) -> Any:
        local = self.to_local()
        if not is_collection(X):
            return getattr(local, method)(X)
        if not hasattr(X, "map_blocks"):  # a table
            sample = _answer(X._meta_nonempty, local, method)
            return X.map_partitions(_answer, local, method, meta=sample.iloc[:0])
        sample = getattr(local, method)(np.zeros((1, self.n_features_in_)))
        if X.numblocks[1] > 1:
            X = X.rechunk({1: -1})
        if sample.ndim == 1:
            return X.map_blocks(_answer, local, method, dtype=sample.dtype, drop_axis=1)
        chunks = X.chunks[0], (sample.shape[1],)
        return X.map_blocks(_answer, local, method, dtype=sample.dtype, chunks=chunks)


def _answer(X: Any, model: linear.LogisticRegression, method: str) -> Any:
    """The answer for a partition, which may be empty; of a table a table, with the index of its rows."""
    if X.shape[0] == 0:
        one = getattr(model, method)(np.zeros((1, model.n_features_in_)))
        answer = one[:0]
    else:
        answer = getattr(model, method)(X)
    if not hasattr(X, "iloc"):
        return answer
    import pandas as pd

    if answer.ndim == 1:
        return pd.Series(answer, index=X.index, name=method)
    return pd.DataFrame(answer, index=X.index, columns=[str(c) for c in model.classes_])


def _right(X: Any, y: Any, s: Any, *, model: linear.LogisticRegression) -> tuple[float, float]:
    """Weight of the rows of a partition that are predicted rightly, and of all of them."""
    X, y, s = split_block(X, y, s)
    if X.shape[0] == 0:
        return 0.0, 0.0
    total = float(X.shape[0]) if s is None else float(np.sum(to_numpy(given_column(s, "sample_weight")), dtype=float))
    return (total * model.score(X, y, s) if total > 0.0 else 0.0), total
