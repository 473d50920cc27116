"""Predictions of the rows of files by the workers of a Dask cluster, piece by piece."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from distributed import Client, Future
from numpy.typing import NDArray

from gpu_logreg.arrays.blocks import blas_on_one_thread
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.distributed.connection import refuse_unseen
from gpu_logreg.estimators.distributed.workers import results_of, submit_for_each
from gpu_logreg.files.load import load_prediction_data
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.pieces import Piece, opened_piece
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.unseen import UnseenCategories, unseen_categories

__all__ = ["PredictedPiece", "predicted_pieces"]

PIECES_AHEAD = 2
"""Pieces for every thread of the workers that are read before they are asked for: one while another is written."""


class PredictedPiece(NamedTuple):
    """Logits of the rows of a piece, and the categories in them that training did not see."""

    logits: NDArray[np.float64]
    unseen: dict[str, UnseenCategories]


def predicted_pieces(
    client: Client, model: Any, schema: Schema, marks: Marks, pieces: Sequence[Piece]
) -> Iterator[PredictedPiece]:
    """The predictions of all pieces, in their order, of which `PIECES_AHEAD` for every thread are held at most.

    Raises
    ------
    DataError
        One line that names a file.
    """
    refuse_unseen(client, sorted({piece.path for piece in pieces}))
    most = PIECES_AHEAD * max(1, sum(client.nthreads().values()))
    (known,) = submit_for_each(client, tuple, [(model, schema, marks)])  # sent once to a worker that asks
    ahead: deque[Future] = deque()
    for piece in pieces:
        ahead += submit_for_each(client, _predicted, [piece], known=known)
        if len(ahead) == most:
            yield results_of(client, [ahead.popleft()])[0]
    while ahead:
        yield results_of(client, [ahead.popleft()])[0]


def _predicted(piece: Piece, *, known: tuple[Any, Schema, Marks]) -> PredictedPiece:
    """A task: a piece is read and predicted."""
    model, schema, marks = known
    try:
        with opened_piece(piece) as path, blas_on_one_thread():
            rows = load_prediction_data(path, schema, piece.options, marks=marks)
            z = np.asarray(model.decision_function(schema.transform(rows)), dtype=np.float64)
    except DataError as error:
        raise DataError(f"{piece.place}{error}") from error
    return PredictedPiece(z, unseen_categories(rows, schema))
