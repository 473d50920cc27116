"""CuPy's compiler without CuPy: its ``compiler.py`` over an NVRTC that is opened by hand, for a device that is away.

What it says of a kernel, options and key, is what that CuPy says on the device, because its text is what runs here;
only the device, the headers' folders and the compiler's library are given.
"""

from __future__ import annotations

import builtins
import ctypes
import re
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

COMPILER, CACHE, INCLUDE = "cupy/cuda/compiler.py", "cupy/cuda/_compiler_cache.py", "cupy/_core/include"


class NVRTCError(Exception):
    """As CuPy's; the message is the status."""


class NVRTC:
    """What CuPy's compiler asks of its module ``nvrtc``.

    Parameters
    ----------
    library : Path
        ``libnvrtc.so.12`` or ``.13``; that of its built-in functions lies beside it.
    """

    NVRTCError = NVRTCError

    def __init__(self, library: Path) -> None:
        # From CUDA 13 on NVRTC looks for it by its name, which the loader knows once it is loaded.
        self._kept = [ctypes.CDLL(str(path)) for path in sorted(library.parent.glob("libnvrtc-builtins.so.*"))]
        self._library = ctypes.CDLL(str(library))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def getVersion(self) -> tuple[int, int]:  # noqa: N802, D102 - CuPy's names
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        return major.value, minor.value

    def createProgram(self, src: str, name: str, headers: Any, include_names: Any) -> Any:  # noqa: N802, D102
        assert not headers
        program = ctypes.c_void_p()
        made = self._library.nvrtcCreateProgram(ctypes.byref(program), src.encode(), name.encode(), 0, None, None)
        self._check(made)
        return program

    def destroyProgram(self, program: Any) -> None:  # noqa: N802, D102
        self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def compileProgram(self, program: Any, options: Sequence[str]) -> None:  # noqa: N802, D102
        flags = [option.encode() for option in options]
        array = (ctypes.c_char_p * len(flags))(*flags)
        self._check(self._library.nvrtcCompileProgram(program, len(flags), array))

    def getProgramLog(self, program: Any) -> str:  # noqa: N802, D102
        return self._read("ProgramLog", program).decode().rstrip("\0")

    def getCUBIN(self, program: Any) -> bytes:  # noqa: N802, D102
        return self._read("CUBIN", program)

    def getPTX(self, program: Any) -> bytes:  # noqa: N802, D102
        return self._read("PTX", program).rstrip(b"\0")

    def _read(self, what: str, program: Any) -> bytes:
        size = ctypes.c_size_t()
        self._check(getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._library, f"nvrtcGet{what}")(program, buffer))
        return buffer.raw

    def _check(self, status: int) -> None:
        if status:
            raise NVRTCError(self._library.nvrtcGetErrorString(status).decode())


