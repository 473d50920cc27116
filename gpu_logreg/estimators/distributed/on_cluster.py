"""What estimators for Dask collections share: their client, lazy answers, and the way back to rows in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from dask import delayed
from dask.delayed import Delayed
from distributed import Client, get_client, rejoin, secede
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from gpu_logreg.errors import ClusterError, DataError
from gpu_logreg.estimators.distributed.collections import blocks_of
from gpu_logreg.estimators.distributed.looks import (
    Options,
    refuse_other_than_rows,
    refuse_unequal,
    split_block,
    weights_of,
    with_place,
)
from gpu_logreg.estimators.distributed.workers import computed_blocks, results_of, submit_for_each
from gpu_logreg.estimators.inputs import is_collection

__all__ = ["OnCluster", "leaving_room"]


@contextlib.contextmanager
def leaving_room() -> Iterator[None]:
    """Within a task: leave its thread to the tasks that are waited for, as there may be no other."""
    try:
        secede()
    except (AttributeError, KeyError, ValueError):  # no task, or one that has done so
        yield
        return
    try:
        yield
    finally:
        rejoin()


class OnCluster:
    """Comes before the estimator for rows in memory, which is ``_local``."""

    _local: ClassVar[Any]
    client: Client | None
    device: Any
    storage: str
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
        if not isinstance(client, Client):
            raise DataError(f"client={client!r} is no distributed.Client; give distributed.Client(...) of it")
        if client.status == "closed":
            raise ClusterError("the client is closed; make a new one")
        if client.asynchronous:
            raise ClusterError(
                "the client is asynchronous, and a fit waits for its reads; use Client(asynchronous=False)"
            )
        return client

    def _options(self, impl: str) -> Options:
        if isinstance(self.device, list | tuple) or self.device == "cuda:all":
            raise DataError(
                f"device={self.device!r} is for rows of one process; on a cluster start a worker for each GPU, and "
                "give device='cuda'"
            )
        return Options(self.device, impl, self.storage)

    def to_local(self) -> Any:
        """The fitted model as the estimator of this name for rows in memory, which needs no Dask."""
        check_is_fitted(self)
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

    @leaving_room()
    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """The weighted share of rows whose class is predicted rightly; computed on the cluster."""
        local = self.to_local()
        if not any(map(_is_on_cluster, (X, y, sample_weight))):
            return float(local.score(X, y, sample_weight))
        client = self._client()
        futures = computed_blocks(client, blocks_of(X, y, sample_weight))
        numbers = list(range(len(futures[0])))
        found = np.array(results_of(client, submit_for_each(client, _right, numbers, *futures, model=local)))
        n, right, total = found.sum(axis=0).tolist()
        if total == 0.0:
            raise DataError("the weights of all rows are zero" if n else "the partitions hold no rows to score")
        return float(right / total)

    def _lazily(self, method: str, X: Any) -> Any:
        local = self.to_local()
        if not _is_on_cluster(X):
            return getattr(local, method)(X)
        if not is_collection(X):
            return [delayed(_answer_of_block)(block, k, local, method) for k, block in enumerate(X)]
        if isinstance(X, Delayed):
            return delayed(_answer_of_block)(X, 0, local, method)
        refuse_other_than_rows(X)
        if not hasattr(X, "map_blocks"):  # a table
            sample = _answer(X._meta_nonempty, local, method)
            return X.map_partitions(_answer, local, method, meta=sample.iloc[:0])
        d = self.n_features_in_ if np.isnan(X.shape[1]) else X.shape[1]
        sample = getattr(local, method)(np.zeros((1, d)))
        if X.numblocks[1] > 1:
            X = X.rechunk({1: -1})
        if sample.ndim == 1:
            return X.map_blocks(_answer, local, method, dtype=sample.dtype, drop_axis=1)
        chunks = X.chunks[0], (sample.shape[1],)
        return X.map_blocks(_answer, local, method, dtype=sample.dtype, chunks=chunks)


def _is_on_cluster(value: Any) -> bool:
    first = value[0] if isinstance(value, list | tuple) and value else value
    return is_collection(first)


def _answer(X: Any, model: Any, method: str, *, block_id: Any = None, partition_info: Any = None) -> Any:
    """The answer for a partition, which may be empty; of a table a table, with the index of its rows.

    Dask gives the numbers of a block of an array, or of a partition of a table.
    """
    try:
        if X.shape[0] == 0:
            one = getattr(model, method)(np.zeros((1, model.n_features_in_)))
            answer = one[:0]
        else:
            answer = getattr(model, method)(X)
    except (ValueError, TypeError) as error:
        if block_id is None and partition_info is None:
            raise
        raise with_place(block_id[0] if partition_info is None else partition_info["number"], error) from error
    if not hasattr(X, "iloc"):
        return answer
    import pandas as pd

    if answer.ndim == 1:
        return pd.Series(answer, index=X.index, name=method)
    return pd.DataFrame(answer, index=X.index, columns=[str(c) for c in model.classes_])


def _answer_of_block(block: Any, k: int, model: Any, method: str) -> Any:
    """The answer for a delayed block: rows, or a tuple that begins with them."""
    return _answer(block[0] if isinstance(block, tuple) else block, model, method, block_id=(k,))


def _right(k: int, X: Any, y: Any, s: Any, *, model: Any) -> tuple[int, float, float]:
    """Rows of a partition, the weight of those that are predicted rightly, and of all of them."""
    try:
        X, y, s = split_block(X, y, s)
        refuse_unequal(X, y)
        n = X.shape[0]
        if n == 0:
            return 0, 0.0, 0.0
        weights = weights_of(s, n)
        total = float(n) if weights is None else float(np.sum(weights))
        return n, (total * model.score(X, y, weights) if total > 0.0 else 0.0), total
    except (ValueError, TypeError) as error:
        raise with_place(k, error) from error
