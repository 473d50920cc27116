"""Everything that wants a GPU, in one command of at most eight minutes; the results are kept in ``bench/results``.

Run with ``make gpu-check``, or from a plain checkout with ``PYTHONPATH=. python3 bench/gpu_check.py [--quick]``:

1. the device and the versions of what runs on it;
2. the tests marked ``gpu``;
3. ``compute-sanitizer``, memcheck and racecheck, on small ragged sizes, where the tool is there and knows the device;
4. ``bench_gpu.py``.

Writes ``bench/results/gpu-<name>-<date>.json`` and a table beside it, and copies both to the folder in ``OUT`` if that
is set. Where the checkout has no history, ``COMMIT`` names the commit. The exit code is 1 if anything failed, or if
there is no device, in which case nothing is written.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from gpu_tables import shown, tables
from gpu_timing import Budget, one_line, say
from record import RESULTS, environment

from gpu_logreg.backend import cuda_problem, import_cupy

ROOT = Path(__file__).resolve().parents[1]
TOTAL_S = 465.0
TESTS_S, SANITIZER_S, LEAST_S = 150.0, 50.0, 10.0
PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "scipy", "torch", "triton", "jax", "ml-dtypes", "pytest")
UNSUPPORTED = ("device not supported", "not supported on this", "unable to find injection library")
TAIL = 4000


def device_facts() -> dict[str, Any]:
    """Name, driver, CUDA and sizes of the current device, and versions; what cannot be found out is left out."""
    cupy = import_cupy()
    facts = _environment()
    runtime, device = cupy.cuda.runtime, cupy.cuda.Device()
    facts["name"] = _text(runtime.getDeviceProperties(int(device.id)).get("name", b"unknown"))
    wanted = {
        "cuda_driver_api": lambda: int(runtime.driverGetVersion()),
        "cuda_runtime": lambda: int(runtime.runtimeGetVersion()),
        "nvrtc": lambda: ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
        "compute_capability": lambda: str(device.compute_capability),
        "multiprocessors": lambda: int(device.attributes["MultiProcessorCount"]),
        "l2_bytes": lambda: int(device.attributes["L2CacheSize"]),
        "memory_bytes": lambda: int(runtime.memGetInfo()[1]),
        "driver": _driver,
    }
    for name, find in wanted.items():
        with contextlib.suppress(Exception):
            facts[name] = find()
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            facts[package] = importlib.metadata.version(package)
    return facts


def _environment() -> dict[str, Any]:
    """Commit, date, processor and versions; the commit from ``COMMIT`` where the checkout has no history."""
    try:
        known: dict[str, Any] = dict(environment())
    except Exception:  # no git on this machine
        today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
        known = {"date": today, "commit": "unknown", "python": sys.version.split()[0]}
    return known | ({"commit": os.environ["COMMIT"]} if os.environ.get("COMMIT") else {})


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip().splitlines()[0]


def step(name: str, command: list[str], seconds: float, **environment: str) -> dict[str, Any]:
    """Run a command; what became of it: ``ok``, ``returncode`` (None: out of time), ``seconds`` and the last output."""
    if seconds < LEAST_S:
        say(f"== {name}: no time left")
        return {"ok": False, "returncode": None, "seconds": 0.0, "tail": "not run: no time left"}
    say(f"== {name} (at most {seconds:.0f} s): {' '.join(command)}")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    begin = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            child = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": path, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that what it has started ends with it
            )
        except OSError as error:
            return {"ok": False, "returncode": None, "seconds": 0.0, "tail": one_line(error)}
        try:
            returncode = child.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            returncode = None
        output.seek(0)
        text = output.read()
    took = round(time.monotonic() - begin, 1)
    said = "out of time" if returncode is None else f"exit code {returncode}"
    say(f"{text[-TAIL:]}\n== {name}: {said} after {took} s")
    return {"ok": returncode == 0, "returncode": returncode, "seconds": took, "tail": text[-TAIL:]}


def gpu_tests(seconds: float) -> dict[str, Any]:
    """The tests marked ``gpu``; deprecations in the libraries of a machine are shown and fail nothing."""
    files = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").glob("test_*.py"))
        if "mark.gpu" in path.read_text(encoding="utf-8") and path.name != "test_gpu_check.py"
    ]
    lenient = [f"-Wdefault::{kind}" for kind in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *lenient]
    command += ["--continue-on-collection-errors", *files]
    result = step("pytest -m gpu", command, seconds)
    counts = re.findall(r"(\d+) (passed|failed|skipped|errors?|deselected)", result["tail"])
    result["counts"] = {kind: int(number) for number, kind in counts}
    if not result["counts"].get("passed"):
        result["ok"] = False  # there is a device: not to have run anything is a failure
    return result


def sanitized(tool: str, seconds: float) -> dict[str, Any]:
    """One tool of ``compute-sanitizer`` on both passes; ``absent`` says why it could not be used at all."""
    known = Path("/usr/local/cuda/bin/compute-sanitizer")
    program = shutil.which("compute-sanitizer") or (str(known) if known.exists() else None)
    if program is None:
        return {"ok": None, "absent": "compute-sanitizer is not installed"}
    command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable, "bench/gpu_sanitize.py"]
    result = step(f"compute-sanitizer --tool {tool}", command, seconds)
    if not result["ok"] and any(words in result["tail"].lower() for words in UNSUPPORTED):
        result |= {"ok": None, "absent": "compute-sanitizer does not know this device"}
    return result


def benchmark(seconds: float, quick: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """``bench_gpu.py``: what became of it, and its results as far as it came."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bench.json")
        command = [sys.executable, "bench/bench_gpu.py", "--json", str(path), "--budget", f"{seconds - 25:.0f}"]
        result = step("bench_gpu.py", [*command, *(["--quick"] if quick else [])], seconds)
        results: dict[str, Any] = {"sections": {}, "problems": {"bench_gpu.py": result["tail"][-300:]}, "seconds": {}}
        with contextlib.suppress(OSError, ValueError):
            results = json.loads(path.read_text())
    return result, results


