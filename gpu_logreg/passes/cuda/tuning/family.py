"""The member of the kernel family ``loss_and_gradient`` that suits rows of a given width and storage.

The columns of a row are spread over ``lanes`` threads, each of which keeps its columns of ``w`` and of the gradient in
registers; ``rows`` rows are worked on at once. Rows go from memory to registers, or, where they follow one another, by
way of shared memory as stripes of many rows. Among the members whose registers and shared memory suffice, the one is
taken that a model of a multiprocessor (`gpu_logreg.passes.cuda.tuning.family_model`) finds fastest.

Registers are of 32 bits, of which a float64 takes two. The constants that count them are estimates from what the
compiler made of members; ``tests/kernels/test_kernels_compile.py`` and ``tests/passes/cuda/test_family.py`` hold them
to it.
``bench/kernel_counts.py`` compares the model with what the compiler makes of a member, and
``bench/gpu/families.py`` times members on a device.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator

from gpu_logreg.passes.cuda.tuning.family_model import STORAGES, WARP, Family, static_shared_bytes
from gpu_logreg.passes.cuda.tuning.family_model import clocks_of as _clocks

__all__ = ["STORAGES", "Family", "admissible", "choose_family"]

BLOCK = 256
"""Threads of a block whose rows are shared by at most a warp; where more lanes share a row, they are the block."""

STRIPE_BLOCK = 128
"""Threads of a block whose warps copy stripes: the 48 KB of `STATIC_BYTES` leave 12 KB to each of its four warps."""

LANES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Threads that may share a row."""

VECS = (16, 8, 4, 2, 1)
"""Bytes that one load may have; the hardware loads no other number at once."""

MAX_ROWS = 8
"""Most rows that a group of lanes works on at once, among the members that are considered."""

STAGES = (1, 2, 3, 4)
"""Stripes that a warp may have under way at once."""

HELD_WORDS = 28
"""Most registers of a thread for its part of ``w``, and as many for its part of the gradient."""

FLIGHT_WORDS = 64
"""Most registers of a thread for rows as they are stored, on their way from memory."""

TOTAL_WORDS = {"float32": 96, "float64": 72}
"""Most registers of a thread for rows, ``w`` and the gradient together, by the type of the arithmetic.

They bound members with more than one row at once, whose rows are held as they are stored, none of them ahead.
"""

PIPELINE_WORDS = {"float32": 172, "float64": 150}
"""The same for members that convert columns once, or load rows ahead."""

OTHER_WORDS = {"float32": 32, "float64": 60}
"""Registers of a thread for everything else: addresses, counters, the loss of a row."""

CONVERTED_WORDS = {"float16": 14, "bfloat16": 14, "uint8": 18}
"""Registers of a thread for columns that are being converted, where each is converted twice."""

ONCE_WORDS = 12
"""The same where each is converted once."""

STRIPE_WORDS = {"float32": 12, "float64": 28}
"""Registers of a thread that stripes take in addition.

Not added for a single row at once whose columns are converted once: `ONCE_WORDS` has room for them, as counted with
weights in float64 on sm_120, where they take most.
"""

LANE_REGISTERS = 512
"""Registers that the warps of one of the four partitions of a multiprocessor share, for each of the 32 lanes.

A partition has 16,384 registers, on every architecture that the kernels are compiled for.
"""

MAX_THREADS = 1024
"""Most threads of a multiprocessor that a member asks for; it can hold 1,024 to 2,048, by its architecture."""

MAX_COLUMN_WORDS = 16
"""Most registers for the columns of one load after their conversion."""

STATIC_BYTES, MULTIPROCESSOR_BYTES, BLOCK_BYTES = 48 * 1024, 227 * 1024, 1024
"""Bytes of shared memory, from CUDA's tables for compute capability 9.0.

The most that a block may have in static arrays; what the blocks of a multiprocessor share; what CUDA reserves of it for
each block.
"""


@functools.lru_cache(maxsize=256)
def choose_family(d: int, storage: str, real: str, alignment: int = 16, contiguous: bool = True) -> Family | str:
    """The family for rows of ``d`` columns.

    Parameters
    ----------
    d : int
    storage : str
        Name of the dtype of ``X``.
    real : {"float32", "float64"}
        Name of the dtype of the arithmetic.
    alignment : int
        A power of two that divides the address of ``X`` and, unless rows are contiguous, the bytes between two rows.
    contiguous : bool
        Whether rows follow one another in memory.

    Returns
    -------
    Family, or str
        Why there is none: the row is wider than the registers of a block.
    """
    families = list(admissible(d, storage, real, alignment, contiguous))
    if families:
        return min(families, key=lambda family: _clocks(family, d, storage, real))
    alone = STORAGES[storage]  # what holds for loads of one column holds for rows of every width
    steps = range(LANES[-1], LANES[-1] * (HELD_WORDS + 1), LANES[-1])
    widest = max(width for width in steps if any(True for _ in admissible(width, storage, real, alone)))
    return f"a row of {d:,} columns does not fit the registers of a block, which hold {widest:,} in {real}"


