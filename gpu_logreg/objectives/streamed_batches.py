"""Networks on streamed rows: steps on blocks in random order, shuffled in a buffer, and sums over all rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import to_numpy
from gpu_logreg.arrays.vector import Array, DTypeLike, Float64Vector, IntVector
from gpu_logreg.mathematics.network import Network
from gpu_logreg.objectives.batches import HeldBack, NetworkBatches
from gpu_logreg.objectives.network import NetworkObjective
from gpu_logreg.passes.recorded import Recall
from gpu_logreg.passes.steps_choice import Steps
from gpu_logreg.passes.training import Training
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.streamed import StreamedDataset

__all__ = ["BUFFERED_BLOCKS", "StreamedBatches", "StreamedObjective", "counted_rows"]

BUFFERED_BLOCKS = 4
"""Blocks whose rows are shuffled together. The number is fixed, so that bits do not depend on the memory."""


def counted_rows(data: StreamedDataset, dtype: DTypeLike) -> tuple[int, float]:
    """How many rows count, and the weight up to which one does not, as of `rows_with_weight`."""
    labels, least = data.labels, -1.0
    if not labels.is_weighted:
        return data.n_rows, least
    least = float(np.finfo(dtype).eps) * data.weight_total / data.n_rows
    return sum(int((labels.float64_weights(part) > least).sum()) for part in data.store.parts), least


class StreamedBatches(NetworkBatches):
    """A network in training on streamed rows.

    An epoch walks the blocks in a given order. The rows of `BUFFERED_BLOCKS` blocks at a time are copied into a buffer,
    shuffled there, and cut into batches; what is left of them begins the next buffer, so that all batches but the last
    are full. The order depends on the seed, the number of the epoch and the blocks, and on nothing else.

    Parameters
    ----------
    training, steps, held_back, best
        As of `NetworkBatches`.
    data : StreamedDataset
    seed : int or None
        Shuffles within buffers; None keeps the order of the rows.
    factor : float
        What row weights are multiplied by.
    least_weight : float
        Rows of a weight up to this are left out.
    """

    def __init__(
        self,
        training: Training,
        data: StreamedDataset,
        steps: Steps,
        held_back: HeldBack | None = None,
        best: Float64Vector | None = None,
        *,
        seed: int | None = None,
        factor: float = 1.0,
        least_weight: float = 0.0,
    ) -> None:
        super().__init__(training, data.template_there(), steps, held_back, best)
        self._data, self._seed, self._factor, self._least_weight = data, seed, factor, least_weight
        self._n_epochs = 0
        self._ends: list[Rows] = []

    def epoch(self, order: IntVector, batch_size: int, rate: float) -> float:
        """One epoch over the blocks of these numbers; its mean value, or NaN if a parameter is not finite."""
        rng = None if self._seed is None else np.random.default_rng([self._seed, self._n_epochs])
        self._n_epochs += 1
        value = total = 0.0
        self._ends = []
        for rows, at in self._buffers(order.tolist(), batch_size, rng):
            s = rows.sample_weight
            weight = float(len(at)) if s is None else float(s[at].sum(dtype=np.float64))
            self.rows = self._data.there(rows)
            mean = super().epoch(at, batch_size, rate)
            if not math.isfinite(mean):
                return math.nan
            value, total = value + mean * weight, total + weight
            last = _taken(rows, at[-batch_size:])
            self._ends = [*self._ends[:1], last] if self._ends else [_taken(rows, at[:batch_size]), last]
        return value / total

    def _buffers(
        self, order: list[int], batch_size: int, rng: np.random.Generator | None
    ) -> Iterator[tuple[Rows, IntVector]]:
        """Rows in a buffer, and the numbers of those to step on, shuffled: whole batches, and at the end all."""
        walk = self._data.store.walk(order)
        left: list[Rows] = []
        for first in range(0, len(order), BUFFERED_BLOCKS):
            numbers = order[first : first + BUFFERED_BLOCKS]
            buffer = self._filled(walk, numbers, left)
            n = len(buffer.y)
            at = np.arange(n) if rng is None else rng.permutation(n)
            n_now = n if first + BUFFERED_BLOCKS >= len(order) else n - n % batch_size
            if n_now:
                yield buffer, at[:n_now]
            left = [_taken(buffer, at[n_now:])] if n_now < n else []
        for _ in walk:  # so that rows beyond the last are refused
            pass

    def _filled(self, walk: Iterator[tuple[int, Any]], numbers: list[int], left: list[Rows]) -> Rows:
        """The rows of some blocks behind those that are left, those alone whose weight counts."""
        parts = [self._data.store.parts[number] for number in numbers]
        found, n = list(left), sum(len(rows.y) for rows in left)
        room = n + sum(part.stop - part.start for part in parts)
        out = self._data.room_for(room)
        if out is not None:
            for rows in left:
                out[:n] = rows.X
        for part in parts:
            _, X = next(walk)
            y, s = self._data.labels.labels(part), self._data.labels.weights(part)
            if s is not None:
                at = np.flatnonzero(s > self._least_weight)
                if len(at) < len(s):
                    X, y, s = X[at], y[at], s[at]
                s = s * s.dtype.type(self._factor)
            if out is None:
                found.append(Rows(X.copy(), y, s))
            else:
                out[n : n + len(y)] = X
                found.append(Rows(None, y, s))
            n += len(y)
        X = self._data.kind.joined([rows.X for rows in found]) if out is None else out[:n]
        s = None if found[0].sample_weight is None else np.concatenate([rows.sample_weight for rows in found])
        return Rows(X, np.concatenate([rows.y for rows in found]), s)

    def has_finite_loss(self, rows: IntVector) -> bool:
        """Whether the losses of the first and the last batch of the last epoch are finite at the present parameters."""
        for end in self._ends:
            self.rows = self._data.there(end)
            if not super().has_finite_loss(np.arange(len(end.y))):
                return False
        return True

    def state(self) -> dict[str, Array]:
        """As of `NetworkBatches`, and the number of epochs, by which rows are shuffled."""
        return {**super().state(), "epochs": np.array(self._n_epochs)}

    def go_to(self, state: dict[str, Array]) -> None:
        """Go to where a state was copied."""
        super().go_to(state)
        self._n_epochs = int(state["epochs"])


class StreamedObjective(NetworkObjective):
    """`NetworkObjective` over streamed rows; an evaluation is a read of all blocks.

    Parameters
    ----------
    network, l2, dtype, recall
        As of `NetworkObjective`.
    data : StreamedDataset
    factor : float
        What row weights are multiplied by.
    counted : int
        Rows that count.
    least_weight : float
        Rows of a weight up to this are left out.
    """

    def __init__(
        self,
        network: Network,
        data: StreamedDataset,
        l2: float,
        dtype: DTypeLike,
        recall: Recall | None = None,
        *,
        factor: float,
        counted: int,
        least_weight: float,
    ) -> None:
        self._data, self._factor, self._counted, self._least_weight = data, factor, counted, least_weight
        super().__init__(network, data.template(), l2, dtype, recall)

    def _weigh(self) -> None:
        self.weight_total, self._n_rows = self._data.weight_total * self._factor, self._counted

    def _sums(self, params: Float64Vector) -> tuple[float, Float64Vector]:
        loss_sum, grad = 0.0, np.zeros(self.network.n_params)
        for block in self._data.blocks_there():
            rows, at, n, s = block.rows, None, block.n_rows, block.rows.sample_weight
            if s is not None:
                weighted = np.flatnonzero(to_numpy(s) > self._least_weight)
                at, n = (None, n) if len(weighted) == n else (block.xp.asarray(weighted), len(weighted))
                rows = rows._replace(sample_weight=s * s.dtype.type(self._factor))
            block_loss, block_grad = self._sums_over(rows, at, n, params)
            loss_sum, grad = loss_sum + block_loss, grad + block_grad
        return loss_sum, grad


def _taken(rows: Rows, at: IntVector) -> Rows:
    s = None if rows.sample_weight is None else rows.sample_weight[at]
    return Rows(rows.X[at], rows.y[at], s)
