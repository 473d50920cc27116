"""Signatures and types of CuPy, as ``cupy_signatures.json`` records them for the wheels of CUDA 12 and of CUDA 13.

`fake_cupy` lays them over its own functions, so that what CuPy refuses is refused where there is no CuPy and no GPU.
`record_cupy.py` writes the record; ``test_cupy_signatures.py`` holds it against the CuPy that is installed.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("cupy_signatures.json")
WHEELS = ("cupy-cuda12x", "cupy-cuda13x")
ATTRIBUTE, UFUNC = "attribute", "ufunc "
"""What the record says in the place of parameters: of what is not called, and, before its types, of a ufunc."""

OF_UFUNC = "*arrays, out=, dtype=, casting="
"""Parameters of every ufunc; the number of arrays is that of its types."""


@functools.cache
def record() -> dict[str, Any]:
    """``wheels``: version of each; ``names``: what both say; ``of <wheel>``: what only one of them says."""
    found: dict[str, Any] = json.loads(RECORD.read_text())
    return found


def said(name: str) -> str:
    """What CuPy says of a dotted name; the same for both wheels, or an error that says that it is not."""
    try:
        text: str = record()["names"][name]
    except KeyError:
        raise AttributeError(f"{name} is not in {RECORD.name}: not the same in both wheels, or not recorded") from None
    return text


@functools.cache
def parameters(text: str) -> inspect.Signature:
    """A signature from the record's spelling of parameters, in which ``=`` stands for any default."""
    made = eval(f"lambda {text.replace('=', '=None')}: None")
    return inspect.signature(made)


@functools.cache
def types_of(name: str) -> tuple[tuple[str, str], ...]:
    """Types of the arguments and of the results of a ufunc, in the order in which CuPy tries them."""
    text = said(f"cupy.{name}")
    if not text.startswith(UFUNC):
        raise AttributeError(f"cupy.{name} is no ufunc")
    pairs = [types.split("->") for types in text.removeprefix(UFUNC).split()]
    return tuple((inputs, outputs) for inputs, outputs in pairs)


def check_call(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Raise a `TypeError` where CuPy would have for the number or the names of the arguments."""
    text = said(name)
    if text == ATTRIBUTE:
        raise TypeError(f"{name} of CuPy is not called")
    if text.startswith(UFUNC):
        n_inputs = len(text.removeprefix(UFUNC).split("->")[0])
        if not n_inputs <= len(arguments) <= n_inputs + 1:
            raise TypeError(f"{name} of CuPy takes {n_inputs} arrays, and got {len(arguments)}")
        text = OF_UFUNC
    try:
        parameters(text).bind(*arguments, **options)
    except TypeError as error:
        raise TypeError(f"{name} of CuPy: {error}") from None


def strict(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that takes what CuPy's of that name takes; of a method ``self`` is not recorded."""

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        check_call(name, arguments, options)
        return function(*arguments, **options)

    return call


def strict_methods(name: str, kind: type, *, constructor: bool = True) -> type:
    """Lay CuPy's signatures over the methods of a class."""
    for attribute, value in list(vars(kind).items()):
        if attribute == "__init__" and constructor:
            setattr(kind, attribute, _of_method(name, value))
        elif inspect.isfunction(value) and not attribute.startswith("_"):
            setattr(kind, attribute, _of_method(f"{name}.{attribute}", value))
    return kind


def _of_method(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        check_call(name, arguments, options)
        return method(self, *arguments, **options)

    return call
