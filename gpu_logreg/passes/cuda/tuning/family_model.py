"""Members of the kernel family ``loss_and_gradient``, and a model of what a row costs a multiprocessor with each.

A row takes the time of the sectors of memory that its loads touch, of its instructions, of its accesses to shared
memory, or of the latency of memory shared among the rows under way. The counts of instructions follow what the compiler
makes of a member (``bench/kernel_counts.py``); rates are those of an H200, from its data sheet. Not measured on a GPU.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

__all__ = [
    "BYTES_PER_CLOCK",
    "CONVERSION",
    "LATENCY",
    "STORAGES",
    "WARP",
    "Family",
    "clocks_of",
    "instructions_of_batch",
    "sector_share",
    "static_shared_bytes",
]

STORAGES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "uint8": 1}
"""Bytes of a column in every storage type the kernels read."""

WARP = 32
"""Threads of a warp, on every GPU of NVIDIA's."""

READ_BYTES_PER_SECOND = 4.3e12
"""Bytes that a kernel which only reads gets from memory in a second: 4.3 of the data sheet's 4.8 TB/s.

Assumed, as copies reached that share; ``make gpu-check`` measures it.
"""

MULTIPROCESSORS, CLOCK_HZ = 132, 1.7e9
"""Multiprocessors of an H200, from its data sheet, and their clock under load, which is assumed."""

BYTES_PER_CLOCK = READ_BYTES_PER_SECOND / (MULTIPROCESSORS * CLOCK_HZ)
"""Bytes that a multiprocessor gets from memory in one clock while all multiprocessors read: 19.2."""

SLOTS_PER_CLOCK = 4.0
"""Instructions of warps that a multiprocessor can issue in one clock, one by each of its partitions.

How many of them stalls leave unused is in `_by_instructions`.
"""

LATENCY = 1500.0
"""Clocks from a load to its use while all multiprocessors read. Assumed."""

STALL = 2.0
"""Clocks between two instructions of one warp, while other warps have theirs. Assumed."""

SECTOR = 32
"""Bytes of a sector, the least that is read from memory."""

CONVERSION = {"float32": 0, "float64": 0, "float16": 1, "bfloat16": 1, "uint8": 2}
"""Instructions of a thread to convert one column to float32, by storage type; see `column` in ``rows.cuh``."""

LOSS = {"float32": 0, "float64": 95}
"""Instructions of a warp for the losses of its lanes' rows, beyond those in float32, which `Cost.batch` contains."""


class Cost(NamedTuple):
    """Instructions of a warp besides those of its columns and of `LOSS`, fitted to those of ``bench/kernel_counts.py``.

    Attributes
    ----------
    batch : float
        For every batch.
    row : float
        For every row of a batch that a lane shares.
    load : float
        For every vector of such a row.
    """

    batch: float
    row: float
    load: float


TO_REGISTERS, TO_STRIPES = Cost(batch=88, row=13, load=1.6), Cost(batch=105, row=10, load=1.2)
"""For rows that go from memory to registers, and for those that go by way of shared memory."""

COPY = 3.3
"""Instructions of a warp for each copy of 16 bytes a lane to shared memory, fitted in the same way."""


