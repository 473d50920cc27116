"""Sphinx: the documents beside this file, and a reference made from docstrings; ``make docs`` builds it offline."""

from __future__ import annotations

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
