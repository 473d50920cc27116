"""Sparse matrices that SciPy saved in ``.npz`` archives."""

from __future__ import annotations

from pathlib import Path

from scipy import sparse

from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.errors import DataError
from gpu_logreg.files.array_files import array_names
from gpu_logreg.files.column_names import Source
from gpu_logreg.files.libsvm import sparse_or_dense
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.numbered import numbered_columns
from gpu_logreg.files.reading import reading

__all__ = ["is_sparse_archive", "read_sparse_archive"]

_MOST_COLUMNS = 2**31 - 2
"""Most columns of a model, as of LIBSVM text, so that numbers of columns are int32."""

_DAMAGE_ERRORS = (KeyError, IndexError, TypeError, AttributeError, NotImplementedError, DataError)
"""What SciPy and our own check raise for an archive whose arrays do not make a matrix."""


def is_sparse_archive(path: Path) -> bool:
    """Whether an ``.npz`` archive is one that ``scipy.sparse.save_npz`` wrote."""
    return {"format", "shape", "data"}.issubset(array_names(path))


def read_sparse_archive(path: Path, dense: bool = False) -> Matrix:
    """Read a sparse matrix that ``scipy.sparse.save_npz`` wrote in any of its formats; columns ``c0``, ``c1``, ...

    Its rows are dense where `gpu_logreg.files.libsvm.SPARSE_SHARE` of the elements or more are stored.

    Parameters
    ----------
    path : Path
    dense : bool
        Whether the rows are dense in any case.

    Raises
    ------
    DataError
        Damaged, not numbers, or dense rows that do not fit in memory.
    """
    with reading(path):
        try:
            matrix = csr_rows(sparse.load_npz(path))
        except _DAMAGE_ERRORS as error:
            what = str(error).removeprefix("sparse X is damaged: ")
            raise DataError(f"{path}: its sparse matrix cannot be used ({what}); save it again") from error
        n, width = matrix.shape
        if 0 in (n, width):
            raise DataError(f"{path}: holds no rows (its shape is {(n, width)})")
        if width > _MOST_COLUMNS:
            raise DataError(f"{path}: has {width} columns, and a model has {_MOST_COLUMNS} at most")
        rows = sparse_or_dense(matrix, width, 0, dense, path)
    return Matrix(rows, numbered_columns(width), source=Source(str(path)))
