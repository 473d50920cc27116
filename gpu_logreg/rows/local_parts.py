"""Parts of the rows on several devices of one machine, each walked by a thread of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gpu_logreg.arrays.device import Device, numpy_defaults, using
from gpu_logreg.arrays.on_device import one_line_errors
from gpu_logreg.rows.part import Part, call

__all__ = ["N_PARTS", "LocalParts", "edges_of_parts"]

N_PARTS = 24
"""Parts of the rows, whatever the number of devices, so that no bit depends on it; 1, 2, 3, 4, 6, 8 and 12 devices get
as many each."""

_LEAST_ROWS = 2**10
"""Least number of rows of a part, if there are as many."""


def edges_of_parts(n_rows: int) -> list[int]:
    """Numbers of the first rows of the parts, and that of all rows.

    Examples
    --------
    >>> edges_of_parts(2500), len(edges_of_parts(10**6))
    ([0, 1250, 2500], 25)
    """
    n_parts = max(1, min(N_PARTS, n_rows // _LEAST_ROWS))
    return [n_rows * k // n_parts for k in range(n_parts + 1)]


class LocalParts:
    """See `gpu_logreg.rows.part.Parts`.

    Parameters
    ----------
    parts : sequence of Part
    devices : sequence of Device
        That of each; a device walks its parts in their order.
    less : str
        As of `gpu_logreg.arrays.on_device.on_device`.
    """

    def __init__(self, parts: Sequence[Part], devices: Sequence[Device], less: str) -> None:
        self._parts, self._less = list(parts), less
        numbers = range(len(self._parts))
        self._by_device = {device: [k for k in numbers if devices[k] == device] for device in dict.fromkeys(devices)}

    def each(
        self,
        function: Callable[..., Any],
        /,
        *shared: Any,
        own: Sequence[Sequence[Any] | None] | None = None,
        large: bool = False,
    ) -> list[Any]:
        """``function(part, *shared, *own[k])`` of every part, in a thread for each device."""

        def on(device: Device, numbers: Sequence[int]) -> list[Any]:
            with one_line_errors(device, self._less, "use device='cpu'"), using(device), numpy_defaults():
                return [self._called(k, function, shared, own) for k in numbers]

        if len(self._by_device) == 1:
            found = [on(*one) for one in self._by_device.items()]
        else:
            with ThreadPoolExecutor(len(self._by_device)) as threads:
                found = list(threads.map(on, *zip(*self._by_device.items(), strict=True)))
        results: list[Any] = [None] * len(self._parts)
        for k, result in zip(itertools.chain(*self._by_device.values()), itertools.chain(*found), strict=True):
            results[k] = result
        return results

    def _called(
        self, k: int, function: Callable[..., Any], shared: Sequence[Any], own: Sequence[Sequence[Any] | None] | None
    ) -> Any:
        more = () if own is None else own[k]
        return None if more is None else call(self._parts[k], function, (*shared, *more))
