"""NVRTC from its wheel, through ctypes: compiles CUDA text to binaries on a machine with no GPU and no driver."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

CUPY_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")
"""What CuPy adds to the options of every kernel."""


class Resources(NamedTuple):
    """What one kernel takes on one architecture, as ptxas reports it."""

    registers: int
    spill_bytes: int
    stack_bytes: int


class CompileError(Exception):
    """NVRTC refused the text; the message is its log."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """NVRTC, or None where no wheel of it is installed."""
    for package in ("nvidia.cuda_nvrtc", "nvidia.cu13"):  # the wheels of CUDA 12 and 13
        try:
            spec = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            continue
        for folder in spec.submodule_search_locations or () if spec else ():
            found = load(Path(folder, "lib"))
            if found is not None:
                return found
    return None


def load(folder: Path) -> ctypes.CDLL | None:
    """NVRTC from the folder of a wheel, or None where it is not in there.

    It opens ``libnvrtc-builtins`` by its name alone, which the loader of CUDA 13 does not find beside it; what is
    loaded already it finds.
    """
    for path in sorted(folder.glob("libnvrtc.so.*")):
        for builtins in sorted(folder.glob("libnvrtc-builtins.so.*")):
            ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
        return ctypes.CDLL(str(path))
    return None


def compile_cubin(code: str, options: Iterable[str]) -> tuple[bytes, str]:
    """Binary and log of ``code``, which may hold several kernels."""
    nvrtc = library()
    assert nvrtc is not None
    program = ctypes.c_void_p()
    _check(nvrtc, nvrtc.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernel.cu", 0, None, None))
    try:
        flags = [option.encode() for option in options]
        status = nvrtc.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
        log = _read(nvrtc, "ProgramLog", program).decode().rstrip("\0\n")
        if status != 0:
            raise CompileError(log)
        return _read(nvrtc, "CUBIN", program), log
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def resources(log: str) -> dict[str, Resources]:
    """Registers, spills and stack of each kernel, from the log of ``--ptxas-options=-v``."""
    entry = (
        r"Compiling entry function '(\w+)'.*?"
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers"
    )
    return {
        name: Resources(int(registers), int(stores) + int(loads), int(stack))
        for name, stack, stores, loads, registers in re.findall(entry, log, re.DOTALL)
    }


def _read(nvrtc: ctypes.CDLL, what: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}")(program, buffer))
    return buffer.raw


def _check(nvrtc: ctypes.CDLL, status: int) -> None:
    if status != 0:
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise CompileError(nvrtc.nvrtcGetErrorString(status).decode())
