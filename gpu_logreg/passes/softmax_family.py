"""The member of the kernel family ``softmax_loss_and_gradient`` that suits rows of a given width and number of classes.

A block of threads holds the gradient of all classes, ``K d`` numbers, in registers, and two tiles of rows in shared
memory. Among the members that fit both, the one is taken that a model of a multiprocessor finds fastest: a row takes
the time of its bytes, or of the instructions and the accesses to shared memory of its logits, its softmax and its share
of the gradient. The constants of the model are those of data sheets and counts of instructions; not measured on a GPU.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

from gpu_logreg.passes.family import BYTES_PER_CLOCK, CONVERSION, STORAGES

__all__ = ["MOST_SHARED_BYTES", "SoftmaxFamily", "admissible", "choose_softmax_family", "padded_shape", "shared_bytes"]

WARP = 32
BLOCKS = (128, 256, 512)
"""Threads of a block."""

MOST_SHARED_BYTES = 99 * 1024 - 256
"""Dynamic shared memory of a block on compute capability 8.6, 8.9 and 12.0, less what the kernel has besides."""

SHARED_OF_MULTIPROCESSOR = 227 * 1024
REGISTERS = 65_536
MAX_THREADS = 1024
"""Threads of a multiprocessor that a member asks for at most."""

ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
LANES = (1, 2, 4, 8, 16, 32)
TILE_ROWS = (1, 2, 4, 8)
MAX_TILE_CLASSES = 16
MAX_TILE_WORDS = 48
"""Most registers for the logits that a thread sums at once."""

OTHER_WORDS = {"float32": 60, "float64": 76}
"""Registers of a thread besides those for numbers of rows, weights, logits and the gradient."""

CONVERTED_WORDS = {"float32": 0, "float64": 0, "float16": 8, "bfloat16": 8, "uint8": 12}
"""Registers that columns take on their way from a narrower type."""

MAX_HELD_WORDS = 112
"""Most registers for the gradient in a thread."""

EXP, TILE_CLOCKS, LANE_STEP = {"float32": 40, "float64": 120}, 900.0, 24


class SoftmaxFamily(NamedTuple):
    """Macros of one specialisation; see ``kernels/softmax_loss_and_gradient.cu``.

    Attributes
    ----------
    copy, vec : int
        Bytes of one copy to shared memory, and of one read from there.
    pitch : int
        Bytes from one row in shared memory to the next.
    rows : int
        Rows of a tile.
    block : int
        Threads of a block.
    lanes, tile_rows, tile_classes : int
        Threads that share the logits of so many rows and classes.
    softmax_lanes : int
        Threads that share the softmax of a row.
    held : int
        Vectors of the columns that a thread sums the gradient of, for ``tile_classes`` classes.
    w_shared : int
        1 where the weights are kept in shared memory.
    shared : int
        Bytes of dynamic shared memory.
    resident : int
        Blocks that a multiprocessor is to hold, which bounds the registers of a thread.
    """

    copy: int
    vec: int
    pitch: int
    rows: int
    block: int
    lanes: int
    tile_rows: int
    tile_classes: int
    softmax_lanes: int
    held: int
    w_shared: int
    shared: int
    resident: int


class _Shape(NamedTuple):
    """The problem: columns, classes, bytes of a stored and of a computed number, instructions to convert one."""

    d: int
    n_classes: int
    size: int
    real_size: int
    conversion: int

    @property
    def vec(self) -> int:
        return max(4, self.size)

    @property
    def columns(self) -> int:
        return self.vec // self.size

    @property
    def vectors(self) -> int:
        return -(-self.d // self.columns)

    @property
    def real_words(self) -> int:
        return self.real_size // 4

    def z_group(self, tile_classes: int) -> int:
        return _rounded_up(tile_classes, 16 // self.real_size)


def padded_shape(family: SoftmaxFamily, d: int, n_classes: int, storage: str) -> tuple[int, int]:
    """Classes and columns of the weights as the kernel takes them, zero beyond those there are."""
    columns = family.vec // STORAGES[storage]
    return _rounded_up(n_classes, family.tile_classes), _rounded_up(d, columns)


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
    shape = _Shape(d, n_classes, size, real_size, CONVERSION[storage] + widened)
    copy = next(copy for copy in (16, 8, 4, 2, 1) if alignment % copy == 0 and d * size % copy == 0)
    other = OTHER_WORDS[real] + CONVERTED_WORDS[storage] + (8 if size > real_size else 0)
    tiles = sorted({-(-n_classes // groups) for groups in range(1, n_classes + 1)})
    tiles = [tile for tile in tiles if min(4, n_classes) <= tile <= MAX_TILE_CLASSES]
    for block in (block for block in BLOCKS if block >= n_classes):
        for tile_classes in tiles:
            for held in _ways_to_hold(shape, block, tile_classes):
                words = shape.real_words * shape.columns * tile_classes * held
                words += shape.real_words * (shape.z_group(tile_classes) + min(held * shape.columns, 24))
                for rows in ROWS:
                    way = _way_to_sum(shape, block, tile_classes, rows, 255 - other - words)
                    if way is None:
                        continue
                    lanes, tile_rows = way
                    softmax_lanes = _power_of_two(min(WARP, n_classes, block // rows))
                    pitch = _pitch(shape.vectors * shape.vec, max(copy, shape.vec), lanes, shape.vec)
                    registers = words + _words_of_logits(shape, tile_classes, tile_rows) + other
                    for w_shared in (1, 0):
                        family = SoftmaxFamily(
                            *(copy, shape.vec, pitch, rows, block, lanes, tile_rows, tile_classes),
                            *(softmax_lanes, held, w_shared, 0, 1),
                        )
                        shared = shared_bytes(family, shape.d, n_classes, shape.size, shape.real_size)
                        resident = _resident(block, registers + 8 * (1 - w_shared), shared)
                        if shared <= most_shared and resident > 0:
                            family = family._replace(shared=shared, resident=resident)
                            yield family, _clocks(family, shape)


def shared_bytes(family: SoftmaxFamily, d: int, n_classes: int, size: int, real_size: int) -> int:
    """Dynamic shared memory of a block, laid out as in the kernel."""
    shape = _Shape(d, n_classes, size, real_size, 0)
    groups = -(-n_classes // family.tile_classes)
    weights = groups * family.tile_classes * shape.vectors * shape.columns * real_size
    z = family.rows * (groups * shape.z_group(family.tile_classes) + 16 // real_size) * real_size
    tiles = 2 * family.rows * family.pitch
    whole = _rounded_up(8 * n_classes, 16) + family.w_shared * _rounded_up(weights, 16) + z + tiles
    parts = min(family.block // n_classes, family.rows)
    sums = 8 * (parts * n_classes + (d * n_classes if _slices(family, shape) > 1 else 0))
    return max(whole, sums)


def _slices(family: SoftmaxFamily, shape: _Shape) -> int:
    column_groups = -(-shape.vectors // family.held)
    return min(family.block // (column_groups * -(-shape.n_classes // family.tile_classes)), family.rows)


def _ways_to_hold(shape: _Shape, block: int, tile_classes: int) -> list[int]:
    """Vectors of the columns in a thread: the two ways that take the fewest clocks, and the least of all."""
    groups = -(-shape.n_classes // tile_classes)
    ways = []
    for held in range(1, MAX_HELD_WORDS // (shape.columns * tile_classes * shape.real_words) + 1):
        column_groups = -(-shape.vectors // held)
        if column_groups * groups <= block and held == -(-shape.vectors // column_groups):
            slices = block // (column_groups * groups)
            clocks = _max_of(*_of_gradient(shape, tile_classes, held)) / slices
            ways.append((clocks, held))
    best = [held for _, held in sorted(ways)[:2]]
    return sorted({*best, min(held for _, held in ways)}) if ways else []


def _way_to_sum(shape: _Shape, block: int, tile_classes: int, rows: int, words: int) -> tuple[int, int] | None:
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
            clocks = _of_logits(shape, block, tile_classes, rows, lanes, tile_rows)
            if best is None or clocks < best[0]:
                best = clocks, (lanes, tile_rows)
    return None if best is None else best[1]


def _words_of_logits(shape: _Shape, tile_classes: int, tile_rows: int) -> int:
    """Registers for logits under way: with their columns, and a quarter of them again while lanes exchange them."""
    count = tile_rows * tile_classes
    return shape.real_words * (count + tile_rows * shape.columns + count // 4)


def _pitch(least: int, step: int, lanes: int, vec: int) -> int:
    """Bytes between rows in shared memory that make the fewest lanes of a warp meet in a bank."""
    least = _rounded_up(least, step)
    return least + _beyond(least % 128, step, lanes, vec)


@functools.cache
def _beyond(least: int, step: int, lanes: int, vec: int) -> int:
    def met(beyond: int) -> int:
        pitch = least + beyond
        banks = [(row * pitch + lane * vec) // 4 % 32 for row in range(WARP // lanes) for lane in range(lanes)]
        return max(banks.count(bank) for bank in set(banks))

    return min(range(0, 129, step), key=lambda beyond: (met(beyond), beyond))


def _resident(block: int, registers: int, shared: int) -> int:
    """Blocks that a multiprocessor can hold."""
    if registers > 255:
        return 0
    by_registers = REGISTERS // (block * _rounded_up(registers, 8))
    return min(MAX_THREADS // block, by_registers, SHARED_OF_MULTIPROCESSOR // (shared + 1280))


def _of_gradient(shape: _Shape, tile_classes: int, held: int) -> tuple[float, float]:
    """Instructions of a thread for one row of a slice, and its accesses to shared memory in clocks of a warp."""
    numbers, per_row = held * shape.columns, shape.z_group(tile_classes) * shape.real_size / 16
    instructions = held + per_row + numbers * (shape.conversion + tile_classes * shape.real_words) + 6
    return instructions, held * shape.vec / 4 + per_row


def _of_logits(shape: _Shape, block: int, tile_classes: int, rows: int, lanes: int, tile_rows: int) -> float:
    """Clocks for the logits of a tile."""
    places = rows // tile_rows * -(-shape.n_classes // tile_classes)
    turns, steps = -(-places * lanes // block), -(-shape.vectors // lanes)
    numbers, count = tile_rows * shape.columns, tile_rows * tile_classes
    w_words = tile_classes * shape.columns * shape.real_words
    instructions = tile_rows + -(-w_words // 4) + numbers * (shape.conversion + tile_classes * shape.real_words) + 4
    shared = tile_rows * shape.vec / 4 + w_words * lanes / WARP
    in_sum = 2.5 * count if lanes > 1 else 0.0
    after = in_sum + 30 + 6 * count / lanes
    clocks = steps * _max_of(instructions, shared) + _max_of(after, in_sum / 2.5)
    alone = turns * (steps * instructions + after) / 2  # a warp issues one instruction at a time; two blocks take turns
    return max(clocks * -(-places * lanes // WARP), alone)


def _max_of(instructions: float, shared: float) -> float:
    """Clocks of a multiprocessor for a warp: four partitions issue, one shared memory answers."""
    return max(instructions / 4, shared)


def _clocks(family: SoftmaxFamily, shape: _Shape) -> float:
    """Clocks of a multiprocessor for one row by the model."""
    rows, warps = family.rows, family.block / WARP
    slices = _slices(family, shape)
    gradient = -(-rows // slices) * _max_of(*_of_gradient(shape, family.tile_classes, family.held)) * warps
    logits = _of_logits(shape, family.block, family.tile_classes, rows, family.lanes, family.tile_rows)
    in_lane = -(-shape.n_classes // family.softmax_lanes) * EXP["float64" if shape.real_size == 8 else "float32"]
    softmax = (in_lane + LANE_STEP * family.softmax_lanes.bit_length()) * rows * family.softmax_lanes / WARP / 4
    copies = rows * shape.d * shape.size / family.copy / WARP * 2
    compute = gradient + (logits if family.w_shared else 2 * logits) + softmax + copies
    resident_warps = family.resident * warps
    compute = compute * (resident_warps + 4) / resident_warps + (TILE_CLOCKS + 2 * in_lane) / family.resident
    memory = shape.d * shape.size / BYTES_PER_CLOCK
    latency = 1500.0 / (family.resident * rows)
    return max(memory, compute / rows, latency) + 0.05 * compute / rows


def _rounded_up(number: int, to: int) -> int:
    return -(-number // to) * to


def _power_of_two(number: int) -> int:
    return 1 << (number.bit_length() - 1)
