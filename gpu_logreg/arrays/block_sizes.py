"""Sizes of the blocks that rows are cut into, all in one place, each with its reason.

A block on the host fits the second-level cache of a core together with what is computed from it, so that a second read
of the block does not go to memory. A block on a GPU is large enough for few launches, and small beside the device's
memory. Sizes decide the order of additions: a change of a size changes the last bits of results.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "CONVERTED",
    "CURVATURE",
    "EXACT_VALUE",
    "FOLD_HESSIANS",
    "GATHERED",
    "GRADIENT",
    "GRAM",
    "HESSIAN",
    "INFORMATION",
    "KEPT_PROBABILITIES",
    "MANY_MODELS",
    "MULTIPLIERS",
    "NETWORK",
    "PAIR_WEIGHTS",
    "PARTIALS_CLASSES",
    "PARTIALS_SPARSE",
    "READ_ONCE",
    "ROW_SPACE",
    "SAMPLED_ELEMENTS",
    "SCALED",
    "SCORES",
    "SEARCHED",
    "SEARCHED_ELEMENTS",
    "SPARSE_COLUMNS",
    "SPARSE_LOGITS",
    "SPARSE_SUMS",
    "STAGED_CLASSES",
    "STAGED_DENSE",
    "STAGED_STEPS",
    "STREAMED_ELEMENTS",
    "STREAMED_ELEMENTS_WIDE",
    "STREAMED_ROWS",
    "UPLOADED",
    "WIDE_PIECE",
    "BlockSize",
]


class BlockSize(NamedTuple):
    """Size of a block of rows, in bytes: on the host, where each thread has a block of its own, and on a device."""

    host: int
    device: int


GRADIENT = BlockSize(2**20, 2**28)
"""For gradients, moments and logits of the reference engine, which converts a block and reads it twice."""

MANY_MODELS = BlockSize(2**22, 2**28)
"""For gradients of many models: each block takes dozens of calls, whose time showed in blocks of a quarter."""

SCORES = BlockSize(2**20, 2**20)
"""For scores of rows: the deviations from the mean, an array as large as the block, are computed beside it."""

HESSIAN = BlockSize(2**21, 2**62)
"""For the Hessian of a sample in standardised columns: each block adds a product of p x p to the sum, so
that it has more rows than other blocks; on a device the sample is one block."""

INFORMATION = BlockSize(2**22, 2**28)
"""For the information of all rows, in bytes of float64: each block adds products of P x P, as those of `HESSIAN` do.
Its products read few rows at a time, so that the cache need not hold the block, and larger ones have fewer calls."""

READ_ONCE = BlockSize(2**23, 2**28)
"""As `INFORMATION`, where compiled code reads every row once, and the block is not copied."""

SCALED = BlockSize(2**18, 2**28)
"""For the copies of its rows, multiplied by a factor each, of which these products are: they stay in the cache, and are
enough for the rate of BLAS."""

CURVATURE = BlockSize(2**24, 2**28)
"""For the Hessian of a sample that is not kept: a block of its rows is copied, standardised, summed and dropped."""

FOLD_HESSIANS = BlockSize(2**21, 2**28)
"""As `HESSIAN`, of all rows: a block is copied into standardised columns, and a device need not hold all copies."""

ROW_SPACE = BlockSize(2**24, 2**28)
"""For products of few rows with many columns: the sum of a block is as large as a row of it for each logit."""

GRAM = BlockSize(2**25, 2**28)
"""For the Gram matrix, in bytes of float64: each block is multiplied by every other, and copied for that."""

GATHERED = BlockSize(2**19, 2**26)
"""For the copy of a sample into standardised columns: the cache holds the rows and their copies."""

NETWORK = BlockSize(2**22, 2**28)
"""For the full-batch loss of a network, by the widest layer: the activations of all layers are held for a block."""

EXACT_VALUE = BlockSize(2**22, 2**22)
"""For the exact value, in bytes of float64: a block may be widened to long double."""

CONVERTED = BlockSize(2**20, 2**26)
"""For conversions, checks whether a narrower dtype holds every value, and searches for large values."""

SEARCHED = BlockSize(2**24, 2**24)
"""For the search for NaN and infinity in dense rows: it allocates a boolean for each element of a block."""

SEARCHED_ELEMENTS = 2**22
"""The same of sparse rows, in stored elements."""

UPLOADED = 2**25
"""Bytes of a chunk of page-locked memory for a copy to a GPU: enough for the full rate of PCIe, quick to allocate."""

SPARSE_SUMS = 2**19
"""Stored elements of a block of sparse rows for sums by SciPy's products, which convert the block."""

SPARSE_LOGITS = 2**17
"""Stored elements of a block of sparse rows for logits and scores: enough blocks for all threads."""

SPARSE_COLUMNS = 2**20
"""Stored elements of a block of sparse rows for copies of some of their columns."""

STAGED_DENSE = 2 * 2**20
"""Bytes of the rows that the compiled pass of two classes converts at a time, where it cannot read them in place."""

STAGED_CLASSES = 2**19
"""Bytes of the rows that the compiled pass of K classes converts at a time, where it cannot read them in place."""

STAGED_STEPS = 2**22
"""Bytes of the rows that are copied at a time for compiled steps, where these cannot read them in place."""

STREAMED_ELEMENTS, STREAMED_ROWS, STREAMED_ELEMENTS_WIDE = 2**22, 2**12, 2**24
"""Elements of a block of rows that are read from a file, or stored elements of sparse ones: 16 or 32 MiB, beside which
what a pass does once for a block takes no time. A block of wide rows has more, up to the third figure, so that it has
as many rows as the second for the threads to share."""

SAMPLED_ELEMENTS = 2**25
"""Elements of a sample of streamed rows: 128 or 256 MiB, which exist twice while the sample is standardised."""

PARTIALS_CLASSES = 2**26
"""Most bytes of the sums of all chunks of the compiled pass of K classes, which are held until they are added."""

PARTIALS_SPARSE = 2**28
"""Most bytes of the sums of all chunks of sparse rows; at a time those exist that are computed or wait to be added."""

PAIR_WEIGHTS = 2**22
"""Bytes of the weights of all pairs of classes, which are stored for a block of rows at a time."""

KEPT_PROBABILITIES = 2**26
"""Bytes of the probabilities of all rows that are kept for products with the Hessian whatever the size of the rows."""

MULTIPLIERS = 2**26
"""Bytes of what the elements of sparse rows of K classes are multiplied by in products with the Hessian, of a block."""

WIDE_PIECE = 2**13
"""Numbers of a piece of vectors of very many numbers: pieces of some tens of vectors fit the cache of a core."""
