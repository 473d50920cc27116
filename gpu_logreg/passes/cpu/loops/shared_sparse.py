"""Short passes over CSR rows, whose chunks are shared out inside the compiled loop.

A thread that sleeps wakes some time after it was told, later where its processor rests: in trials of which no row is
kept, as long after as such a pass takes. So a thread that helps stays in the loop between the passes of a fit and
watches for the next one.
"""

from __future__ import annotations

from typing import Any

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.barrier import (
    announce_turns,
    end_turn,
    take_turn,
    turns_have_ended,
    yield_processor,
)
from gpu_logreg.passes.cpu.loops.sparse import sum_sparse_rows

__all__ = ["share_sparse_rows"]

_SPINS_BEFORE_YIELD = 1000
"""Looks at the turns before the processor is offered to others at each. Chosen, not measured."""


@njit(fastmath=LIBERTIES | {"arcp"})  # type: ignore[untyped-decorator]
def share_sparse_rows(
    x: Any, column: Any, start: Any, y: Any, s: Any, point: Any, edges: Any, turns: Any, sums: Any, n_looks: Any
) -> None:
    """`sum_sparse_rows` of all chunks of rows, as turns that several threads take.

    Parameters
    ----------
    x, column, start, y, s : arrays
        As of `sum_sparse_rows`.
    point : float64 array of shape (d + 1,)
        Weights, and the intercept.
    edges : int64 array of shape (n_chunks + 1,)
        First rows of the chunks, and the number of rows.
    turns : int64 array
        See `gpu_logreg.passes.cpu.loops.sizes.TURNS_SIZE`.
    sums : float64 array of shape (n_chunks, at least d + 2)
        Filled with ``dw_sum``, ``loss_sum`` and ``db_sum`` of every chunk.
    n_looks : int
        Of a thread that helps: it takes turns until it has looked for one so often in a row. 0: announce a pass, take
        turns, and return once all have ended.
    """
    n_chunks, d, looks = len(edges) - 1, len(point) - 1, 0
    if n_looks == 0:
        announce_turns(turns, n_chunks)
    while True:
        turn = take_turn(turns)
        if turn >= 0:
            looks, chunk = 0, turn % n_chunks
            dw = sums[chunk]
            for j in range(d):
                dw[j] = 0.0
            dw[d], dw[d + 1] = sum_sparse_rows(
                x, column, start, y, s, point, point[d], edges[chunk], edges[chunk + 1], dw
            )
            end_turn(turns)
            continue
        looks += 1
        if looks >= n_looks if n_looks > 0 else turns_have_ended(turns):
            return
        if looks > _SPINS_BEFORE_YIELD:
            yield_processor()
