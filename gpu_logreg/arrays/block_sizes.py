"""Sizes of the blocks that rows are cut into, all in one place, each with its reason.

A block on the host is as large as the second-level cache of a core can hold beside what is computed from it, so that a
second look at it does not come from memory. A block on a GPU is as large as keeps launches few and copies small beside
the memory of a device. Sizes decide the order of additions: to change one changes the last bits of results.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "CONVERTED",
    "CURVATURE",
    "EXACT_VALUE",
    "GATHERED",
    "GRADIENT",
    "HESSIAN",
    "NETWORK",
    "SCORES",
    "SEARCHED",
    "SEARCHED_ELEMENTS",
    "SPARSE_COLUMNS",
    "SPARSE_LOGITS",
    "SPARSE_SUMS",
    "UPLOADED",
    "BlockSize",
]


class BlockSize(NamedTuple):
    """Size of a block of rows, in bytes: on the host, where several are worked on at once, and on a device."""

    host: int
    device: int


GRADIENT = BlockSize(2**20, 2**28)
"""Of the rows that the reference converts and multiplies for gradients, moments and logits: each is read twice."""

SCORES = BlockSize(2**20, 2**20)
"""Of the rows that are scored: as many numbers as the block holds are computed beside it."""

HESSIAN = BlockSize(2**21, 2**62)
"""Of a sample in standardised columns whose Hessian is summed: a product takes more rows before their sum is added;
on a device the sample is one block."""

CURVATURE = BlockSize(2**24, 2**28)
"""Of the rows of a sample that are copied, standardised and forgotten again, for its Hessian alone."""

GATHERED = BlockSize(2**19, 2**26)
"""Of the rows of a sample that are copied into standardised columns: the rows and their copies."""

NETWORK = BlockSize(2**22, 2**28)
"""Of the widest layer of a network whose loss over all rows is summed: several layers' activations are kept."""

EXACT_VALUE = BlockSize(2**22, 2**22)
"""Of rows in float64 whose losses are summed about a typical row: a block is widened to long double."""

CONVERTED = BlockSize(2**20, 2**26)
"""Of rows that are converted, compared with what a narrower dtype holds of them, or searched for large values."""

SEARCHED = BlockSize(2**24, 2**24)
"""Of rows that are searched for NaN and infinities: a boolean for each element is allocated."""

SEARCHED_ELEMENTS = 2**22
"""Stored elements of sparse rows that are searched for NaN and infinities at a time."""

UPLOADED = 2**25
"""Bytes of a chunk of page-locked memory on the way to a GPU: enough for the full rate of PCIe, little to allocate."""

SPARSE_SUMS = 2**19
"""Stored elements of a block of sparse rows that SciPy's products convert for sums."""

SPARSE_LOGITS = 2**17
"""Stored elements of a block of sparse rows for logits and scores, which are kept: blocks for several threads."""

SPARSE_COLUMNS = 2**20
"""Stored elements of a block of sparse rows out of which some columns are taken: copies, which cost no arithmetic."""