def written(everything: dict[str, Any], folder: Path = RESULTS) -> list[Path]:
    """Write the figures and the table; the files, also those in the folder ``OUT``."""
    facts = everything["device"]
    name = re.sub(r"[^a-z0-9]+", "-", facts["name"].lower().replace("nvidia", "")).strip("-") or "unknown"
    folder.mkdir(exist_ok=True)
    stem, number = f"gpu-{name}-{facts['date']}", 1
    while (folder / f"{stem}.json").exists():  # results are never rewritten
        number += 1
        stem = f"gpu-{name}-{facts['date']}-{number}"
    files = [folder / f"{stem}.json", folder / f"{stem}.md"]
    files[0].write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    files[1].write_text(readable(everything), encoding="utf-8")
    out = os.environ.get("OUT")
    if out:
        Path(out).mkdir(parents=True, exist_ok=True)
        files += [Path(shutil.copy(file, out)) for file in files[:2]]
    return files


def readable(everything: dict[str, Any]) -> str:
    """All of it in Markdown."""
    facts = everything["device"]
    lines = [f"# {facts['name']}, {facts['date']}, commit {facts['commit']}", ""]
    lines += [
        f"- {name}: {shown(value, '')}" for name, value in facts.items() if name not in ("name", "commit", "date")
    ]
    lines.append("")
    for name in ("tests", "memcheck", "racecheck", "bench"):
        result = everything[name]
        outcome = "not run" if result["ok"] is None else "passed" if result["ok"] else "FAILED"
        detail = result.get("absent") or f"exit code {result['returncode']}, {result['seconds']} s"
        counts = ", ".join(f"{number} {kind}" for kind, number in result.get("counts", {}).items())
        lines.append(f"- {name}: {outcome} ({detail}{'; ' + counts if counts else ''})")
    return "\n".join([*lines, "", tables(everything["results"]), ""])


def main() -> int:
    parser = argparse.ArgumentParser(description="Run everything that wants a GPU.")
    parser.add_argument("--quick", action="store_true", help="smaller data and fewer widths in the benchmark")
    options = parser.parse_args()
    problem = cuda_problem()
    if problem is not None:
        print(f"gpu-check needs a GPU: {problem}")
        return 1
    budget = Budget(TOTAL_S)
    everything: dict[str, Any] = {"device": device_facts()}
    say("\n".join(f"{name}: {value}" for name, value in everything["device"].items()))
    everything["tests"] = gpu_tests(min(TESTS_S, budget.left()))
    everything["memcheck"] = sanitized("memcheck", min(SANITIZER_S, budget.left()))
    everything["racecheck"] = sanitized("racecheck", min(SANITIZER_S, budget.left()))
    everything["bench"], everything["results"] = benchmark(budget.left(), options.quick)
    everything["finished"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    files = written(everything)
    print(readable(everything))
    print("kept in", *files)
    failed = [name for name in ("tests", "memcheck", "racecheck", "bench") if everything[name]["ok"] is False]
    if failed:
        print("failed:", ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
