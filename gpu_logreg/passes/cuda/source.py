"""The CUDA text of a kernel, with the headers it needs put before it."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

__all__ = ["kernel_source", "options_of_weights"]


def kernel_source(name: str, headers: tuple[str, ...] = ()) -> str:
    """Text of kernel file ``name``, after that of its ``headers``.

    Headers are put in front, never found through an include path: CuPy's disk cache is keyed on the text it is given
    and would go on serving a stale binary after an included file has changed. ``#line`` keeps compiler messages right.
    """
    folder = _folder()
    parts = (*headers, name)
    return "\n".join(f'#line 1 "{part}"\n{folder.joinpath(part).read_text(encoding="utf-8")}' for part in parts)


def options_of_weights(real: str, weight: str | None) -> tuple[str, ...]:
    """Compiler options for arithmetic in ``real`` with row weights of a dtype; None: every weight is 1."""
    return f"-DREAL={real}", f"-DWEIGHT={weight or real}", f"-DHAS_WEIGHT={int(weight is not None)}"


def _folder() -> Traversable:
    """The installed package of kernels; where a checkout is on the path without an installation, its folder."""
    try:
        return files("gpu_logreg.kernels")
    except ModuleNotFoundError:  # the name is given to the folder when the package is installed
        return Path(__file__).parents[3] / "kernels"
