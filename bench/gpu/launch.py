"""The launches of the ``cuda`` pass for any member of the kernel family, repeated without copies; and their check."""

from __future__ import annotations

from typing import Any

import numpy as np
from gpu.data import Data, true_sums

from gpu_logreg.passes.cuda import dense as cuda_module
from gpu_logreg.passes.cuda.tuning.family import Family, choose_family
from gpu_logreg.passes.sums import Sums

LARGEST_ERROR = {"float32": 1e-4, "float64": 1e-10}
"""Relative error of a gradient, and of a loss, from which a time is not given."""

SLICE_ROWS = 20_011


class Launches:
    """Both stages of one read, ready to be launched: what `gpu_logreg.passes.cuda.dense.cuda_pass` does between its
    copies.

    Parameters
    ----------
    cupy : module
    data : Data
    family : Family
    """

    def __init__(self, cupy: Any, data: Data, family: Family) -> None:
        n, d = data.X.shape
        device = cupy.cuda.Device()
        options = cuda_module.kernel_options(family, data.storage, data.real, "uint8", None)
        self.kernels = cuda_module._kernels(options, int(device.id))
        self.blocks = min(-(-n // family.batch), family.resident * self.kernels.multiprocessors)
        self.family = family
        self._block = family.block
        self._width = d + 2
        self._w = cupy.asarray(data.w, dtype=np.dtype(data.real))
        self._partial = cupy.empty((self.blocks, d + 2), dtype=np.float64)
        self._sums = cupy.empty(d + 2, dtype=np.float64)
        null, sizes = np.uintp(0), (np.int64(n), np.int32(d))
        self._first = data.X, np.int64(d), data.y, null, self._w, np.float64(data.b), self._partial, *sizes
        self._second = self._partial, self._sums, np.int32(self.blocks), np.int32(d + 2)

    def __call__(self) -> None:
        """Queue both launches."""
        self.kernels.first((self.blocks,), (self._block,), self._first)
        self.kernels.second((-(-self._width // 32),), (cuda_module.SUM_BLOCK,), self._second)

    def sums(self) -> Sums:
        """The sums of one run, every output poisoned before it."""
        self._partial[...] = np.nan
        self._sums[...] = np.nan
        self()
        host = self._sums.get()
        return Sums(float(host[-1]), host[:-2], float(host[-2]))

    def resources(self) -> dict[str, int]:
        """Registers and bytes of local memory (spills and stack) of a thread, where CuPy tells."""
        names = {"registers": "num_regs", "local_bytes": "local_size_bytes"}
        found = {ours: getattr(self.kernels.first, theirs, None) for ours, theirs in names.items()}
        return {name: int(number) for name, number in found.items() if number is not None}


def chosen(data: Data) -> Family | str:
    """The member of the family that the pass takes for contiguous rows, or why there is none."""
    return choose_family(data.X.shape[1], data.storage, data.real)


def error_of(sums: Sums, true: Sums) -> float:
    """The larger of the relative errors of gradient and loss; NaN where either is not a number."""
    of_dw = float(np.linalg.norm(sums.dw_sum - true.dw_sum) / np.linalg.norm(true.dw_sum))
    of_loss = abs(sums.loss_sum - true.loss_sum) / abs(true.loss_sum)
    return float(np.max([of_dw, of_loss]))  # NaN stays NaN


def checked(cupy: Any, data: Data, family: Family, *, whole: bool = True) -> tuple[Launches | None, float, str | None]:
    """Launches over all rows once they are right: on the first rows, then on all, then bit for bit a second time.

    Returns
    -------
    launches : Launches or None
        None where they are wrong.
    error : float
    problem : str or None
    """
    limit = LARGEST_ERROR[data.real]
    first_rows = data.part(slice(0, SLICE_ROWS))
    error = error_of(Launches(cupy, first_rows, family).sums(), true_sums(first_rows))
    if not error <= limit:
        return None, error, f"wrong on the first {len(first_rows.y):,} rows: relative error {error:.1e}"
    launches = Launches(cupy, data, family)
    if whole:
        sums = launches.sums()
        error = max(error, error_of(sums, true_sums(data)))
        if not error <= limit:
            return None, error, f"wrong on all {len(data.y):,} rows: relative error {error:.1e}"
        again = launches.sums()
        if (again.loss_sum, again.dw_sum.tobytes(), again.db_sum) != (
            sums.loss_sum,
            sums.dw_sum.tobytes(),
            sums.db_sum,
        ):
            return None, error, "a second run gave other bits"
    return launches, error, None
