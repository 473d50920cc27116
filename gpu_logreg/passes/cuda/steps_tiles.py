"""Which tiles of a matrix product a block of threads makes, and how many blocks share the rows of a gradient.

The choice hangs on the sizes alone, not on the device, so that a sum has one order everywhere. Not measured on a GPU.
"""

from __future__ import annotations

from typing import NamedTuple

from gpu_logreg.passes.cuda.cublas import BLOCK

__all__ = ["FILL", "TILES", "Tile", "choose_parts", "choose_tile", "tile_options"]

FILL = 128
"""Blocks that keep a large GPU busy: about one for each multiprocessor (132 of an H200)."""

NARROW = 8
MOST_PARTS = 16
PART_ROWS = 64
"""Fewest rows worth a part of their own."""

_BYTES_ACROSS = 128  # of the values of p that a block fetches at a time: whole lines of memory


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
"""From the one that does the most arithmetic for a value fetched to the one for few columns."""


def choose_tile(n: int, m: int, parts: int = 1) -> Tile:
    """The largest tile of which a result of shape (n, m), made ``parts`` times, gives `FILL` blocks."""
    if m <= NARROW:
        return TILES[-1]
    return next((tile for tile in TILES[:-1] if parts * tile.blocks(n, m) >= FILL), TILES[-2])


def choose_parts(batch_rows: int, shapes: list[tuple[int, int]]) -> int:
    """Parts of a batch over which gradients of layers of these shapes are summed apart; one for all layers."""
    most = max(1, min(MOST_PARTS, batch_rows // PART_ROWS))
    d, m = max(shapes, key=lambda shape: shape[0] * shape[1])
    blocks = choose_tile(d + 1, m, most).blocks(d + 1, m)
    return max(1, min(most, -(-FILL // blocks)))


def tile_options(tile: Tile, real: str) -> tuple[str, ...]:
    """Compiler options of ``dense.cuh``."""
    depth = _BYTES_ACROSS // (4 if real == "float32" else 8)
    numbers = {"TM": tile.rows, "TN": tile.columns, "RM": tile.own_rows, "RN": tile.own_columns, "DEPTH": depth}
    return (f"-DREAL={real}", *(f"-D{name}={value}" for name, value in numbers.items()), f"-DBLOCK={BLOCK}")
