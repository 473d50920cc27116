"""Safetensors files on disk: written whole or not at all, and told from files of another kind when read."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from gpu_logreg.errors import DataError, ModelFileError

__all__ = ["check_destination", "in_order", "read_safetensors", "write_whole"]

_HEADER_LENGTH = 8
_LONGEST_HEADER = 100_000_000  # the limit of safetensors itself


def check_destination(path: str | os.PathLike[str]) -> None:
    """Refuse a ``path`` that no model can be written to: to be called before a long training.

    Raises
    ------
    DataError
        If ``path`` is a directory or a device, or its directory does not exist or cannot be written to.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: is a directory; give the name of a file")
    if path.exists() and not path.is_file():  # it would be replaced, /dev/null for one
        raise DataError(f"{path}: is a device or a pipe; give the name of a file")
    if not path.parent.is_dir():
        raise DataError(f"{path}: its directory {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK):
        raise DataError(f"{path}: its directory {path.parent} cannot be written to; choose another")


def in_order(data: bytes) -> bytes:
    """The same safetensors file with its header sorted: safetensors shuffles it, and equal models have equal files."""
    end = _HEADER_LENGTH + int.from_bytes(data[:_HEADER_LENGTH], "little")
    header = json.dumps(json.loads(data[_HEADER_LENGTH:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(_HEADER_LENGTH, "little") + header + data[end:]


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` by way of a temporary file in the same directory; a link stays a link."""
    name, path = path, path.resolve()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise ModelFileError(f"{name}: cannot be written: {error.strerror or error}; nothing was saved") from error
    finally:  # also after Ctrl-C; gone already where the file was renamed
        with contextlib.suppress(OSError):
            temporary.unlink()


def read_safetensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Tensors and metadata of a safetensors file."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEADER_LENGTH + 1)
        _check_head(path, head)
        with safe_open(path, framework="numpy") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata() or {}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise ModelFileError(f"{path}: is a directory; give the model file in it") from error
    except SafetensorError as error:
        raise ModelFileError(f"{path}: is truncated or damaged ({error}); fetch it again or train again") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror or error}") from error


def _check_head(path: Path, head: bytes) -> None:
    """Tell a file of another kind from a damaged one: safetensors begins with a length and a brace."""
    if len(head) <= _HEADER_LENGTH:
        raise ModelFileError(f"{path}: is {'truncated' if head else 'empty'}; fetch it again or train again")
    length = int.from_bytes(head[:_HEADER_LENGTH], "little")
    if length > _LONGEST_HEADER or head[_HEADER_LENGTH:] != b"{":
        raise ModelFileError(f"{path}: is not a model file; gpu-logreg train --model writes one")
