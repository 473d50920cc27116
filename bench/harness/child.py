"""One peer in a process of its own: what crashes, hangs or eats memory there ends there.

``python child.py FOLDER PEER [PEERS_FILE]`` makes a start and then answers each line of its standard input, a level's
keywords in JSON, with a line on its standard output; solutions are written to the folder. What libraries print goes to
standard error. ``python child.py --probe [PEERS_FILE]`` prints which peers this environment lacks, and why.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def peers_of(file: str | None) -> dict[str, Any]:
    """The table ``PEERS`` of the harness, or of a file."""
    sys.path.insert(0, str(HERE.parent))
    from harness.peers import PEERS, TIGHT

    if file is None:
        return PEERS | {TIGHT.name: TIGHT}
    spec = importlib.util.spec_from_file_location("more_peers", file)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return dict(module.PEERS)


def probe(file: str | None) -> dict[str, Any]:
    """Of every peer the reason why it is missing, or None, and its version."""
    found = {}
    for name, peer in peers_of(file).items():
        missing = peer.missing()
        found[name] = {"missing": missing, "version": "" if missing else peer.version()}
    return found


def peak_mb(reset: bool = False) -> float:
    """The largest resident set since the last reset, in MB; where it cannot be reset, since the start."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return float(status.split("VmHWM:")[1].split()[0]) * 1.024e-3


def fit(peer: Any, prepared: Any, level: dict[str, Any], target: Path) -> dict[str, Any]:
    """Seconds on the clock and of the processors, and the peak of memory; the solution is written to ``target``."""
    import numpy as np

    peak_mb(reset=True)
    cpu, begin = time.process_time(), time.perf_counter()
    W, b = peer.fit(prepared, **level)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    peak = peak_mb()
    np.savez(target, W=np.asarray(W, np.float64), b=np.asarray(b, np.float64))
    return {"seconds": seconds, "cpu_s": cpu, "peak_mb": peak}


def last_line(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1][:200]


def serve(folder: Path, name: str, file: str | None) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print, from Python or from C, is not an answer
    warnings.simplefilter("ignore")  # peers that do not converge say so; the table shows it

    def answer(what: dict[str, Any]) -> None:
        answers.write(json.dumps(what) + "\n")

    try:
        begin = time.perf_counter()
        peer = peers_of(file)[name]
        from harness.training import load

        prepared = peer.prepare(load(folder))
        answer({"start_s": time.perf_counter() - begin})
    except Exception as error:
        answer({"error": last_line(error)})
        return
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer(fit(peer, prepared, asked["level"], folder / asked["target"]))
        except Exception as error:
            answer({"error": last_line(error)})


if __name__ == "__main__":
    if sys.argv[1] == "--probe":
        print(json.dumps(probe(sys.argv[2] if len(sys.argv) > 2 else None)))
    else:
        serve(Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
