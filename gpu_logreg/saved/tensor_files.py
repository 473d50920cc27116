"""Safetensors files: read once, front to back, bounded by what their head says, and told from files of another kind."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from gpu_logreg.errors import ModelFileError

__all__ = ["in_order", "read_safetensors"]

_HEADER_LENGTH = 8
_LONGEST_HEADER = 100_000_000  # the limit of safetensors itself
_LONGEST_REASON = 200
_CHUNK_BYTES = 2**24
_MOST_DIMENSIONS = 32
_DTYPES = {"F16": 2, "F32": 4, "F64": 8}


def in_order(data: bytes) -> bytes:
    """The same safetensors file with its header sorted: safetensors shuffles it, and equal models have equal files."""
    end = _HEADER_LENGTH + int.from_bytes(data[:_HEADER_LENGTH], "little")
    header = json.dumps(json.loads(data[_HEADER_LENGTH:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(_HEADER_LENGTH, "little") + header + data[end:]


def read_safetensors(
    path: Path, check: Callable[[dict[str, str]], None]
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Tensors, of real numbers, and metadata of a safetensors file; of a pipe as well.

    Parameters
    ----------
    path : Path
    check : callable
        Called with the metadata before the tensors are looked at; raises where they are of another program.

    Raises
    ------
    ModelFileError
        One line that names the file. No more is read, and no more memory is taken, than the file has bytes.
    """
    try:
        with open(path, "rb") as file:
            head = _read_head(path, file)
            tensors = json.loads(head[_HEADER_LENGTH:].decode())
            metadata = _texts(tensors.pop("__metadata__", {}))
            check(metadata)
            data = head + _read(file, _size(tensors), path)
            if file.read(1):
                raise ValueError("it goes on after its last tensor")
        return {name: np.asarray(tensor) for name, tensor in load_tensors(data).items()}, metadata
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise ModelFileError(f"{path}: is a directory; give the model file in it") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ModelFileError:
        raise
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = str(error)[:_LONGEST_REASON]
        raise ModelFileError(f"{path}: is truncated or damaged ({reason}); fetch it again or train again") from error


def _read_head(path: Path, file: BinaryIO) -> bytes:
    """The header behind its length; a file of another kind is told: safetensors begins with a length and a brace."""
    head = file.read(_HEADER_LENGTH + 1)
    if len(head) <= _HEADER_LENGTH:
        raise ModelFileError(f"{path}: is {'truncated' if head else 'empty'}; fetch it again or train again")
    length = int.from_bytes(head[:_HEADER_LENGTH], "little")
    if length > _LONGEST_HEADER or length < 2 or head[_HEADER_LENGTH:] != b"{":
        raise ModelFileError(f"{path}: is not a model file; gpu-logreg train --model writes one")
    return head + _read(file, length - 1, path)


def _read(file: BinaryIO, length: int, path: Path) -> bytes:
    """So many bytes, in chunks: a length that is wrong must not be asked of the memory first."""
    chunks, missing = [], length
    while missing:
        chunk = file.read(min(missing, _CHUNK_BYTES))
        if not chunk:
            raise ModelFileError(f"{path}: is truncated or damaged (it ends too soon); fetch it again or train again")
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)


def _texts(metadata: Any) -> dict[str, str]:
    if not (isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())):
        raise ValueError("its metadata are not texts")
    return metadata


def _size(tensors: dict[str, Any]) -> int:
    """Number of bytes of all tensors, whose shapes must account for them: it is read, and safetensors trusts it."""
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]):
        shape, (begin, next_begin) = tensor["shape"], tensor["data_offsets"]
        if tensor["dtype"] not in _DTYPES:
            raise ValueError(f"tensor {name!r} is of type {tensor['dtype']!r}")
        if len(shape) > _MOST_DIMENSIONS or not all(type(number) is int and 0 < number < 2**63 for number in shape):
            raise ValueError(f"tensor {name!r} has the shape {shape!r}")
        if begin != end or next_begin - begin != math.prod(shape) * _DTYPES[tensor["dtype"]]:
            raise ValueError(f"tensor {name!r} is of another size than its shape, or elsewhere")
        end = next_begin
    return end
