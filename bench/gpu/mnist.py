"""Where the file of MNIST may be."""

from __future__ import annotations

import os
from pathlib import Path

FILE = "mnist.npz"


def mnist_file() -> Path | None:
    """The file that ``GPU_LOGREG_MNIST`` names, else ``mnist.npz`` in a folder of data; None where there is none.

    Folders of data are the one that ``GPU_LOGREG_DATA`` names, and ``shared/data`` in or beside the checkout.
    """
    if os.environ.get("GPU_LOGREG_MNIST"):
        places = [Path(os.environ["GPU_LOGREG_MNIST"])]
    else:
        root = Path(__file__).resolve().parents[2]
        folders = [root / "shared" / "data", root.parent / "shared" / "data"]
        if os.environ.get("GPU_LOGREG_DATA"):
            folders.insert(0, Path(os.environ["GPU_LOGREG_DATA"]))
        places = [folder / FILE for folder in folders]
    return next((place for place in places if place.is_file()), None)
