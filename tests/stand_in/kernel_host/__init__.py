"""Runs the project's CUDA text on the CPU: compiled by g++ after shim.h, one fiber per CUDA thread."""

from __future__ import annotations

import contextlib
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

with contextlib.suppress(ImportError):  # a machine with a GPU may do without: it runs no kernel here
    import ml_dtypes  # noqa: F401 - NumPy knows "bfloat16" from it

HERE = Path(__file__).parent
SHIM = "shim.h"
FLAGS = (
    *("-std=c++17", "-O1", "-fPIC", "-shared"),
    # A narrowed index or a float32 that slips into float64 arithmetic is a fault in a kernel.
    *("-Werror=conversion", "-Werror=double-promotion"),
)
GUARD_BYTES = 1024
ALIGNMENT = 64
POISON = 0xFF  # NaN in every floating type
PLAIN_SHARED_BYTES, MOST_SHARED_BYTES = 48 * 1024, 99 * 1024
"""Dynamic shared memory of a block without and with asking for it, on compute capability 8.6 and later."""


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
        if f'#include "{SHIM}"' in code:
            command += ["-include", str(_precompiled_shim(folder))]
        _compile(code, [*command, "-x", "c++", "-"], built)
    return ctypes.PyDLL(str(built))  # keeps the interpreter's lock: threadIdx and its like are global


def _precompiled_shim(folder: Path) -> Path:
    """A header that includes the shim, with what the compiler made of it beside: it is most of a kernel's text."""
    text = f'#include "{HERE / SHIM}"\n'
    command = ["g++", *FLAGS, "-x", "c++-header"]
    key = hashlib.sha256("\0".join([_compiler_version(), *command, text, *_headers()]).encode()).hexdigest()
    header = folder / f"{key[:32]}.h"
    compiled = header.with_suffix(".h.gch")
    if not compiled.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            unfinished = Path(scratch, header.name)
            unfinished.write_text(text)
            unfinished.replace(header)
        _compile("", [*command, str(header)], compiled)
    return header


def _compile(code: str, command: list[str], built: Path) -> None:
    with tempfile.TemporaryDirectory(dir=built.parent) as scratch:
        unfinished = Path(scratch, built.name)
        command = [*command, "-I", str(HERE), "-o", str(unfinished)]
        result = subprocess.run(command, input=code, capture_output=True, text=True)
        if result.returncode != 0:
            raise KernelHostError(result.stderr)
        unfinished.replace(built)  # at once, so that tests may run side by side


def _headers() -> list[str]:
    return [path.read_text() for path in sorted(HERE.glob("*.h"))]


class HostModule:
    """Kernels of one CUDA text, as `cupy.RawModule` gives them."""

    def __init__(self, code: str, options: Sequence[str] = ()) -> None:
        names = re.findall(r'extern\s+"C"\s+__global__\s+void\s+(?:__\w+__\([^()]*\)\s+)*(\w+)\s*\(', code)
        exports = "\n".join(f"EXPORT_KERNEL({name})" for name in names)
        self.names = tuple(names)
        dynamic = re.search(r"extern\s+__shared__\s+(\w[\w ]*?)\s+(\w+)\[\];", code)
        if dynamic:
            element, name = dynamic.groups()
            count = f"[kernel_host::DYNAMIC_SHARED_BYTES / sizeof({element})]"
            code += f"\nalignas(16) thread_local {element} {name}{count};\n#define DYNAMIC_SHARED {name}"
        text = f'#include "{SHIM}"\n{code}\n#line 1 "exports"\n#include "launch.h"\n{exports}\n'
        self._library = compile_library(text, options)

    def get_function(self, name: str) -> HostKernel:
        if name not in self.names:
            raise KernelHostError(f"there is no kernel {name}; there are {', '.join(self.names) or 'none'}")
        return HostKernel(self._library, name)


