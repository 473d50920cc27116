"""The objective of a network over all rows: value and gradient on the host in float64, for full-batch solvers."""

from __future__ import annotations

import math

import numpy as np

from gpu_logreg.arrays.block_sizes import NETWORK
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.csr import elements_in_a_row
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, DTypeLike, Float64Vector
from gpu_logreg.mathematics.network import Network, loss_and_gradient
from gpu_logreg.mathematics.penalty import l2_penalty
from gpu_logreg.passes.recorded import Recall
from gpu_logreg.passes.training import rows_with_weight, take_batch
from gpu_logreg.rows.block import Rows

__all__ = ["NetworkObjective"]


class NetworkObjective:
    """Mean loss plus penalty of a network, ``value = loss_sum / sum(s) + l2 |W|**2 / 2``.

    Parameters
    ----------
    network : Network
    rows : Rows
        Rows of weight zero are skipped.
    l2 : float
        Strength of the ridge penalty on the mean loss; intercepts are not penalised.
    dtype : dtype
        Dtype of the arithmetic within a block of rows; the sums of blocks are added in float64.
    recall : Recall or None
        Where the sums over all rows are recorded.

    Attributes
    ----------
    n_reads : float
        Evaluations so far.
    precision, rounding : float
        Relative rounding of the arithmetic, and relative size below which differences of the value are rounding.
    separable_below : float
        0: a network may reach a value near 0, and its fit then ends by the other criteria.
    """

    separable_below = 0.0

    def __init__(self, network: Network, rows: Rows, l2: float, dtype: DTypeLike, recall: Recall | None = None) -> None:
        self.network = network
        self.rows = rows
        self.l2 = l2
        self.dtype = np.dtype(dtype)
        self._recall = recall
        self._weighted_rows: Array | None = None
        self._weigh()
        self.n_reads = 0.0
        self.precision = float(np.finfo(self.dtype).eps)
        self.rounding = 4.0 * float(np.finfo(np.float64).eps)

    def _weigh(self) -> None:
        """Find the weight of all rows, and which of them have some."""
        X, _, s = self.rows
        self.weight_total = float(X.shape[0]) if s is None else float(s.sum(dtype=np.float64))
        weighted = rows_with_weight(s, X.shape[0], self.dtype)
        self._weighted_rows = None if len(weighted) == X.shape[0] else array_namespace(X).asarray(weighted)
        self._n_rows = len(weighted)

    def widen(self) -> bool:
        """False: a network keeps the dtype of its arithmetic throughout a fit."""
        return False

    def __call__(self, params: Float64Vector) -> tuple[float, Float64Vector]:
        """Value and gradient at ``params``, from one walk over the rows; not finite where the arithmetic overflows."""
        if self._recall is None:
            loss_sum, grad = self._sums(params)
        else:
            loss_sum, grad = self._recall("network", (params,), lambda: self._sums(params))
        self.n_reads += 1
        n_weights = self.network.n_weights
        penalty, penalty_grad = l2_penalty(params[:n_weights], self.l2)
        grad /= self.weight_total
        grad[:n_weights] += penalty_grad
        value = loss_sum / self.weight_total + penalty
        # As of `gpu_logreg.objectives.linear.Objective`, with logits of the size of 1.
        by_rows = self.precision * (1.0 + math.sqrt(2.0 / max(abs(value), 1e-300))) / math.sqrt(self._n_rows)
        self.rounding = 4.0 * float(np.finfo(np.float64).eps) + by_rows
        return value, grad

    def _sums(self, params: Float64Vector) -> tuple[float, Float64Vector]:
        """Sums over the rows of the loss and of its gradient."""
        return self._sums_over(self.rows, self._weighted_rows, self._n_rows, params)

    def _sums_over(self, rows: Rows, at: Array | None, n: int, params: Float64Vector) -> tuple[float, Float64Vector]:
        """The sums over ``n`` of some rows, those of the numbers ``at``; None: over all of them."""
        X = rows.X
        xp = array_namespace(X)
        device_params = xp.asarray(params.astype(self.dtype))
        loss_sum, grad = 0.0, np.zeros(self.network.n_params)

        def of_block(part: slice) -> tuple[Array, Array]:
            block = take_batch(rows, part if at is None else at[part], self.dtype)
            return loss_and_gradient(self.network, device_params, *block)

        widest = max(elements_in_a_row(X), *self.network.sizes[1:]) * self.dtype.itemsize
        for block_loss, block_grad in map_row_blocks(of_block, X, NETWORK, n=n, row_bytes=widest):
            loss_sum += float(to_numpy(block_loss))
            grad += to_numpy(block_grad)
        return loss_sum, grad
