"""Which tiles of a matrix product a block of threads makes, and how many blocks share the rows of a gradient.

The choice depends on the sizes alone and not on the device, so that a sum has the same order, and the same bits, on
every device. The constants are chosen by arithmetic; not measured on a GPU.
"""

from __future__ import annotations

from typing import NamedTuple

from gpu_logreg.passes.cuda.cublas import BLOCK

__all__ = ["FILL", "TILES", "Tile", "choose_parts", "choose_tile", "tile_options"]

FILL = 128
"""Fewest blocks of a launch that keep a large GPU busy: about one for each multiprocessor (132 of an H200)."""

NARROW = 8
"""Most columns of a result for which the narrowest tile is taken, which has as many."""

MOST_PARTS = 16
"""Most parts of a batch with a gradient of their own. Each is an array of all parameters, which ``update.cu`` reads."""

PART_ROWS = 64
"""Fewest rows of such a part: 128 operations for a parameter, against 8 bytes of its gradient, written and read."""

_BYTES_ACROSS = 128  # of the values of p that a block fetches at a time: the length of a line of the cache


class Tile(NamedTuple):
    """A tile of ``rows`` times ``columns``, of which each thread makes ``own_rows`` times ``own_columns``."""

    rows: int
    columns: int
    own_rows: int
    own_columns: int

    def blocks(self, n: int, m: int) -> int:
        """Tiles of a result of shape (n, m)."""
        return -(-n // self.rows) * -(-m // self.columns)


TILES = (Tile(128, 64, 8, 4), Tile(64, 64, 4, 4), Tile(32, 32, 2, 2), Tile(32, NARROW, 1, 1))
"""Tiles, from the one that does the most multiplications for each value it fetches to the one for few columns."""


def choose_tile(n: int, m: int, parts: int = 1) -> Tile:
    """The largest tile of which ``parts`` results of shape (n, m) take at least `FILL` blocks."""
    if m <= NARROW:
        return TILES[-1]
    return next((tile for tile in TILES[:-1] if parts * tile.blocks(n, m) >= FILL), TILES[-2])


def choose_parts(batch_rows: int, shapes: list[tuple[int, int]]) -> int:
    """In how many parts the rows of a batch are cut, each with a gradient of its own; the same for all layers.

    As many as give the largest layer `FILL` blocks.
    """
    most = max(1, min(MOST_PARTS, batch_rows // PART_ROWS))
    d, m = max(shapes, key=lambda shape: shape[0] * shape[1])
    blocks = choose_tile(d + 1, m, most).blocks(d + 1, m)
    return max(1, min(most, -(-FILL // blocks)))


def tile_options(tile: Tile, real: str) -> tuple[str, ...]:
    """Compiler options of ``dense.cuh``."""
    depth = _BYTES_ACROSS // (4 if real == "float32" else 8)
    numbers = {"TM": tile.rows, "TN": tile.columns, "RM": tile.own_rows, "RN": tile.own_columns, "DEPTH": depth}
    return (f"-DREAL={real}", *(f"-D{name}={value}" for name, value in numbers.items()), f"-DBLOCK={BLOCK}")