class Family(NamedTuple):
    """Macros of one specialisation; see ``kernels/loss_and_gradient.cu``.

    Attributes
    ----------
    vec : int
        Bytes of one load.
    lanes, chunks : int
        Threads that share a row, and vectors that each holds of it.
    rows : int
        Rows worked on at once, for every group of lanes.
    block : int
        Threads of a block.
    resident : int
        Blocks that a multiprocessor is to hold, which bounds the registers of a thread.
    once : int
        1: columns are converted once and kept so; 0: twice.
    ahead : int
        1: the rows of the next batch are loaded before this one is worked on; 0: after it.
    stages : int
        Batches that a warp has under way to shared memory, as stripes; 0: rows go from memory to registers.
    """

    vec: int
    lanes: int
    chunks: int
    rows: int
    block: int
    resident: int
    once: int = 0
    ahead: int = 0
    stages: int = 0

    @property
    def batch(self) -> int:
        """Rows that a block works on at once."""
        return self.rows * max(1, self.block // self.lanes)


def static_shared_bytes(family: Family, storage: str, real: str) -> int:
    """Bytes of the static arrays of a block: stripes under way, and sums; as in ``kernels/loss_and_gradient.cu``."""
    warps, lanes = family.block // WARP, family.lanes
    sums = 2 * warps * 8
    if lanes > WARP:
        return sums + 2 * warps * family.rows * (8 if real == "float64" else 4)
    held = family.chunks * (family.vec // STORAGES[storage])
    stripe = -(-family.rows * (WARP // lanes) * lanes * family.chunks * family.vec // 16) * 16
    return sums + lanes * held * 8 + warps * (family.stages * stripe + (16 if family.stages else 0))


def clocks_of(family: Family, d: int, storage: str, real: str) -> tuple[float, float]:
    """Clocks of a multiprocessor for one row by the model, and those of its instructions alone."""
    bytes_ = d * STORAGES[storage]
    memory = bytes_ * sector_share(family, bytes_) / BYTES_PER_CLOCK
    instructions = instructions_of_batch(family, d, storage, real)
    by_instructions = _by_instructions(family, instructions)
    under_way = family.resident * family.batch  # rows of a multiprocessor in one turn of all its warps
    own = STALL * instructions
    turn = max(own, LATENCY / max(family.stages, 1)) if family.stages or family.ahead else own + LATENCY
    shared = (bytes_ / 128 + _lds_clocks(family, bytes_)) if family.stages else 0.0
    slowest = max(memory, by_instructions, turn / under_way, shared)
    return slowest + 0.05 * (memory + by_instructions + turn / under_way + shared), by_instructions


def instructions_of_batch(family: Family, d: int, storage: str, real: str) -> float:
    """Instructions of one warp for one of its batches."""
    twice = 2 if real == "float64" else 1
    held = family.chunks * (family.vec // STORAGES[storage])
    conversions = CONVERSION[storage] + (real == "float64" and storage != "float64")
    columns = held * (2 * twice + conversions * (1 if family.once else 2))
    if (conversions and not family.once) or (family.ahead and not family.once):
        columns += family.chunks * max(family.vec // 4, 1)  # `keep_stored` of ``rows.cuh``, or moves of rows ahead
    cost = TO_STRIPES if family.stages else TO_REGISTERS
    per_row = columns + cost.row + cost.load * family.chunks
    copies = -(-family.rows * family.chunks * family.vec // 16) if family.stages else 0
    return LOSS[real] + cost.batch + COPY * copies + family.rows * per_row


def _by_instructions(family: Family, instructions: float) -> float:
    """Clocks of a row where issuing instructions sets the pace."""
    warps, groups = max(1, family.lanes // WARP), max(1, WARP // family.lanes)
    resident_warps = family.resident * family.block // WARP
    of_row = warps * instructions / (family.rows * groups)
    return of_row / (SLOTS_PER_CLOCK * resident_warps / (resident_warps + 4))


def sector_share(family: Family, row_bytes: int) -> float:
    """Sectors that loads of contiguous rows touch, each counted for every load that touches it, over the least."""
    if family.stages:
        stripe = family.rows * (WARP // family.lanes) * row_bytes
        pieces = [min(WARP * 16, stripe - at) for at in range(0, stripe, WARP * 16)]
        return sum(_sectors(piece, math.gcd(stripe, SECTOR)) for piece in pieces) * SECTOR / stripe
    if family.chunks == 1 and family.lanes <= WARP:  # the rows of a load follow one another
        loaded = WARP // family.lanes * row_bytes
        return _sectors(loaded, math.gcd(loaded, SECTOR)) * SECTOR / loaded
    of_warp = min(family.lanes, WARP) * family.vec
    pieces = [min(of_warp, row_bytes - at) for at in range(0, row_bytes, of_warp)]
    return sum(_sectors(piece, math.gcd(row_bytes, of_warp, SECTOR)) for piece in pieces) * SECTOR / row_bytes


@functools.cache
def _sectors(length: int, step: int) -> float:
    """Sectors that so many bytes touch, on the average over their starts: the multiples of ``step``."""
    starts = range(0, SECTOR, step)
    return sum((start + length - 1) // SECTOR + 1 for start in starts) / len(starts)


def _lds_clocks(family: Family, row_bytes: int) -> float:
    """Clocks of shared memory in which the lanes of a warp read one row, conflicts of banks included."""
    return family.chunks * _wavefronts(row_bytes, family.lanes, family.vec) / (WARP // family.lanes)


@functools.lru_cache(maxsize=4096)
def _wavefronts(row_bytes: int, lanes: int, vec: int) -> int:
    """Clocks of one load of a warp from rows that lie side by side: 128 bytes a clock, a word a bank."""
    together = min(WARP, 128 // vec) if vec >= 4 else WARP
    clocks = 0
    for first in range(0, WARP, together):
        words = set()
        for lane in range(first, first + together):
            at = lane // lanes * row_bytes + lane % lanes * vec
            words |= {(at + byte) // 4 for byte in range(0, vec, 4)}
        banks = [word % 32 for word in words]
        clocks += max(banks.count(bank) for bank in set(banks))
    return clocks
