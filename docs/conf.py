"""Sphinx: the documents beside this file, and a reference made from docstrings; ``make docs`` builds it offline."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gpu_logreg

project = "gpu-logreg"
author = "the gpu-logreg developers"
copyright = "the gpu-logreg developers"
release = version = gpu_logreg.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx-mathjax-offline", "numpydoc"]
myst_heading_anchors = 4
myst_fence_as_directive = ["math"]
autosummary_generate = True
numpydoc_show_class_members = False
autodoc_default_options = {"members": True, "inherited-members": "BaseEstimator"}
default_role = "code"
exclude_patterns = ["_build"]
suppress_warnings = ["ref.ref", "ref.term"]  # of docstrings that come from scikit-learn, whose pages are not here

html_theme = "furo"
html_title = f"gpu-logreg {version}"
html_copy_source = False


def copy_pictures(app: Any, error: Exception | None) -> None:
    """Pictures of two themes are HTML in the documents, which Sphinx does not look into."""
    if error is None and app.builder.format == "html":
        shutil.copytree(Path(app.srcdir, "pictures"), Path(app.outdir, "pictures"), dirs_exist_ok=True)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("build-finished", copy_pictures)