def admissible(d: int, storage: str, real: str, alignment: int = 16, contiguous: bool = True) -> Iterator[Family]:
    """Every member that can take the rows, parameters as for `choose_family`."""
    size, real_words = STORAGES[storage], 2 if real == "float64" else 1
    widest = min(math.gcd(d * size, 16), MAX_COLUMN_WORDS * size // real_words)
    for vec, lanes in itertools.product(VECS, LANES):
        vectors = d * size // vec
        chunks = -(-vectors // lanes)
        held = chunks * (vec // size) * real_words
        if not size <= vec <= widest or held > HELD_WORDS or (lanes > 1 and 2 * vectors <= lanes):
            continue
        # The lanes of a row are to load whole lines of memory of 128 bytes, or the whole row; the copies of a stripe do
        # so whatever the lanes.
        if vec <= alignment and lanes * vec >= min(4 * WARP, d * size):
            yield from _in_registers(Family(vec, lanes, chunks, 1, BLOCK if lanes <= WARP else lanes, 1), storage, real)
        if contiguous and alignment >= 16 and lanes <= WARP:
            yield from _in_stripes(Family(vec, lanes, chunks, 1, STRIPE_BLOCK, 1), d, storage, real)


def _in_registers(family: Family, storage: str, real: str) -> Iterator[Family]:
    """Members whose rows go from memory to registers."""
    for member in _rows_at_once(family, storage, real):
        for ahead in (0, 1):
            resident = _resident(member.block, _registers(member, storage, real, ahead))
            if resident > 0:
                yield member._replace(resident=resident, ahead=ahead)


def _in_stripes(family: Family, d: int, storage: str, real: str) -> Iterator[Family]:
    """Members whose rows are copied to shared memory."""
    for member, stages in itertools.product(_rows_at_once(family, storage, real), STAGES):
        if member.rows * (WARP // member.lanes) * d * STORAGES[storage] % 16 != 0:
            continue
        taken = static_shared_bytes(member._replace(stages=stages), storage, real)
        more = STRIPE_WORDS[real] if member.rows > 1 or not member.once else 0
        by_registers = _resident(member.block, _registers(member, storage, real, 0) + more)
        resident = min(by_registers, MULTIPROCESSOR_BYTES // (taken + BLOCK_BYTES))
        if taken <= STATIC_BYTES and resident > 0:
            yield member._replace(resident=resident, stages=stages)


def _rows_at_once(family: Family, storage: str, real: str) -> Iterator[Family]:
    """Members for every number of rows that the lanes can own, with columns converted once and twice."""
    narrower = STORAGES[storage] < (8 if real == "float64" else 4)
    for rows, once in itertools.product((1, 2, 4, 8), (0, 1) if narrower else (0,)):
        if rows <= min(family.lanes, MAX_ROWS):
            yield family._replace(rows=rows, once=once)


def _registers(family: Family, storage: str, real: str, ahead: int) -> int:
    """An estimate of the registers of a thread; 256, more than there are, where rows take more than the limits."""
    real_words = 2 if real == "float64" else 1
    held = family.chunks * (family.vec // STORAGES[storage]) * real_words
    stored = family.rows * family.chunks * max(family.vec // 4, 1)
    worked_on = family.rows * held if family.once else stored
    total = worked_on + ahead * stored + 2 * held
    plain = not (family.once or ahead)
    addresses = 8 if held > 16 else 0  # of many short loads
    limit = (TOTAL_WORDS if plain else PIPELINE_WORDS)[real] - addresses
    if (family.rows > 1 or not plain) and (stored > FLIGHT_WORDS or total > limit):
        return 256
    converted = CONVERTED_WORDS.get(storage, 0) if STORAGES[storage] < 4 * real_words else 0
    return total + OTHER_WORDS[real] + (ONCE_WORDS if family.once else converted)


def _resident(block: int, registers: int) -> int:
    """Blocks that a multiprocessor can hold; it deals their warps out to four partitions, and registers by eights."""
    if registers > 255:
        return 0
    warps = 4 * (LANE_REGISTERS // (8 * -(-registers // 8)))
    return min(MAX_THREADS // block, warps // (block // WARP))
