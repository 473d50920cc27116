"""The member of the kernel family ``loss_and_gradient`` that suits rows of a given width and storage.

The columns of a row are spread over ``lanes`` threads, each of which keeps its columns of ``w`` and of the gradient in
registers; ``rows`` rows are under way at once. What bounds the choice is registers: of the 65,536 of a multiprocessor
every one of its threads gets its share, and loads that are in flight need one for every four bytes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["STORAGES", "Family", "choose_family"]

STORAGES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "uint8": 1}
"""Bytes of a column in every storage type the kernels read."""

WARP = 32
BLOCKS = (256, 512)
"""Threads of a block; where a row takes more than a warp, also the lanes that share it."""

HELD_WORDS = {1: 16, 32: 28}
"""Most registers of ``w`` in a thread, from so many lanes on: with few lanes less, so that more rows are under way."""

FLIGHT_WORDS = 64
"""Most registers that hold rows."""

TOTAL_WORDS = {"float32": 96, "float64": 72}
"""Most registers for rows, ``w`` and the gradient together, for more than one row under way."""

OTHER_WORDS = {"float32": 32, "float64": 56}
"""Registers of a thread besides those for rows, ``w`` and the gradient."""

REGISTERS = 65_536
"""Registers of a multiprocessor."""

MAX_RESIDENT = 4

MAX_ROWS = 8
MAX_COLUMN_WORDS = 16
"""Most registers that the columns of one load take once they are converted."""


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
    size, real_words = STORAGES[storage], 2 if real == "float64" else 1
    vec = min(alignment, math.gcd(d * size, 16), MAX_COLUMN_WORDS * size // real_words)
    columns = vec // size
    vectors = -(-d // columns)
    for lanes in (1, 2, 4, 8, 16, 32, *BLOCKS):
        chunks = -(-vectors // lanes)
        held = chunks * columns * real_words  # registers of w, and as many of the gradient
        coalesced = lanes * vec >= min(WARP * 4, vectors * vec)  # a load of a warp fills the lines it touches
        if held <= HELD_WORDS[32 if lanes >= WARP else 1] and coalesced:
            break
    else:
        if columns > 1:  # loads of fewer columns waste fewer registers
            return choose_family(d, storage, real, vec // 2)
        widest = BLOCKS[-1] * HELD_WORDS[32] // real_words
        return f"a row of {d:,} columns does not fit the registers of a block, which hold {widest:,} in {real}"
    row_words = chunks * max(vec // 4, 1)
    if size < 4 * real_words:
        row_words = chunks * columns * real_words  # the compiler may keep columns as it converted them
    rows = 1
    while (
        2 * rows <= min(lanes, MAX_ROWS)
        and 2 * rows * row_words <= FLIGHT_WORDS
        and 2 * rows * row_words + 2 * held <= TOTAL_WORDS[real]
    ):
        rows *= 2
    block = max(BLOCKS[0], lanes)
    registers = OTHER_WORDS[real] + rows * row_words + 2 * held
    resident = max(1, min(MAX_RESIDENT, REGISTERS // (block * registers)))
    return Family(vec, lanes, chunks, rows, block, resident)
