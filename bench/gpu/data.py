"""Random rows made on the device, and the objective and its minimum on them in float64."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.logistic import curvature
from gpu_logreg.passes.cuda.source import kernel_source
from gpu_logreg.passes.cuda.tuning.family import STORAGES
from gpu_logreg.passes.reference.curvature import curvature_sums
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows

BLOCK = 256
HIGH = np.uint32(2**16)
"""The upper half of the bits of a float32 is a bfloat16."""

CHUNK = 2**26
"""Numbers that are made or widened at a time."""

# Standard normal numbers by Box and Muller's method from a counter (splitmix64, Steele et al., 2014): element i
# depends on `seed` and i alone. Own text, because CuPy's generators want the library cuRAND.
FILL_TEXT = """
extern "C" __global__ void __launch_bounds__(BLOCK)
fill_normal(float32* to, long long n, long long first, unsigned long long seed) {
    const long long threads = (long long)gridDim.x * BLOCK;
    for (long long i = (long long)blockIdx.x * BLOCK + threadIdx.x; i < n; i += threads) {
        unsigned long long h = seed + (unsigned long long)(first + i + 1) * 0x9E3779B97F4A7C15ull;
        h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9ull;
        h = (h ^ (h >> 27)) * 0x94D049BB133111EBull;
        h ^= h >> 31;
        const float radius = ((float)(unsigned)(h >> 40) + 0.5f) * (1.0f / 16777216.0f);
        const float turn = (float)(unsigned)(h & 0xffffffull) * (1.0f / 16777216.0f);
        to[i] = sqrtf(-2.0f * logf(radius)) * cosf(6.2831853f * turn);
    }
}
"""


class Data(NamedTuple):
    """Rows on the device, and a point to take the gradient at.

    Attributes
    ----------
    storage : str
        How ``X`` is to be read; a bfloat16 ``X`` may lie in a ``uint16`` array.
    X : array of shape (n, d)
    y : array of shape (n,), uint8
    w : ndarray of shape (d,)
        On the host, float64.
    b : float
    """

    storage: str
    X: Any
    y: Any
    w: Float64Vector
    b: float

    @property
    def real(self) -> str:
        """Name of the dtype of the arithmetic."""
        return "float64" if self.storage == "float64" else "float32"

    @property
    def nbytes(self) -> int:
        """Bytes that one read of the rows takes from memory."""
        return int(self.X.nbytes + self.y.nbytes)

    def part(self, rows: slice) -> Data:
        """The same point on some of the rows."""
        return self._replace(X=self.X[rows], y=self.y[rows])


def normal(cupy: Any, count: int, seed: int, first: int = 0) -> Any:
    """Elements ``first`` to ``first + count`` of the stream ``seed`` of standard normal numbers, float32."""
    numbers = cupy.empty(count, dtype=np.float32)
    if count:
        blocks = min(-(-count // BLOCK), 16 * int(cupy.cuda.Device().attributes["MultiProcessorCount"]))
        start = np.uint64((seed + 1) * 0xD1342543DE82EF95 % 2**64)
        _fill_kernel(cupy)((blocks,), (BLOCK,), (numbers, np.int64(count), np.int64(first), start))
    return numbers


def fill_program() -> tuple[str, tuple[str, ...]]:
    """Text and options of the kernel that makes numbers."""
    return f"{kernel_source('logistic.cuh')}\n{FILL_TEXT}", ("-DREAL=float32", f"-DBLOCK={BLOCK}")


@functools.cache
def _fill_kernel(cupy: Any) -> Any:
    code, options = fill_program()
    return cupy.RawModule(code=code, options=options).get_function("fill_normal")


def filled(cupy: Any, storage: str, count: int, seed: int = 0) -> Any:
    """``count`` random numbers in ``storage``; bfloat16 as ``uint16`` where CuPy cannot name that dtype."""
    flat = cupy.empty(count, dtype=np.uint16 if storage == "bfloat16" else np.dtype(storage))
    for first in range(0, count, CHUNK):
        numbers = normal(cupy, min(CHUNK, count - first), seed, first)
        if storage == "uint8":
            numbers = cupy.clip(numbers * np.float32(42) + np.float32(128), 0, 255)
        elif storage == "bfloat16":
            numbers = (numbers.view(np.uint32) + np.uint32(0x8000)) // HIGH
        flat[first : first + CHUNK] = numbers.astype(flat.dtype)
    if storage == "bfloat16":
        try:
            import ml_dtypes

            return flat.view(ml_dtypes.bfloat16)
        except Exception:  # the launches read the bits whatever the array is called
            return flat
    return flat


def cut(cupy: Any, flat: Any, storage: str, d: int, seed: int = 1) -> Data:
    """Rows of ``d`` columns out of ``flat``, with labels and a point at which logits are of the order of 1."""
    n = flat.size // d
    y = cupy.empty(n, dtype=np.uint8)
    for first in range(0, n, CHUNK):
        y[first : first + CHUNK] = (normal(cupy, min(CHUNK, n - first), seed, first) > 0).astype(np.uint8)
    w = np.random.default_rng([d, seed]).standard_normal(d) / np.sqrt(d)
    if storage == "uint8":
        w /= 42.0
        return Data(storage, flat[: n * d].reshape(n, d), y, w, float(-128.0 * w.sum()))
    return Data(storage, flat[: n * d].reshape(n, d), y, w, 0.1)


def labelled(cupy: Any, n: int, d: int, seed: int = 2) -> tuple[Any, Any]:
    """Float32 rows and labels of a model for a whole fit: the sign of a logit and of 1.7 times a normal number."""
    X = cupy.empty((n, d), dtype=np.float32)
    y = cupy.empty(n, dtype=np.uint8)
    w = cupy.asarray(np.random.default_rng(seed).standard_normal(d).astype(np.float32) / np.float32(np.sqrt(d)))
    step = max(1, CHUNK // d)
    for first in range(0, n, step):
        count = min(step, n - first)
        X[first : first + count] = normal(cupy, count * d, seed, first * d).reshape(count, d)
        noise = normal(cupy, count, seed + 1, first)
        y[first : first + count] = (X[first : first + count] @ w + np.float32(1.7) * noise > 0).astype(np.uint8)
    return X, y


def widened(storage: str, X: Any) -> Any:
    """Rows as float64, exactly."""
    if storage == "bfloat16":
        X = (X.view(np.uint16).astype(np.uint32) * HIGH).view(np.float32)
    return X.astype(np.float64)


def true_sums(data: Data) -> Sums:
    """Loss and gradient sums in float64 by the reference pass, a few rows at a time, on the device."""
    n, d = data.X.shape
    total = Sums(0.0, np.zeros(d), 0.0)
    step = max(1, CHUNK // d)
    for first in range(0, n, step):
        part = slice(first, first + step)
        total = total + reference_pass(Rows(widened(data.storage, data.X[part]), data.y[part], None), data.w, data.b)
    return total


def value(X: Any, y: Any, w: Float64Vector, b: float, C: float = 1.0) -> float:
    """Mean loss plus penalty in float64."""
    sums = true_sums(Data(str(X.dtype), X, y, w, b))
    return (sums.loss_sum + 0.5 * float(w @ w) / C) / len(y)


def minimum(cupy: Any, X: Any, y: Any, w: Float64Vector, b: float, C: float = 1.0) -> float:
    """The least value that at most three of Newton's steps in float64 find from a point near it."""
    n, d = X.shape
    best, params = value(X, y, w, b, C), np.append(w, b)
    step = max(1, CHUNK // (d + 1))
    for _ in range(3):
        grad, hessian = np.append(params[:-1] / C, 0.0), np.diag(np.append(np.full(d, 1.0 / C), 0.0))
        sums = true_sums(Data(str(X.dtype), X, y, params[:-1], float(params[-1])))
        grad += np.append(sums.dw_sum, sums.db_sum)
        for first in range(0, n, step):
            block = X[first : first + step].astype(np.float64)
            ones = cupy.ones((len(block), 1), dtype=np.float64)
            U = cupy.concatenate([block, ones], axis=1)
            hessian += curvature_sums(U, curvature(U @ cupy.asarray(params)), ones[:, 0]).get()
        trial = params - np.linalg.solve(hessian, grad)
        found = value(X, y, trial[:-1], float(trial[-1]), C)
        if not found < best:
            break
        best, params = found, trial
    return best


def columns_of(storage: str, nbytes: int) -> int:
    """Numbers of ``storage`` in ``nbytes``."""
    return nbytes // STORAGES[storage]
