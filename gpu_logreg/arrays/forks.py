"""Forks while another thread fits: a fork first waits for the locks that the fit holds, so that the child can fit.

A forked child has only the thread that forked. A lock that another thread of the parent held at that moment is never
released in the child, and a thread that asks for it there waits for ever. So a fork first waits for

- imports of other threads: the first fit imports Numba and the compiled loops, which takes seconds;
- a loop that another thread compiles or loads: Numba and `gpu_logreg.arrays.compiled` do so under one lock each;
- the lock of `gpu_logreg.arrays.blocks`, under which the number of threads of BLAS is set, and the threads of BLAS,
  which every fork starts anew.

Each of them ends by itself; the longest wait is for a loop to be compiled. CPython, its modules ``logging`` and
``concurrent.futures``, and the C library do the same for their own locks.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["wait_before_forks"]

IMPORTED_BY_FITS = frozenset({"gpu_logreg", "llvmlite", "numba", "scipy", "sklearn"})
"""Packages of which a fit imports modules, and for whose imports a fork waits."""

MOST_WAITS = 100
"""Times that a fork waits for imports that were begun while it waited. Those of its own thread would never end."""


def wait_before_forks(lock: contextlib.AbstractContextManager[Any], in_child: Callable[[], None]) -> None:
    """Have every fork of this process wait for ``lock``, and call ``in_child`` in the child.

    Parameters
    ----------
    lock : RLock
        Held by the thread that forks while it does so.
    in_child : function
        Called in the child while it still holds the lock.
    """

    here = threading.local()  # what a thread holds of this lock's during its fork: several threads may fork at once

    def before() -> None:
        here.held = held = contextlib.ExitStack()
        for _ in range(MOST_WAITS):
            held.close()
            for name in _imports_under_way():
                with contextlib.suppress(Exception):  # the error is raised in the thread whose import it is, too
                    importlib.import_module(name)  # returns when that thread is done
            compiler = sys.modules.get("numba.core.compiler_lock")  # never imported here
            if compiler is not None:
                held.enter_context(compiler.global_compiler_lock)
            held.enter_context(lock)
            if not _imports_under_way():  # the thread that was waited for may have begun another import meanwhile
                break

    def after() -> None:
        vars(here).pop("held", contextlib.ExitStack()).close()

    def after_in_child() -> None:
        in_child()
        after()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=after, after_in_child=after_in_child)


def _imports_under_way() -> list[str]:
    """Modules that fits import and some thread is importing; while its file is looked for one is not known yet."""
    names = [name for name, module in list(sys.modules.items()) if _is_initialising(module)]
    names += list(getattr(getattr(importlib, "_bootstrap", None), "_module_locks", ()))  # CPython's own table
    return [name for name in names if name.partition(".")[0] in IMPORTED_BY_FITS]


def _is_initialising(module: Any) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))
