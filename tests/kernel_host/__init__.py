"""Runs the project's CUDA text on the CPU: compiled by g++ after shim.h, one fiber per CUDA thread."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
FLAGS = (
    *("-std=c++17", "-O1", "-fPIC", "-shared"),
    # A narrowed index or a float32 that slips into float64 arithmetic is a fault in a kernel.
    *("-Werror=conversion", "-Werror=double-promotion"),
)
GUARD_BYTES = 1024
POISON = 0xFF  # NaN in every floating type


class KernelHostError(Exception):
    """The kernel does not compile on the host, was called wrongly, or broke a rule of CUDA; the message says which."""


def missing() -> str | None:
    """Why kernels cannot be run on the host; None if they can."""
    return None if shutil.which("g++") else "g++ is not installed: kernels cannot be compiled for the CPU"


@functools.cache
def _compiler_version() -> str:
    return subprocess.run(["g++", "--version"], check=True, capture_output=True, text=True).stdout


def compile_library(code: str, options: Iterable[str] = ()) -> ctypes.PyDLL:
    """Shared library of C++ text, compiled once per text, options and compiler, and kept in the temporary folder."""
    command = ["g++", *FLAGS, *options]
    key = hashlib.sha256("\0".join([_compiler_version(), *command, code, *_headers()]).encode()).hexdigest()
    folder = Path(tempfile.gettempdir(), f"gpu-logreg-kernel-host-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise KernelHostError(f"{folder} belongs to somebody else")
    built = folder / f"{key[:32]}.so"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            unfinished = Path(scratch, built.name)
            command += ["-I", str(HERE), "-x", "c++", "-", "-o", str(unfinished)]
            result = subprocess.run(command, input=code, capture_output=True, text=True)
            if result.returncode != 0:
                raise KernelHostError(result.stderr)
            unfinished.replace(built)  # at once, so that tests may run side by side
    return ctypes.PyDLL(str(built))  # keeps the interpreter's lock: threadIdx and its like are global


def _headers() -> list[str]:
    return [path.read_text() for path in sorted(HERE.glob("*.h"))]


class HostModule:
    """Kernels of one CUDA text, as `cupy.RawModule` gives them."""

    def __init__(self, code: str, options: Sequence[str] = ()) -> None:
        names = re.findall(r'extern\s+"C"\s+__global__\s+void\s+(?:__\w+__\([^()]*\)\s+)*(\w+)\s*\(', code)
        exports = "\n".join(f"EXPORT_KERNEL({name})" for name in names)
        self.names = tuple(names)
        text = f'#include "shim.h"\n{code}\n#line 1 "exports"\n#include "launch.h"\n{exports}\n'
        self._library = compile_library(text, options)

    def get_function(self, name: str) -> HostKernel:
        if name not in self.names:
            raise KernelHostError(f"there is no kernel {name}; there are {', '.join(self.names) or 'none'}")
        return HostKernel(self._library, name)


class HostKernel:
    """A kernel, called as CuPy calls it: ``kernel((grid,), (block,), arguments)``.

    Arguments are NumPy arrays, NumPy scalars of the exact type of the parameter, and ``numpy.uintp(0)`` for a null
    pointer. Every array is copied between guards for the launch: a kernel that reads past an end gets NaN, and one
    that writes there is reported.
    """

    def __init__(self, library: ctypes.PyDLL, name: str) -> None:
        self.name = name
        self._launch = library[f"launch_{name}"]
        text = ctypes.create_string_buffer(1024)
        library[f"signature_{name}"](text)
        self.signature = text.value.decode().split()

    def __call__(self, grid: tuple[int], block: tuple[int], arguments: Sequence[Any], *, seed: int = 0) -> None:
        if len(arguments) != len(self.signature):
            raise KernelHostError(f"{self.name} takes {len(self.signature)} arguments, not {len(arguments)}")
        guarded: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        values: list[Any] = []
        for number, (argument, letters) in enumerate(zip(arguments, self.signature, strict=True)):
            self._check(number, argument, letters)
            if isinstance(argument, np.ndarray):
                address = argument.ctypes.data
                if address not in guarded:
                    guarded[address] = argument, _between_guards(argument)
                values.append(ctypes.c_void_p(guarded[address][1].ctypes.data + GUARD_BYTES))
            else:
                values.append(ctypes.create_string_buffer(argument.tobytes(), argument.nbytes))
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        report = ctypes.create_string_buffer(4096)
        failed = self._launch(
            *(ctypes.c_uint(grid[0]), ctypes.c_uint(block[0]), ctypes.c_ulonglong(seed)),
            *(pointers, report, ctypes.c_size_t(len(report))),
        )
        if failed:
            raise KernelHostError(f"{self.name}: {report.value.decode()}")
        for number, (argument, copy) in enumerate(guarded.values()):
            if (copy[:GUARD_BYTES] != POISON).any() or (copy[GUARD_BYTES + argument.nbytes :] != POISON).any():
                raise KernelHostError(f"{self.name} wrote outside its array {number}")
            flat = argument.view(np.ndarray).reshape(-1)
            flat[...] = copy[GUARD_BYTES : GUARD_BYTES + argument.nbytes].view(argument.dtype)

    def _check(self, number: int, argument: Any, letters: str) -> None:
        pointer, dtype = letters[0] == "P", np.dtype(letters[-1])
        if pointer and isinstance(argument, np.uintp) and argument == 0:
            return
        if pointer != isinstance(argument, np.ndarray) or not isinstance(argument, np.ndarray | np.generic):
            raise KernelHostError(f"{self.name}: argument {number} is {type(argument).__name__}, not {letters}")
        if argument.dtype != dtype:
            raise KernelHostError(f"{self.name}: argument {number} is {argument.dtype}, not {dtype}")
        if pointer and not argument.flags.c_contiguous:
            raise KernelHostError(f"{self.name}: argument {number} is not contiguous")


def _between_guards(array: np.ndarray) -> np.ndarray:
    copy = np.full(array.nbytes + 2 * GUARD_BYTES, POISON, dtype=np.uint8)
    copy[GUARD_BYTES : GUARD_BYTES + array.nbytes] = np.frombuffer(array.tobytes(), dtype=np.uint8)
    return copy
