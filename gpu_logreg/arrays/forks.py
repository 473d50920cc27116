"""Forks while another thread fits: a fork first waits for the locks that the fit holds, so that the child can fit.

A forked child has only the thread that forked. A lock that another thread of the parent held at that moment is never
released in the child, and a thread that asks for it there waits for ever. So a fork first waits for

- imports of other threads: the first fit imports Numba and the compiled loops, which takes seconds;
- a loop that another thread compiles, or loads from the cache: Numba does so under one lock;
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

_here = threading.local()  # the locks that a thread holds during its fork: several threads may fork at once


def wait_before_forks(lock: contextlib.AbstractContextManager[Any], in_child: Callable[[], None]) -> None:
    """Have every fork of this process wait for ``lock``, and call ``in_child`` in the child.

    Parameters
    ----------
    lock : RLock
        Held by the thread that forks while it does so.
    in_child : function
        Called in the child while it still holds the lock.
    """

    def before() -> None:
        _wait_for_imports()
        _here.held = held = contextlib.ExitStack()
        compiler = sys.modules.get("numba.core.compiler_lock")  # never imported here
        if compiler is not None:
            held.enter_context(compiler.global_compiler_lock)
        held.enter_context(lock)

    def after() -> None:
        vars(_here).pop("held", contextlib.ExitStack()).close()

    def after_in_child() -> None:
        in_child()
        after()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=after, after_in_child=after_in_child)


def _wait_for_imports() -> None:
    for name, module in list(sys.modules.items()):
        initialising = getattr(getattr(module, "__spec__", None), "_initializing", False)
        if initialising and name.partition(".")[0] in IMPORTED_BY_FITS:
            with contextlib.suppress(Exception):  # the thread that imports it raises the error
                importlib.import_module(name)  # returns when that thread is done
