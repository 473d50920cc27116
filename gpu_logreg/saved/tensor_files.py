"""Safetensors files: read once from front to back, with no more memory than the file has bytes.

The layout is 8 bytes with the length of the header, the header in JSON, and the bytes of the tensors in the order that
the header gives.
"""

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

__all__ = ["read_safetensors", "sort_header"]

_LENGTH_BYTES = 8
"""Bytes at the beginning of a file that hold the length of its header, as the format defines."""

_LONGEST_HEADER = 100_000_000
"""Most bytes of a header that safetensors itself accepts."""

_LONGEST_REASON = 200
"""Most letters of another library's message in ours, so that ours stays one line."""

_CHUNK_BYTES = 2**24
"""Bytes that one read asks for. A wrong length in a short file then costs 16 MiB of memory and not what it claims."""

_MOST_DIMENSIONS = 32
"""Most dimensions of an array in every version of NumPy; version 2 allows 64."""

_ITEM_BYTES = {"F16": 2, "F32": 4, "F64": 8}
"""Bytes of one element by the format's name of its type. A model has tensors of real numbers alone."""


def sort_header(data: bytes) -> bytes:
    """The same safetensors file with the keys of its header sorted.

    safetensors writes them in a random order, and equal models are to have equal files.
    """
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    header = json.dumps(json.loads(data[_LENGTH_BYTES:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors begin at a multiple of 8 bytes, where float64 is aligned
    return len(header).to_bytes(_LENGTH_BYTES, "little") + header + data[end:]


def read_safetensors(
    path: Path, check: Callable[[dict[str, str]], None]
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The tensors and the metadata of a safetensors file. ``path`` may be a pipe, as the file is read once.

    Parameters
    ----------
    path : Path
    check : callable
        Called with the metadata before the tensors are read; raises where another program wrote them.

    Raises
    ------
    ModelFileError
        The file is missing, is no safetensors file, is truncated or damaged, or has tensors of other than real numbers.
    """
    try:
        with open(path, "rb") as file:
            head = _read_head(path, file)
            layout = json.loads(head[_LENGTH_BYTES:].decode())
            metadata = _texts(layout.pop("__metadata__", {}))
            check(metadata)
            data = head + _read(file, _tensor_bytes(layout), path)
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
    """The length of the header and the header; a file that does not begin with a length and a brace is refused."""
    head = file.read(_LENGTH_BYTES + 1)
    if len(head) <= _LENGTH_BYTES:
        raise ModelFileError(f"{path}: is {'truncated' if head else 'empty'}; fetch it again or train again")
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    if length > _LONGEST_HEADER or length < 2 or head[_LENGTH_BYTES:] != b"{":
        raise ModelFileError(f"{path}: is not a model file; gpu-logreg train --model writes one")
    return head + _read(file, length - 1, path)


def _read(file: BinaryIO, length: int, path: Path) -> bytes:
    """The next ``length`` bytes of a file, in chunks: ``file.read(length)`` would allocate a wrong length at once."""
    chunks, n_missing = [], length
    while n_missing:
        chunk = file.read(min(n_missing, _CHUNK_BYTES))
        if not chunk:
            raise ModelFileError(f"{path}: is truncated or damaged (it ends too soon); fetch it again or train again")
        chunks.append(chunk)
        n_missing -= len(chunk)
    return b"".join(chunks)


def _texts(metadata: object) -> dict[str, str]:
    """``metadata``, if they are texts by name; else ValueError."""
    if not (isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())):
        raise ValueError("its metadata are not texts")
    return metadata


def _tensor_bytes(layout: dict[str, Any]) -> int:
    """Bytes of all tensors of a header; ValueError where their shapes do not add up to their offsets.

    safetensors allocates what the header claims, so that the claim is checked before it is believed.
    """
    end = 0
    for name, tensor in sorted(layout.items(), key=lambda item: item[1]["data_offsets"]):
        shape, (begin, next_begin) = tensor["shape"], tensor["data_offsets"]
        if tensor["dtype"] not in _ITEM_BYTES:
            raise ValueError(f"tensor {name!r} is of type {tensor['dtype']!r}")
        if len(shape) > _MOST_DIMENSIONS or not all(type(number) is int and 0 < number < 2**63 for number in shape):
            raise ValueError(f"tensor {name!r} has the shape {shape!r}")
        if begin != end or next_begin - begin != math.prod(shape) * _ITEM_BYTES[tensor["dtype"]]:
            raise ValueError(f"tensor {name!r} is of another size than its shape, or elsewhere")
        end = next_begin
    return end
