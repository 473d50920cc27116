"""The member of the kernel family ``loss_and_gradient`` that suits rows of a given width and storage.

The columns of a row are spread over ``lanes`` threads, each of which keeps its columns of ``w`` and of the gradient in
registers; ``rows`` rows are under way at once. Among the members whose registers suffice, the one is taken that a model
of a multiprocessor finds fastest: a row takes the time of its bytes, of its instructions, or of the latency of memory
shared among the bytes in flight, whichever is longest. The constants of the model are those of an H200's data sheet
and of counts of instructions; not measured on a GPU. ``bench/ladder/families.py`` times all members on a device.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["STORAGES", "Family", "admissible", "choose_family"]

STORAGES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "uint8": 1}
"""Bytes of a column in every storage type the kernels read."""

WARP = 32
BLOCK = 256
"""Threads of a block where a row takes at most a warp; else the lanes of a row are the block."""

LANES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
VECS = (16, 8, 4, 2, 1)
MAX_ROWS = 8

HELD_WORDS = 28
"""Most registers of ``w`` in a thread, and as many of the gradient."""

FLIGHT_WORDS = 64
"""Most registers that hold rows."""

TOTAL_WORDS = {"float32": 96, "float64": 72}
"""Most registers for rows, ``w`` and the gradient together, for more than one row under way."""

OTHER_WORDS = {"float32": 32, "float64": 60}
"""Registers of a thread besides those."""

CONVERTED_WORDS = {"float16": 14, "bfloat16": 14, "uint8": 18}
"""Registers that columns take on their way from a narrower type."""

LANE_REGISTERS = 512
"""Registers of a lane in one of the four partitions of a multiprocessor; its warps share them."""

MAX_THREADS = 1024
"""Threads of a multiprocessor that a member asks for at most."""

MAX_COLUMN_WORDS = 16
"""Most registers that the columns of one load take once they are converted."""

# The model: one multiprocessor of an H200.
BYTES_PER_CLOCK = 19.0
SLOTS_PER_CLOCK = 4.0  # less what stalls leave unused, the more the fewer the warps: see `_clocks`
LATENCY = 1500.0
CONVERSION = {"float32": 0, "float64": 0, "float16": 1, "bfloat16": 1, "uint8": 2}  # instructions for one column
LOSS = {"float32": 60, "float64": 150}


class Family(NamedTuple):
    """Macros of one specialisation; see ``kernels/loss_and_gradient.cu``.

    Attributes
    ----------
    vec : int
        Bytes of one load.
    lanes, chunks : int
        Threads that share a row, and vectors that each holds of it.
    rows : int
        Rows under way at once, for every group of lanes.
    block : int
        Threads of a block.
    resident : int
        Blocks that a multiprocessor is to hold, which bounds the registers of a thread.
    """

    vec: int
    lanes: int
    chunks: int
    rows: int
    block: int
    resident: int

    @property
    def batch(self) -> int:
        """Rows that a block has under way at once."""
        return self.rows * max(1, self.block // self.lanes)


@functools.lru_cache(maxsize=256)
def choose_family(d: int, storage: str, real: str, alignment: int = 16) -> Family | str:
    """The family for rows of ``d`` columns.

    Parameters
    ----------
    d : int
    storage : str
        Name of the dtype of ``X``.
    real : {"float32", "float64"}
        Name of the dtype of the arithmetic.
    alignment : int
        A power of two that divides the address of ``X`` and the bytes between two rows.

    Returns
    -------
    Family, or str
        Why there is none: the row is wider than the registers of a block.
    """
    families = list(admissible(d, storage, real, alignment))
    if families:
        return min(families, key=lambda family: _clocks(family, d, storage, real))
    alone = STORAGES[storage]  # what holds for loads of one column holds for rows of every width
    steps = range(LANES[-1], LANES[-1] * (HELD_WORDS + 1), LANES[-1])
    widest = max(width for width in steps if any(True for _ in admissible(width, storage, real, alone)))
    return f"a row of {d:,} columns does not fit the registers of a block, which hold {widest:,} in {real}"


def admissible(d: int, storage: str, real: str, alignment: int = 16) -> Iterator[Family]:
    """Every member that can take the rows, parameters as for `choose_family`."""
    size, real_words = STORAGES[storage], 2 if real == "float64" else 1
    widest = min(alignment, math.gcd(d * size, 16), MAX_COLUMN_WORDS * size // real_words)
    for vec, lanes in itertools.product(VECS, LANES):
        columns = vec // size
        if not size <= vec <= widest or lanes * vec < min(4 * WARP, d * size):  # loads are to fill lines of memory
            continue
        vectors = d // columns
        chunks = -(-vectors // lanes)
        held = chunks * columns * real_words
        if held > HELD_WORDS or (lanes > 1 and 2 * vectors <= lanes):
            continue
        row_words = chunks * max(vec // 4, 1)
        for rows in (1, 2, 4, 8):
            total = rows * row_words + 2 * held
            limit = TOTAL_WORDS[real] - (8 if held > 16 else 0)  # many short loads take addresses besides
            if rows > min(lanes, MAX_ROWS) or (rows > 1 and (rows * row_words > FLIGHT_WORDS or total > limit)):
                continue
            block = BLOCK if lanes <= WARP else lanes
            registers = total + OTHER_WORDS[real] + (CONVERTED_WORDS.get(storage, 0) if size < 4 * real_words else 0)
            resident = _resident(block, registers)
            if resident > 0:
                yield Family(vec, lanes, chunks, rows, block, resident)


def _resident(block: int, registers: int) -> int:
    """Blocks of so many threads that a multiprocessor can hold; its warps are dealt out to four partitions."""
    if registers > 255:
        return 0
    warps = 4 * (LANE_REGISTERS // (8 * -(-registers // 8)))
    return min(MAX_THREADS // block, warps // (block // WARP))


def _clocks(family: Family, d: int, storage: str, real: str) -> tuple[float, float]:
    """Clocks of a multiprocessor for one row by the model, and those of its instructions alone."""
    size = STORAGES[storage]
    warps = max(1, family.lanes // WARP)  # that share a row
    groups = max(1, WARP // family.lanes)
    held = family.chunks * (family.vec // size)
    twice = 2 if real == "float64" else 1
    conversions = CONVERSION[storage] + (real == "float64" and storage != "float64")
    per_row = family.chunks + held * (2 * twice + 2 * conversions) + 8
    tree = math.log2(min(family.lanes, WARP) / family.rows) if family.lanes > family.rows else 0.0
    per_batch = LOSS[real] + 4 * (family.rows - 1) + 2 * tree + (20 + 2 * warps if warps > 1 else 0)
    instructions = warps * (per_batch + family.rows * per_row) / (family.rows * groups)
    in_flight = family.resident * family.batch * d * size
    resident_warps = family.resident * family.block // WARP
    by_instructions = instructions / (SLOTS_PER_CLOCK * resident_warps / (resident_warps + 4))
    clocks = max(d * size / BYTES_PER_CLOCK, by_instructions, d * size * LATENCY / in_flight)
    return clocks, by_instructions
