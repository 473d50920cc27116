"""The kernels' own text, executed on the CPU, against the plain formulas."""

from __future__ import annotations

import ctypes
import itertools
from typing import NamedTuple

import kernel_host
import mpmath
import numpy as np
import pytest

from gpu_logreg.mathematics.logistic import loss_and_dz
from gpu_logreg.passes.cuda import cublas
from gpu_logreg.passes.cuda.source import kernel_source

pytestmark = pytest.mark.skipif(kernel_host.missing() is not None, reason=str(kernel_host.missing()))

REALS = ("float32", "float64")
SPECIALISATIONS = [
    (real, label, weight)
    for real in REALS
    for label, weight in itertools.product(("uint8", real), (None, "float32", "float64"))
]
RAGGED = (0, 1, 31, 32, 33, 255, 256, 257, 1000)
EXTREME = [sign * z for z in (0.0, 1e-30, 0.5, 16.0, 40.0, 88.0, 104.0, 700.0, 1e4) for sign in (1, -1)]


class Inputs(NamedTuple):
    """Arguments of the kernel; ``s`` is None where every weight is 1."""

    xw: np.ndarray
    b: np.float64
    y: np.ndarray
    s: np.ndarray | None


class Outputs(NamedTuple):
    dz: np.ndarray
    loss_partial: np.ndarray
    db_partial: np.ndarray


def make_inputs(real: str, label: str, weight: str | None, xw: np.ndarray) -> Inputs:
    rng = np.random.default_rng(7)
    y = rng.integers(0, 2, xw.size) if label == "uint8" else rng.choice([0.0, 1.0, 0.5, 0.125], xw.size)
    s = None if weight is None else (rng.exponential(size=xw.size) * (rng.random(xw.size) < 0.9)).astype(weight)
    return Inputs(xw.astype(real), np.float64(0.1), y.astype(label), s)


def normal_inputs(real: str, label: str, weight: str | None, n: int) -> Inputs:
    return make_inputs(real, label, weight, 3 * np.random.default_rng(n).standard_normal(n))


def launch(inputs: Inputs, blocks: int, seed: int = 0, *, in_place: bool = False) -> Outputs:
    xw, b, y, s = inputs
    options = cublas.kernel_options(xw.dtype.name, y.dtype.name, None if s is None else s.dtype.name)
    module = kernel_host.HostModule(kernel_source(f"{cublas.KERNEL}.cu", cublas.HEADERS), options)
    kernel = module.get_function(cublas.KERNEL)
    xw = xw.copy()
    dz = xw if in_place else np.full_like(xw, np.nan)
    partial = np.full((2, blocks), np.nan)
    weights = np.uintp(0) if s is None else s
    kernel((blocks,), (cublas.BLOCK,), (xw, b, y, weights, dz, partial, np.int64(xw.size)), seed=seed)
    return Outputs(dz, *partial)


