"""Workers killed, stopped or started at random moments of fits on a Dask cluster: do they end in other bits, or hang?

    python bench/worker_kills.py 20 0 --record
    python bench/worker_kills.py 20 1 --cases lbfgs

take some minutes on two cores. Every fit (Newton's method, L1, L-BFGS of three
classes, a network) has a scheduler and two workers in processes of their own, of which one worker is sent SIGKILL, and
another is started. Its rows come from functions that the scheduler can call again (``--source delayed``), or from the
memory of the client (``--source client``). With ``--by stop`` the worker is halted for some seconds instead, and with
``--by join`` another one comes. With ``--end workers`` or ``--end scheduler`` all workers, or the scheduler, are killed
once for every case and not started again, with ``--end restart`` the scheduler is: the fit is to end with a
ClusterError within a minute.

A row of ``bench/results/worker_kills.csv`` has for each kind of fit how many were disturbed and how many had ended
before, how many ended in other bits, and the seconds of one that was left alone and of the longest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from dask import delayed
from distributed import Client
from record import append

from gpu_logreg.dask import LogisticRegression, MLPClassifier
from gpu_logreg.errors import ClusterError

CASES: dict[str, tuple[dict[str, Any], int]] = {
    "newton": ({}, 2),
    "l1": ({"l1_ratio": 1.0, "C": 0.01}, 2),
    "lbfgs": ({"solver": "lbfgs"}, 3),
    "network": ({"hidden_layer_sizes": (8,), "batch_size": 20_000, "max_iter": 2}, 3),
}
N, D, PARTS = 400_000, 20, 8
HALT_SECONDS = 3.0


def block(k: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels of a partition."""
    rng = np.random.default_rng(k)
    X = rng.standard_normal((N // PARTS, D))
    noise = rng.gumbel(size=(len(X), n_classes))
    return X, np.argmax(X[:, :n_classes] + noise, axis=1)


def collection(source: str, n_classes: int) -> tuple[Any, Any]:
    """What is fitted."""
    if source == "delayed":
        return [delayed(block)(k, n_classes) for k in range(PARTS)], None
    X, y = (np.concatenate(arrays) for arrays in zip(*(block(k, n_classes) for k in range(PARTS)), strict=True))
    return da.from_array(X, chunks=(N // PARTS, D)), da.from_array(y, chunks=N // PARTS)


def fit(client: Client, case: str, source: str) -> tuple[str, float]:
    """Digest and seconds of a fit."""
    parameters, n_classes = CASES[case]
    start = time.perf_counter()
    kind = MLPClassifier if case == "network" else LogisticRegression
    model = kind(client=client, random_state=0, **parameters).fit(*collection(source, n_classes))
    arrays = [*model.coefs_, *model.intercepts_] if case == "network" else [model.coef_, model.intercept_]
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays))
    return digest.hexdigest(), time.perf_counter() - start


class Processes:
    """A scheduler and its workers, each in a process of its own, which nothing starts again.

    Parameters
    ----------
    folder : Path
        For the address of the scheduler.
    n_workers : int
    """

    def __init__(self, folder: Path, n_workers: int) -> None:
        self._folder, self._file = folder, folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--dashboard-address", ":0")
        self.workers = [self.start_worker() for _ in range(n_workers)]

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--scheduler-file", str(self._file), *options]
        with (self._folder / "log.txt").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker of one thread."""
        options = "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self._folder)
        return self._start("worker", *options, "--preload", "gpu_logreg.dask")

    def client(self) -> Client:
        """A client of the scheduler."""
        return Client(scheduler_file=str(self._file), timeout=120)

    def kill_worker(self, k: int) -> None:
        """Send SIGKILL to a worker, and start another."""
        self.workers[k].kill()
        self.workers[k].wait()
        self.workers[k] = self.start_worker()

    def stop_worker(self, k: int) -> None:
        """Halt a worker for `HALT_SECONDS`: it answers nothing, and its connections stay."""
        self.workers[k].send_signal(signal.SIGSTOP)
        time.sleep(HALT_SECONDS)
        self.workers[k].send_signal(signal.SIGCONT)

    def join(self, k: int) -> None:
        """Start another worker, beside those that are there."""
        self.workers.append(self.start_worker())

    def restart_scheduler(self) -> None:
        """Kill the scheduler, and start another at its address."""
        port = json.loads(self._file.read_text())["address"].rpartition(":")[2]
        self.scheduler.kill()
        self.scheduler.wait()
        self.scheduler = self._start("scheduler", "--port", port, "--dashboard-address", ":0")

    def kill_workers(self) -> None:
        """Send SIGKILL to all workers."""
        for worker in self.workers:
            worker.kill()

    def kill_all(self) -> None:
        """End every process."""
        self.kill_workers()
        self.scheduler.kill()
        for process in (self.scheduler, *self.workers):
            process.wait()


def disturb_one_by_one(
    processes: Processes, n: int, seed: int, source: str, by: str, cases: Sequence[str]
) -> list[dict[str, Any]]:
    """Kill, stop or start a worker at a random moment of each of n fits; a row for each of some cases."""
    disturb, told_of = {
        "kill": (processes.kill_worker, "killed"),
        "stop": (processes.stop_worker, "stopped"),
        "join": (processes.join, "joined"),
    }[by]
    rng = np.random.default_rng(seed)
    known: dict[str, tuple[str, float]] = {}
    first = {"by": by, "source": source, "seed": seed, "fits": 0, "missed": 0, "other_bits": 0}
    rows = {case: {"case": case, **first, "fit_seconds": 0.0, "longest_seconds": 0.0} for case in cases[:n]}
    with processes.client() as client:
        for k in range(n):
            client.wait_for_workers(2, timeout=120)
            case = cases[k % len(cases)]
            if case not in known:
                fit(client, case, source)  # compiles
                known[case] = fit(client, case, source)
            digest, seconds = known[case]
            at, worker = float(rng.uniform(0.0, seconds)), int(rng.integers(2))
            timer = threading.Timer(at, disturb, (worker,))
            timer.start()
            found, took = fit(client, case, source)
            row = rows[case]
            row["missed"] += timer.is_alive()
            timer.join()
            row["fits"], row["other_bits"] = row["fits"] + 1, row["other_bits"] + (found != digest)
            row["fit_seconds"], row["longest_seconds"] = round(seconds, 2), round(max(row["longest_seconds"], took), 2)
            told = "same bits" if found == digest else "OTHER BITS"
            print(f"{case:8} {told_of} after {at:5.2f} s of {seconds:5.2f}: {took:6.2f} s, {told}", flush=True)
    wrong, missed = (sum(row[name] for row in rows.values()) for name in ("other_bits", "missed"))
    longest = max(row["longest_seconds"] for row in rows.values())
    print(f"{n} fits, {wrong} with other bits; {missed} fits had ended before; the longest took {longest:.2f} s")
    return list(rows.values())


def end(client: Client, case: str, kill: Callable[[], None], source: str) -> int:
    """Kill what a fit cannot do without; 0 if it says so within a minute."""
    fit(client, case, source)  # compiles
    _, seconds = fit(client, case, source)
    killed_at: list[float] = []

    def kill_and_note() -> None:
        killed_at.append(time.perf_counter())  # before: to start another scheduler takes longer than the error
        kill()

    timer = threading.Timer(0.5 * seconds, kill_and_note)
    timer.start()
    try:
        fit(client, case, source)
        told, took = "NO ERROR", 0.0
    except ClusterError as error:
        took, told = time.perf_counter() - killed_at[0], str(error)
    print(f"{case:8} {took:5.1f} s after the end: {told}", flush=True)
    return int(told == "NO ERROR" or took > 60.0 or "\n" in told)


def main() -> int:
    """Print a line for each fit and a summary; 0 if all went as it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, help="kills")
    parser.add_argument("seed", type=int)
    parser.add_argument("--source", choices=["delayed", "client"], default="delayed")
    parser.add_argument("--end", choices=["workers", "scheduler", "restart"])
    parser.add_argument("--by", choices=["kill", "stop", "join"], default="kill")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--record", action="store_true", help="append a row for each case to the results")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    wrong = 0
    for case in asked.cases[: asked.n] if asked.end else [""]:
        with tempfile.TemporaryDirectory() as folder:
            processes = Processes(Path(folder), 2)
            try:
                if not asked.end:
                    rows = disturb_one_by_one(processes, asked.n, asked.seed, asked.source, asked.by, asked.cases)
                    wrong += sum(row["other_bits"] for row in rows)
                    if asked.record:
                        append("worker_kills", rows)
                    continue
                kill = {
                    "workers": processes.kill_workers,
                    "scheduler": processes.scheduler.kill,
                    "restart": processes.restart_scheduler,
                }[asked.end]
                with processes.client() as client:
                    client.wait_for_workers(2, timeout=120)
                    wrong += end(client, case, kill, asked.source)
            finally:
                processes.kill_all()
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
