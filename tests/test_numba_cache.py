"""Compiled code where Numba has no place on disk to keep it: a read-only package, and a user without a home."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import warnings
import numpy as np
from numba.core import caching

for kind in list(vars(caching).values()):
    if "_locator_classes" in getattr(kind, "__dict__", {}):
        kind._locator_classes = []

from gpu_logreg import LogisticRegression

warnings.simplefilter("error")
rng = np.random.default_rng(0)
X, y = rng.standard_normal((60, 3)), rng.integers(0, 2, 60)
print(LogisticRegression(l1_ratio=1.0).fit(X, y).converged_, LogisticRegression(impl="cpu").fit(X, y).impl_)
"""


def test_fits_where_no_code_can_be_kept():
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert run.stdout == "True cpu\n", run.stderr
