"""The member of the kernel family ``softmax_loss_and_gradient`` that suits rows of a given width and number of classes.

A block of threads holds the gradient of all classes, ``K d`` numbers, in registers, and two tiles of rows in shared
memory. Among the members that fit both, the one is taken that `gpu_logreg.passes.cuda.tuning.softmax_model` finds
fastest.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from gpu_logreg.passes.cuda.tuning.family_model import CONVERSION, STORAGES
from gpu_logreg.passes.cuda.tuning.softmax_layout import Shape, SoftmaxFamily, rounded_up, shared_bytes
from gpu_logreg.passes.cuda.tuning.softmax_model import clocks_of, of_gradient, of_logits, row_clocks

__all__ = ["MOST_SHARED_BYTES", "admissible", "choose_softmax_family"]

WARP = 32
BLOCKS = (128, 256, 512)
"""Threads that a block may have."""

MOST_SHARED_BYTES = 99 * 1024 - 256
"""Most bytes of dynamic shared memory of a block.

What compute capability 8.6, 8.9 and 12.0 allow, the least of all but 7.5, without the static array of the kernel.
"""

SHARED_OF_MULTIPROCESSOR = 227 * 1024
"""Bytes of shared memory that the blocks of a multiprocessor share on compute capability 9.0."""

REGISTERS, MOST_REGISTERS = 65_536, 255
"""Registers of a multiprocessor, and the most that a thread can have, on every architecture."""

MAX_THREADS = 1024
"""Most threads of a multiprocessor that a member asks for; it can hold 1,024 to 2,048, by its architecture."""

ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Rows that a tile may have."""

LANES = (1, 2, 4, 8, 16, 32)
"""Threads that may share the logits of a row."""

TILE_ROWS = (1, 2, 4, 8)
"""Rows whose logits a thread may sum at once."""

MAX_TILE_CLASSES = 16
"""Most classes whose logits, and whose gradient, a thread sums at once."""

MAX_TILE_WORDS = 48
"""Most registers of a thread for the logits that it sums at once."""

OTHER_WORDS = {"float32": 60, "float64": 76}
"""Registers of a thread besides those for numbers of rows, weights, logits and the gradient.

This and the next three are estimates, to which ``tests/kernels/test_kernels_compile.py`` holds the compiler.
"""

CONVERTED_WORDS = {"float32": 0, "float64": 0, "float16": 8, "bfloat16": 8, "uint8": 12}
"""Registers of a thread for columns that are being converted from a narrower type."""

MAX_HELD_WORDS = 112
"""Most registers of a thread for its part of the gradient."""

ADDRESS_WORDS = 8
"""Registers of a thread that addresses take in addition where the weights are read through the cache."""


@functools.lru_cache(maxsize=256)
def choose_softmax_family(
    d: int, n_classes: int, storage: str, real: str, alignment: int = 16, most_shared: int = MOST_SHARED_BYTES
) -> SoftmaxFamily | str:
    """The family for rows of ``d`` columns and ``n_classes`` classes.

    Parameters
    ----------
    d, n_classes : int
    storage : str
        Name of the dtype of ``X``.
    real : {"float32", "float64"}
        Name of the dtype of the arithmetic.
    alignment : int
        A power of two that divides the address of ``X`` and the bytes between two rows.
    most_shared : int
        Bytes of dynamic shared memory that a block may have.

    Returns
    -------
    SoftmaxFamily, or str
        Why there is none.
    """
    families = dict(admissible(d, n_classes, storage, real, alignment, most_shared))
    if families:
        return min(families, key=lambda family: families[family])
    if n_classes > BLOCKS[-1]:
        return f"it takes at most {BLOCKS[-1]} classes, and there are {n_classes:,}"

    def fits(width: int) -> bool:
        return next(admissible(width, n_classes, storage, real, STORAGES[storage], most_shared), None) is not None

    widest, too_wide = 0, d
    while too_wide - widest > 1:
        middle = (widest + too_wide) // 2
        widest, too_wide = (middle, too_wide) if fits(middle) else (widest, middle)
    return (
        f"the gradient of {n_classes:,} classes by {d:,} columns does not fit the registers and the shared memory of a "
        f"block, which hold {widest:,} columns in {real}"
    )