class Compiler:
    """CuPy's compiler for one architecture.

    Parameters
    ----------
    folder : Path
        Where ``cupy`` lies, installed or out of its wheel; two files of it are read.
    cache_key : str
        ``cupy._core.core.CUPY_CACHE_KEY``; see `cache_key_of`.
    headers : str
        The texts of CuPy's headers, which are a part of every key; see `headers_of`.
    library : Path
        NVRTC's.
    arch : str
        Such as ``"90"``.
    environment : Environment
    """

    def __init__(
        self, folder: Path, cache_key: str, headers: str, library: Path, arch: str, environment: Environment
    ) -> None:
        self.nvrtc, self.environment, self._headers = NVRTC(library), environment, headers
        given: dict[str, Any] = {
            "cupy._core": _space(core=_space(CUPY_CACHE_KEY=cache_key)),
            "cupy_backends.cuda.api": _space(
                driver=_space(get_build_version=lambda: 1000 * self.nvrtc.getVersion()[0]),
                runtime=_space(is_hip=False),
            ),
            "cupy_backends.cuda.libs": _space(nvrtc=self.nvrtc),
            "cupy": _space(
                _environment=_space(), _util=_space(memoize=lambda **_: _memoized, is_shutting_down=lambda: False)
            ),
            "cupy.cuda": _space(
                device=_space(Device=lambda: _space(compute_capability=arch)), function=_space(Module=_Module)
            ),
        }
        given["cupy.cuda._compiler_cache"] = _space(**_executed(folder / CACHE, given))
        self._given = _executed(folder / COMPILER, given)
        self._given["_kernel_cache_backend"] = self
        self._found: tuple[str, bytes] | None = None
        self._name = ""

    def compiled(self, text: str, options: Iterable[str]) -> tuple[str, bytes]:
        """Name and payload that CuPy would keep of a ``RawModule``."""
        self._found = None
        assembled = self.environment.assembled(tuple(options))
        self._given["_compile_module_with_cache"](text, assembled, extra_source=self._headers)
        assert self._found is not None
        return self._found

    def key(self, text: str, options: Iterable[str]) -> str:
        """The name alone; nothing of the text is compiled."""
        compile_text = self._given["_compile_using_nvrtc_no_warning"]
        self._given["_compile_using_nvrtc_no_warning"] = lambda *_, **__: (b"", None)
        try:
            return self.compiled(text, options)[0]
        finally:
            self._given["_compile_using_nvrtc_no_warning"] = compile_text

    def build(self) -> str:
        """What the compiler says of its build, which is a part of the key."""
        return str(next(iter(self._given["_empty_file_preprocess_cache"].values())))

    def load(self, name: str) -> None:
        """CuPy asks its cache: there is nothing."""

    def save(self, name: str, cubin: bytes, source: str) -> None:
        """CuPy gives its cache what it has compiled."""
        self._found = name, cubin


class Environment:
    """Where headers lie on the machine with the device: their folders are options, and a part of the key.

    Parameters
    ----------
    cupy : str
        Folder of the package ``cupy``.
    cuda_include : str or None
        Of CUDA's headers.
    """

    def __init__(self, cupy: str, cuda_include: str | None) -> None:
        self._headers = f"{cupy}/_core/include"
        self._cuda = (f"-I{cuda_include}",) if cuda_include else ()

    def assembled(self, options: tuple[str, ...]) -> tuple[str, ...]:
        """Options as ``cupy._core.core.assemble_cupy_compiler_options`` gives them."""
        cccl = tuple(f"-I{self._headers}/cupy/_cccl/{part}" for part in ("cub", "thrust", "libcudacxx"))
        standard = () if any("-std=c++" in option for option in options) else ("--std=c++17",)
        return (*cccl, *options, *standard, f"-I{self._headers}", *self._cuda)


class _Module:
    """In the place of a module on a device."""

    def load(self, cubin: bytes) -> None:
        """Nowhere."""

    def _set_mapping(self, mapping: Any) -> None:
        pass


def headers_of(folder: Path, names: Iterable[str]) -> str:
    """What ``cupy._core.core._get_header_source`` gives: the headers below ``cupy/_core/include``, in their order."""
    return "\n".join((folder / INCLUDE / name).read_text(encoding="utf-8") for name in names)


def cache_key_of(core: bytes) -> str:
    """``CUPY_CACHE_KEY``, a checksum of CuPy's headers, out of the binary ``cupy._core.core``, which has it as text."""
    found = set(re.findall(rb"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])", core))
    if len(found) != 1:
        raise SystemExit(f"cupy._core.core has {len(found)} texts like its checksum of headers, not one")
    return found.pop().decode()


def _space(**names: Any) -> types.SimpleNamespace:
    return types.SimpleNamespace(**names)


def _memoized(function: Any) -> Any:
    known: dict[Any, Any] = {}

    def call(*arguments: Any) -> Any:
        if arguments not in known:
            known[arguments] = function(*arguments)
        return known[arguments]

    return call


def _executed(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """What a module of CuPy defines, with the modules in ``given`` in the place of CuPy's own."""

    def importer(name: str, *arguments: Any) -> Any:
        return given[name] if name.split(".")[0] in ("cupy", "cupy_backends") else builtins.__import__(name, *arguments)

    names: dict[str, Any] = {
        "__builtins__": {**vars(builtins), "__import__": importer},
        "__name__": path.stem,
    }
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    return names
