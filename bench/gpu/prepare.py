"""Compile what ``check.py`` will ask for, for a GPU that is not here, and gather it in one folder to carry along.

Run with ``make gpu-prepare [ARCH=sm_90]``. The kernels go into the folder ``.gpu`` of the checkout, which git ignores,
as CuPy's cache would hold them, beside a manifest and the file of MNIST where that is found. Which CuPy and which NVRTC
are parameters: their wheels are fetched into ``build``, and neither has to run on the Python of this machine.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu.key import CACHE, COMPILER, INCLUDE, Compiler, Environment, cache_key_of, headers_of
from gpu.mnist import mnist_file
from gpu.prepared import KERNELS, MANIFEST, MNIST, PREPARED
from gpu.programs import Program, programs_of

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "build" / "gpu-prepare"
MOST_BYTES = 60 * 2**20
KEY = r"[0-9a-f]{40}\.cubin"
PYTHON_VERSION = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


class Tools(NamedTuple):
    """What compiles.

    Attributes
    ----------
    folder : str
        Where the package ``cupy`` lies.
    cache_key, headers : str
        See `gpu.key.Compiler`.
    library : str
        NVRTC's.
    arch : str
    cupy, cuda_include : str
        Folders on the machine with the device, as guessed.
    """

    folder: str
    cache_key: str
    headers: str
    library: str
    arch: str
    cupy: str
    cuda_include: str

    def compiler(self) -> Compiler:
        """The compiler of this process."""
        environment = Environment(self.cupy, self.cuda_include or None)
        return Compiler(Path(self.folder), self.cache_key, self.headers, Path(self.library), self.arch, environment)


def fetched(wheel: str) -> Path:
    """A wheel ``name==version``, downloaded once by pip."""
    folder = TOOLS / wheel.replace("==", "-")
    if not list(folder.glob("*.whl")):
        pip = [sys.executable, "-m", "pip"]
        if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
            pip = ["pip"]  # a virtual environment without pip
        command = [*pip, "download", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
        command += ["--implementation", "cp", "--python-version", PYTHON_VERSION, "-d", str(folder), wheel]
        command += [part for platform in PLATFORMS for part in ("--platform", platform)]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(f"{wheel} cannot be fetched")
    return next(folder.glob("*.whl"))


def unpacked_cupy(wheel: Path) -> tuple[str, str, str]:
    """Of a wheel of CuPy, the folder of what is read, its checksum of headers, and their texts."""
    from cupy._core import core  # of the CuPy that is installed, the names of the headers alone

    folder = wheel.parent / "unpacked"
    names = [name.decode() for name in core._get_header_source_map()]
    with zipfile.ZipFile(wheel) as archive:
        for name in (COMPILER, CACHE, *(f"{INCLUDE}/{name}" for name in names)):
            archive.extract(name, folder)
        binary = next(n for n in archive.namelist() if n.startswith("cupy/_core/core.") and n.endswith(".so"))
        return str(folder), cache_key_of(archive.read(binary)), headers_of(folder, names)


def unpacked_nvrtc(wheel: Path) -> Path:
    """NVRTC's library out of its wheel."""
    folder = wheel.parent / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "libnvrtc" in name and ".so" in name and ".alt." not in name]
        for name in names:
            if not (folder / name).exists():
                archive.extract(name, folder)
    return next(folder / name for name in names if Path(name).name.startswith("libnvrtc.so"))


_compiler: list[Compiler] = []


def _begin(tools: Tools) -> None:
    _compiler[:] = [tools.compiler()]


def _compile(program: Program, folder: str) -> tuple[str, str, str]:
    """Compile a program into the folder; its key, the compiler's build, and what was wrong."""
    compiler = _compiler[0]
    try:
        key = compiler.key(*program)
        path = Path(folder, key)
        if not path.exists():
            name, cubin = compiler.compiled(*program)
            assert name == key
            unfinished = path.with_suffix(f".{os.getpid()}")
            unfinished.write_bytes(hashlib.sha1(cubin).hexdigest().encode() + cubin)
            unfinished.replace(path)
    except Exception as error:
        return "", "", str(error)[:500]
    return key, compiler.build(), ""


