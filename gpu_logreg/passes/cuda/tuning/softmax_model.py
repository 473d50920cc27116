"""A model of a multiprocessor for the kernel of many classes: clocks for one row.

A row takes the time of its bytes, or of the instructions and the accesses to shared memory of its logits, its softmax
and its share of the gradient, whichever is longer. Rates are from data sheets, numbers of instructions are estimates;
not measured on a GPU.
"""

from __future__ import annotations

from gpu_logreg.passes.cuda.tuning.family_model import BYTES_PER_CLOCK, LATENCY
from gpu_logreg.passes.cuda.tuning.softmax_layout import Shape, SoftmaxFamily, slices_of

__all__ = ["clocks_of", "of_gradient", "of_logits", "row_clocks"]

WARP = 32
EXP = {"float32": 40, "float64": 120}
"""Instructions of a thread for one class in the softmax of a row, most of them of the exponential and the division."""

LANE_STEP = 24
"""Instructions of a thread for one step of the three trees over the lanes of a row."""

TILE_CLOCKS = 900.0
"""Clocks of a tile in which a block has nothing to issue: it waits at barriers and for the first numbers of a phase."""


def of_gradient(shape: Shape, tile_classes: int, held: int) -> tuple[float, float]:
    """Instructions of a thread for one row of a slice, and its accesses to shared memory in clocks of a warp."""
    numbers, per_row = held * shape.columns, shape.z_group(tile_classes) * shape.real_size / 16
    instructions = held + per_row + numbers * (shape.conversion + tile_classes * shape.real_words) + 6
    return instructions, held * shape.vec / 4 + per_row


def of_logits(shape: Shape, block: int, tile_classes: int, rows: int, lanes: int, tile_rows: int) -> float:
    """Clocks for the logits of a tile."""
    places = rows // tile_rows * -(-shape.n_classes // tile_classes)
    turns, steps = -(-places * lanes // block), -(-shape.vectors // lanes)
    numbers, count = tile_rows * shape.columns, tile_rows * tile_classes
    w_words = tile_classes * shape.columns * shape.real_words
    instructions = tile_rows + -(-w_words // 4) + numbers * (shape.conversion + tile_classes * shape.real_words) + 4
    shared = tile_rows * shape.vec / 4 + w_words * lanes / WARP
    in_sum = 2.5 * count if lanes > 1 else 0.0
    after = in_sum + 30 + 6 * count / lanes
    clocks = steps * clocks_of(instructions, shared) + clocks_of(after, in_sum / 2.5)
    alone = turns * (steps * instructions + after) / 2  # a warp issues one instruction at a time; two blocks take turns
    return max(clocks * -(-places * lanes // WARP), alone)


def clocks_of(instructions: float, shared: float) -> float:
    """Clocks of a multiprocessor for a warp: four partitions issue, one shared memory answers."""
    return max(instructions / 4, shared)


def row_clocks(family: SoftmaxFamily, shape: Shape) -> float:
    """Clocks of a multiprocessor for one row by the model."""
    rows, warps = family.rows, family.block / WARP
    slices = slices_of(family, shape)
    gradient = -(-rows // slices) * clocks_of(*of_gradient(shape, family.tile_classes, family.held)) * warps
    logits = of_logits(shape, family.block, family.tile_classes, rows, family.lanes, family.tile_rows)
    in_lane = -(-shape.n_classes // family.softmax_lanes) * EXP["float64" if shape.real_size == 8 else "float32"]
    softmax = (in_lane + LANE_STEP * family.softmax_lanes.bit_length()) * rows * family.softmax_lanes / WARP / 4
    copies = rows * shape.d * shape.size / family.copy / WARP * 2
    compute = gradient + (logits if family.w_shared else 2 * logits) + softmax + copies
    resident_warps = family.resident * warps
    compute = compute * (resident_warps + 4) / resident_warps + (TILE_CLOCKS + 2 * in_lane) / family.resident
    memory = shape.d * shape.size / BYTES_PER_CLOCK
    latency = LATENCY / (family.resident * rows)
    return max(memory, compute / rows, latency) + 0.05 * compute / rows
