"""The most threads that the environment asks for.

It is read when the package is imported, as libraries of OpenMP read it when they are loaded. A local Dask cluster sets
the variable to 1 in the process that starts it, for its workers: read later, it would leave that process one thread.
"""

from __future__ import annotations

import os

__all__ = ["OMP_NUM_THREADS"]

OMP_NUM_THREADS = os.environ.get("OMP_NUM_THREADS", "")
"""As it stands in the environment; empty where it is not set."""
