"""Sweeps whose values repeat a claim: all of them by ``make test-all``, some by ``make test``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def slow(value: Any) -> Any:
    """A value for ``parametrize``, or a tuple of values for several names, marked ``slow``."""
    return pytest.param(*(value if type(value) is tuple else (value,)), marks=pytest.mark.slow)


def thinned(values: Iterable[Any], keep: Callable[[Any], bool]) -> list[Any]:
    """Values for ``parametrize``, of which those that ``keep`` refuses are marked ``slow``."""
    return [value if keep(value) else slow(value) for value in values]


def every_other(values: Iterable[Any]) -> list[Any]:
    """Values for ``parametrize``, of which the second, the fourth, ... are marked ``slow``."""
    return [slow(value) if k % 2 else value for k, value in enumerate(values)]
