"""Passes: one walk over a block of rows that returns plain sums.

A pass is a function ``pass_(rows, w, b) -> Sums``. Sums compose: those of two blocks of rows, added,
are those of the rows together, so threads, CUDA blocks and chunks of a file are one idea.
"""
