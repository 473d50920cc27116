"""The macros of one specialisation of ``softmax_loss_and_gradient``, and its layout of the shared memory of a block."""

from __future__ import annotations

from typing import NamedTuple

from gpu_logreg.passes.cuda.tuning.family import STORAGES

__all__ = ["Shape", "SoftmaxFamily", "padded_shape", "rounded_up", "shared_bytes", "slices_of"]


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


class Shape(NamedTuple):
    """The problem: columns, classes, bytes of a stored and of a computed number, instructions to convert one."""

    d: int
    n_classes: int
    size: int
    real_size: int
    conversion: int

    @property
    def vec(self) -> int:
        """Bytes of one read from shared memory."""
        return max(4, self.size)

    @property
    def columns(self) -> int:
        """Columns of such a vector."""
        return self.vec // self.size

    @property
    def vectors(self) -> int:
        """Vectors of a row."""
        return -(-self.d // self.columns)

    @property
    def real_words(self) -> int:
        """Registers of a computed number."""
        return self.real_size // 4

    def z_group(self, tile_classes: int) -> int:
        """Numbers that the classes of a thread take in a row of logits in shared memory: whole loads of 16 bytes."""
        return rounded_up(tile_classes, 16 // self.real_size)


def padded_shape(family: SoftmaxFamily, d: int, n_classes: int, storage: str) -> tuple[int, int]:
    """Classes and columns of the weights as the kernel takes them, zero beyond those there are."""
    columns = family.vec // STORAGES[storage]
    return rounded_up(n_classes, family.tile_classes), rounded_up(d, columns)


def shared_bytes(family: SoftmaxFamily, d: int, n_classes: int, size: int, real_size: int) -> int:
    """Dynamic shared memory of a block, laid out as in the kernel."""
    shape = Shape(d, n_classes, size, real_size, 0)
    groups = -(-n_classes // family.tile_classes)
    weights = groups * family.tile_classes * shape.vectors * shape.columns * real_size
    z = family.rows * (groups * shape.z_group(family.tile_classes) + 16 // real_size) * real_size
    tiles = 2 * family.rows * family.pitch
    whole = rounded_up(8 * n_classes, 16) + family.w_shared * rounded_up(weights, 16) + z + tiles
    parts = min(family.block // n_classes, family.rows)
    sums = 8 * (parts * n_classes + (d * n_classes if slices_of(family, shape) > 1 else 0))
    return max(whole, sums)


def slices_of(family: SoftmaxFamily, shape: Shape) -> int:
    """Groups of threads that each hold a gradient of their own rows, which are added at the end."""
    column_groups = -(-shape.vectors // family.held)
    return min(family.block // (column_groups * -(-shape.n_classes // family.tile_classes)), family.rows)


def rounded_up(number: int, to: int) -> int:
    """The next multiple of ``to``."""
    return -(-number // to) * to
