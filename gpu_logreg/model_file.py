"""Models in a file: safetensors with a description in JSON and a checksum. Nothing is pickled.

A file is a safetensors file whose tensors are the fitted arrays (those of a list are ``name/0``, ``name/1``, ...) and
whose metadata, all strings, are::

    format           "gpu-logreg model"
    format_version   "1"; a reader refuses larger ones
    kind             which estimator: "logistic-regression" or "neural-network"
    gpu_logreg       version of the package that wrote the file
    params           JSON of ``get_params()``
    fitted           JSON of the fitted attributes that are not tensors (``classes_``, ``n_iter_``, ...)
    schema           JSON of the columns of the table, or ""
    notes            JSON of what else the caller kept: name of the target, positive label, ...
    sha256           over all tensors and all other metadata, in sorted order
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as tensor_bytes

from gpu_logreg.errors import DataError, ModelFileError
from gpu_logreg.sparse_coef import dense_coef

__all__ = ["FORMAT_VERSION", "StoredModel", "check_destination", "load_model", "load_model_file", "save_model"]

FORMAT_VERSION = 1

_FORMAT = "gpu-logreg model"
# By name, so that this module stays below the estimators: it needs their class only to build one.
_ESTIMATORS = {
    "logistic-regression": ("gpu_logreg.linear_model", "LogisticRegression"),
    "neural-network": ("gpu_logreg.neural_network", "MLPClassifier"),
}
_NEEDED = {
    "logistic-regression": {"coef_", "intercept_", "classes_", "n_features_in_"},
    "neural-network": {"coefs_", "intercepts_", "classes_", "n_features_in_"},
}
# Parameters that a fitted model no longer depends on: stored where JSON can hold them, else left at their default.
_PASSING = ("random_state", "verbose")
_HEADER_LENGTH = 8
_LONGEST_HEADER = 100_000_000  # the limit of safetensors itself


@dataclass(frozen=True)
class StoredModel:
    """What a model file holds.

    Attributes
    ----------
    estimator : fitted estimator
    schema : str or None
        JSON of the columns of the table it was trained on; None where it was trained on arrays without a schema.
    notes : dict
        What else `save_model` was given, such as ``target`` and ``positive``.
    kind : str
        ``"logistic-regression"`` or ``"neural-network"``.
    version : str
        Version of gpu-logreg that wrote the file.
    """

    estimator: Any
    schema: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    kind: str = "logistic-regression"
    version: str = ""


def save_model(
    model: Any, path: str | os.PathLike[str], *, schema: str | None = None, notes: Mapping[str, Any] | None = None
) -> None:
    """Write a fitted estimator to ``path``, whole or not at all.

    The file is written under another name beside ``path``, brought to the disk and then renamed, so that a full disk
    or an interruption leaves an older file at ``path`` as it was.

    Parameters
    ----------
    model : fitted LogisticRegression or MLPClassifier
    path : path
    schema : str or None
        ``Schema.to_json()``, to predict from raw files.
    notes : mapping or None
        Names and values to keep beside the model: texts, numbers, booleans, None, and lists and dicts of them.

    Raises
    ------
    DataError
        A model that is not fitted or of another class, a parameter or label that cannot be stored, a directory that
        is not there.
    ModelFileError
        If the file cannot be written, for example because the disk is full.
    """
    path = Path(path)
    check_destination(path)
    kind = _kind(model)
    if not _NEEDED[kind].issubset(vars(model)):
        raise DataError(f"this {type(model).__name__} is not fitted; call fit before saving it")
    fitted = _without_lists({name: _dense(value) for name, value in vars(model).items() if _is_fitted_name(name)})
    tensors = {name: np.ascontiguousarray(value) for name, value in fitted.items() if _is_tensor(value)}
    metadata = {
        "format": _FORMAT,
        "format_version": str(FORMAT_VERSION),
        "kind": kind,
        "gpu_logreg": str(importlib.import_module("gpu_logreg").__version__),
        "params": _to_json(_storable_params(model), "parameter"),
        "fitted": _to_json({name: fitted[name] for name in fitted.keys() - tensors.keys()}, "fitted attribute"),
        "schema": schema or "",
        "notes": _to_json(dict(notes or {}), "note"),
    }
    metadata["sha256"] = _checksum(tensors, metadata)
    _write_whole(path, _in_order(tensor_bytes(tensors, metadata)))


def load_model(path: str | os.PathLike[str]) -> Any:
    """Read the fitted estimator that `save_model` wrote; see `load_model_file` for what else the file holds.

    Raises
    ------
    ModelFileError
        As for `load_model_file`.
    """
    return load_model_file(path).estimator


def load_model_file(path: str | os.PathLike[str]) -> StoredModel:
    """Read all that a model file holds. Runs no code from the file.

    Raises
    ------
    ModelFileError
        One line that names the file: it is missing, is not a model file, is truncated or damaged, or was written by
        a newer gpu-logreg.
    """
    path = Path(path)
    tensors, metadata = _read(path)
    _check_format(path, metadata)
    if metadata.get("sha256") != _checksum(tensors, metadata):
        raise ModelFileError(f"{path}: is damaged (its checksum does not match); fetch it again or train again")
    kind = metadata.get("kind", "")
    if kind not in _ESTIMATORS:
        raise ModelFileError(f"{path}: holds a {kind!r} model, unknown to this gpu-logreg; upgrade it")
    try:
        estimator = _class(kind)(**_from_json(metadata["params"]))
        fitted = _with_lists({**tensors, **_from_json(metadata["fitted"])})
        notes = _from_json(metadata["notes"])
        if not _NEEDED[kind].issubset(fitted) or not all(map(_is_fitted_name, fitted)):
            raise ValueError(f"the attributes {', '.join(sorted(fitted))}")
        schema, version = metadata["schema"] or None, metadata["gpu_logreg"]
    except (KeyError, TypeError, ValueError) as error:  # whole, yet written by other rules than these
        raise ModelFileError(f"{path}: holds what this gpu-logreg does not know ({error}); upgrade it") from error
    for name, value in fitted.items():
        setattr(estimator, name, value)
    return StoredModel(estimator, schema, notes, kind, version)


def _class(kind: str) -> Any:
    module, name = _ESTIMATORS[kind]
    return getattr(importlib.import_module(module), name)


def _kind(model: Any) -> str:
    for kind in _ESTIMATORS:
        if type(model) is _class(kind):
            return kind
    known = ", ".join(name for _, name in _ESTIMATORS.values())
    raise DataError(f"a {type(model).__name__} cannot be saved; a model file holds one of: {known}")


def _is_fitted_name(name: str) -> bool:
    """Whether scikit-learn's convention makes ``name`` a fitted attribute."""
    return name.endswith("_") and not name.startswith("_") and name.isidentifier()


