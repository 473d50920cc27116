"""Sweeps whose values repeat a claim: all of them by ``make test-all``, some by ``make test``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def thinned(values: Iterable[Any], keep: Callable[[Any], bool]) -> list[Any]:
    """Values for ``parametrize``, of which those that ``keep`` refuses are marked ``slow``."""
    return [value if keep(value) else pytest.param(value, marks=pytest.mark.slow) for value in values]


def every_other(values: Iterable[Any]) -> list[Any]:
    """Values for ``parametrize``, of which the second, the fourth, ... are marked ``slow``."""
    return [value if k % 2 == 0 else pytest.param(value, marks=pytest.mark.slow) for k, value in enumerate(values)]
