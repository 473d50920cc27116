"""What the two kinds of rows differ in where a source of them is opened: how it is cut, and what its rows take."""

from __future__ import annotations

from typing import Any

from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DeviceError
from gpu_logreg.rows.block import compute_dtype
from gpu_logreg.rows.block_store import cut_dense

__all__ = ["bytes_of_a_sampled_row", "is_read_in_any_order", "parts_of", "refuse_sparse_blocks", "stored_counts"]


def parts_of(source: Any) -> list[slice]:
    """The blocks of the rows of a source: sparse ones are cut as they are stored."""
    return list(source.parts) if source.kind.is_sparse else cut_dense(source.n_rows, source.n_columns)


def stored_counts(source: Any) -> tuple[int, float]:
    """``n_stored`` and ``n_pairs`` of sparse rows, as of `gpu_logreg.arrays.sparse_cut.SparseCut`; else zeros."""
    return (source.n_stored, source.n_pairs) if source.kind.is_sparse else (0, 0.0)


def bytes_of_a_sampled_row(source: Any) -> float:
    """Bytes that a row takes in a sample, in standardised columns where it is dense."""
    if source.kind.is_sparse:
        return float(source.nbytes / source.n_rows)
    return float((source.n_columns + 1) * compute_dtype(source.dtype).itemsize)


def is_read_in_any_order(source: Any) -> bool:
    """Whether blocks may be asked for in any order at the cost of one walk."""
    return bool(source.fills or (source.kind.is_sparse and source.seeks))


def refuse_sparse_blocks(source: Any, device: Device) -> None:
    """Raise a `DeviceError` for sparse blocks, which no GPU walks."""
    if source.kind.is_sparse:
        raise DeviceError(
            f"{device.name} cannot be used: the blocks are sparse, and sparse rows are walked on the CPU; "
            "use device='cpu'"
        )
