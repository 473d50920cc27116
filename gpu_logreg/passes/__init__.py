"""Passes: walks over rows that return sums, and the engines that choose among them.

A pass is a function ``pass_(rows, w, b) -> Sums``. The sums of two blocks of rows, added, are the sums of all their
rows: so blocks may be computed by threads of the host, by blocks of CUDA threads, or one after another.
"""
