"""The objective on a sample of the rows, in standardised columns, with its Hessian.

Rows of the sample are copied once, as ``u = [(x - mean) / scale, 1]``; the data themselves are never changed. In these
coordinates ``z = u @ phi`` with ``phi = [w scale, b + mean @ w]``, and no column is large, tiny or nearly constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from gpu_logreg.arrays.blocks import map_in_order, row_blocks
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.mathematics.logistic import loss_dz_and_curvature
from gpu_logreg.passes import Float64Vector, Rows
from gpu_logreg.passes.choice import Implementation
from gpu_logreg.passes.reference.curvature import curvature_sums
from gpu_logreg.rows.coordinates import Coordinates
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers import Metric
from gpu_logreg.solvers.factor import Factor, poorly_conditioned

__all__ = ["ParamsMetric", "SampleObjective", "hessian_namespace", "mended"]

# Blocks fit into the second-level cache of a core.
_HESSIAN_BYTES = 2**21

DEVICE_FACTOR_P = 512
"""Parameters from which the Hessian of rows on a GPU stays there and is factored there. Not measured on a GPU.

Below, a factorisation takes the host a few milliseconds; every ``solve(v)`` on a GPU costs copies and launches.
"""

NEXT_TO_NOTHING = 1e-12
"""Curvature, relative to the largest of the loss, of a coordinate that has none, for those that look for such."""

T = TypeVar("T")


def hessian_namespace(U: Any, p: int) -> Any:
    """Where the ``p`` by ``p`` Hessian of the rows ``U`` is kept and factored: with the rows, or on the host."""
    return np if p < DEVICE_FACTOR_P else array_namespace(U)


def mended(H: Any, penalty: Float64Vector, factor: Factor | None = None) -> Any:
    """``H`` on the host, with a positive diagonal, and what a factorisation had to add to it.

    ``penalty`` is what of the diagonal is the ridge's, if need be to be repeated for every class.
    """
    H = to_numpy(H)
    diagonal = H.diagonal()
    added = 0.0 if factor is None else factor.added
    of_loss = diagonal - np.resize(penalty, len(H))
    least = NEXT_TO_NOTHING * (float(of_loss.max(initial=0.0)) or 1.0)
    H.flat[:: len(H) + 1] = np.where(diagonal > 0.0, diagonal, least) * (1.0 + added)
    return H


@dataclass(frozen=True)
class ParamsMetric:
    """A model of the curvature by ``phi``, as one by ``[w, b]``: ``H^-1 = T Hphi^-1 T.T``."""

    coordinates: Coordinates
    factor: Metric

    def solve(self, v: Float64Vector) -> Float64Vector:
        """``H^-1 v``."""
        return self.coordinates.to_params(self.factor.solve(self.coordinates.grad_to_phi(v)))


@dataclass(frozen=True)
class SampleObjective:
    """Weighted mean loss over the rows of a sample plus the penalty, as a function of ``phi``.

    Attributes
    ----------
    U : array of shape (m, p)
        Rows in standardised coordinates, where the data live.
    y, sample_weight : arrays of shape (m,)
        ``sample_weight`` includes one over the probability with which the row was drawn.
    weight_total : float
    penalty : ndarray of shape (p,)
        Diagonal of the penalty by ``phi``.
    coordinates : Coordinates
    implementation : Implementation
        The pass that walks the rows, as for the whole data.
    count : function share -> None
        Told the share of all rows that was walked.
    n_total : int
        Rows of the whole data.
    """

    U: Any
    y: Any
    sample_weight: Any
    weight_total: float
    penalty: Float64Vector
    coordinates: Coordinates
    implementation: Implementation
    count: Callable[[float], None]
    n_total: int

    @property
    def n_rows(self) -> int:
        """Rows of the sample."""
        return int(self.U.shape[0])

    @property
    def rounding(self) -> float:
        """Relative size below which differences of the value are rounding."""
        return float(np.finfo(self.U.dtype).eps)

    @property
    def precision(self) -> float:
        """Relative rounding of the arithmetic behind one row."""
        return self.rounding

    def rounding_at(self, phi: Float64Vector, value: float) -> float:
        """As `rounding`, where logits are sums of terms that may cancel: see `gpu_logreg.objectives.linear.Objective`.

        The random sum ``sum dz_i off_i / n`` is no more than ``off value`` either, since ``|dz| <= row_loss``.
        """
        terms = float(np.linalg.norm(phi))
        return self.precision * max(1.0, terms * math.sqrt(min(1.0, 2.0 / max(abs(value), 1e-300) / self.n_rows)))

    @property
    def separable_below(self) -> float:
        """Samples are solved roughly; whether the classes are separable is for the whole data to tell."""
        return 0.0

    def widen(self) -> bool:
        """Not for a sample, which is solved roughly."""
        return False

    def __call__(self, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient at ``phi``."""
        self.count(self.n_rows / self.n_total)
        dataset = ResidentDataset(Rows(self.U, self.y, self.sample_weight), self.weight_total)
        sums = dataset.sum(self.implementation, phi, 0.0)  # the ones in U are the intercept
        penalised = self.penalty * phi
        value = sums.loss_sum / self.weight_total + 0.5 * float(phi @ penalised)
        return value, sums.dw_sum / self.weight_total + penalised

    def second_order(self, phi: Float64Vector) -> tuple[float, Float64Vector, Any]:
        """Value, gradient and Hessian at ``phi``, all rows at once: for small data on the host."""
        self.count(2.0 * self.n_rows / self.n_total)  # a gradient and a Hessian
        row_loss, dz, d2z = loss_dz_and_curvature(self.U @ phi, self.y)
        s, penalised = self.sample_weight, self.penalty * phi
        value = float(s @ row_loss) / self.weight_total + 0.5 * float(phi @ penalised)
        A = self.U * np.sqrt(s * d2z / self.weight_total)[:, None]
        H = A.T @ A
        H.flat[:: len(phi) + 1] += self.penalty
        return value, (s * dz) @ self.U / self.weight_total + penalised, H

    def curvature_root(self, phi: Float64Vector) -> Any:
        """``A`` with ``A.T @ A`` the Hessian of the loss at ``phi``: for small data on the host.

        Nearly equal columns differ by less than the digits of ``A.T @ A`` show, and by more than those of ``A``.
        """
        d2z = loss_dz_and_curvature(self.U @ phi, self.y)[2]
        return self.U * np.sqrt(self.sample_weight * d2z / self.weight_total)[:, None]

    def _logits(self, phi: Float64Vector, part: slice) -> Any:
        return self.U[part] @ array_namespace(self.U).asarray(phi, dtype=self.U.dtype)

    def _map(self, function: Callable[[slice], T], block_bytes: int, least_rows: int = 1) -> list[T]:
        """``function`` of every block of rows, in order; on the host, of several at once."""
        if array_namespace(self.U) is not np:
            return [function(slice(0, self.n_rows))]
        row_bytes = self.U.shape[1] * self.U.dtype.itemsize
        return map_in_order(function, row_blocks(self.n_rows, row_bytes, block_bytes, least_rows))

    def thin(self, k: int) -> SampleObjective:
        """Every k-th row of the sample."""
        if k == 1:
            return self
        contiguous = array_namespace(self.U).ascontiguousarray  # the cuda pass takes no strides
        U, y, s = (contiguous(array[::k]) for array in (self.U, self.y, self.sample_weight))
        return replace(self, U=U, y=y, sample_weight=s, weight_total=float(s.sum(dtype=np.float64)))

    def hessian(self, phi: Float64Vector, dtype: Any = None) -> Any:
        """Second derivative of the value by ``phi``, in float64, summed in ``dtype``; see `hessian_namespace`.

        ``sum_i s_i p_i (1 - p_i) u_i u_i.T / sum(s) + diag(penalty)``
        """
        self.count(self.n_rows / self.n_total)
        dtype = np.dtype(dtype or self.U.dtype)
        p = self.U.shape[1]
        xp = hessian_namespace(self.U, p)

        def of_block(part: slice) -> Any:
            block = self.U[part].astype(dtype, copy=False)
            sums = curvature_sums(block, self._logits(phi, part), self.sample_weight[part])
            return to_numpy(sums) if xp is np else sums

        total = xp.zeros((p, p))
        for block in self._map(of_block, _HESSIAN_BYTES, 2 * p):
            total += block
        total /= self.weight_total
        total += xp.diag(xp.asarray(self.penalty))
        return total

    def metric(self, phi: Float64Vector) -> Factor:
        """The Hessian at ``phi``, factored; summed again in float64 where float32 has left it nearly singular."""
        return self._curvature(phi)[1]

    def mended_hessian(self, phi: Float64Vector) -> Any:
        """The matrix behind `metric`, on the host; in float64 it is not factored to see whether it can be."""
        if self.U.dtype == np.float64:
            return mended(self.hessian(phi), self.penalty)
        H, factor = self._curvature(phi)
        return mended(H, self.penalty, factor)

    def _curvature(self, phi: Float64Vector) -> tuple[Any, Factor]:
        H = self.hessian(phi)
        factor = Factor(H)
        if self.U.dtype != np.float64 and poorly_conditioned(factor, float(np.finfo(self.U.dtype).eps)):
            H = self.hessian(phi, np.float64)
            return H, Factor(H, noise=float(np.finfo(self.U.dtype).eps))
        return H, factor

    def params_metric(self, phi: Float64Vector) -> ParamsMetric:
        """The Hessian at ``phi`` as a metric by ``[w, b]``."""
        return ParamsMetric(self.coordinates, self.metric(phi))
