"""Asks the installed CuPy what it takes and of what types its results are; ``import cupy_asked`` prints it as JSON.

No driver is needed: CuPy finds the types of a result before it looks for a device.
"""

from __future__ import annotations

import itertools
import json
import warnings
from typing import Any

import fake_cupy
import numpy as np
import record_cupy
from fake_cupy_ufuncs import loop

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a toolkit that is not there
    import cupy
    from cupy._core import _routines_logic, _routines_math, _routines_statistics
    from cupy._core._scalar import CScalar
    from cupy._sorting.search import _where_ufunc

TYPES = [np.dtype(name) for name in ("?", "b", "B", "h", "i", "I", "l", "L", "e", "f", "d")]
REDUCTIONS = {
    "sum": _routines_math.sum_auto_dtype,
    "min": _routines_statistics.amin,
    "max": _routines_statistics.amax,
    "all": _routines_logic.all,
    "any": _routines_logic.any,
}
"""Those of which CuPy shows the kernels."""


def of_cupy(ufunc: Any, kinds: tuple[Any, ...]) -> str:
    """Type of the result of a ufunc; scalars of NumPy count as arrays of no dimension."""
    arguments = [CScalar(np.zeros((), kind)[()] if isinstance(kind, np.dtype) else kind(1)) for kind in kinds]
    try:
        found = ufunc._ops.guess_routine(ufunc.name, {}, arguments, None, None)
    except TypeError:
        return "TypeError"
    return str(np.dtype(found.out_types[0]))


def of_the_stand_in(name: str, kinds: tuple[Any, ...]) -> str:
    try:
        return str(loop(getattr(np, name).__name__, kinds)[1])
    except TypeError:
        return "TypeError"


def types() -> tuple[int, list[str]]:
    """How many combinations of types were compared, and those that differ."""
    known = [*TYPES, np.dtype("bfloat16")] if _bfloat16() else TYPES
    count, differ = 0, []
    truth, ones = fake_cupy.wrapped(np.ones(1, bool)), np.ones(1)
    for kinds in itertools.product([*known, int, float], repeat=2):
        given = [fake_cupy.wrapped(ones.astype(kind)) if isinstance(kind, np.dtype) else kind(1) for kind in kinds]
        theirs, ours = of_cupy(_where_ufunc, (np.dtype(bool), *kinds)), str(fake_cupy.where(truth, *given).dtype)
        count += 1
        if theirs != ours:
            differ.append(f"where of {kinds}: {theirs} in CuPy, {ours} here")
    for name in fake_cupy.UFUNCS:
        n_inputs = getattr(cupy, name).nin
        beside = [*known, bool, int, float] if n_inputs == 2 else known
        for kinds in itertools.product(beside, repeat=n_inputs):
            if any(isinstance(kind, np.dtype) for kind in kinds):
                count += 1
                theirs, ours = of_cupy(getattr(cupy, name), kinds), of_the_stand_in(name, kinds)
                if theirs != ours:
                    differ.append(f"{name} of {kinds}: {theirs} in CuPy, {ours} here")
    return count, differ


def _bfloat16() -> bool:
    try:
        return np.dtype("bfloat16") is not None
    except TypeError:
        return False


def reductions() -> tuple[int, list[str]]:
    count, differ = 0, []
    for (name, kernel), dtype in itertools.product(REDUCTIONS.items(), TYPES):
        theirs = np.dtype(kernel._ops._guess_routine_from_in_types((dtype,)).out_types[0])
        ours = getattr(fake_cupy.wrapped(np.ones(2, dtype)), name)().dtype
        count += 1
        if theirs != ours:
            differ.append(f"{name} of {dtype}: {theirs} in CuPy, {ours} here")
    return count, differ


said: dict[str, Any] = {"wheel": record_cupy.wheel_of(cupy)}
said["names"] = {name: record_cupy.found(name) for name in fake_cupy.offered()}
said["types compared"], said["types that differ"] = types()
said["reductions compared"], said["reductions that differ"] = reductions()
print(json.dumps(said))
