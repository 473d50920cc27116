"""Fitted attributes of an estimator as the tensors and the other values of a model file, and back.

An array of real numbers is a tensor. A list of such arrays, one for each layer of a network, is as many tensors, named
``coefs_/0``, ``coefs_/1``, ... A dictionary by class of such arrays is stored as the list of its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.csr import dense_coef

__all__ = ["by_class", "fitted_attributes", "is_fitted_name", "join_lists", "split_lists", "tensors_of"]

_BY_CLASS = ("coefs_paths_", "scores_")
"""Attributes of cross-validation that are dictionaries by class in their legacy shape."""


def fitted_attributes(model: object) -> dict[str, Any]:
    """The fitted attributes of an estimator by name, weights that `sparsify` made sparse as dense arrays."""
    attributes = {name: value for name, value in vars(model).items() if is_fitted_name(name)}
    for name in _BY_CLASS:
        if isinstance(attributes.get(name), dict):
            attributes[name] = list(attributes[name].values())
    return {name: dense_coef(value) if hasattr(value, "toarray") else value for name, value in attributes.items()}


def by_class(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes with dictionaries by class, of two classes the second, where `fitted_attributes` made lists."""
    classes = attributes.get("classes_", ())
    of = classes[1 if len(classes) == 2 else 0 :]
    return {
        name: dict(zip(of, value, strict=True)) if name in _BY_CLASS and isinstance(value, list) else value
        for name, value in attributes.items()
    }


def is_fitted_name(name: str) -> bool:
    """Whether scikit-learn's convention makes ``name`` a fitted attribute."""
    return name.endswith("_") and not name.startswith("_") and name.isidentifier()


def tensors_of(attributes: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The attributes that are arrays of real numbers, in C order and little-endian, as safetensors writes them."""
    return {
        name: np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        for name, value in attributes.items()
        if _is_tensor(value)
    }


def split_lists(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes with every array of a list of arrays under a name of its own: ``name/0``, ``name/1``, ..."""
    items: dict[str, Any] = {}
    for name, value in attributes.items():
        if isinstance(value, list) and value and all(map(_is_tensor, value)):
            items |= {f"{name}/{k}": item for k, item in enumerate(value)}
        else:
            items[name] = value
    return items


def join_lists(items: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of `split_lists`; ValueError where a list and another value share a name, KeyError where items lack."""
    attributes = {name: value for name, value in items.items() if "/" not in name}
    for name in sorted({name.split("/", 1)[0] for name in items if "/" in name}):
        if name in attributes:
            raise ValueError(f"{name}, once as a list and once as a whole")
        count = sum(other.startswith(f"{name}/") for other in items)
        attributes[name] = [items[f"{name}/{k}"] for k in range(count)]
    return attributes


def _is_tensor(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"
