"""Memory budgets: what a user writes, and what is free on the host, in the limits of the control group too."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from gpu_logreg.errors import DataError

__all__ = ["free_memory", "memory_budget"]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}

_CGROUP = Path("/sys/fs/cgroup")


def free_memory(group: Path = _CGROUP) -> int:
    """Bytes that this process may still take: what the system has available, or the control group, if that is less.

    Pages of files that the group has read and not used since are free.
    """
    limits = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        limits.append(int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]) * 1024)
    with contextlib.suppress(OSError, ValueError, IndexError):  # "max" where there is no limit
        used = int((group / "memory.current").read_text())
        used -= int((group / "memory.stat").read_text().split("\ninactive_file ")[1].split()[0])
        limits.append(max(0, int((group / "memory.max").read_text()) - used))
    if not limits:
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    return min(limits)


def memory_budget(wanted: str | float | int, name: str = "memory_budget", free: Callable[[], int] | None = None) -> int:
    """The bytes of a memory budget.

    Parameters
    ----------
    wanted : int, float or str
        Bytes; a share of the free memory, above 0 and up to 1; or a text: ``"4GB"``, ``"512 MiB"``, ``"25%"``.
    name : str
        Of the parameter, for the message.
    free : function () -> int, optional
        The free memory; `free_memory` if None.

    Raises
    ------
    DataError
        If it is none of these.

    Examples
    --------
    >>> memory_budget("4GB"), memory_budget("1.5 MiB"), memory_budget(10**9)
    (4000000000, 1572864, 1000000000)
    """
    free = free_memory if free is None else free
    refused = DataError(f"{name}={wanted!r} is no size; give bytes, such as '4GB', or a share, such as 0.5")
    if isinstance(wanted, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(?:(%)|([kmgt]i?)?b?)\s*", wanted.lower())
        if match is None:
            raise refused
        number = float(match[1])
        wanted = number / 100.0 if match[2] else int(number * _UNITS[match[3] or ""])
        if match[2] and not 0.0 < number <= 100.0:
            raise refused
        if not match[2] and wanted <= 0:
            raise refused
        return int(wanted * free()) if match[2] else int(wanted)
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not wanted > 0 or wanted == float("inf"):
        raise refused
    if isinstance(wanted, float) and wanted <= 1.0:
        return int(wanted * free())
    return int(wanted)
