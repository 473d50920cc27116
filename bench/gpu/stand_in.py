"""The stand-in for CuPy in a process of its own, for rehearsals where there is no GPU."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ASKED = "GPU_CHECK_STAND_IN"
_kept: list[Any] = []


def timed(event: Any, clock: Callable[[], float]) -> Any:
    """The stand-in's events with the moments at which they were recorded, in milliseconds of a clock."""

    class Timed(event):  # type: ignore[misc]
        def record(self, stream: Any = None) -> None:
            super().record(stream)
            self.at = clock()

    return Timed


def asked() -> bool:
    """Whether this process is one of a rehearsal."""
    return bool(os.environ.get(ASKED))


def install_if_asked() -> None:
    """Put the stand-in in the place of ``cupy``, for good."""
    if not asked():
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "stand_in"))
    import fake_cupy
    import pytest

    patch = pytest.MonkeyPatch()
    _kept.append(fake_cupy.installed(patch))
    _kept[0].__enter__()
    # What runs on the stand-in has run when a call returns, so that the host's clock tells.
    patch.setattr(fake_cupy.cuda, "Event", timed(fake_cupy.cuda.Event, lambda: 1e3 * time.perf_counter()))
    patch.setattr(fake_cupy.cuda, "get_elapsed_time", lambda a, b: b.at - a.at + 1e-6)
