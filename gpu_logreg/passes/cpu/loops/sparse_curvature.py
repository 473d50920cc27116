"""The compiled loop behind the Hessian of K classes over CSR rows; releases the GIL and computes in float64.

See `gpu_logreg.passes.cpu.loops.sparse` for the numbers of columns, which are not checked here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import LIBERTIES, njit

__all__ = ["sum_curvature_of_pairs"]


@njit(fastmath=LIBERTIES)  # type: ignore[untyped-decorator]
def sum_curvature_of_pairs(x: Any, column: Any, start: Any, q: Any, H: Any, v: Any) -> None:
    """``sum_i q_ic x_ij x_il`` and ``sum_i q_ic x_ij`` over the rows, added to ``H[j, l, c]`` and ``v[j, c]``.

    The sums of a pair of elements lie together, so that they are added in vectors. Of ``H`` the part with ``l <= j``:
    the columns of a row rise.

    Parameters
    ----------
    x, column : arrays
        ``data`` and ``indices`` of CSR rows.
    start : integer array of shape (m + 1,)
    q : float64 array of shape (m, Q)
    H, v : float64 arrays of shape (d, d, Q) and (d, Q)
    """
    Q = q.shape[1]
    for i in range(len(q)):
        weights = q[i]
        begin, end = np.uintp(start[i]), np.uintp(start[i + 1])
        for k in range(begin, end):
            at, x_k = np.uintp(column[k]), float(x[k])
            sums, of_column = v[at], H[at]
            for c in range(Q):
                sums[c] += x_k * weights[c]
            for l in range(begin, k + np.uintp(1)):  # noqa: E741 - the letter of the formula
                product, of_pair = x_k * float(x[l]), of_column[np.uintp(column[l])]
                for c in range(Q):
                    of_pair[c] += product * weights[c]
