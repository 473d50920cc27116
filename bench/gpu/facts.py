"""What a run ran on."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import re
import subprocess
import sys
from typing import Any

from record import environment

PACKAGES = (
    *("cupy-cuda13x", "cupy-cuda12x", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12", "numpy", "scipy", "torch"),
    *("triton", "jax", "ml-dtypes", "pytest"),
)


def device_facts(cupy: Any) -> dict[str, Any]:
    """Name, driver, CUDA and sizes of the current device, and versions; what cannot be found out is left out."""
    facts = _environment()
    runtime, device = cupy.cuda.runtime, cupy.cuda.Device()
    name = runtime.getDeviceProperties(int(device.id)).get("name", b"unknown")
    facts["name"] = name.decode() if isinstance(name, bytes) else str(name)
    wanted = {
        "cuda_driver_api": lambda: int(runtime.driverGetVersion()),
        "cuda_runtime": lambda: int(runtime.runtimeGetVersion()),
        "nvrtc": lambda: ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
        "compute_capability": lambda: str(device.compute_capability),
        "multiprocessors": lambda: int(device.attributes["MultiProcessorCount"]),
        "clock_khz": lambda: int(device.attributes["ClockRate"]),
        "l2_bytes": lambda: int(device.attributes["L2CacheSize"]),
        "memory_bytes": lambda: int(runtime.memGetInfo()[1]),
        "driver": lambda: _smi("driver_version"),
        "clocks_max_sm": lambda: _smi("clocks.max.sm"),
        "kernel": lambda: os.uname().release,
    }
    for key, find in wanted.items():
        with contextlib.suppress(Exception):
            facts[key] = find()
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            facts[package] = importlib.metadata.version(package)
    return facts


def _environment() -> dict[str, Any]:
    """Commit, date, processor and versions; the commit from ``COMMIT`` where the checkout has no history."""
    try:
        known: dict[str, Any] = dict(environment())
    except Exception:  # no git on this machine
        today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
        known = {"date": today, "commit": "unknown", "python": sys.version.split()[0]}
    return known | ({"commit": os.environ["COMMIT"]} if os.environ.get("COMMIT") else {})


def _smi(query: str) -> str:
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    return done.stdout.strip().splitlines()[0]


def stem(facts: dict[str, Any]) -> str:
    """The name of files about this device and day."""
    name = re.sub(r"[^a-z0-9]+", "-", facts["name"].lower().replace("nvidia", "")).strip("-") or "unknown"
    return f"gpu-{name}-{facts['date']}"
