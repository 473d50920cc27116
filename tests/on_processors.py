"""Run tests as if on other processors, which the libraries can be told to imitate: ``python tests/on_processors.py``.

OpenBLAS and Numba choose kernels and instructions by the processor, and sums round as they do. So a test that passes
on one machine by rounding alone fails on another; here it fails on this one. Arguments are those of pytest; without
any, all tests but the slow ones are run, once on each. A processor of which this one lacks instructions is left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import NamedTuple


class Processor(NamedTuple):
    """What the libraries call a processor, and what it has above those before it."""

    openblas: str
    numba: str
    features: str


PROCESSORS = {
    "nehalem": Processor("Nehalem", "nehalem", "+sse4.2,+popcnt"),
    "haswell": Processor("Haswell", "haswell", "+avx2,+fma,+bmi2"),
    "skylake-avx512": Processor("SkylakeX", "skylake-avx512", "+avx2,+fma,+avx512f,+avx512dq,+avx512bw,+avx512vl"),
}


def missing(processor: Processor) -> list[str]:
    """Instructions that it has and this one does not."""
    from llvmlite import binding

    ours = binding.get_host_cpu_features()
    return [name for name in processor.features.replace("+", "").split(",") if not ours.get(name)]


def run(name: str, arguments: list[str], environment: dict[str, str], *, processes: str = "logical") -> bool:
    print(f"\n=== {name}", flush=True)
    options = ["-q", "-r", "fE", "--numprocesses", processes, "--dist", "loadscope", "--no-loadscope-reorder"]
    command = [sys.executable, "-m", "pytest", *options, "-m", "not slow", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode == 0


def run_loaded(arguments: list[str]) -> bool:
    """On one processor, half of which another program takes."""
    (one, *_), all_of_them = sorted(os.sched_getaffinity(0)), os.sched_getaffinity(0)
    os.sched_setaffinity(0, {one})
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        return run(f"processor {one} alone, and another program on it", arguments, {}, processes="0")
    finally:
        busy.kill()
        busy.wait()
        os.sched_setaffinity(0, all_of_them)


def main(arguments: list[str]) -> int:
    passed = []
    with tempfile.TemporaryDirectory() as cache:  # loops for other processors are of no use to the user
        for name, processor in PROCESSORS.items():
            if lacking := missing(processor):
                print(f"\n=== {name} is left out: this processor has no {', '.join(lacking)}")
                continue
            environment = {
                "OPENBLAS_CORETYPE": processor.openblas,
                "NUMBA_CPU_NAME": processor.numba,
                "NUMBA_CPU_FEATURES": processor.features,
                "NUMBA_CACHE_DIR": cache,
            }
            passed.append(run(name, arguments, environment))
    if hasattr(os, "sched_setaffinity"):
        passed.append(run_loaded(arguments))
    return 0 if passed and all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
