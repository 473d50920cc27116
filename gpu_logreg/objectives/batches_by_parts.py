"""Training of a network on rows that live in parts: every part walks over its share of a batch, and sums are added.

A batch takes from every part the share of its rows that the batch has of all rows, rounded up or down at random, in an
order that the part shuffles by the seed of the epoch and its own number. So neither the rows of a batch nor the order
in which its sums are added depend on where a part is, and nothing of the length of the rows is kept by the solver.
"""

from __future__ import annotations

import functools
import math
import operator
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.block_sizes import NETWORK
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.csr import elements_in_a_row
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, DTypeLike, Float64Vector, IntVector
from gpu_logreg.mathematics.network import Network, forward, is_right, loss_and_gradient
from gpu_logreg.objectives.batches import TrainingState
from gpu_logreg.objectives.network import NetworkObjective
from gpu_logreg.passes.recorded import Recall
from gpu_logreg.passes.training import Training, take_batch
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.part import Part
from gpu_logreg.rows.parted import PartedDataset

__all__ = ["Cut", "PartedBatches", "PartedObjective", "auto_batch_size"]

_AUTO_ROWS = 200
"""Rows of every part in a batch of the size ``"auto"``."""

_AUTO_STEPS = 50
"""Least number of batches of that size in an epoch, unless they would have fewer than `_AUTO_ROWS` rows."""


class Cut(NamedTuple):
    """How parts are cut into rows that are trained on, in batches, and rows that are held back.

    Attributes
    ----------
    network : Network
    dtype : str
        Of the arithmetic.
    least_weight : float
        Rows of this weight or less are passed over: see `gpu_logreg.passes.training.rows_with_weight`.
    factor : float
        Times which weights are taken.
    share : float
        Of the rows that are held back.
    seed : int
    shuffle : bool
    """

    network: Network
    dtype: str
    least_weight: float
    factor: float
    share: float
    seed: int
    shuffle: bool