def in_numpy(inputs: Inputs, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Weighted loss and ``dz`` of every row, by the plain formulas in ``dtype``."""
    xw, b, y, s = inputs
    wide = np.promote_types(dtype, np.float64)
    row_loss, dz = loss_and_dz((xw.astype(wide) + b).astype(dtype), y)
    weight = np.ones(xw.size, dtype) if s is None else s
    return weight * row_loss, (weight * dz).astype(dtype)


def check(inputs: Inputs, outputs: Outputs) -> None:
    """The fair rule: no further from the truth than NumPy in the same dtype, but for a few bits."""
    real = inputs.xw.dtype.name
    eps = np.finfo(real).eps
    true_loss, true_dz = in_numpy(inputs, "longdouble")
    plain_loss, plain_dz = in_numpy(inputs, real)
    scale = 1 if inputs.s is None else inputs.s.max(initial=0)
    error = np.abs(outputs.dz - true_dz)
    assert np.all(error <= np.abs(plain_dz - true_dz).max(initial=0) + 2 * eps * scale)
    for partial, true, plain in (
        (outputs.loss_partial, true_loss, plain_loss),
        (outputs.db_partial, true_dz, plain_dz),
    ):
        plain_error = abs(plain.sum(dtype=np.float64) - true.sum())
        assert abs(partial.sum() - true.sum()) <= plain_error + 2 * eps * np.abs(true).sum()


def test_intercept_is_added_in_float64():
    z = np.linspace(-3.0, 3.0, 257)
    inputs = make_inputs("float32", "uint8", None, np.float32(1500.0) + z.astype(np.float32))
    inputs = inputs._replace(b=np.float64(-1500.1))  # not a float32, and nearly the negative of xw
    check(inputs, launch(inputs, 3))


@pytest.mark.parametrize("n", RAGGED)
@pytest.mark.parametrize(("real", "label", "weight"), SPECIALISATIONS)
def test_ragged_rows(real, label, weight, n):
    inputs = normal_inputs(real, label, weight, n)
    for blocks in (1, 3, 5):  # up to four rows to a thread; a ragged last stride; blocks without a row
        check(inputs, launch(inputs, blocks))


@pytest.mark.parametrize(("real", "label", "weight"), SPECIALISATIONS)
def test_extreme_logits(real, label, weight):
    inputs = make_inputs(real, label, weight, np.repeat(EXTREME, 12))
    outputs = launch(inputs, 1)
    check(inputs, outputs)
    assert np.isfinite(outputs.loss_partial).all()


@pytest.mark.parametrize(("real", "label", "weight"), SPECIALISATIONS)
def test_the_schedule_changes_no_bit(real, label, weight):
    inputs = normal_inputs(real, label, weight, 1000)
    runs = [launch(inputs, 3, seed) for seed in range(8)]
    for run in runs[1:]:
        assert [array.tobytes() for array in run] == [array.tobytes() for array in runs[0]]


@pytest.mark.parametrize("real", REALS)
def test_dz_may_overwrite_xw(real):
    inputs = normal_inputs(real, "uint8", None, 1000)
    apart, in_place = launch(inputs, 3), launch(inputs, 3, in_place=True)
    assert [array.tobytes() for array in in_place] == [array.tobytes() for array in apart]


def test_partial_sums_are_those_of_the_rows_of_their_block():
    inputs = normal_inputs("float64", "uint8", "float64", 1000)
    outputs = launch(inputs, 3)
    loss, dz = in_numpy(inputs, "float64")
    block = np.arange(1000) // cublas.BLOCK % 3
    np.testing.assert_allclose(outputs.loss_partial, np.bincount(block, loss), rtol=1e-13)
    np.testing.assert_allclose(outputs.db_partial, np.bincount(block, dz), rtol=1e-12)


@pytest.mark.parametrize("real", REALS)
def test_row_arithmetic_against_mpmath(real):
    entry = """
    extern "C" void rows(const REAL* z, const REAL* y, REAL* row_loss, REAL* dz, long long n) {
        for (long long row = 0; row < n; ++row) {
            const LossAndDz of_row = loss_and_dz(z[row], y[row]);
            row_loss[row] = of_row.row_loss;
            dz[row] = of_row.dz;
        }
    }"""
    library = kernel_host.compile_library(kernel_source("logistic.cuh") + entry, [f"-DREAL={real}"])
    z, y = np.array(list(itertools.product([*EXTREME, 1 / 3, -2.5], (0.0, 0.25, 0.5, 1.0)))).T.astype(real, order="C")
    row_loss, dz = np.empty_like(z), np.empty_like(z)
    library.rows(*(ctypes.c_void_p(array.ctypes.data) for array in (z, y, row_loss, dz)), ctypes.c_longlong(z.size))
    true = np.array([mpmath_row(float(z_i), float(y_i)) for z_i, y_i in zip(z, y, strict=True)])
    true_loss, true_dz = true.T
    limits = np.finfo(real)
    assert np.all(np.abs(dz - true_dz) <= 2 * limits.eps * (np.abs(true_dz) + y) + limits.tiny)
    # Only a soft label makes the loss a difference of two large numbers.
    cancelled = np.where((y > 0) & (y < 1), np.abs(z), 0)
    assert np.all(np.abs(row_loss - true_loss) <= 2 * limits.eps * (true_loss + cancelled) + limits.tiny)


def mpmath_row(z: float, y: float) -> tuple[float, float]:
    """The textbook definitions in 60 digits: ``-y log p - (1 - y) log(1 - p)`` and ``p - y``."""
    with mpmath.workdps(60):
        odds = mpmath.exp(mpmath.mpf(z))
        loss = y * mpmath.log1p(1 / odds) + (1 - y) * mpmath.log1p(odds)
        dz = -1 / (1 + odds) if y == 1 else odds / (1 + odds) - y
        return float(loss), float(dz)
