r"""The objective of K classes: over all rows, and over a sample with two models of its curvature.

Parameters are packed class by class, ``[w_1, b_1, ..., w_K, b_K]``. The parametrisation is symmetric, as in
scikit-learn: a constant added to all ``b_k`` (without a penalty to all ``w_kj`` as well) changes no probability. Along
these directions the gradient is zero, and the models of the curvature are given some, so that they have an inverse.

With ``p_i`` the probabilities of row i and ``u_i`` the row in standardised columns, the Hessian is
``sum_i s_i (diag(p_i) - p_i p_i.T) kron u_i u_i.T / sum(s)`` plus the penalty. It is kept whole while ``K (d + 1)`` is
at most `gpu_logreg.solvers.watch.WHOLE_P`; beyond, as the Kronecker product of its mean factors (J. Martens
and R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", 2015).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.mathematics import softmax
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sample import ParamsMetric, SampleObjective, mended
from gpu_logreg.passes import Float64Vector, Rows, Sums
from gpu_logreg.rows.coordinates import Coordinates
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers.factor import Factor
from gpu_logreg.solvers.watch import keeps_whole_hessian

__all__ = ["ClasswiseCoordinates", "KroneckerFactor", "MultinomialObjective", "MultinomialSample"]

_HESSIAN_BYTES = 2**21


class MultinomialObjective(Objective):
    """Mean cross-entropy of K classes plus ridge penalty, as a function of the packed parameters.

    Parameters
    ----------
    dataset, implementation, l2, fit_intercept
        As for `gpu_logreg.objectives.linear.Objective`; the implementation is one for K logits.
    n_logits : int
        K, at least 3.
    """

    def __init__(
        self,
        dataset: ResidentDataset,
        implementation: Any,
        l2: float,
        fit_intercept: bool,
        n_logits: int,
        l1: float = 0.0,
    ) -> None:
        super().__init__(dataset, implementation, l2, fit_intercept, l1)
        self.n_logits = n_logits

    @property
    def n_params(self) -> int:
        """Length of the packed parameters."""
        return self.n_logits * (self.dataset.n_columns + int(self.fit_intercept))

    def restricted(self, dataset: ResidentDataset) -> MultinomialObjective:
        """The same objective of other columns of the rows; its reads are counted anew."""
        return MultinomialObjective(dataset, self.implementation, self.l2, self.fit_intercept, self.n_logits, self.l1)

    def unpack(self, params: Float64Vector) -> tuple[Float64Vector, Any]:
        """Weights of shape (K, d) and intercepts of shape (K,)."""
        by_class = params.reshape(self.n_logits, -1)
        d = self.dataset.n_columns
        return by_class[:, :d], by_class[:, d] if self.fit_intercept else np.zeros(self.n_logits)

    def _loss_sums(self, sums: Sums) -> Sums:
        """The same sums, with gradients that add up to 0 over the classes, as those of the loss do but for rounding."""
        return sums._replace(dw_sum=sums.dw_sum - sums.dw_sum.mean(axis=0), db_sum=sums.db_sum - sums.db_sum.mean())

    def _gradient(self, dw: Any, db: Any) -> Float64Vector:
        return np.column_stack([dw, db]).ravel() if self.fit_intercept else dw.ravel()


@dataclass(frozen=True)
class ClasswiseCoordinates:
    """`Coordinates` of every class, on packed vectors."""

    one: Coordinates
    n_logits: int

    @property
    def fit_intercept(self) -> bool:
        """Whether the last parameter of every class is an intercept."""
        return self.one.fit_intercept

    def _each(self, function: Any, packed: Float64Vector) -> Float64Vector:
        return np.asarray(function(packed.reshape(self.n_logits, -1)).ravel())

    def to_params(self, phi: Float64Vector) -> Float64Vector:
        """Packed ``[w_k, b_k]`` of packed ``phi``."""
        return self._each(self.one.to_params, phi)

    def from_params(self, params: Float64Vector) -> Float64Vector:
        """Packed ``phi`` of packed ``[w_k, b_k]``."""
        return self._each(self.one.from_params, params)

    def grad_to_params(self, grad: Float64Vector) -> Float64Vector:
        """Gradient by the parameters of a gradient by ``phi``."""
        return self._each(self.one.grad_to_params, grad)

    def grad_to_phi(self, grad: Float64Vector) -> Float64Vector:
        """Gradient by ``phi`` of a gradient by the parameters."""
        return self._each(self.one.grad_to_phi, grad)


class KroneckerFactor:
    """``H^-1 v`` for ``H = B kron A + I kron diag(penalty)``.

    With ``B = Q diag(t) Q.T`` the system falls apart into K of size p: ``(t_k A + diag(penalty))^-1`` on the k-th row
    of ``Q.T V``. The constant vector, along which ``B`` is zero, gets the mean of the other ``t``.

    Parameters
    ----------
    A : ndarray of shape (p, p)
    B : ndarray of shape (K, K)
    penalty : ndarray of shape (p,)
    """

    added = 0.0

    def __init__(self, A: Any, B: Any, penalty: Float64Vector) -> None:
        t, self._Q = np.linalg.eigh(B)
        floor = 1e-3 * float(t.mean())
        t[0] = float(t[1:].mean())
        self._factors = [Factor(max(t_k, floor) * A + np.diag(penalty)) for t_k in t]
        self.smallest_pivot = min(factor.smallest_pivot for factor in self._factors)

    def solve(self, v: Float64Vector) -> Float64Vector:
        """``H^-1 v``, of a packed vector."""
        V = self._Q.T @ v.reshape(len(self._factors), -1)
        solved = np.stack([factor.solve(row) for factor, row in zip(self._factors, V, strict=True)])
        return np.asarray((self._Q @ solved).ravel())


@dataclass(frozen=True)
class MultinomialSample(SampleObjective):
    """Weighted mean loss of K classes over the rows of a sample plus the penalty, as a function of packed ``phi``."""

    n_logits: int = 0

    def __call__(self, phi: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient at ``phi``."""
        self.count(self.n_rows / self.n_total)
        Phi = phi.reshape(self.n_logits, -1)
        dataset = ResidentDataset(Rows(self.U, self.y, self.sample_weight), self.weight_total)
        sums = dataset.sum(self.implementation, Phi, np.zeros(self.n_logits))  # the ones in U are the intercepts
        penalised = self.penalty * Phi
        value = sums.loss_sum / self.weight_total + 0.5 * float((Phi * penalised).sum())
        dw_sum = sums.dw_sum - sums.dw_sum.mean(axis=0)  # which is 0 but for rounding
        return value, (dw_sum / self.weight_total + penalised).ravel()

    def _probabilities(self, phi: Float64Vector, part: slice, dtype: Any) -> tuple[Any, Any]:
        """Rows and probabilities of a block."""
        U = self.U[part].astype(dtype, copy=False)
        Phi = array_namespace(U).asarray(phi.reshape(self.n_logits, -1).T, dtype=U.dtype)
        return U, softmax.softmax(U @ Phi)

    def curvature_sum(self, phi: Float64Vector) -> Any:
        """``sum_i s_i (diag(p_i) - p_i p_i.T) kron u_i u_i.T``, of shape (K p, K p), on the host in float64.

        The blocks beside the diagonal are symmetric, and those on it are minus the sum of the others in their row.
        """
        self.count(self.n_rows / self.n_total)
        K, p = self.n_logits, self.U.shape[1]
        if self.implementation.compiled:
            from gpu_logreg.passes.cpu.curvature import multinomial_curvature_sum

            return multinomial_curvature_sum(self.U, self.sample_weight, phi.reshape(K, p))

        def of_block(part: slice) -> Any:
            U, P = self._probabilities(phi, part, self.U.dtype)
            xp, s = array_namespace(U), self.sample_weight[part]
            blocks = xp.zeros((K, K, p, p), dtype=U.dtype)
            for k in range(K):
                weighted = U * (s * P[:, k]).astype(U.dtype)[:, None]
                for l in range(k + 1, K):  # noqa: E741 - the letter of the formula
                    block = (U * P[:, l][:, None]).T @ weighted
                    blocks[k, l] = blocks[l, k] = -block
                    blocks[k, k] += block
                    blocks[l, l] += block
            return to_numpy(blocks)  # once for the block: every copy waits for the device

        total = np.zeros((K, K, p, p))
        for blocks in self._map(of_block, _HESSIAN_BYTES, 4 * p):
            total += blocks
        return total.transpose(0, 2, 1, 3).reshape(K * p, K * p)

    def factored(self, total: Any, weight_total: float) -> Factor:
        """The Hessian from a `curvature_sum`, with the penalty, and with curvature along the constant directions."""
        K, p = self.n_logits, self.U.shape[1]
        H = (total / weight_total).reshape(K, p, K, p)
        diagonal = np.einsum("kjkj->kj", H)
        along = diagonal.mean(axis=0) / K
        for j in range(p):
            H[:, j, :, j] += along[j]
        diagonal += self.penalty
        return Factor(H.reshape(K * p, K * p))

    def mended_hessian(self, phi: Float64Vector) -> Any:
        """The Hessian at ``phi`` with a positive diagonal; the Kronecker product, written out, where that is the model.

        Of the constant directions that of the intercepts is given curvature; the others an L1 penalty takes care of.
        """
        K, p = self.n_logits, self.U.shape[1]
        if keeps_whole_hessian(K * p, K):
            return self.mended_sum(self.curvature_sum(phi), self.weight_total)
        A, B = self._factors(phi)
        return self.mended_sum(np.kron(B, A), 1.0)

    def mended_sum(self, total: Any, weight_total: float) -> Any:
        """`mended_hessian` from a `curvature_sum`."""
        K, p = self.n_logits, self.U.shape[1]
        H = (total / weight_total).reshape(K, p, K, p)
        if self.coordinates.fit_intercept:
            H[:, p - 1, :, p - 1] += np.einsum("kk->k", H[:, p - 1, :, p - 1]).mean() / K
        diagonal = np.einsum("kjkj->kj", H)
        diagonal += self.penalty
        return mended(H.reshape(K * p, K * p), self.penalty)

    def curvature_root(self, phi: Float64Vector) -> Any:
        """As `SampleObjective.curvature_root`, with what `mended_hessian` gives the constant direction of intercepts.

        ``diag(p) - p p.T = S S.T`` with ``S = diag(r) - p r.T`` and ``r = sqrt(p)``.
        """
        K, p = self.n_logits, self.U.shape[1]
        P = self._probabilities(phi, slice(None), np.float64)[1]
        roots = np.sqrt(P)
        S = -P[:, :, None] * roots[:, None, :]
        S[:, np.arange(K), np.arange(K)] = roots * (P @ (1.0 - np.eye(K)))  # 1 - p without cancellation
        S *= np.sqrt(self.sample_weight / self.weight_total)[:, None, None]
        A = (S.transpose(0, 2, 1)[..., None] * self.U[:, None, None, :]).reshape(-1, K * p)
        if not self.coordinates.fit_intercept:
            return A
        along = np.zeros((1, K * p))
        along[0, p - 1 :: p] = math.sqrt((A[:, p - 1 :: p] ** 2).sum()) / K
        return np.concatenate([A, along])

    def kronecker(self, phi: Float64Vector) -> KroneckerFactor:
        """The Hessian at ``phi`` as the product of its mean factors.

        ``B`` is the mean of ``diag(p_i) - p_i p_i.T``, ``A`` that of ``u_i u_i.T`` with the trace of the former as
        weight, scaled so that the traces agree.
        """
        A, B = self._factors(phi)
        return KroneckerFactor(A, B, self.penalty)

    def _factors(self, phi: Float64Vector) -> tuple[Any, Any]:
        self.count(self.n_rows / self.n_total)
        K = self.n_logits

        def of_block(part: slice) -> tuple[Any, Any, float]:
            U, P = self._probabilities(phi, part, self.U.dtype)
            s = self.sample_weight[part].astype(U.dtype)
            weight = s * array_namespace(U).maximum(1 - (P * P).sum(axis=1), 0)  # rounding may leave less
            B = (s[:, None] * P).T @ P
            rooted = U * array_namespace(U).sqrt(weight)[:, None]  # of a product with itself BLAS takes one half
            return (
                to_numpy(rooted.T @ rooted).astype(np.float64),
                (to_numpy((s[:, None] * P).sum(axis=0)), to_numpy(B)),
                float(weight.sum()),
            )

        A, mean, square, trace = 0.0, np.zeros(K), np.zeros((K, K)), 0.0
        for A_block, (mean_block, square_block), trace_block in self._map(of_block, _HESSIAN_BYTES, 4 * K):
            A, mean, square, trace = A + A_block, mean + mean_block, square + square_block, trace + trace_block
        B = (np.diag(mean) - square) / self.weight_total
        return A / max(trace, 1e-300), B

    def metric(self, phi: Float64Vector) -> Any:
        """The Kronecker product: for the sample itself, whose walks cost little."""
        return self.kronecker(phi)

    def params_metric(self, phi: Float64Vector) -> ParamsMetric:
        """The Hessian at ``phi`` as a metric by the parameters; whole where it is small enough."""
        if keeps_whole_hessian(self.n_logits * self.U.shape[1], self.n_logits):
            return ParamsMetric(self.coordinates, self.factored(self.curvature_sum(phi), self.weight_total))
        return ParamsMetric(self.coordinates, self.kronecker(phi))
