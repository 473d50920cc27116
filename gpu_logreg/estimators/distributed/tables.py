"""Tables in files, read and encoded piece by piece on the workers of a Dask cluster."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from dask import delayed
from distributed import Client
from numpy.typing import NDArray

from gpu_logreg.arrays.random import is_drawn
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.distributed.connection import refuse_unseen
from gpu_logreg.estimators.distributed.workers import computed_blocks, results_of, submit_for_each
from gpu_logreg.estimators.label_types import label_array
from gpu_logreg.estimators.streamed_labels import LabelsByBlock
from gpu_logreg.files.column_looks import ColumnLook, look_at_columns, schema_of_looks
from gpu_logreg.files.column_names import Source
from gpu_logreg.files.load import load_training_data
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.pieces import Piece, opened_piece
from gpu_logreg.files.row_weights import take_weights
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.table import Table

__all__ = ["HeldBack", "TableOnCluster", "Wanted"]


class Wanted(NamedTuple):
    """What is read of every piece.

    Attributes
    ----------
    target, weight : str or None
    drop : sequence of str
    dtype : str
    dense : bool
    """

    target: str | None
    weight: str | None
    drop: tuple[str, ...]
    dtype: str
    dense: bool


class _ReadPiece(NamedTuple):
    table: Table
    labels: NDArray[Any]
    weights: NDArray[np.float64] | None
    told: tuple[str, ...]


class _PieceLook(NamedTuple):
    """What is told of a piece.

    Attributes
    ----------
    n_rows : int
    columns : dict
    labels, counts : ndarray
        All that occur, and how often.
    marks : Marks
    told : sequence of str
        Remarks and warnings.
    """

    n_rows: int
    columns: Mapping[str, ColumnLook]
    labels: NDArray[Any]
    counts: NDArray[np.int64]
    marks: Marks
    told: tuple[str, ...]


class HeldBack(NamedTuple):
    """A random share of the rows, to test on; see `gpu_logreg.arrays.random.is_drawn`."""

    share: float
    seed: int


@dataclass(frozen=True)
class TableOnCluster:
    """The rows of some files on the workers, which read them once; see `TableOnCluster.read`.

    Attributes
    ----------
    client : Client
    read_pieces : sequence of delayed values
    schema : Schema
    sizes : sequence of int
        Rows of every piece.
    classes, counts : ndarray
        The labels, and how many rows have each.
    marks : Marks
    told : sequence of str
        Lines for the user on how files were read.
    """

    client: Client
    read_pieces: Sequence[Any]
    schema: Schema
    sizes: Sequence[int]
    classes: NDArray[Any]
    counts: NDArray[np.int64]
    marks: Marks
    told: tuple[str, ...]
    wanted: Wanted

    @property
    def n_rows(self) -> int:
        """Rows of all pieces."""
        return sum(self.sizes)

    @classmethod
    def read(cls, client: Client, pieces: Sequence[Piece], wanted: Wanted, name: str) -> TableOnCluster:
        """Read the pieces on the workers, and learn the schema of all.

        Raises
        ------
        DataError
            One line that names a file.
        """
        refuse_unseen(client, sorted({piece.path for piece in pieces}))
        read_pieces = client.persist([delayed(_read, pure=False)(piece, wanted) for piece in pieces])
        (futures,) = computed_blocks(client, [(one,) for one in read_pieces])
        looks: list[_PieceLook] = results_of(client, submit_for_each(client, _look, futures))
        places = [f"{piece.place}{piece.path}" for piece in pieces]
        schema = schema_of_looks([look.columns for look in looks], places, name)
        labels = LabelsByBlock()
        for look, place in zip(looks, places, strict=True):
            labels.add(label_array(look.labels), f"{place}: ")
        classes, codes = labels.encoded()
        counts = np.zeros(len(classes), np.int64)
        np.add.at(counts, codes, np.concatenate([look.counts for look in looks]))
        told = dict.fromkeys(line for look in looks for line in look.told)
        sizes = [look.n_rows for look in looks]
        marks = _marks(looks, places)
        return cls(client, read_pieces, schema, sizes, classes, counts, marks, tuple(told), wanted)

    def blocks(
        self, positive: NDArray[Any] | None = None, held_back: HeldBack | None = None, *, tested: bool = False
    ) -> list[Any]:
        """Delayed tuples of encoded rows, labels and weights.

        Parameters
        ----------
        positive : ndarray, optional
            Labels that are set apart: those of the rows are booleans then.
        held_back : HeldBack, optional
            Rows that are left out, by their numbers in all pieces.
        tested : bool
            Whether these are left, and all others are out.
        """
        encode, firsts = delayed(_encoded, pure=False), [0, *np.cumsum(self.sizes)[:-1].tolist()]
        return [
            encode(one, self.schema, self.wanted, positive, None if held_back is None else (held_back, first, tested))
            for one, first in zip(self.read_pieces, firsts, strict=True)
        ]


def _marks(looks: Sequence[_PieceLook], places: Sequence[str]) -> Marks:
    first: Marks | None = None
    for look, place in zip(looks, places, strict=True):
        if look.marks.decimal is None:
            continue
        if first is not None and look.marks.decimal != first.decimal:
            raise DataError(
                f"{place}: numbers have the decimal mark {look.marks.decimal!r}, and {first.decimal!r} in {places[0]}; "
                "give --decimal"
            )
        first = first or look.marks
    return first or looks[0].marks


def _read(piece: Piece, wanted: Wanted) -> _ReadPiece:
    """A task: a piece is read, and stays on its worker."""
    try:
        with warnings.catch_warnings(record=True) as caught, opened_piece(piece) as path:
            warnings.simplefilter("always", UserWarning)
            rows, labels = load_training_data(
                path, wanted.target, piece.options, drop=wanted.drop, weight=wanted.weight
            )
            assert isinstance(rows, Table)
            weights = None
            if wanted.weight is not None:
                if rows.kind(wanted.weight) == "numeric" and not rows.numbers(wanted.weight).any():
                    rows, weights = rows.drop([wanted.weight]), np.zeros(rows.n_rows)  # those of other pieces count
                else:
                    found, weights = take_weights(rows, wanted.weight)
                    assert isinstance(found, Table)
                    rows = found
    except DataError as error:
        raise DataError(f"{piece.place}{error}") from error
    told = *rows.remarks, *(f"warning: {' '.join(str(one.message).split())}" for one in caught)
    # The source of cut text is a temporary file, which does not travel.
    table = replace(rows, source=Source(f"{piece.place}{Path(piece.path)}"))
    return _ReadPiece(table, labels, weights, tuple(told))


def _look(read: _ReadPiece) -> _PieceLook:
    labels, counts = np.unique(read.labels, return_counts=True)
    table = read.table
    return _PieceLook(table.n_rows, look_at_columns(table), labels, counts, table.marks, read.told)


def _encoded(
    read: _ReadPiece,
    schema: Schema,
    wanted: Wanted,
    positive: NDArray[Any] | None,
    part: tuple[HeldBack, int, bool] | None,
) -> tuple[Any, ...]:
    """A task: the rows of a piece as a matrix, their labels and weights; of a part of the rows, if one is given."""
    X = schema.transform(read.table, np.dtype(wanted.dtype), dense=wanted.dense)
    y = read.labels if positive is None else np.isin(read.labels, positive)
    arrays = (X, y) if read.weights is None else (X, y, read.weights)
    if part is None:
        return arrays
    held_back, first, tested = part
    at = np.flatnonzero(is_drawn(first, len(y), *held_back) == tested)
    return tuple(array[at] for array in arrays)