class HostKernel:
    """A kernel, called as CuPy calls it: ``kernel((grid,), (block,), arguments, shared_mem=0)``.

    Arguments are NumPy arrays, NumPy scalars of the exact type of the parameter, and ``numpy.uintp(0)`` for a null
    pointer. Every array is copied between guards for the launch: a kernel that reads past an end gets NaN, and one
    that writes there is reported.
    """

    def __init__(self, library: ctypes.PyDLL, name: str) -> None:
        self.name = name
        self._dynamic = PLAIN_SHARED_BYTES
        self._launch = library[f"launch_{name}"]
        text = ctypes.create_string_buffer(1024)
        library[f"signature_{name}"](text)
        self.signature = text.value.decode().split()

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """Most dynamic shared memory of a launch; more than 48 KB has to be asked for, as on a device."""
        return self._dynamic

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if size > MOST_SHARED_BYTES:
            raise KernelHostError(f"{self.name}: {size} bytes of dynamic shared memory; there are {MOST_SHARED_BYTES}")
        self._dynamic = size

    def __call__(
        self, grid: tuple[int], block: tuple[int], arguments: Sequence[Any], *, shared_mem: int = 0, seed: int = 0
    ) -> None:
        if shared_mem > self._dynamic:
            raise KernelHostError(f"{self.name}: {shared_mem} bytes of dynamic shared memory, of {self._dynamic}")
        if len(arguments) != len(self.signature):
            raise KernelHostError(f"{self.name} takes {len(self.signature)} arguments, not {len(arguments)}")
        guarded: dict[int, tuple[np.ndarray, _Guarded]] = {}
        values: list[Any] = []
        for number, (argument, letters) in enumerate(zip(arguments, self.signature, strict=True)):
            self._check(number, argument, letters)
            if isinstance(argument, np.ndarray):
                address = argument.ctypes.data
                if address not in guarded:
                    flat = _flat(argument)
                    guarded[address] = flat, _Guarded(flat)
                values.append(ctypes.c_void_p(guarded[address][1].inside.ctypes.data))
            else:
                values.append(ctypes.create_string_buffer(argument.tobytes(), argument.nbytes))
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        report = ctypes.create_string_buffer(4096)
        failed = self._launch(
            *(ctypes.c_uint(grid[0]), ctypes.c_uint(block[0]), ctypes.c_size_t(shared_mem), ctypes.c_ulonglong(seed)),
            *(pointers, report, ctypes.c_size_t(len(report))),
        )
        if failed:
            raise KernelHostError(f"{self.name}: {report.value.decode()}")
        for number, (flat, copy) in enumerate(guarded.values()):
            if not copy.intact():
                raise KernelHostError(f"{self.name} wrote outside its array {number}")
            if flat.flags.writeable:
                flat[...] = copy.inside

    def _check(self, number: int, argument: Any, letters: str) -> None:
        pointer, dtype = letters[0] == "P", np.dtype("B" if letters[-1] == "b" else letters[-1])
        if letters[-1] == "b":  # bfloat16, which NumPy itself does not know
            dtype = np.dtype("bfloat16")
        if pointer and isinstance(argument, np.uintp) and argument == 0:
            return
        if pointer != isinstance(argument, np.ndarray) or not isinstance(argument, np.ndarray | np.generic):
            raise KernelHostError(f"{self.name}: argument {number} is {type(argument).__name__}, not {letters}")
        if argument.dtype != dtype:
            raise KernelHostError(f"{self.name}: argument {number} is {argument.dtype}, not {dtype}")
        rows_contiguous = argument.ndim == 2 and (argument.size == 0 or argument.strides[1] == argument.itemsize)
        if pointer and not argument.flags.c_contiguous and not rows_contiguous:
            raise KernelHostError(f"{self.name}: argument {number} is not contiguous")


def _flat(array: np.ndarray) -> np.ndarray:
    """All memory from the first to the last element, what lies between rows included."""
    array = array.view(np.ndarray)
    if array.flags.c_contiguous:
        return array.reshape(-1)
    span = (
        1 + sum((size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True)) // array.itemsize
    )
    return np.lib.stride_tricks.as_strided(array, (span,), (array.itemsize,), writeable=False)


class _Guarded:
    """A copy of an array between guards, at an address as odd as its own."""

    def __init__(self, flat: np.ndarray) -> None:
        self._buffer = np.full(flat.nbytes + 2 * GUARD_BYTES + 2 * ALIGNMENT, POISON, dtype=np.uint8)
        self._first = GUARD_BYTES + (flat.ctypes.data - self._buffer.ctypes.data) % ALIGNMENT
        self._last = self._first + flat.nbytes
        self.inside = self._buffer[self._first : self._last].view(flat.dtype)
        self.inside[...] = flat

    def intact(self) -> bool:
        return not ((self._buffer[: self._first] != POISON).any() or (self._buffer[self._last :] != POISON).any())
