"""Reading a file of data of any format as a table or a matrix, without labels."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from gpu_logreg.files.arrow_columns import MISSING_WORDS
from gpu_logreg.files.cell_rules import CellRules
from gpu_logreg.files.column_names import Source, pick_columns
from gpu_logreg.files.delimited import Select, read_csv
from gpu_logreg.files.formats import FileOptions, choose_format
from gpu_logreg.files.labelled_arrays import read_array
from gpu_logreg.files.libsvm import read_libsvm
from gpu_logreg.files.matrix import Matrix
from gpu_logreg.files.nested_columns import FlatNames
from gpu_logreg.files.parquet_files import read_parquet
from gpu_logreg.files.streams import make_reopenable
from gpu_logreg.files.table import Table

__all__ = ["read_rows", "read_table", "training_rules"]

_DEFAULT = FileOptions()


def read_table(
    path: str | os.PathLike[str],
    options: FileOptions = _DEFAULT,
    *,
    columns: Sequence[str] | None = None,
    drop: Collection[str] = (),
    text_columns: Collection[str] = (),
) -> Table | Matrix:
    r"""Read a file of data of any format.

    Parameters
    ----------
    path : path
    options : FileOptions
    columns : sequence of str or None
        Columns to read, in this order; None reads all.
    drop : collection of str
        Columns to leave out.
    text_columns : collection of str
        Columns kept as text even if all their cells are digits, in addition to those of ``options``.

    Returns
    -------
    Table for CSV and Parquet, Matrix for ``.npy``, ``.npz`` and LIBSVM text

    Raises
    ------
    DataError
        One line that names the file, the line and column where known, and the remedy.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("people.csv").write_text("age,town\n31,Bern\n47,Rome\n")
    >>> table = read_table("people.csv")
    >>> table.names, table.numbers("age"), table.texts("town")
    (('age', 'town'), array([31., 47.]), ['Bern', 'Rome'])
    """

    def select(names: Sequence[str]) -> Sequence[str]:
        source = Source(str(path))
        left_out = FlatNames.replace_by_parts(names, drop)
        selection = names if columns is None else FlatNames.replace_by_parts(names, columns)
        pick_columns(names, [*(() if columns is None else selection), *left_out], source)
        return [name for name in selection if name not in left_out] if drop else selection

    path = make_reopenable(path)
    return read_rows(path, choose_format(path, options), options, select, training_rules(options, text_columns))


def read_rows(path: Path, kind: str, options: FileOptions, select: Select, rules: CellRules) -> Table | Matrix:
    """Read the columns that ``select`` chooses of a file of the format ``kind``."""
    if kind == "csv":
        return read_csv(path, options, select, rules)
    if kind == "parquet":
        return read_parquet(path, select, rules)
    matrix = read_libsvm(path, dense=options.dense) if kind == "libsvm" else read_array(path, kind, options)
    return matrix.take(select(matrix.names))


def training_rules(options: FileOptions, text: Collection[str] = (), labels: str | None = None) -> CellRules:
    """The rules for the cells of a file to train on."""
    missing = MISSING_WORDS if options.missing is None else options.missing
    return CellRules(missing, (*options.text, *text), labels)