def prepare(
    programs: Sequence[Program], all_tools: Sequence[Tools], folder: Path, jobs: int, came_back: Path | None = None
) -> dict[str, Any]:
    """Compile all programs by all compilers; the manifest. ``came_back`` is an archive of a run before."""
    kernels = folder / KERNELS
    kernels.mkdir(parents=True, exist_ok=True)
    texts = list(dict.fromkeys(code for code, _ in programs))
    entries = [{"text": texts.index(code), "options": list(options), "builds": {}} for code, options in programs]
    refused = []
    for tools in all_tools:
        with concurrent.futures.ProcessPoolExecutor(jobs, initializer=_begin, initargs=(tools,)) as pool:
            made = pool.map(_compile, programs, [str(kernels)] * len(programs), chunksize=4)
            for entry, (key, build, problem) in zip(entries, made, strict=True):
                if problem:
                    refused.append(f"{' '.join(entry['options'])}: {problem}")
                else:
                    entry["builds"][build] = key
    wanted = {key for entry in entries for key in entry["builds"].values()}
    others: list[str] = []
    if came_back is not None:
        with zipfile.ZipFile(came_back) as archive:
            others = [name for name in archive.namelist() if name not in wanted and re.fullmatch(KEY, name)]
            for name in others:
                archive.extract(name, kernels)
    for path in kernels.iterdir():
        if path.name not in wanted and path.name not in others:  # of another text or compiler, from before
            path.unlink()
    return {
        "others": len(others),
        "texts": texts,
        "kernels": [entry for entry in entries if entry["builds"]],
        "refused": refused,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Compile the kernels of check.py without a GPU.")
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--cupy", default="cupy-cuda13x==14.2.0", help="the CuPy of the machine with the device")
    parser.add_argument(
        "--nvrtc", action="append", help="its NVRTC, nvidia-cuda-nvrtc==13.0.88 where none is named; may be repeated"
    )
    parser.add_argument(
        "--site", default="/opt/torch/.venv/lib/python3.12/site-packages", help="where its packages are, as a guess"
    )
    parser.add_argument("--cuda-include", default="", help="where its headers of CUDA are, as a guess")
    parser.add_argument("--came-back", type=Path, help="kernels.zip of a run before, for CuPy's own kernels")
    parser.add_argument("--to", type=Path, default=ROOT / PREPARED)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-tests", action="store_true", help="without the kernels of the tests")
    options = parser.parse_args()
    nvrtcs = options.nvrtc or ["nvidia-cuda-nvrtc==13.0.88"]
    arch = options.arch.removeprefix("sm_")
    options.to.mkdir(parents=True, exist_ok=True)
    listed = TOOLS / "programs.json"
    TOOLS.mkdir(parents=True, exist_ok=True)
    print("writing down the kernels that the check will ask for ...", flush=True)
    command = [sys.executable, str(Path(__file__).with_name("programs.py")), str(listed)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path}
    command += [] if options.no_tests else ["--tests"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr[-3000:])
        return 1
    programs = list(programs_of(listed))
    cupy = unpacked_cupy(fetched(options.cupy))
    places = arch, f"{options.site}/cupy", options.cuda_include or f"{options.site}/nvidia/cu13/include"
    all_tools = [Tools(*cupy, str(unpacked_nvrtc(fetched(nvrtc))), *places) for nvrtc in nvrtcs]
    print(f"{len(programs)} kernels for sm_{arch} by {', '.join(nvrtcs)}, as {options.cupy} keeps them ...", flush=True)
    manifest = {"arch": arch, "cupy": options.cupy, "nvrtc": nvrtcs, "site": options.site}
    manifest |= prepare(programs, all_tools, options.to, options.jobs, options.came_back)
    (options.to / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    for refused in manifest["refused"]:
        print(f"not compiled: {refused}")
    mnist = mnist_file()
    if mnist is not None and mnist.resolve() != (options.to / MNIST).resolve():
        shutil.copyfile(mnist, options.to / MNIST)
    print("MNIST: " + ("there is no file; set GPU_LOGREG_DATA to its folder" if mnist is None else str(mnist)))
    size = sum(path.stat().st_size for path in options.to.rglob("*") if path.is_file())
    print(
        f"{options.to}: {len(manifest['kernels'])} kernels, {size / 2**20:.1f} MiB, of {MOST_BYTES / 2**20:.0f} at most"
    )
    if len(manifest["refused"]) > len(manifest["kernels"]) // 10:  # a member beyond the estimate may not compile
        return 1
    return 1 if size > MOST_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
