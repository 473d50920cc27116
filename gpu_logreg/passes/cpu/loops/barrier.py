"""How the threads of a compiled loop wait for each other, and share out what is to be done."""

from __future__ import annotations

import sys
from typing import Any

from numba import types
from numba.extending import intrinsic

from gpu_logreg.arrays.compiled import njit

__all__ = ["announce_turns", "end_turn", "take_turn", "turns_have_ended", "wait_for_all", "yield_processor"]

_SPINS_BEFORE_YIELD = 4000
"""Times that a waiting thread reads the counter of a barrier before it offers its processor to others each time.

Where every thread has a processor, most waits end before, and a call of the system would prolong them. Chosen, not
measured.
"""

KNOWN, TAKEN, ENDED = 0, 8, 16
"""Elements of the array of `gpu_logreg.passes.cpu.loops.sizes.TURNS_SIZE`, each in a cache line of its own: how many
turns are known, have been taken, and have ended. They count on from one round to the next."""

yield_processor = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())


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


@intrinsic  # type: ignore[untyped-decorator]
def _set_atomically(typing_context: Any, array: Any, expected: Any, value: Any) -> Any:
    """Set the first element of an int64 array if it is as expected, as one action; whether it was."""
    del typing_context

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.extract_value(builder.cmpxchg(data, args[1], args[2], "seq_cst", "seq_cst"), 1)

    return types.boolean(array, types.int64, types.int64), codegen


@njit()  # type: ignore[untyped-decorator]
def announce_turns(turns: Any, count: Any) -> None:
    """Let threads take ``count`` more turns; they see all that was written before."""
    _add_atomically(turns[KNOWN:], count)


@njit()  # type: ignore[untyped-decorator]
def take_turn(turns: Any) -> Any:
    """The number of the next turn, from 0 on, which no other thread has; -1 where none is left."""
    while True:
        turn = _read_atomically(turns[TAKEN:])
        if turn >= _read_atomically(turns[KNOWN:]):
            return -1
        if _set_atomically(turns[TAKEN:], turn, turn + 1):
            return turn


@njit()  # type: ignore[untyped-decorator]
def end_turn(turns: Any) -> None:
    """Say that a turn has ended; who sees it sees all that was written in it."""
    _add_atomically(turns[ENDED:], 1)


@njit()  # type: ignore[untyped-decorator]
def turns_have_ended(turns: Any) -> Any:
    """Whether all turns that are known have ended."""
    return _read_atomically(turns[ENDED:]) == _read_atomically(turns[KNOWN:])


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
                yield_processor()