def _dense(value: Any) -> Any:
    return dense_coef(value) if hasattr(value, "toarray") else value  # after `sparsify`


def _is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _without_lists(fitted: Mapping[str, Any]) -> dict[str, Any]:
    """Every array of a list of arrays under a name of its own, ``name/0``, ``name/1``, ..."""
    apart: dict[str, Any] = {}
    for name, value in fitted.items():
        if isinstance(value, list) and value and all(map(_is_tensor, value)):
            apart |= {f"{name}/{k}": item for k, item in enumerate(value)}
        else:
            apart[name] = value
    return apart


def _with_lists(apart: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of `_without_lists`."""
    fitted: dict[str, Any] = {}
    for name, value in apart.items():
        if "/" not in name:
            fitted[name] = value
    for name in {name.split("/", 1)[0] for name in apart if "/" in name}:
        count = sum(other.startswith(f"{name}/") for other in apart)
        fitted[name] = [apart[f"{name}/{k}"] for k in range(count)]
    return fitted


def _storable_params(model: Any) -> dict[str, Any]:
    params: dict[str, Any] = model.get_params(deep=False)
    for name in _PASSING:
        try:
            _encode(params.get(name))
        except TypeError:  # a RandomState, a callable
            del params[name]
    return params


def _checksum(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    digest.update(
        json.dumps({name: text for name, text in metadata.items() if name != "sha256"}, sort_keys=True).encode()
    )
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, tensor.dtype.str, tensor.shape]).encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


# ---------------------------------------------------------------------------------------------------- the file


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


def _in_order(data: bytes) -> bytes:
    """The same safetensors file with its header sorted: safetensors shuffles it, and equal models have equal files."""
    end = _HEADER_LENGTH + int.from_bytes(data[:_HEADER_LENGTH], "little")
    header = json.dumps(json.loads(data[_HEADER_LENGTH:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(_HEADER_LENGTH, "little") + header + data[end:]


def _write_whole(path: Path, data: bytes) -> None:
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


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
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


def _check_format(path: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != _FORMAT:
        raise ModelFileError(f"{path}: is a safetensors file, but not a model of gpu-logreg")
    version = metadata.get("format_version", "")
    if version.isdecimal() and int(version) > FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: was written by a newer gpu-logreg ({metadata.get('gpu_logreg', 'unknown')}, format {version}; "
            f"this one reads up to {FORMAT_VERSION}); upgrade gpu-logreg"
        )


# ---------------------------------------------------------------------------------------------------- values in JSON


def _to_json(values: Mapping[str, Any], what: str) -> str:
    """JSON of named values; those that JSON does not know are written as an object with one tag."""
    written = {}
    for name, value in values.items():
        try:
            written[name] = _encode(value)
        except TypeError as error:
            raise DataError(f"{what} {name}={value!r} cannot be stored in a model file: {error}") from error
    return json.dumps(written, allow_nan=False, sort_keys=True)


def _encode(value: Any) -> Any:
    """Inverse of `_decode`; TypeError for a value of another type than texts, numbers, arrays and their containers."""
    if isinstance(value, np.ndarray):
        return {"array": _encode(_items(value)), "dtype": "object" if value.dtype == object else value.dtype.str}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    if isinstance(value, Mapping):  # as pairs: the keys of class_weight are labels of any type
        return {"pairs": [[_encode(key), _encode(item)] for key, item in value.items()]}
    raise TypeError(f"{type(value).__name__} is not a text, number, boolean or None")


def _items(array: NDArray[Any]) -> list[Any]:
    if array.dtype.kind not in "biufUO":
        raise TypeError(f"an array of dtype {array.dtype} holds neither texts nor numbers")
    if array.dtype == object and not all(isinstance(item, str) for item in array.flat):
        raise TypeError("an array of objects that are not all texts")
    return list(array.tolist())


def _from_json(text: str) -> dict[str, Any]:
    return {name: _decode(value) for name, value in dict(json.loads(text)).items()}


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float(value["float"])
    if "array" in value:
        return np.array(_decode(value["array"]), dtype=value["dtype"])
    return {_decode(key): _decode(item) for key, item in value["pairs"]}
