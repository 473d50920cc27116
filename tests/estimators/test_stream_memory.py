"""The memory that a fit of streamed rows takes: its budget, and half a gigabyte for programs and samples."""

import json
import subprocess
import sys

import numpy as np
import pytest

MORE = 500e6
"""Bytes that a fit may take besides its budget: Python, NumPy, SciPy, scikit-learn, Numba and what they compile."""

FIT = """
import json, pathlib, sys
import numpy as np
from gpu_logreg import LogisticRegression, Stream

path, budget = sys.argv[1:]
stream = Stream(path, np.load(path + ".labels.npy"), memory_budget=int(float(budget)))
model = LogisticRegression().fit(stream)
peak = 1024 * int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(json.dumps([peak, stream.n_resident_, stream.n_blocks_, model.converged_, model.coef_.tobytes().hex()]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc; ru_maxrss is at least the parent's")
def test_a_budget_of_a_quarter_of_the_rows_is_kept(tmp_path):
    path, rng = str(tmp_path / "rows.npy"), np.random.default_rng(0)
    n, d = 2_000_000, 50  # 400 MB: beside what a program takes, more than the budget and what is allowed besides
    X = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
    y = np.empty(n, bool)
    w = rng.standard_normal(d) / 5
    for first in range(0, n, 100_000):
        block = rng.standard_normal((100_000, d), np.float32)
        X[first : first + 100_000] = block
        y[first : first + 100_000] = block @ w + rng.logistic(size=100_000) > 0
    X.flush()
    np.save(path + ".labels.npy", y)
    found = {}
    for budget in (100e6, 200e6):
        command = [sys.executable, "-c", FIT, path, str(budget)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peak, resident, blocks, converged, coef = json.loads(done.stdout)
        assert converged
        assert peak <= budget + MORE
        found[budget] = resident, coef
    assert found[100e6][0] < found[200e6][0] < blocks
    assert found[100e6][1] == found[200e6][1]