def admissible(
    d: int, n_classes: int, storage: str, real: str, alignment: int = 16, most_shared: int = MOST_SHARED_BYTES
) -> Iterator[tuple[SoftmaxFamily, float]]:
    """Members that can take the rows, and their clocks by the model; parameters as for `choose_softmax_family`.

    Of the ways to sum the logits of a tile, and of those to hold the gradient, only the fastest are tried.
    """
    size, real_size = STORAGES[storage], 8 if real == "float64" else 4
    widened = int(real == "float64" and storage != "float64")
    shape = Shape(d, n_classes, size, real_size, CONVERSION[storage] + widened)
    copy = next(copy for copy in (16, 8, 4, 2, 1) if alignment % copy == 0 and d * size % copy == 0)
    other = OTHER_WORDS[real] + CONVERTED_WORDS[storage] + (8 if size > real_size else 0)
    for block, tile_classes, held in _ways_to_hold(shape):
        words = other + _words_of_gradient(shape, tile_classes, held)
        for rows in ROWS:
            way = _way_to_sum(shape, block, tile_classes, rows, MOST_REGISTERS - words)
            if way is None:
                continue
            lanes, tile_rows = way
            softmax_lanes = _power_of_two(min(WARP, n_classes, block // rows))
            pitch = _pitch(shape.vectors * shape.vec, max(copy, shape.vec), lanes, shape.vec)
            tiles = copy, shape.vec, pitch, rows, block, lanes, tile_rows, tile_classes, softmax_lanes, held
            registers = words + _words_of_logits(shape, tile_classes, tile_rows)
            for w_shared in (1, 0):
                shared = shared_bytes(SoftmaxFamily(*tiles, w_shared, 0, 1), d, n_classes, size, real_size)
                resident = _resident(block, registers + ADDRESS_WORDS * (1 - w_shared), shared)
                if shared <= most_shared and resident > 0:
                    family = SoftmaxFamily(*tiles, w_shared, shared, resident)
                    yield family, row_clocks(family, shape)


def _ways_to_hold(shape: Shape) -> Iterator[tuple[int, int, int]]:
    """Ways to hold the gradient: threads of a block, classes of a thread, vectors of columns of a thread.

    For each of the first two, the two fastest numbers of vectors by the model and the smallest that is possible.
    """
    tiles = sorted({-(-shape.n_classes // groups) for groups in range(1, shape.n_classes + 1)})
    for block in (block for block in BLOCKS if block >= shape.n_classes):
        for tile_classes in (tile for tile in tiles if min(4, shape.n_classes) <= tile <= MAX_TILE_CLASSES):
            groups, ways = -(-shape.n_classes // tile_classes), []
            for held in range(1, MAX_HELD_WORDS // (shape.columns * tile_classes * shape.real_words) + 1):
                column_groups = -(-shape.vectors // held)
                if column_groups * groups <= block and held == -(-shape.vectors // column_groups):
                    slices = block // (column_groups * groups)
                    ways.append((clocks_of(*of_gradient(shape, tile_classes, held)) / slices, held))
            fastest = [held for _, held in sorted(ways)[:2]]
            for held in sorted({*fastest, *[held for _, held in ways[:1]]}):
                yield block, tile_classes, held


def _way_to_sum(shape: Shape, block: int, tile_classes: int, rows: int, words: int) -> tuple[int, int] | None:
    """Lanes and rows of the fastest way to sum the logits of a tile in so many registers."""
    best = None
    for tile_rows in (number for number in TILE_ROWS if number <= rows):
        if (
            _words_of_logits(shape, tile_classes, tile_rows) > words
            or shape.real_words * tile_rows * tile_classes > MAX_TILE_WORDS
        ):
            continue
        for lanes in LANES:
            if lanes > 1 and lanes >= 2 * shape.vectors:
                continue
            clocks = of_logits(shape, block, tile_classes, rows, lanes, tile_rows)
            if best is None or clocks < best[0]:
                best = clocks, (lanes, tile_rows)
    return None if best is None else best[1]


def _words_of_gradient(shape: Shape, tile_classes: int, held: int) -> int:
    """Registers for the gradient of a thread, and for what is multiplied into it."""
    numbers = held * shape.columns
    return shape.real_words * (tile_classes * numbers + shape.z_group(tile_classes) + min(numbers, 24))


def _words_of_logits(shape: Shape, tile_classes: int, tile_rows: int) -> int:
    """Registers for the logits that a thread sums and their columns, and a quarter more while lanes exchange them."""
    count = tile_rows * tile_classes
    return shape.real_words * (count + tile_rows * shape.columns + count // 4)


def _pitch(least: int, step: int, lanes: int, vec: int) -> int:
    """Bytes from row to row in shared memory, so that a bank has to answer as few lanes of a warp as possible."""
    least = rounded_up(least, step)
    return least + _beyond(least % 128, step, lanes, vec)


@functools.cache
def _beyond(least: int, step: int, lanes: int, vec: int) -> int:
    def met(beyond: int) -> int:
        pitch = least + beyond
        banks = [(row * pitch + lane * vec) // 4 % 32 for row in range(WARP // lanes) for lane in range(lanes)]
        return max(banks.count(bank) for bank in set(banks))

    return min(range(0, 129, step), key=lambda beyond: (met(beyond), beyond))


def _resident(block: int, registers: int, shared: int) -> int:
    """Blocks that a multiprocessor can hold; each takes 1,280 bytes more, CUDA's own 1,024 and its static array."""
    if registers > MOST_REGISTERS:
        return 0
    by_registers = REGISTERS // (block * rounded_up(registers, 8))
    return min(MAX_THREADS // block, by_registers, SHARED_OF_MULTIPROCESSOR // (shared + 1280))


def _power_of_two(number: int) -> int:
    return 1 << (number.bit_length() - 1)
