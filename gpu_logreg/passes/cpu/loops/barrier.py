"""A barrier, at which the threads of a compiled loop wait for each other."""

from __future__ import annotations

import sys
from typing import Any

from numba import types
from numba.extending import intrinsic

from gpu_logreg.arrays.compiled import njit

__all__ = ["wait_for_all"]

_SPINS_BEFORE_YIELD = 4000
"""Times that a waiting thread reads the counter of a barrier before it offers its processor to others each time.

Where every thread has a processor, most waits end before, and a call of the system would prolong them. Chosen, not
measured.
"""

_yield_processor = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())


@intrinsic  # type: ignore[untyped-decorator]
def _add_atomically(typing_context: Any, array: Any, value: Any) -> Any:
    """Add to the first element of an int64 array, as one action; the element before."""
    del typing_context

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, args[1], "seq_cst")

    return types.int64(array, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _read_atomically(typing_context: Any, array: Any) -> Any:
    """The first element of an int64 array as it is now, and all that was written before it."""
    del typing_context

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load_atomic(data, "seq_cst", 8)

    return types.int64(array), codegen


@njit()  # type: ignore[untyped-decorator]
def wait_for_all(arrived: Any, n_threads: Any) -> None:
    """A barrier: return once each of ``n_threads`` threads has made this call as often as the caller.

    ``arrived``: int64 array of one element, zero at first, which counts all calls. Both operations on it are
    sequentially consistent: what a thread has written before its call, every thread may read after it.
    """
    if n_threads > 1:
        # The round is full when the count reaches the next multiple of the number of threads.
        goal = (_add_atomically(arrived, 1) // n_threads + 1) * n_threads
        spins = 0
        while _read_atomically(arrived) < goal:
            spins += 1
            if spins > _SPINS_BEFORE_YIELD:  # another program has the processor that the others need
                _yield_processor()
