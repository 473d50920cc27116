"""Machine code of the compiled loops kept on disk: one folder for each hash of all texts that they are compiled from.

Numba's cache takes a function for unchanged where its own file is. These loops call loops of other files, which become
part of their code, and `gpu_logreg.passes.cpu.loops.vector_code` generates some of it: after an edit there, or with
another version of the package installed over this one, Numba's own cache would run the old code, and sums would be
those of the old text. So the place that Numba chooses
(``NUMBA_CACHE_DIR``, beside the package, or the user's cache) gets a folder for each state of the texts, of the
versions of Numba and llvmlite, and of Numba's settings that change code. Folders unused for `DAYS_KEPT` days are
removed when a new one is made.

Why this is a cache and not a locator, Numba's hook for place and freshness (``NUMBA_CACHE_LOCATOR_CLASSES``): Numba
numbers the files of a function, and writes the index of the numbers before the code. Of two processes that compile one
function for two dtypes at once, the code of one can end under the signature of the other, and is then run on the wrong
arrays. Here a file is named by its signature and processor, is written whole or not at all, and is read only where
both, and its checksum, are those asked for.
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
"""Days after which a folder of other texts is removed, where no process has opened it since.

So long that the folders of two versions stay for somebody who works with both in turn.
"""

_FOLDER = "gpu_logreg-"
_DIGEST_BYTES = 32
_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DISABLE_INTEL_SVML")
_PACKAGE = Path(__file__).parent.parent


def texts(package: Path) -> list[Path]:
    """Files whose text is compiled; a test compares them with what the files of the loops import."""
    loops = sorted((package / "passes" / "cpu" / "loops").glob("*.py"))
    return [*loops, package / "solvers" / "coordinate_loops.py", package / "arrays" / "compiled.py"]


def stamp(package: Path) -> str:
    """Hash of the texts and of what compiles them; OSError where the package is not kept as text."""
    settings = [getattr(config, name, None) for name in _SETTINGS]
    parts = [repr((numba.__version__, llvmlite.__version__, settings)).encode()]
    for path in texts(package):
        parts += [path.name.encode(), path.read_bytes()]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:32]


def _state() -> Any:
    """Changes with every write to a text, without reading one; None where the package is not kept as text."""
    try:
        found = [(path, path.stat()) for path in texts(_PACKAGE)]
    except OSError:
        return None
    return [(path, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size) for path, stat in found]


_STATE = _state()
_STAMP = stamp(_PACKAGE) if _STATE is not None else ""


class _Files:
    """Machine code of one function: a file for each key, that is for each signature, processor and own code."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        with contextlib.suppress(OSError):
            os.utime(folder)  # in use

    def _path(self, key: Any) -> Path:
        return self._folder / f"{self._name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:20]}.nbc"

    def load(self, key: Any) -> Any:
        """The code kept for this key, or None where there is none or it is damaged."""
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != digest:
            return None
        kept_key, code = pickle.loads(data)
        return code if kept_key == key else None

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
        """Forget all code of the function."""
        for path in self._folder.glob(f"{self._name}-*.nbc"):
            path.unlink(missing_ok=True)


def _remove_unused(folder: Path) -> None:
    """Remove the folders beside ``folder`` that belong to other texts and have not been used for `DAYS_KEPT` days."""
    oldest = time.time() - DAYS_KEPT * 86400
    for other in folder.parent.glob(f"{_FOLDER}*"):
        with contextlib.suppress(OSError):
            if other != folder and other.stat().st_mtime < oldest:
                shutil.rmtree(other)


class _KeptCode(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, with files of its own in the folder of the texts.

    RuntimeError where Numba finds no place: the package is read-only, and so is the home of the user, or there is none.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        folder = Path(self._impl.locator.get_cache_path(), f"{_FOLDER}{_STAMP}")
        self._cache_path = str(folder)
        self._cache_file = _Files(folder, self._impl.filename_base)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the code; a full disk costs the next process a compilation, and not this one its fit."""
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


LIBERTIES = frozenset({"contract", "nsz"})
"""What the compiler may assume of arithmetic in every loop: products and sums may be fused, zeros have no sign.

Never "nnan" and "ninf", with which it may assume that no number is NaN or infinite: one in a row has to reach the sums,
or the fit would not notice it. Loops add "arcp" (division by a reciprocal), and "reassoc" where a sum may be taken in
another order, in vectors.
"""


def njit(*, cache: bool = False, fastmath: Iterable[str] = (), **options: Any) -> Any:
    """`numba.njit` without Python's lock and with NumPy's division by zero; with ``cache``, its code is kept on disk.

    Nothing is kept, and every process compiles anew, where there is no place for it and where the texts have changed
    since this process took their hash: an installation or an edit while it runs.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(nogil=True, error_model="numpy", fastmath=set(fastmath), **options)(function)
        if cache and _STATE is not None and _state() == _STATE:
            with contextlib.suppress(RuntimeError):
                dispatcher._cache = _KeptCode(function)
        return dispatcher

    return compiled
