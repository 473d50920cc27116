"""Sums that are rounded as another processor might: ``pytest --rounding-noise SEED`` or ``make test-rounding``.

Which way a sum is rounded depends on the width of the vectors, on the order of the additions and on the library's
``exp``; tests must not. Here every sum that an engine returns is changed by about what these change, from the size of
the terms that were added up:

- an element ``dw_j = sum_i x_ij dz_i`` of a gradient by a random multiple, between -1 and 1, of
  ``c eps sqrt(sum_i (x_ij dz_i)**2)``, and more of many rows: the terms are rounded, and so are sums of some of them;
- the logit of a row, and so its ``dz_i`` in all elements of the gradient, by what half that does to its terms;
- a sum of terms of one sign, and an element of a Hessian over the root of its diagonal elements, by a multiple of
  ``c eps``.

``eps`` is that of the dtype of the arithmetic, and ``c`` is `ROUNDINGS`: one rounding for float64, and half of one for
float32, where no sum changes by more than 6e-8 of its terms. The multiple is a hash of the digits of the sum and of the
seed, so that equal sums stay equal, as do those of one column times a power of two, and a fit repeated gives the same
bits. A sum of few digits, such as that of small whole numbers, is exact everywhere and stays as it is.
"""

from __future__ import annotations

import functools
import sys
import weakref
from typing import Any

import numpy as np

ROUNDINGS = {"float64": 1.0, "float32": 0.5}
"""Roundings by which each term may differ, by the dtype of the arithmetic."""

DIGITS_KEPT = 7
"""Bits at the end of the significand that are all zero in a sum that is exact; one in 128 others has them too."""

_MIX = np.uint64(0x9E3779B97F4A7C15)


