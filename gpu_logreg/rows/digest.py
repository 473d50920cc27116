"""A digest of all that a data set holds, so that a checkpoint goes on with the same rows or not at all."""

from __future__ import annotations

import hashlib

import numpy as np

from gpu_logreg.arrays.blocks import map_in_order, row_blocks
from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Array
from gpu_logreg.rows.streamed import Dataset

__all__ = ["digest_of"]

BYTES_AT_ONCE = 2**24
"""Bytes that a thread hashes at a time; part of the digest, which is a digest of digests."""


def digest_of(data: Dataset) -> str:
    """SHA-256 of rows, labels and weights, as they are stored; one read.

    Examples
    --------
    >>> from gpu_logreg.arrays.device import Device
    >>> from gpu_logreg.rows.resident import ResidentDataset
    >>> X, y = np.arange(4.0).reshape(2, 2), np.array([0, 1])
    >>> one = ResidentDataset.from_arrays(X, y, None, Device("cpu"))
    >>> other = ResidentDataset.from_arrays(X[::-1], y, None, Device("cpu"))
    >>> digest_of(one) == digest_of(one), digest_of(one) == digest_of(other)
    (True, False)
    """
    if not data.is_resident:
        return hashlib.sha256("".join(data.map_blocks(digest_of)).encode()).hexdigest()
    X, y, weights = data.rows
    parts = [X.data, X.indices, X.indptr] if data.is_sparse else [X]
    total = hashlib.sha256(repr((data.n_rows, data.n_columns)).encode())
    for array in (*parts, y, *([] if weights is None else [weights])):
        total.update(_digest(array))
    return total.hexdigest()


def _digest(array: Array) -> bytes:
    """SHA-256 of an array with one or two axes, whatever its order in memory."""

    def of_part(part: slice) -> bytes:
        block = np.ascontiguousarray(to_numpy(array[part]))
        return hashlib.sha256(block.view(np.uint8).data if block.size else b"").digest()

    row_bytes = max(1, array[:1].nbytes)
    digests = map_in_order(of_part, row_blocks(len(array), row_bytes, BYTES_AT_ONCE))
    return hashlib.sha256(b"".join([str(array.dtype).encode(), *digests])).digest()
