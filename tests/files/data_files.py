"""Small files of data for the readers, and what they say of those that they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpu_logreg.errors import DataError
from gpu_logreg.files.load import FileOptions, load_training_data

Write = Callable[[str, "str | bytes"], Path]


def writer(folder: Path) -> Write:
    """A function that writes a file into ``folder``."""

    def write(name: str, data: str | bytes) -> Path:
        path = folder / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return write


def refusal(read: Callable[[], Any], path: Path) -> str:
    """The message of the DataError that ``read`` raises: one line, which begins with the file, without that."""
    with pytest.raises(DataError) as error:
        read()
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


def train(path: Path, target: str | None = "y", options: FileOptions = FileOptions(), **more: Any) -> Any:  # noqa: B008
    """Rows and labels of a file to train on."""
    return load_training_data(path, target, options, **more)