def dz_and_curvature(Z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``p - y`` and ``p (1 - p)`` of every row and logit: an error of the logit counts by the second."""
    if Z.shape[1] == 1:
        P, Y = 0.5 + 0.5 * np.tanh(0.5 * Z), y.reshape(-1, 1)
        return P - Y, 0.25 / np.cosh(0.5 * Z) ** 2
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    return P - (y.reshape(-1, 1) == np.arange(Z.shape[1])), P * (1.0 - P)


class Noise:
    """Changes sums by what ``seed`` and their digits say; those in a dtype that is not in ``dtypes`` not at all."""

    def __init__(self, seed: int, dtypes: tuple[str, ...] = ("float64", "float32")) -> None:
        self._seed = np.uint64(seed + 1)
        self._dtypes = dtypes
        self._columns: dict[int, tuple[Any, ...]] = {}

    def relative(self, dtype: Any) -> float:
        """Largest change of a term, relatively."""
        name = np.dtype(dtype).name
        return ROUNDINGS[name] * float(np.finfo(dtype).eps) if name in self._dtypes else 0.0

    def multiples(self, value: np.ndarray, dtype: Any) -> np.ndarray:
        """A number between -1 and 1 for every element of a float64 array, by its significand; 0 where it is exact."""
        digits = np.asarray(value, np.float64).view(np.uint64) & np.uint64(2**52 - 1)
        unused = 52 - np.finfo(dtype).nmant
        exact = digits & np.uint64(2 ** (unused + DIGITS_KEPT) - 1) == 0
        with np.errstate(over="ignore"):
            mixed = (digits ^ (self._seed * _MIX)) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(32)
        return np.where(exact, 0.0, (mixed >> np.uint64(11)).astype(np.float64) / 2.0**52 - 1.0)

    def changed(self, value: Any, size: Any, dtype: Any) -> Any:
        """``value``, an array or a number, with one rounding of terms whose squares add up to ``size**2``."""
        change = self.relative(dtype)
        if change == 0.0:
            return value
        array = np.asarray(value)
        with np.errstate(all="ignore"):
            moved = change * np.asarray(size) * self.multiples(array.astype(np.float64), dtype)
            found = np.where(np.isfinite(moved), array + moved, array).astype(array.dtype)
        return float(found) if isinstance(value, float) else found if array.ndim else found[()]

    def positive(self, value: Any, dtype: Any) -> Any:
        """Sums of terms of one sign."""
        return self.changed(value, np.abs(np.asarray(value)), dtype)

    def hessian(self, H: np.ndarray, dtype: Any) -> np.ndarray:
        """A sum of products of pairs."""
        if not isinstance(H, np.ndarray):
            return H
        with np.errstate(all="ignore"):
            root = np.sqrt(np.abs(H.diagonal()))
        H[...] = self.changed(H, np.multiply.outer(root, root), dtype)
        return H

    def columns(self, data: Any) -> tuple[np.ndarray, float, float]:
        """``sum_i s_i x_ij**2`` of every column, ``sum(s)``, and ``sum(s)**2 / sum(s**2)``, the number of rows."""
        X, key = data.rows.X, id(data.rows.X)
        if key not in self._columns:
            s = np.ones(len(data.rows.y)) if data.rows.sample_weight is None else data.rows.sample_weight
            s = np.asarray(s, np.float64)
            # No product by BLAS, whose bits depend on where the memory of an operand begins.
            with np.errstate(all="ignore"):  # of a copy: SciPy adds up elements of one place in it first
                squares = (
                    X.copy().power(2).T @ s if data.is_sparse else (X.astype(np.float64) ** 2 * s[:, None]).sum(axis=0)
                )
            total = float(s.sum())
            n = total * total / float((s * s).sum())
            self._columns[key] = (np.asarray(squares), total, n, data.rows.sample_weight)
            weakref.finalize(X, self._columns.pop, key, None)
        xx, total, n, s = self._columns[key]
        if s is not data.rows.sample_weight:
            del self._columns[key]
            return self.columns(data)
        return xx, total, n

    # ---- what an engine returns

    def gradient(self, sums: Any, data: Any, w: np.ndarray, b: Any) -> Any:
        if not data.on_host or data.n_rows == 0 or not np.isfinite(sums.loss_sum):
            return sums
        dtype = data.compute_dtype
        with np.errstate(all="ignore"):
            xx, total, n = self.columns(data)
            X = data.rows.X if data.is_sparse else np.asarray(data.rows.X, np.float64)
            s = np.ones((data.n_rows, 1)) if data.rows.sample_weight is None else data.rows.sample_weight[:, None]
            dz, h = dz_and_curvature(X @ np.atleast_2d(w).T + b, data.rows.y)
            terms = np.sqrt((w * w * xx).sum(axis=-1) / total) + np.abs(b)  # of a logit of one row, about
            logits = 0.5 * terms * self.multiples(self.rows_at(w, data.n_rows), np.float64)
            by_logits, squares = self.relative(dtype) * s * h * logits, (s * dz) ** 2
            loss_size = sums.loss_sum * (1.0 if dtype == np.float64 else 1.0 / np.sqrt(n))
            loss_size += np.max(terms) * np.sqrt(squares.sum())
            more = 0.5 + np.log2(data.n_rows) / 8.0
            X_squared = X.copy().power(2) if data.is_sparse else X * X
            db_size, dw_size = more * np.sqrt(squares.sum(axis=0)), more * np.sqrt(squares.T @ X_squared)
            if not np.isfinite(by_logits).all() or self.relative(dtype) * loss_size > 0.1 * sums.loss_sum:
                return sums  # logits without a right digit: what their rounding does is not small, and not random
            db, dw = by_logits.sum(axis=0), by_logits.T @ X
            if np.ndim(b) == 0:
                db, dw, db_size, dw_size = float(db[0]), dw[0], db_size[0], dw_size[0]
            return sums._replace(
                loss_sum=self.changed(float(sums.loss_sum), loss_size, dtype),
                dw_sum=self.changed(sums.dw_sum + dw, dw_size, dtype),
                db_sum=self.changed(sums.db_sum + db, db_size, dtype),
            )

    def rows_at(self, w: np.ndarray, n: int) -> np.ndarray:
        """A number for every row and logit that changes with the digits of ``w``, in any order of the columns."""
        digits = np.asarray(w, np.float64).view(np.uint64) & np.uint64(2**52 - 1)
        with np.errstate(over="ignore"):
            start = (np.atleast_2d(digits) * _MIX).sum(axis=-1)
            numbers = start + np.arange(1, n + 1, dtype=np.uint64)[:, None] * np.uint64(0xD1342543DE82EF95)
        return (numbers >> np.uint64(12) | np.uint64(0x3FF0000000000000)).view(np.float64)

    def moments(self, moments: Any, data: Any) -> Any:
        if not data.on_host or data.n_rows == 0:
            return moments
        xx, total, n = self.columns(data)
        x_sum = self.changed(moments.x_sum, np.sqrt(xx * total / n), np.float64)
        return moments._replace(x_sum=x_sum, xx_sum=self.positive(moments.xx_sum, np.float64))

    def moments_by_curvature(self, found: Any, data: Any, w: Any, b: Any) -> Any:
        h_sum, moments = found
        return self.positive(h_sum, np.float64), self.moments(moments, data)

    def scores(self, scores: Any, data: Any, *_: Any) -> Any:
        return self.positive(scores, scores.dtype)

    def curvature(self, H: Any, data: Any, phi: Any, dtype: Any = None) -> Any:
        return self.hessian(H, dtype or data.compute_dtype)

    def mean_factors(self, found: Any, data: Any, phi: Any) -> Any:
        A, B, trace = found
        dtype = data.compute_dtype
        return self.hessian(A, dtype), self.hessian(B, dtype), self.positive(trace, dtype)

    def sparse_curvature(self, found: Any, data: Any, *_: Any) -> Any:
        H, v, total = found
        with np.errstate(all="ignore"):
            size = np.sqrt(np.abs(H.diagonal()[: len(v)]) * total / data.n_rows)
        v = self.changed(v, size, np.float64)
        return self.hessian(H, np.float64), v, self.positive(total, np.float64)

    # ---- networks

    def network_gradient(self, found: Any, network: Any, params: Any, X: Any, *_: Any) -> Any:
        loss_sum, grad = found
        if not isinstance(grad, np.ndarray) or not X.shape[0]:
            return found
        squares = (
            X.copy().power(2).mean(axis=0)
            if not isinstance(X, np.ndarray)
            else (X.astype(np.float64) ** 2).mean(axis=0)
        )
        size = np.ones(network.n_params)
        of_first = network.unpack(size)[0].W
        with np.errstate(all="ignore"):
            of_first *= np.sqrt(np.asarray(squares).ravel())[:, None]
            size *= np.sqrt(float(loss_sum))
        return type(loss_sum)(self.positive(float(loss_sum), np.float64)), self.changed(grad, size, grad.dtype)

    def parameters(self, params: np.ndarray) -> None:
        params[...] = self.positive(params, params.dtype)


_SUMS = ("gradient", "moments", "moments_by_curvature", "scores", "curvature", "mean_factors", "sparse_curvature")


def _noisy(engine: Any, noise: Noise) -> Any:
    """An engine whose sums are changed as they are returned, and not those that it asks another engine for."""
    kind = type(engine)

    def method(name: str) -> Any:
        def call(self: Any, *arguments: Any, **named: Any) -> Any:
            return getattr(noise, name)(getattr(kind, name)(self, *arguments, **named), *arguments, **named)

        return call

    engine.__class__ = type(kind.__name__, (kind,), {name: method(name) for name in _SUMS})
    return engine


def _replace(original: Any, other: Any) -> None:
    """Put ``other`` in the place of a function, wherever it has been imported to."""
    for module in [module for name, module in sys.modules.items() if name.startswith("gpu_logreg")]:
        for name in [name for name, value in vars(module).items() if value is original]:
            setattr(module, name, other)


def install(seed: int, dtypes: tuple[str, ...] = ("float64", "float32")) -> None:
    """Let all engines and steps of this process return changed sums."""
    from gpu_logreg.mathematics import network
    from gpu_logreg.objectives.standardised import StandardisedDense
    from gpu_logreg.passes import choice, steps_choice
    from gpu_logreg.passes.reference import logits

    noise = Noise(seed, dtypes)
    make_engine, make_epoch = choice._engine, steps_choice._epoch
    loss_and_gradient, row_logits, second_order = (
        network.loss_and_gradient,
        logits.row_logits,
        StandardisedDense.second_order,
    )

    def noisy_engine(name: str, *arguments: Any) -> Any:
        engine = make_engine(name, *arguments)
        return engine if name in ("cuda", "cublas") else _noisy(engine, noise)

    choice._engine = noisy_engine

    @functools.wraps(loss_and_gradient)
    def noisy_loss_and_gradient(*arguments: Any) -> Any:
        return noise.network_gradient(loss_and_gradient(*arguments), *arguments)

    @functools.wraps(row_logits)
    def noisy_row_logits(X: Any, W: Any, b: Any, dtype: Any) -> Any:
        z = row_logits(X, W, b, dtype)
        if not isinstance(z, np.ndarray) or z.dtype != np.float64:
            return z
        with np.errstate(all="ignore"):
            return noise.changed(z, np.abs(z - (b[0] if z.ndim == 1 else b)), np.float64)

    def noisy_second_order(self: Any, engine: Any, phi: Any) -> Any:
        loss_sum, grad, H = second_order(self, engine, phi)
        loss = engine.loss
        from gpu_logreg.passes.sums import Sums

        sums = noise.gradient(Sums(loss_sum, grad, 0.0), self.data, *loss.unpack(phi, self.data.n_columns))
        return sums.loss_sum, sums.dw_sum, noise.hessian(H, self.data.compute_dtype)

    def noisy_epoch(name: str) -> Any:
        epoch = make_epoch(name)
        if name != "cpu":
            return epoch

        @functools.wraps(epoch)
        def call(training: Any, *arguments: Any) -> Any:
            value = epoch(training, *arguments)
            noise.parameters(training.params)
            return noise.positive(value, np.float64)

        return call

    steps_choice._epoch = noisy_epoch
    StandardisedDense.second_order = noisy_second_order
    _replace(loss_and_gradient, noisy_loss_and_gradient)
    _replace(row_logits, noisy_row_logits)
