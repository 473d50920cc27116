"""Kernels that were compiled beforehand, where a run of ``check.py`` finds them; and how many it compiled itself.

``prepare.py`` makes the folder. CuPy's key of a kernel holds the folders of its own headers and of CUDA's, which
the machine that prepares can only guess; where the guess was wrong, a binary is entered again under the key that CuPy
has here, if text, options, architecture and the build of the compiler are those that it was made from.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

PREPARED = ".gpu"
KERNELS, MANIFEST, MNIST = "kernels", "manifest.json", "mnist.npz"
PACKED, MOST_PACKED = "kernels.zip", 12 * 2**20
"""What a run brings back of the binaries that it has made itself."""

OURS = '#line 1 "'
"""What the text of a kernel of ours has in it (`gpu_logreg.passes.cuda.source.kernel_source`)."""


class NameFoundError(Exception):
    """Ends a compilation before it begins; the first argument is the name that the binary would have."""


class Names:
    """In the place of CuPy's cache on disk: tells names, and keeps nothing."""

    def load(self, name: str) -> bytes:
        """CuPy asks for a binary before it compiles."""
        raise NameFoundError(name)


class Same(dict[Any, str]):
    """What the compiler says of an empty text, which CuPy asks for every set of options: its build, so ask once."""

    def get(self, key: Any, default: Any = None) -> Any:
        """The one answer."""
        return next(iter(self.values()), default)


def use_prepared(prepared: Path, cache: Path) -> dict[str, str]:
    """Copy the kernels to CuPy's cache of this machine; what the environment has to say then."""
    cache.mkdir(mode=0o700, exist_ok=True)
    for path in sorted((prepared / KERNELS).glob("*.cubin")):
        if not (cache / path.name).exists():
            shutil.copyfile(path, cache / path.name)
    found = {"CUPY_CACHE_DIR": str(cache), "CUPY_CACHE_SAVE_CUDA_SOURCE": "1", "GPU_CHECK_PREPARED": str(prepared)}
    if (prepared / MNIST).is_file():
        found["GPU_LOGREG_MNIST"] = str((prepared / MNIST).resolve())
    return found


@contextlib.contextmanager
def new_kernels(cache: Path | None) -> Iterator[dict[str, int]]:
    """How many binaries have come into the cache within the block: ``ours``, and ``cupy`` for those of CuPy itself."""
    counts = {"ours": 0, "cupy": 0}
    if cache is None:
        yield counts
        return
    before = {path.name for path in cache.glob("*.cubin")}
    yield counts
    for path in cache.glob("*.cubin"):
        if path.name not in before:
            source = path.with_name(f"{path.name}.cu")
            own = source.exists() and OURS in source.read_text(errors="replace")
            counts["ours" if own else "cupy"] += 1


def pack(cache: Path, known: Collection[str], to: Path) -> None:
    """Add the binaries in the cache that were not ``known`` to an archive, CuPy's own above all: the next run has them.

    The key of a kernel of CuPy's own is known where there is a device; `prepare.py` takes them over.
    """
    before = set()
    if to.exists():
        with zipfile.ZipFile(to) as archive:
            before = set(archive.namelist())
    new = [path for path in sorted(cache.glob("*.cubin")) if path.name not in known and path.name not in before]
    if not new:
        return
    unfinished = to.with_name(f".{to.name}")
    if before:
        shutil.copyfile(to, unfinished)
    with zipfile.ZipFile(unfinished, "a", zipfile.ZIP_DEFLATED) as archive:
        for path in new:
            if unfinished.stat().st_size < MOST_PACKED:
                archive.write(path, path.name)
    unfinished.replace(to)


def cupy_key(text: str, options: tuple[str, ...]) -> str:
    """The name that the CuPy of this process gives the binary of a `RawModule`, by its own functions."""
    from cupy._core import core
    from cupy.cuda import compiler

    before = compiler._kernel_cache_backend
    compiler._set_kernel_cache_backend(Names())
    try:
        core.compile_with_cache(text, options, prepend_cupy_headers=False)
    except NameFoundError as found:
        return str(found.args[0])
    finally:
        compiler._set_kernel_cache_backend(before)
    raise AssertionError("CuPy has not asked for a binary")


def adopt(prepared: Path, cache: Path) -> dict[str, Any]:
    """Enter binaries again under the keys that CuPy has here; how many were there, and why some are of no use."""
    path = prepared / MANIFEST
    if not path.is_file():
        return {"prepared": 0, "problem": f"not measured: there is no {path}"}
    from cupy.cuda import compiler

    manifest = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, Any] = {"prepared": len(manifest["kernels"]), "by": manifest["nvrtc"], "arch": manifest["arch"]}
    if compiler._get_arch() != manifest["arch"]:
        return found | {"problem": f"not measured: the device is sm_{compiler._get_arch()}"}
    known = compiler._empty_file_preprocess_cache
    counts = {"same_key": 0, "other_key": 0}
    try:
        compiler._empty_file_preprocess_cache = Same()
        for kernel in manifest["kernels"]:
            key = cupy_key(manifest["texts"][kernel["text"]], tuple(kernel["options"]))
            build = next(iter(compiler._empty_file_preprocess_cache.values()))
            if build not in kernel["builds"]:
                return found | {"problem": f"not measured: NVRTC here is another build: {build.splitlines()[-1:]}"}
            counts["same_key" if key in kernel["builds"].values() else "other_key"] += 1
            if not (cache / key).exists():
                shutil.copyfile(prepared / KERNELS / kernel["builds"][build], cache / key)
    finally:
        compiler._empty_file_preprocess_cache = known
    return found | counts
