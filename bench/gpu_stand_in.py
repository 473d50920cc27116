"""The stand-in for CuPy in a process of its own, for rehearsals where there is no GPU."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

ASKED = "GPU_CHECK_STAND_IN"
_kept: list[Any] = []


class Event:
    """A moment of the host's clock: what runs on the stand-in has run when a call returns."""

    def record(self, stream: Any = None) -> None:
        """Now."""
        self.at = time.perf_counter()


def asked() -> bool:
    """Whether this process is one of a rehearsal."""
    return bool(os.environ.get(ASKED))


def install_if_asked() -> None:
    """Put the stand-in in the place of ``cupy``, for good."""
    if not asked():
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    import fake_cupy
    import pytest

    patch = pytest.MonkeyPatch()
    _kept.append(fake_cupy.installed(patch))
    _kept[0].__enter__()
    patch.setattr(fake_cupy.cuda, "Event", Event, raising=False)
    patch.setattr(fake_cupy.cuda, "get_elapsed_time", lambda a, b: 1e3 * (b.at - a.at) + 1e-6, raising=False)