def auto_batch_size(n_rows: int, n_parts: int) -> int:
    """Rows of a batch where the user names no number: a step takes a message to every part and back.

    Examples
    --------
    >>> auto_batch_size(1_000_000, 8), auto_batch_size(20_000, 8), auto_batch_size(150, 8)
    (1600, 400, 150)
    """
    return min(n_rows, max(_AUTO_ROWS, min(_AUTO_ROWS * n_parts, n_rows // _AUTO_STEPS)))


class PartedBatches(TrainingState):
    """A network in training on rows in parts, as `gpu_logreg.solvers.minibatch` sees it.

    Parameters
    ----------
    training : Training
        On the host.
    data : PartedDataset
    cut : Cut
    best : ndarray of shape (n_params,) or None
        As of `TrainingState`.

    Attributes
    ----------
    n_rows, n_held_back : int
        Rows that are trained on, and those that are held back.
    """

    def __init__(self, training: Training, data: PartedDataset, cut: Cut, best: Float64Vector | None = None) -> None:
        super().__init__(training, best)
        self._data, self._cut, self._epoch = data, cut, 0
        sizes = data.parts.each(_sizes, cut, own=self._own())
        self.n_rows, self.n_held_back = (sum(column) for column in zip(*sizes, strict=True))

    def _own(self, *more: Any) -> list[tuple[Any, ...]]:
        return [(k, *more) for k in range(len(self._data.shapes))]

    def _sums(self, n_batches: int, t: int) -> tuple[float, float, Float64Vector]:
        """Weight, loss and gradient of a batch."""
        params = self.training.params
        found = self._data.parts.each(_batch_sums, self._cut, params, self._epoch, n_batches, t, own=self._own())
        weight, loss = (sum(column) for column in list(zip(*found, strict=True))[:2])
        return weight, loss, functools.reduce(operator.add, [grad for _, _, grad in found if grad is not None])

    def epoch(self, order: Any, batch_size: int, rate: float) -> float:
        """One epoch; its mean value, or NaN if a parameter is not finite."""
        training, n_weights = self.training, self.training.network.n_weights
        params = training.params
        trained = slice(training.n_trained)
        value_sum = total = 0.0
        n_batches = self._batches(batch_size)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for t in range(n_batches):
                weight, loss, grad = self._sums(n_batches, t)
                if weight == 0.0:  # of few rows in many parts
                    continue
                l2 = training.fixed_l2 + training.alpha / weight
                W = params[:n_weights]
                value_sum += loss + 0.5 * l2 * weight * float((W * W).sum(dtype=np.float64))
                total += weight
                grad = (grad / weight).astype(params.dtype)
                grad[:n_weights] += l2 * W
                training.optimizer.update(params[trained], grad[trained], rate, n_weights)
            self._epoch += 1
            return float(value_sum / total) if np.isfinite(params).all() else math.nan

    def _batches(self, batch_size: int) -> int:
        return int(-(-self.n_rows // batch_size))

    def has_finite_loss(self, rows: range) -> bool:
        """Whether the loss of a batch at the beginning or at the end of an epoch is finite at the parameters."""
        n_batches = self._batches(len(rows))
        with np.errstate(over="ignore", invalid="ignore"):
            return math.isfinite(self._sums(n_batches, 0 if rows.start == 0 else n_batches - 1)[1])

    def score(self) -> float:
        """Weighted accuracy on the rows held back."""
        found = self._data.parts.each(_score, self._cut, self.training.params, own=self._own())
        right, total = (sum(column) for column in zip(*found, strict=True))
        return float(right / total)

    def state(self) -> dict[str, Array]:
        """Copies of all that epochs to come depend on but the rows."""
        return {**super().state(), "epoch": np.array(self._epoch)}

    def go_to(self, state: dict[str, Array]) -> None:
        """Go to where a state was copied."""
        super().go_to(state)
        self._epoch = int(state["epoch"])


class PartedObjective(NetworkObjective):
    """`NetworkObjective` over rows in parts.

    Parameters
    ----------
    network : Network
    data : PartedDataset
    l2 : float
    dtype : dtype
    cut : Cut
        Its weights.
    recall : Recall or None
    """

    def __init__(
        self,
        network: Network,
        data: PartedDataset,
        l2: float,
        dtype: DTypeLike,
        cut: Cut,
        recall: Recall | None = None,
    ) -> None:
        super().__init__(network, data.template(), l2, dtype, recall)
        self.weight_total, self._n_rows = data.weight_total * cut.factor, data.n_rows
        self._data, self._cut = data, cut

    def _sums(self, params: Float64Vector) -> tuple[float, Float64Vector]:
        found = self._data.parts.each(_sums, self._cut, params.astype(self.dtype))
        return sum(loss for loss, _ in found), functools.reduce(operator.add, [grad for _, grad in found])


# ---- what is asked of a part


def _rows(part: Part, cut: Cut, k: int) -> tuple[IntVector, IntVector]:
    """Numbers of the rows that are trained on, and of those held back."""

    def split() -> tuple[IntVector, IntVector]:
        s = part.data.rows.sample_weight
        at = np.arange(part.data.n_rows) if s is None else np.flatnonzero(to_numpy(s) > cut.least_weight)
        if not cut.share:
            return at, at[:0]
        rng = np.random.default_rng([cut.seed, k])
        n_held_back = int(cut.share * len(at) + rng.random())
        shuffled = rng.permutation(at)
        return np.sort(shuffled[n_held_back:]), np.sort(shuffled[:n_held_back])

    found: tuple[IntVector, IntVector] = part.kept("rows of batches", (cut, k), split)
    return found


def _sizes(part: Part, cut: Cut, k: int) -> tuple[int, int]:
    trained, held_back = _rows(part, cut, k)
    return len(trained), len(held_back)


def _batch_sums(
    part: Part, cut: Cut, params: Array, epoch: int, n_batches: int, t: int, k: int
) -> tuple[float, float, Float64Vector | None]:
    """Weight, loss and gradient of the rows of a part in a batch."""

    def order() -> tuple[IntVector, float]:
        rows = _rows(part, cut, k)[0]
        rng = np.random.default_rng([cut.seed, k, epoch])
        return (rng.permutation(rows) if cut.shuffle else rows), rng.random()

    rows, rounded = part.kept("order", (cut, k, epoch), order)
    first, stop = (int(len(rows) * edge / n_batches + rounded) for edge in (t, t + 1))
    if first == stop:
        return 0.0, 0.0, np.zeros(len(params))
    loss, grad, weight = _sums_of(part, cut, params, rows[first:stop])
    return weight, loss, grad


def _sums_of(part: Part, cut: Cut, params: Array, at: Any) -> tuple[float, Float64Vector, float]:
    X, y, s = _taken(part, cut, at)
    loss, grad = loss_and_gradient(cut.network, array_namespace(X).asarray(params), X, y, s)
    factor = cut.factor if s is None else 1.0  # other parts may have weights
    weight = X.shape[0] * factor if s is None else float(to_numpy(s.sum(dtype=np.float64)))
    return factor * float(to_numpy(loss)), factor * to_numpy(grad).astype(np.float64), weight


def _taken(part: Part, cut: Cut, at: Any) -> Rows:
    X, y, s = take_batch(part.data.rows, part.data.xp.asarray(at), np.dtype(cut.dtype))
    return Rows(X, y, None if s is None else s * s.dtype.type(cut.factor))


def _sums(part: Part, cut: Cut, params: Array) -> tuple[float, Float64Vector]:
    """Loss and gradient of all rows of a part."""
    rows = _rows(part, cut._replace(share=0.0), 0)[0]
    loss, grad = 0.0, np.zeros(len(params))
    X = part.data.rows.X
    widest = max(elements_in_a_row(X), *cut.network.sizes[1:]) * np.dtype(cut.dtype).itemsize

    def of_block(block: slice) -> tuple[float, Float64Vector, float]:
        return _sums_of(part, cut, params, rows[block])

    for block_loss, block_grad, _ in map_row_blocks(of_block, X, NETWORK, n=len(rows), row_bytes=widest):
        loss += block_loss
        grad += block_grad
    return loss, grad


def _score(part: Part, cut: Cut, params: Array, k: int) -> tuple[float, float]:
    """Weight of the rows held back that are predicted rightly, and of all of them."""
    rows = _rows(part, cut, k)[1]
    if not len(rows):
        return 0.0, 0.0
    X, y, s = _taken(part, cut, rows)
    layers = cut.network.unpack(array_namespace(X).asarray(params))
    hits = is_right(forward(layers, X, cut.network.activation)[1], y)
    if s is None:
        return cut.factor * float(hits.sum()), cut.factor * len(rows)
    return float((hits * s).sum(dtype=np.float64)), float(s.sum(dtype=np.float64))
