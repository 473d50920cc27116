"""A cache of the compiled loops on disk: one folder for each hash of all source texts that they are compiled from.

Numba's own cache looks at the file of a function alone to see whether the function has changed. These loops inline
loops of other files, and `gpu_logreg.passes.cpu.loops.vector_code` generates some of their code: after an edit there,
or an installation of another version of the package over this one, Numba's cache would load the old machine code. So
the directory that Numba chooses (``NUMBA_CACHE_DIR``, beside the package, or the user's cache) gets a folder for each
combination of the source texts, the versions of Numba and llvmlite, and Numba's settings that change code. Folders that
no process has opened for `DAYS_KEPT` days are removed when a new one is made.

Numba's hook for the place and freshness of its files (``NUMBA_CACHE_LOCATOR_CLASSES``) would not be enough. Numba
numbers the files of a function, and writes the index of the numbers before the code: where two processes compile one
function for two dtypes at once, the code of one can end under the signature of the other, and would be run on arrays
of the wrong dtype. Here a file is named by its signature and processor, is written whole or not at all, and is loaded
only if its key and its checksum agree.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import secrets
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import config
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

__all__ = ["DAYS_KEPT", "LIBERTIES", "njit", "stamp", "texts"]

DAYS_KEPT = 30
"""Days without use after which the folder of another hash is removed.

Long enough for the folders of two versions that somebody uses in turn.
"""

_FOLDER = "gpu_logreg-"
_DIGEST_BYTES = 32
_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DISABLE_INTEL_SVML")
_PACKAGE = Path(__file__).parent.parent


def texts(package: Path) -> list[Path]:
    """Files whose text is compiled; a test compares the list with what the modules of the loops import."""
    loops = sorted((package / "passes" / "cpu" / "loops").glob("*.py"))
    return [*loops, package / "solvers" / "coordinate_loops.py", package / "arrays" / "compiled.py"]


def stamp(package: Path) -> str:
    """Hash of the source texts, the versions and settings of the compiler; OSError where the package has no files."""
    settings = [getattr(config, name, None) for name in _SETTINGS]
    parts = [repr((numba.__version__, llvmlite.__version__, settings)).encode()]
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


class _Files:
    """Cached machine code of one function: a file for each key (signature, processor, bytecode)."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        with contextlib.suppress(OSError):
            os.utime(folder)  # the time of the last use, for `_remove_unused`

    def _path(self, key: Any) -> Path:
        return self._folder / f"{self._name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:20]}.nbc"

    def load(self, key: Any) -> Any:
        """The cached code of this key, or None where there is none or the file is damaged."""
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != digest:
            return None
        stored_key, code = pickle.loads(data)
        return code if stored_key == key else None

    def save(self, key: Any, code: Any) -> None:
        """Write a file beside its place and move it there, so that other processes see all of it or nothing."""
        data = dumps((key, code))
        try:
            self._folder.mkdir(parents=True)
        except FileExistsError:
            pass
        else:
            _remove_unused(self._folder)
        path = self._path(key)
        beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        try:
            beside.write_bytes(hashlib.sha256(data).digest() + data)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    def flush(self) -> None:
        """Remove all cached code of the function."""
        for path in self._folder.glob(f"{self._name}-*.nbc"):
            path.unlink(missing_ok=True)


def _remove_unused(folder: Path) -> None:
    """Remove the folders beside ``folder`` that belong to other texts and have not been used for `DAYS_KEPT` days."""
    oldest = time.time() - DAYS_KEPT * 86400
    for other in folder.parent.glob(f"{_FOLDER}*"):
        with contextlib.suppress(OSError):
            if other != folder and other.stat().st_mtime < oldest:
                shutil.rmtree(other)


class _DiskCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, with `_Files` in the folder of the present hash.

    Raises RuntimeError where Numba finds no directory to write to: the package and the user's home are read-only.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        folder = Path(self._impl.locator.get_cache_path(), f"{_FOLDER}{_STAMP}")
        self._cache_path = str(folder)
        self._cache_file = _Files(folder, self._impl.filename_base)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write the code; where the disk is full the next process compiles again, and this one goes on."""
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


LIBERTIES = frozenset({"contract", "nsz"})
"""Fast-math flags of every loop: the compiler may fuse products and sums, and ignore the sign of zeros.

The flags "nnan" and "ninf" are never given: with them the compiler may assume that no number is NaN or infinite, and a
NaN of a row has to reach the sums, where a fit notices it. Loops add "arcp" (division by a reciprocal), and "reassoc"
where a sum may be taken in another order, in vectors.
"""


def njit(*, cache: bool = False, fastmath: Iterable[str] = (), **options: Any) -> Any:
    """`numba.njit` without the GIL and with NumPy's division by zero; with ``cache``, its code is cached on disk.

    Every process compiles anew where no directory can be written to, and where the source texts have changed since this
    process took their hash: an installation, or an edit, while it runs.
    """

    def compile_lazily(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(nogil=True, error_model="numpy", fastmath=set(fastmath), **options)(function)
        if cache and _STATE is not None and _state() == _STATE:
            with contextlib.suppress(RuntimeError):
                dispatcher._cache = _DiskCache(function)
        return dispatcher

    return compile_lazily
