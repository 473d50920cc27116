"""Whether Numba can keep machine code on disk: beside the package, in the user's cache, or where it is told to."""

from __future__ import annotations

from numba import njit

__all__ = ["CAN_CACHE"]


def _nothing() -> None:
    """Never called: Numba looks for a place when it is asked to cache a function."""


def _can_cache() -> bool:
    try:
        njit(cache=True)(_nothing)
    except RuntimeError:  # the package is read-only, and so is the home of the user, or there is none
        return False
    return True


CAN_CACHE = _can_cache()
"""Without a place every process compiles anew."""
