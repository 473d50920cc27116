"""Parquet and Arrow files, folders of them and patterns of their names, as data sets of pyarrow's."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

from gpu_logreg.errors import DataError
from gpu_logreg.files.reading import import_pyarrow

__all__ = ["DATASET_ENDINGS", "first_line", "open_dataset"]

DATASET_ENDINGS = {
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
    ".arrow": "ipc",
    ".ipc": "ipc",
    ".feather": "ipc",
}
"""Formats of files by their endings."""


def open_dataset(path: str | os.PathLike[str]) -> Any:
    """The ``pyarrow.dataset.Dataset`` of a file, a folder, partitioned as Hive does or not, or a pattern of names.

    Raises
    ------
    DataError
        No such file; files that are neither Parquet nor Arrow's.
    """
    pa, dataset = import_pyarrow(), import_pyarrow("pyarrow.dataset")
    name, path = str(path), Path(path)
    files: list[str] = []
    if path.is_dir():
        files = sorted(str(file) for file in path.rglob("*") if file.is_file() and not _is_hidden(file, path))
    elif not path.exists():
        files = sorted(glob.glob(name, recursive=True))
        if not files:
            raise DataError(f"{name}: no such file")
    else:
        files = [name]
    formats = {DATASET_ENDINGS.get(Path(file).suffix.lower(), "") for file in files}
    if len(formats) != 1 or "" in formats:
        raise DataError(f"{name}: holds {'other files than' if files else 'no'} Parquet or Arrow files of one format")
    try:
        of_folder = path.is_dir()
        return dataset.dataset(
            files, format=formats.pop(), partitioning="hive", partition_base_dir=name if of_folder else None
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{_named(str(error), files)}: is truncated or damaged ({first_line(error)})") from error


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)


def _named(message: str, files: list[str]) -> str:
    """The file that a message of pyarrow's names."""
    return next((file for file in files if file in message), files[0])


def first_line(error: BaseException) -> str:
    """What an error says, as a part of a message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
