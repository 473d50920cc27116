"""Accuracy, log loss and area under the ROC curve of a model on rows on a cluster, which stay there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.estimators.distributed.workers import computed_blocks, results_of, submit_for_each
from gpu_logreg.mathematics.logistic import row_loss
from gpu_logreg.mathematics.softmax import loss_and_dz as softmax_loss

__all__ = ["Scores", "scores_of"]

_MOST_EDGES = 2**12
"""Most logits between which rows are counted for the area under the curve; so many rows, or fewer, are sorted whole."""


class Scores(NamedTuple):
    """What a model is worth on some rows.

    Attributes
    ----------
    n, right : int
        Rows, and those of them whose class is predicted rightly.
    loss : float
        Sum of their log losses, but of labels that the model does not know.
    n_known : int
        Rows whose label it knows.
    counts : ndarray of shape (K,)
        Rows of every class.
    auc : float or None
        Of two classes; None where the rows have one.
    """

    n: int
    right: int
    loss: float
    n_known: int
    counts: NDArray[np.int64]
    auc: float | None = None


class _Scored(NamedTuple):
    scores: Scores
    z: Float64Vector | None
    is_second: NDArray[np.bool_] | None


def scores_of(client: Client, model: Any, blocks: Sequence[Any]) -> Scores:
    """The scores of the rows of some blocks, which are delayed tuples that begin with rows and labels.

    Logits are taken for equal, for the area, where none of `_MOST_EDGES` quantiles of them is between them.
    """
    (futures,) = computed_blocks(client, [(block,) for block in blocks])
    scored = submit_for_each(client, _scored, futures, model=model)
    found: list[Scores] = results_of(client, submit_for_each(client, _scores, scored))
    n, right, loss, n_known, counts = (sum(column) for column in list(zip(*found, strict=True))[:5])
    if len(counts) != 2 or not np.all(counts):
        return Scores(n, right, loss, n_known, counts)
    edges = np.unique(np.concatenate(results_of(client, submit_for_each(client, _quantiles, scored))))
    if len(edges) > _MOST_EDGES:
        edges = edges[np.linspace(0, len(edges) - 1, _MOST_EDGES).astype(np.intp)]
    less, more = sum(results_of(client, submit_for_each(client, _counts_between, scored, edges=edges)))
    before = np.cumsum(less) - less
    auc = float(more @ (before + 0.5 * less)) / (float(counts[0]) * float(counts[1]))
    return Scores(n, right, loss, n_known, counts, auc)


def _scored(block: tuple[Any, ...], *, model: Any) -> _Scored:
    """A task: the scores of a block, and of two classes the logits, which stay there."""
    X, y = block[:2]
    n_classes = len(model.classes_)
    if not X.shape[0]:
        return _Scored(Scores(0, 0, 0.0, 0, np.zeros(n_classes, np.int64)), None, None)
    codes = np.minimum(np.searchsorted(model.classes_, y), n_classes - 1)
    is_known = np.asarray(model.classes_[codes] == y)
    z = np.asarray(model.decision_function(X), dtype=np.float64)
    known, z_known = codes[is_known], z[is_known]
    if z.ndim == 1:
        decided, loss = (z_known > 0).astype(np.intp), row_loss(z_known, known.astype(np.float64))
    else:
        decided, loss = z_known.argmax(axis=1), softmax_loss(z_known, known)[0]
    counts = np.bincount(known, minlength=n_classes)
    scores = Scores(len(codes), int((decided == known).sum()), float(loss.sum()), len(known), counts)
    return _Scored(scores, z_known, known == 1) if z.ndim == 1 else _Scored(scores, None, None)


def _scores(scored: _Scored) -> Scores:
    return scored.scores


def _quantiles(scored: _Scored) -> Float64Vector:
    if scored.z is None:
        return np.zeros(0)
    z = np.sort(scored.z)
    return z[np.linspace(0, len(z) - 1, min(len(z), _MOST_EDGES)).astype(np.intp)]


def _counts_between(scored: _Scored, *, edges: Float64Vector) -> NDArray[np.int64]:
    """Rows of the first class and of the second below the first edge, at it, between it and the next, and so on."""
    n = 2 * len(edges) + 1
    if scored.z is None or scored.is_second is None:
        return np.zeros((2, n), np.int64)
    at = np.searchsorted(edges, scored.z, "left") + np.searchsorted(edges, scored.z, "right")
    return np.stack([np.bincount(at[scored.is_second == second], minlength=n) for second in (False, True)])
