"""Real data sets for tests that want them; they are not part of the repository.

They are looked for in the directory that the environment variable ``GPU_LOGREG_DATA`` names, else in ``shared/data``
beside the checkout.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def real_data(name: str) -> Path:
    """Path of a data set; skips the test where it is not there."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("GPU_LOGREG_DATA", beside))
    path = folder / name
    if not path.is_file():
        pytest.skip(f"{name} is not in {folder}; set GPU_LOGREG_DATA to the folder of the data sets")
    return path
