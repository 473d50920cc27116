"""How much of everything ``check.py`` measures: full, or tiny for a rehearsal on the stand-in for CuPy."""

from __future__ import annotations

from typing import Any

WIDTHS = (28, 64, 100, 128, 256, 512, 1000, 1024, 2000)
FLOAT64_WIDTHS = (28, 100, 512, 1000)
CLASSES = ((100, 10, "float32"), (784, 10, "float32"), (54, 7, "float32"), (784, 10, "uint8"))
"""Columns, classes and storage."""
PRODUCTS = ((100, 2, "float32"), (512, 2, "uint8"), (100, 10, "float32"))
"""The same, of products with the Hessian."""

LADDER_WIDTHS, LADDER_STORAGES, LADDER_MEMBERS = (28, 100, 256, 1000), ("float32", "bfloat16", "uint8"), 8
COUNTED = ((28, "float32"), (100, "float32"), (100, "bfloat16"), (100, "uint8"))
"""Columns and storage of the launches that a profiler counts."""

GIB = 2**30


class Sizes:
    """What is measured.

    Parameters
    ----------
    tiny : bool
        The same steps at sizes that the stand-in takes seconds for.
    """

    def __init__(self, tiny: bool = False) -> None:
        self.tiny = tiny
        self.read_bytes = 2**14 if tiny else 8 * GIB
        self.elements = 2**10 if tiny else GIB  # of X, whatever it is stored in
        self.ladder_elements = 2**10 if tiny else GIB // 4
        self.rounds = 1 if tiny else 30
        self.widths = (3, 28) if tiny else WIDTHS
        self.storages = ("float16", "uint8") if tiny else ("float16", "bfloat16", "uint8")
        self.float64_widths = (3,) if tiny else FLOAT64_WIDTHS
        self.classes = ((3, 4, "float32"),) if tiny else CLASSES
        self.products = ((3, 2, "float32"), (3, 4, "float32")) if tiny else PRODUCTS
        self.fit = {"n": 500, "d": 3, "rounds": 1} if tiny else {"n": 50_000_000, "d": 100}
        self.streamed: dict[str, Any] = {"nbytes": 6 * GIB, "d": 256}
        if tiny:
            self.streamed = {"nbytes": 2**19, "d": 4, "rounds": 1, "block_elements": 2**9}
        self.ladder_widths = (3,) if tiny else LADDER_WIDTHS
        self.ladder_storages = ("float32",) if tiny else LADDER_STORAGES
        self.ladder_members = 3 if tiny else LADDER_MEMBERS
        self.counted = ((3, "float32"), (28, "float32")) if tiny else COUNTED
        self.counted_elements = 2**10 if tiny else GIB // 4
        self.sanitized: dict[str, Any] = (
            {"widths": (3,), "row_counts": (33,), "storages": ("float32",), "only_float32": ()} if tiny else {}
        )
        self.network: dict[str, Any] = {"n": 60, "d": 3, "batches": (32,), "rounds": 1} if tiny else {"rounds": 10}
        self.peer_widths = (3,) if tiny else (100, 512)
        self.peer_fit = {"n": 300, "d": 3, "rounds": 1} if tiny else {"n": 5_000_000, "d": 100}
        self.start_n = 300 if tiny else 200_000
        self.start_d = 3 if tiny else 100
        self.crossover = (100,) if tiny else tuple(1000 * 2**k for k in range(12))
