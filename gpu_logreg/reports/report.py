"""A finished report."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Report"]


@dataclass(frozen=True, repr=False)
class Report:
    """A page as HTML, which a notebook shows.

    Attributes
    ----------
    html : str
        One file without scripts, which loads nothing.
    """

    html: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file."""
        Path(path).write_text(self.html, encoding="utf-8")

    def __repr__(self) -> str:
        """How large it is, and what to do with it."""
        return f"<Report of {len(self.html) >> 10} KiB; save it with .save('report.html')>"

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that its style is not that of the notebook."""
        source = html.escape(self.html, quote=True)
        return f'<iframe title="Report" srcdoc="{source}" style="width:100%;height:40rem;border:0"></iframe>'
