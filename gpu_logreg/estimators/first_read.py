"""The first read of blocks that nothing is known of: their number, their labels, and the rows while they fit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.vector import ArrayOfRows, HostArray
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.streamed_labels import LabelsByBlock
from gpu_logreg.estimators.user_blocks import UserBlocks
from gpu_logreg.rows.block_store import bytes_of
from gpu_logreg.rows.cutter import cutter_of

__all__ = ["FirstRead", "first_read"]


class FirstRead(NamedTuple):
    """What a first read has found.

    Attributes
    ----------
    parts : list of slice
    blocks : dict
        All blocks by their numbers, or none where they do not fit.
    labels : (classes, codes)
    sample_weight : ndarray of shape (n,) or None
    nbytes : int
        Of the rows.
    n_stored, n_pairs
        Of sparse rows: see `gpu_logreg.rows.streamed.StreamedDataset`.
    """

    parts: list[slice]
    blocks: dict[int, ArrayOfRows]
    labels: tuple[NDArray[Any], HostArray]
    sample_weight: HostArray | None
    n_stored: int
    n_pairs: float
    nbytes: int


def first_read(source: UserBlocks, budget: int) -> FirstRead:
    """Read all blocks once.

    Parameters
    ----------
    source : UserBlocks
    budget : int
        Bytes that rows, labels and weights may take.

    Raises
    ------
    DataError
        A block without labels; blocks that can be read once, and do not fit the budget.
    """
    labels, weights, cutter = LabelsByBlock(), list[HostArray](), None
    weighted: bool | None = None
    is_kept, bytes_of_weights, bytes_read = True, 0, 0
    for number, block in enumerate(source.first_read()):
        if block.y is None:
            raise DataError("the blocks hold no labels; yield (X, y) or (X, y, sample_weight)")
        labels.add(block.y, f"block {number}: ")
        is_weighted = block.sample_weight is not None
        if weighted is not None and weighted != is_weighted:
            raise DataError(f"block {number} has {'' if is_weighted else 'no '}weights, unlike those before it")
        weighted = is_weighted
        if block.sample_weight is not None:
            weights.append(block.sample_weight)
            bytes_of_weights += block.sample_weight.nbytes
        cutter = cutter or cutter_of(block.X)
        cutter.add(block.X)
        bytes_read += bytes_of(block.X)
        if is_kept and cutter.nbytes + bytes_of_weights + labels.nbytes > budget:
            if source.reads_once:
                raise DataError(
                    f"the rows are an iterator, which can be read once, and by block {number} they exceed the memory "
                    f"budget of {budget / 1e6:,.0f} MB; give a function that returns a new iterator in every call"
                )
            cutter.drop()
            is_kept = False
    assert cutter is not None  # `source` refuses to be read without a row
    parts, blocks = cutter.end()
    return FirstRead(
        parts,
        blocks,
        labels.encoded(),
        np.concatenate(weights) if weights else None,
        cutter.n_stored,
        cutter.n_pairs,
        bytes_read,
    )
