"""Machine code of the compiled loops on disk: one folder for each hash of all that the code is made from.

Numba's own cache looks at the file of a function alone to see whether the function has changed. These loops inline
loops of other files, and `gpu_logreg.passes.cpu.loops.vector_code` generates some of their code: after an edit there,
or an installation of another version of the package over this one, Numba's cache would load the old machine code. So
there is a folder for each combination of the source texts, the versions of Python, NumPy, Numba and llvmlite, and
Numba's settings that change code. Folders that no process has used for `DAYS_KEPT` days are removed when a new one is
made.

Numba also numbers the files of a function, and writes the index of the numbers before the code: where two processes
compile one function for two dtypes at once, the code of one can end under the signature of the other, and would be run
on arrays of the wrong dtype. Here a file is named by its signature and processor, is written whole or not at all, and
is loaded only if its key and its checksum agree. And Numba's cache has to be read by Numba, whose import takes longer
than most fits.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

__all__ = ["DAYS_KEPT", "folder", "load", "processor", "save", "stamp", "texts"]

DAYS_KEPT = 30
"""Days without use after which the folder of another hash is removed.

Long enough for the folders of two versions that somebody uses in turn.
"""

_FOLDER = "gpu_logreg-"
_DIGEST_BYTES = 32
_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DISABLE_INTEL_SVML", "ENABLE_AVX")
_CONFIG_FILE = Path(".numba_config.yaml")
_PACKAGE = Path(__file__).parent.parent


def texts(package: Path) -> list[Path]:
    """Files whose text is compiled; a test compares the list with what the modules of the loops import."""
    loops = sorted((package / "passes" / "cpu" / "loops").glob("*.py"))
    ours = ["compiled.py", "code_files.py", "entry_code.py", "forks.py", "numba_compiler.py"]
    return [*loops, package / "solvers" / "coordinate_loops.py", *(package / "arrays" / name for name in ours)]


def stamp(package: Path) -> str:
    """Hash of the source texts, the versions and settings of the compiler; OSError where the package has no files."""
    settings = [os.environ.get(f"NUMBA_{name}") for name in _SETTINGS]
    file = _CONFIG_FILE.read_bytes() if _CONFIG_FILE.is_file() else b""
    versions = [sys.implementation.cache_tag, *map(version, ("numpy", "numba", "llvmlite"))]
    parts = [repr((versions, settings)).encode(), file]
    for path in texts(package):
        parts += [path.name.encode(), path.read_bytes()]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:32]


def _state() -> Any:
    """Times and sizes of the source files, by which an edit shows; None where the package has no files."""
    try:
        found = [(path, path.stat()) for path in texts(_PACKAGE)]
    except OSError:
        return None
    return [(path, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size) for path, stat in found]


_STATE = _state()
_STAMP = stamp(_PACKAGE) if _STATE is not None else ""


@functools.cache
def processor() -> tuple[str, str, str]:
    """What code is compiled for: triple, name and features of the processor, as Numba takes them."""
    name = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        try:
            known = llvm.get_host_cpu_features()
        except RuntimeError:  # LLVM knows none
            return llvm.get_process_triple(), name, ""
        if os.environ.get("NUMBA_ENABLE_AVX") == "0":
            known.update({feature: False for feature in known if feature.startswith("avx")})
        features = known.flatten()
    return llvm.get_process_triple(), name, features


def folder() -> Path | None:
    """Where code of these texts is kept; None where no folder can be written, or the texts have changed meanwhile.

    It lies in ``NUMBA_CACHE_DIR`` where that is set, else beside the package, else in the user's folder of caches. The
    texts change under a process by an installation, or an edit: what it compiles then belongs to neither state.
    """
    if _STATE is None or _state() != _STATE:
        return None
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    for parent in [Path(chosen)] if chosen else [_PACKAGE / "__pycache__", _of_user()]:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=parent):
                return parent / f"{_FOLDER}{_STAMP}"
        except OSError:
            continue
    return None


def _of_user() -> Path:
    """The user's folder of caches, by the custom of the system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or tempfile.gettempdir()) / "gpu_logreg"
    caches = "~/Library/Caches" if sys.platform == "darwin" else os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(caches)) / "gpu_logreg"


def _path(inside: Path, key: list[Any]) -> Path:
    return inside / f"{key[0]}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:20]}.code"


def load(key: list[Any]) -> tuple[dict[str, Any], bytes] | None:
    """Facts and machine code kept under ``key``, of which the first is a name; None if there are none, or damaged."""
    inside = folder()
    if inside is None:
        return None
    with contextlib.suppress(OSError):
        os.utime(inside)  # the time of the last use, for `_remove_unused`
    try:
        content = _path(inside, key).read_bytes()
    except OSError:
        return None
    digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(data).digest() != digest:
        return None
    head, _, code = data.partition(b"\n")
    facts = json.loads(head)
    return (facts, code) if facts["key"] == key else None


def save(key: list[Any], facts: dict[str, Any], code: bytes) -> None:
    """Write a file beside its place and move it there, so that other processes see all of it or nothing.

    Where the disk is full the next process compiles again, and this one goes on.
    """
    inside = folder()
    if inside is None:
        return
    data = json.dumps({**facts, "key": key}).encode() + b"\n" + code
    with contextlib.suppress(OSError):
        try:
            inside.mkdir()
        except FileExistsError:
            pass
        else:
            _remove_unused(inside)
        path = _path(inside, key)
        beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        try:
            beside.write_bytes(hashlib.sha256(data).digest() + data)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _remove_unused(inside: Path) -> None:
    """Remove the folders beside this one that belong to other texts and have not been used for `DAYS_KEPT` days."""
    oldest = time.time() - DAYS_KEPT * 86400
    for other in inside.parent.glob(f"{_FOLDER}*"):
        with contextlib.suppress(OSError):
            if other != inside and other.stat().st_mtime < oldest:
                shutil.rmtree(other)
