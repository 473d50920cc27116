"""What estimators for Dask collections share: their client, lazy answers, and the way back to rows in memory."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from distributed import Client, get_client
from sklearn.base import clone

from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.errors import ClusterError
from gpu_logreg.estimators.distributed.collections import blocks_of
from gpu_logreg.estimators.distributed.looks import split_block
from gpu_logreg.estimators.distributed.workers import computed_blocks, results_of, submit_for_each
from gpu_logreg.estimators.inputs import given_column, is_collection

__all__ = ["OnCluster"]


class OnCluster:
    """Comes before the estimator for rows in memory, which is ``_local``."""

    _local: ClassVar[Any]
    client: Client | None
    n_features_in_: int

    @classmethod
    def _get_param_names(cls) -> list[str]:
        names: list[str] = cls._local._get_param_names()
        return sorted([*names, "client"])

    def __sklearn_clone__(self) -> Any:
        parameters = self.get_params(deep=False)  # type: ignore[attr-defined]
        client = parameters.pop("client")
        kind: Any = type(self)
        return kind(client=client, **{name: clone(value, safe=False) for name, value in parameters.items()})

    def __getstate__(self) -> Any:
        return {**super().__getstate__(), "client": None}  # type: ignore[dict-item]

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

    def to_local(self) -> Any:
        """The fitted model as the estimator of this name for rows in memory, which needs no Dask."""
        parameters = self.get_params(deep=False)  # type: ignore[attr-defined]
        del parameters["client"]
        local = self._local(**parameters)
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
            return float(local.score(X, y, sample_weight))
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


def _answer(X: Any, model: Any, method: str) -> Any:
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


def _right(X: Any, y: Any, s: Any, *, model: Any) -> tuple[float, float]:
    """Weight of the rows of a partition that are predicted rightly, and of all of them."""
    X, y, s = split_block(X, y, s)
    if X.shape[0] == 0:
        return 0.0, 0.0
    total = float(X.shape[0]) if s is None else float(np.sum(to_numpy(given_column(s, "sample_weight")), dtype=float))
    return (total * model.score(X, y, s) if total > 0.0 else 0.0), total
