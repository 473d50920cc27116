"""Facts of this machine: its CPU, GPUs, drivers and packages, and why a GPU cannot be used. For ``gpu-logreg info``."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg import __version__
from gpu_logreg.arrays import thread_limit
from gpu_logreg.arrays.blocks import n_threads
from gpu_logreg.arrays.device import Device, cuda_problem, import_cupy, one_line, using
from gpu_logreg.arrays.device_choice import AUTO_CUDA_BYTES, resolve_device
from gpu_logreg.arrays.on_device import on_device
from gpu_logreg.errors import DeviceError
from gpu_logreg.passes.cuda.dense import SUM_BLOCK, SUM_KERNEL
from gpu_logreg.passes.cuda.source import kernel_source

__all__ = ["PACKAGES", "driver_version", "kernel_problem", "machine_facts", "version_of"]

PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "llvmlite", "safetensors", "pyarrow", "ml_dtypes")
"""Packages of which `machine_facts` gives the version. CuPy's has several names, and is a fact of its own."""

_CUPY = ("cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x", "cupy")
"""Distributions of CuPy. They install the same module over each other, so that only one may be there."""

_INSTRUCTIONS = {
    "+avx512f": "AVX-512",
    "+avx2": "AVX2",
    "+avx": "AVX",
    "+sse4.2": "SSE4.2",
    "+sve": "SVE",
    "+neon": "NEON",
}
"""Sets of vector instructions by LLVM's name for them, the widest first."""


def machine_facts() -> dict[str, Any]:
    """All facts in the types of JSON. A fact that this machine does not have is None, and ``problem`` says why.

    A kernel is compiled and run on every GPU. This makes a context there, which takes some of its memory until the
    process ends.
    """
    problem = cuda_problem()
    auto = resolve_device("auto")
    return {
        "gpu_logreg": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: version for name in PACKAGES if (version := version_of(name)) is not None},
        "cpu": _cpu(),
        "numba_cache": _numba_cache(),
        "driver": {"cuda": driver_version()},
        "cupy": _cupy(),
        "gpu": {"usable": problem is None, "problem": problem, "devices": [] if problem else _devices()},
        "auto": {"device": auto.name, "reason": auto.reason, "from_bytes": AUTO_CUDA_BYTES},
    }


def version_of(package: str) -> str | None:
    """Version of an installed package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


# ------------------------------------------------------------------------------------------------------------ the CPU


def _cpu() -> dict[str, Any]:
    from numba.core.registry import cpu_target  # the processor that Numba compiles for, NUMBA_CPU_NAME included

    _, target, features = cpu_target.target_context.codegen().magic_tuple()
    available = set(features.split(","))
    instructions = [name for feature, name in _INSTRUCTIONS.items() if feature in available]
    return {
        "name": _cpu_name(),
        "processors": os.cpu_count(),
        "threads": n_threads(),
        "omp_num_threads": thread_limit.OMP_NUM_THREADS or None,
        "instructions": instructions[0] if instructions else None,
        "compiled_for": target,
    }


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:  # no Linux
        pass
    return platform.processor() or platform.machine()


def _numba_cache() -> str | None:
    """Folder of the compiled loops; None where no folder can be written, so that every process compiles them anew."""
    from gpu_logreg.arrays import code_files

    path = code_files.folder()
    return None if path is None else str(path)


# ------------------------------------------------------------------------------------------------------------ the GPUs


def driver_version() -> str | None:
    """The CUDA version of NVIDIA's driver by the driver's own library, without CuPy; None where there is no driver."""
    number = ctypes.c_int()
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        if driver.cuDriverGetVersion(ctypes.byref(number)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return _dotted(number.value) if number.value else None


def _dotted(version: int) -> str:
    """``12.9`` for 12090: CUDA numbers its versions 1000 major + 10 minor."""
    return f"{version // 1000}.{version % 1000 // 10}"


def _cupy() -> dict[str, Any]:
    packages = [name for name in _CUPY if version_of(name) is not None]
    facts: dict[str, Any] = {
        "version": None,
        "packages": packages,
        "runtime": None,
        "nvrtc": None,
        "kernel_cache": None,
    }
    try:
        cupy = import_cupy()
    except DeviceError as error:
        return facts | {"problem": str(error)}
    facts |= {"version": cupy.__version__, "problem": None}
    cache = os.environ.get("CUPY_CACHE_DIR") or os.path.expanduser("~/.cupy/kernel_cache")
    facts["kernel_cache"] = None if os.environ.get("CUPY_CACHE_IN_MEMORY", "0") not in ("", "0") else cache
    try:
        facts["runtime"] = _dotted(int(cupy.cuda.runtime.runtimeGetVersion()))
        facts["nvrtc"] = ".".join(map(str, cupy.cuda.nvrtc.getVersion()))
    except Exception as error:  # the library is not there, or of another version
        wheel = packages[0] if packages else "cupy-cuda12x"
        facts["problem"] = f"{one_line(error)}; install CuPy with what it needs: pip install '{wheel}[ctk]'"
    return facts


def _devices() -> list[dict[str, Any]]:
    count = int(import_cupy().cuda.runtime.getDeviceCount())
    return [_device(index) for index in range(count)]


def _device(index: int) -> dict[str, Any]:
    """Name, compute capability and free memory of one GPU, and whether kernels compile and run there."""
    cupy, device = import_cupy(), Device("cuda", index)
    facts: dict[str, Any] = {"device": device.name, "name": None, "compute_capability": None}
    facts |= {"memory_free": None, "memory": None, "kernels_seconds": None}
    try:
        properties = cupy.cuda.runtime.getDeviceProperties(index)
        facts["name"] = properties["name"].decode()
        facts["compute_capability"] = f"{properties['major']}.{properties['minor']}"
        facts["memory"] = int(properties["totalGlobalMem"])
        with using(device):
            facts["memory_free"] = int(cupy.cuda.runtime.memGetInfo()[0])
    except Exception as error:
        return facts | {"problem": f"{one_line(error)}; another process may have it to itself: see nvidia-smi"}
    begin = time.perf_counter()
    problem = kernel_problem(device)
    facts["kernels_seconds"] = None if problem else round(time.perf_counter() - begin, 3)
    return facts | {"problem": problem}


def kernel_problem(device: Device) -> str | None:
    """Compile and run a kernel on a GPU: None if it gives the right sums, else the reason and the remedy."""
    try:
        with on_device(device, less="less of it elsewhere"):
            sums = _probe()
    except DeviceError as error:
        return str(error)
    except Exception as error:
        return f"the kernels cannot be run ({one_line(error)})"
    return None if sums.tolist() == [9.0, 12.0] else f"a kernel that should give [9.0, 12.0] gave {sums.tolist()}"


def _probe() -> NDArray[np.float64]:
    """Sums of two columns of three rows by `SUM_KERNEL`, the smallest kernel, which every pass uses."""
    cupy = import_cupy()
    code = kernel_source(f"{SUM_KERNEL}.cu", ("reduce.cuh",))
    kernel = cupy.RawModule(code=code, options=(f"-DBLOCK={SUM_BLOCK}",)).get_function(SUM_KERNEL)
    partial, sums = cupy.asarray(np.arange(6.0).reshape(3, 2) + 1.0), cupy.empty(2, dtype=np.float64)
    kernel((1,), (SUM_BLOCK,), (partial, sums, np.int32(3), np.int32(2)))
    result: NDArray[np.float64] = sums.get()
    return result
