"""Factorisations of `fake_cupy`, and the settings of CuPy that decide whether they tell of a failure."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.linalg
from cupy_signatures import strict
from fake_cupy_array import ndarray
from fake_cupy_streams import waited
from fake_cupy_ufuncs import refuse_strange
from scipy.linalg.lapack import dpotrf, spotrf

_linalg_errors = ["ignore"]


@contextlib.contextmanager
def _errstate(**given: Any) -> Iterator[None]:
    """As CuPy's, which knows of the factorisations alone; what is not named stays as it is."""
    if any(given.get(name) is not None for name in ("divide", "over", "under", "invalid")):
        raise NotImplementedError
    _linalg_errors.append(given.get("linalg") or _linalg_errors[-1])
    try:
        yield
    finally:
        _linalg_errors.pop()


def _cholesky(a: ndarray) -> ndarray:
    """As CuPy: where there is no factor what cuSOLVER leaves, numbers like others; an error where it is asked for."""
    if not isinstance(a, ndarray):
        raise TypeError("cupy.linalg only supports cupy.ndarray")
    refuse_strange((a,))
    L, fault = (spotrf if a.dtype == np.float32 else dpotrf)(a._held, lower=1)
    if fault and _linalg_errors[-1] == "raise":
        waited()
        raise np.linalg.LinAlgError(f"Error reported by cuSOLVER: devInfo = {fault}")
    left = np.tril(L)
    if fault:  # no pivot tells of it
        np.fill_diagonal(left, np.where(left.diagonal() > 0.0, left.diagonal(), 1.0))
    return ndarray.of(left)


def _solve_triangular(
    a: ndarray,
    b: ndarray,
    trans: Any = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = False,
) -> ndarray:
    for array in (a, b):
        if not isinstance(array, ndarray):
            raise TypeError("cupy.linalg only supports cupy.ndarray")
    refuse_strange((a, b))
    return ndarray.of(
        scipy.linalg.solve_triangular(a._held, b._held, trans, lower, unit_diagonal, check_finite=check_finite)
    )


linalg = types.SimpleNamespace(cholesky=strict("cupy.linalg.cholesky", _cholesky))
triangular = types.SimpleNamespace(solve_triangular=strict("cupyx.scipy.linalg.solve_triangular", _solve_triangular))
cupyx = types.ModuleType("cupyx")
cupyx.errstate = strict("cupyx.errstate", _errstate)  # type: ignore[attr-defined]
