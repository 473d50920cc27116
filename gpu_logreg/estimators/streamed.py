"""Streams in place of rows: what an estimator takes for one, and their preparation for a fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from gpu_logreg.arrays.device import Device, numpy_defaults
from gpu_logreg.arrays.device_choice import resolve_device
from gpu_logreg.errors import DataError, DeviceError
from gpu_logreg.estimators.device_streams import blocks_on, stored_dtype_on_device
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.estimators.stream import Stream
from gpu_logreg.estimators.streamed_labels import table_of_class_weights
from gpu_logreg.estimators.target import Target
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.row_labels import RowLabels
from gpu_logreg.rows.source_blocks import refuse_sparse_blocks
from gpu_logreg.rows.streamed import StreamedDataset

__all__ = ["logits_by_block", "note_columns", "prepare_stream", "score_by_block", "stream_of", "streams_on"]


def stream_of(X: Any, y: Any = None, sample_weight: Any = None) -> Stream | None:
    """The stream that an estimator is given as ``X``, or None where it is given rows.

    A stream is one, a function, and without ``y`` an iterator or any other iterable that is no array, table or list of
    rows.
    """
    if isinstance(X, Stream):
        if y is not None or sample_weight is not None:
            raise DataError("a Stream brings its own labels and weights; give them to Stream, and fit(stream)")
        return X
    if type(X) is np.ndarray or not _yields_blocks(X, y):
        return None
    return Stream(X)


_OF_ROWS = ("shape", "__array__", "__dataframe__", "__arrow_c_stream__", "collect")
"""Attributes of arrays, dense and sparse, and tables, and of queries for them."""


def _yields_blocks(X: Any, y: Any) -> bool:
    if any(hasattr(X, name) for name in _OF_ROWS):
        return False
    if hasattr(X, "__next__"):
        return True
    if y is not None or isinstance(X, str | bytes | Mapping):
        return False
    if isinstance(X, list | tuple):
        return len(X) > 0 and isinstance(X[0], tuple) and len(getattr(X[0][0], "shape", ())) == 2
    return (callable(X) and not isinstance(X, type)) or hasattr(X, "__iter__")


def streams_on(device: Any, *, by_blocks: bool = False) -> Device:
    """The device that streamed rows are walked on.

    Parameters
    ----------
    device : str
        The parameter ``device``; ``"auto"`` is the CPU.
    by_blocks : bool
        Whether sums over the rows are made block by block, so that a GPU can be asked for.

    Raises
    ------
    DeviceError
        If another is asked for.
    """
    if device == "auto":
        return Device("cpu", reason="auto: streamed rows are walked on the CPU")
    if device == "cpu" or (by_blocks and isinstance(device, str) and device != "cuda:all"):
        return resolve_device(device)
    where = "on the CPU or one GPU" if by_blocks else "on the CPU"
    raise DeviceError(f"device={device!r} cannot be used: streamed rows are walked {where}; use device='cpu'")


def prepare_stream(
    stream: Stream, device: Device, *, class_weight: Any, storage: str, device_budget: Any = None
) -> Prepared:
    """As `gpu_logreg.estimators.prepare.prepare`; rows of a single block are as rows in memory.

    Parameters
    ----------
    device_budget : int, float, str or None
        The parameter ``device_memory_budget``, by which a single block is streamed too.

    Raises
    ------
    DataError, DeviceError
        What cannot be done with streamed rows.
    """
    opened = stream.opened
    store, classes, codes, weights = opened.store, opened.classes, opened.codes, opened.sample_weight
    target = Target(classes)
    by_class = table_of_class_weights(class_weight, classes, codes, weights, list(store.parts))
    labels = RowLabels(codes, np.dtype(target.loss.label_dtype), weights, by_class)
    on_gpu = device.kind == "cuda"
    if on_gpu:
        refuse_sparse_blocks(store.source, device)
    if len(store.parts) == 1 and not (on_gpu and device_budget is not None):
        ((_, X),) = store.walk()
        every = slice(0, store.source.n_rows)
        y, s = labels.labels(every), labels.weights(every)
        data = ResidentDataset.from_arrays(X, y, s, device, stream.names, storage, encoded=True)
        return Prepared(data, target, device)
    if storage not in ("auto", store.source.dtype.name):
        raise DataError(
            f"storage={storage!r} is for rows in memory; streamed rows keep their dtype, use storage='auto'"
        )
    rows = StreamedDataset(store, labels, len(classes), stream.names, n_stored=opened.n_stored, n_pairs=opened.n_pairs)
    if on_gpu:
        dtype = stored_dtype_on_device(store.source.dtype)
        blocks = blocks_on(device, store, labels, target.loss.n_logits, dtype, device_budget)
        rows = replace(rows, on_device=blocks)
    return Prepared(rows, target, device)


def note_columns(model: Any, stream: Stream) -> None:
    """Note names and number of the columns of a stream on an estimator, as scikit-learn does of rows."""
    model.n_features_in_ = stream.n_columns
    for name in ("feature_names_in_", "table_columns_"):
        model.__dict__.pop(name, None)
    if stream.learned is not None:
        model.table_columns_ = stream.learned.schema.to_json()
    if stream.names is not None:
        model.feature_names_in_ = np.array(stream.names, dtype=object)


def logits_by_block(model: Any, stream: Stream, labelled: bool = False) -> Iterator[tuple[Any, Any, Any]]:
    """Logits of the blocks of a stream by a fitted model, with their labels and weights.

    Raises
    ------
    DataError
        Columns that are not those of the fit; a row that is not finite: the message says from which row on it is.
    """
    check_is_fitted(model)
    first = 0
    with numpy_defaults():
        for X, y, s in stream.blocks(labelled, getattr(model, "feature_names_in_", None)):
            if first == 0:
                _refuse_columns(model, stream, int(X.shape[1]))
            try:
                yield model._logits_of_rows(X), y, s
            except DataError as error:
                raise DataError(f"rows from {first:,} on: {error}") from error
            first += X.shape[0]
    if first == 0:
        raise DataError("the blocks hold no rows; at least one row is required")


def _refuse_columns(model: Any, stream: Stream, d: int) -> None:
    expected = model.n_features_in_
    if d != expected:
        raise DataError(f"X has {d} features, but {type(model).__name__} is expecting {expected} features as input")
    names = getattr(model, "feature_names_in_", None)
    if names is not None and stream.names is not None and not stream.selects and list(names) != list(stream.names):
        raise DataError("the columns of the stream have other names, or another order, than those of the fit")


def score_by_block(model: Any, stream: Stream) -> float:
    """The weighted share of the rows of a stream whose class is predicted rightly."""
    right = total = 0.0
    for z, y, s in logits_by_block(model, stream, labelled=True):
        if y is None:
            raise DataError("the blocks hold no labels; yield (X, y) or (X, y, sample_weight)")
        is_right = model._is_right(model._target().decide(z), y)
        right += float(is_right.sum() if s is None else s @ is_right)
        total += float(len(is_right) if s is None else s.sum(dtype=np.float64))
    return right / total
